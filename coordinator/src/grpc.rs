//! The agent port: mutual TLS, enrollment, sessions, logs and artifacts.
//!
//! Turns messages into calls of `service` and answers into messages. Decides nothing; identity comes from the TLS
//! layer alone.

mod enroll;
mod listener;
mod peer;
mod session;
mod transfer;

pub use listener::{PortCertificate, serve};

use nexusmon_shared::lifecycle::chain;
use tonic::{Code, Status};

use crate::error::Error;

/// Metadata key under which a refusal carries its stable public code.
const CODE: &str = "nexusmon-code";

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        if let Error::Internal(source) = &error {
            tracing::error!(error = %chain(source.as_ref()), "an agent's call failed");
        }
        let mut status = Self::new(Code::from_i32(error.grpc_code()), error.to_string());
        if let Ok(code) = error.code().parse() {
            status.metadata_mut().insert(CODE, code);
        }
        status
    }
}
