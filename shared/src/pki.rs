//! The organism's certificate authority, the agents' keys, and reading what certificates say.
//!
//! Knows X.509 and key formats; knows nothing of connections, invites or who may have a certificate.

mod authority;
mod certificate;
mod keys;
mod succession;

use std::time::Duration;

pub use authority::{Authority, Issued, ServerCredential};
pub use certificate::{AgentCertificate, signed, spki_digest, validity};
pub use keys::{IdentityKey, SealingKey, TlsKey};
pub use rustls_pki_types::CertificateDer;
pub use succession::{Vouched, check_successor};

/// The coordinator's name in its certificate, whatever address it is reached under: the organism's authority vouches
/// for the role, and the address is only a route.
pub const SERVER_NAME: &str = "coordinator.nexusmon.internal";
pub const AGENT_CERTIFICATE_LIFE: Duration = Duration::from_hours(4);
/// The coordinator issues itself a new one long before.
pub const SERVER_CERTIFICATE_LIFE: Duration = Duration::from_hours(30 * 24);
pub const AUTHORITY_LIFE: Duration = Duration::from_hours(20 * 365 * 24);
/// Certificates are valid from a little before they were made, for clocks that are behind.
pub const BACKDATED: Duration = Duration::from_mins(5);

/// Why a key or certificate cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("cannot {attempted}")]
    Make {
        attempted: &'static str,
        #[source]
        source: rcgen::Error,
    },
    #[error("the certificate signing request is not usable: {0}")]
    Request(&'static str),
    #[error("the certificate is not usable: {0}")]
    Certificate(&'static str),
    #[error("the private key is not usable: {0}")]
    Key(&'static str),
    #[error("the machine gives no randomness")]
    Randomness,
}

impl PkiError {
    fn making(attempted: &'static str) -> impl FnOnce(rcgen::Error) -> Self {
        move |source| Self::Make { attempted, source }
    }
}

#[cfg(test)]
mod tests;
