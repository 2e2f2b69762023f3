//! The vocabulary both binaries speak: data types, canonical forms and verification as pure functions.
//! Behind the feature `rt` also what needs an async runtime: wire types, TLS, lifecycle, telemetry.
//!
//! This crate knows nothing of databases, HTTP or processes.

pub mod attempt;
pub mod binding;
pub mod capability;
pub mod digest;
pub mod doctor;
pub mod effects;
pub mod egress;
pub mod expression;
pub mod id;
pub mod join_token;
pub mod manifest;
pub mod masking;
pub mod message;
pub mod mission;
pub mod name;
pub mod network;
pub mod outcome;
pub mod plan;
pub mod planted;
pub mod rank;
pub mod sandbox;
pub mod schema;
pub mod selector;
pub mod task;
pub mod time;
pub mod trust;

#[cfg(feature = "rt")]
pub mod idle;
#[cfg(feature = "rt")]
pub mod lifecycle;
#[cfg(feature = "rt")]
pub mod metrics;
#[cfg(feature = "rt")]
pub mod pki;
#[cfg(feature = "rt")]
pub mod telemetry;
#[cfg(feature = "rt")]
pub mod tls;
#[cfg(feature = "rt")]
pub mod wire;
