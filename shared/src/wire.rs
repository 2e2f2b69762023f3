//! What crosses the line: generated messages, and their conversion from and to [`crate::message`].
//!
//! The only module that looks inside generated types. From outside to inside conversions are total: every field is
//! looked at, every size is bounded, and an error names the field. From inside to outside they cannot fail.

mod checkpoint;
mod codec;
mod control;
mod enrollment;
mod event;
mod field;
mod hello;
mod order;
mod report;
mod secret;
mod spawn;
mod transfer;

pub use field::{Problem, WireError};

/// Generated from `proto/`: messages, clients and servers.
pub mod proto {
    #![allow(
        clippy::all,
        clippy::pedantic,
        missing_docs,
        unreachable_pub,
        unused_qualifications,
        reason = "generated"
    )]
    tonic::include_proto!("nexusmon.v1");
}

/// Application protocol of the agent port (RFC 7301).
pub const ALPN: &[u8] = b"h2";

#[cfg(test)]
mod tests;
