//! The NEXUSMON agent as a library: `nexusmon-agent` and the tests start the same thing.

pub mod agent;
pub mod attempts;
pub mod cli;
pub mod config;
pub mod consent;
pub mod control;
pub mod egress;
pub mod enroll;
pub mod error;
pub mod executor;
pub mod facts;
pub mod journal;
pub mod link;
pub mod local;
pub mod plugins;
pub mod redact;
pub mod roster;
pub mod run;
pub mod simulated;
pub mod spool;
pub mod witness;
pub mod worker;
