//! The vocabulary both binaries speak: data types, canonical forms and verification as pure functions.
//! Behind the feature `rt` also what needs an async runtime: wire types, TLS, lifecycle, telemetry.
//!
//! This crate knows nothing of databases, HTTP or processes.

pub mod attempt;
pub mod capability;
pub mod digest;
pub mod effects;
pub mod expression;
pub mod id;
pub mod manifest;
pub mod mission;
pub mod name;
pub mod outcome;
pub mod plan;
pub mod rank;
pub mod sandbox;
pub mod selector;
pub mod task;
pub mod time;
pub mod trust;
