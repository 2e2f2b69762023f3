//! The NEXUSMON agent as a library: `nexusmon-agent` and the tests start the same thing.

pub mod attempts;
pub mod consent;
pub mod enroll;
pub mod facts;
pub mod journal;
pub mod link;
pub mod run;
pub mod worker;
