//! The cluster harness: real binaries, real databases, real TLS on loopback, driven through the public API.
//!
//! Suites lie in `tests/`; benchmarks in `src/bin`. Nothing here reaches into the coordinator or an agent.

pub mod api;
pub mod balancer;
pub mod bench;
pub mod binaries;
pub mod cluster;
pub mod events;
pub mod nodes;
pub mod object_store;
pub mod ports;
pub mod process;
#[cfg(feature = "planted")]
pub mod prove;

pub use api::Api;
pub use cluster::{Agent, Cluster, Options};
pub use nodes::{Node, Nodes};
