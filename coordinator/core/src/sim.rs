//! A small simulated world for property tests: core decisions under lost, doubled and reordered messages and crashes.
