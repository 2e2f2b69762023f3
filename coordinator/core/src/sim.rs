//! A small simulated world for property tests: core decisions under lost, doubled and reordered messages and crashes.
//!
//! [`World`] stands where the database, the network and the agents would be; [`strategies`] makes arbitrary states for
//! tests of single decisions. For tests only (feature `testing`).

pub mod strategies;
mod world;

#[cfg(test)]
mod tests;

pub use world::{Event, Violation, World, WorldConfig};
