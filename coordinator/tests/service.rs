//! The use cases against a real store, with agents that are simulated in the process: both databases, no network.

#[path = "service/harness.rs"]
mod harness;
#[path = "service/lifecycle.rs"]
mod lifecycle;
