//! The use cases against a real store, with agents that are simulated in the process: both databases, no network.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "service/acts.rs"]
mod acts;
#[path = "service/consent.rs"]
mod consent;
#[path = "service/flags.rs"]
mod flags;
#[path = "service/halt.rs"]
mod halt;
#[path = "service/harness.rs"]
mod harness;
#[path = "service/lifecycle.rs"]
mod lifecycle;
#[path = "service/provenance.rs"]
mod provenance;
#[path = "service/rosters.rs"]
mod rosters;
#[path = "service/secrets.rs"]
mod secrets;
#[path = "service/standing.rs"]
mod standing;
#[path = "service/triggers.rs"]
mod triggers;
