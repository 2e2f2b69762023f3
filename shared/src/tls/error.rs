//! What can go wrong with a connection, told apart so that people know what to do.

use std::io;

use rustls::{AlertDescription, CertificateError};

use crate::digest::Digest;
use crate::id::OrganismId;
use crate::join_token::Address;
use crate::pki::PkiError;

/// Why TLS cannot be set up, or an accepted connection is dropped.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the TLS configuration is not usable")]
    Configuration(#[source] rustls::Error),
    #[error("the authority's certificate cannot be trusted")]
    Authority(#[source] rustls::server::VerifierBuilderError),
    #[error("the certificate does not name an agent")]
    Certificate(#[from] PkiError),
    #[error("the certificate is of another organism, {0}")]
    OtherOrganism(OrganismId),
    #[error("the authority of its certificate was retired meanwhile")]
    Retired,
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the handshake took too long")]
    Slow,
    #[error("the other end does not speak HTTP/2")]
    NotHttp2,
}

/// Why there is no connection to the coordinator.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot reach {address}")]
    Unreachable {
        address: Address,
        #[source]
        source: io::Error,
    },
    #[error("{0} did not answer in time")]
    Slow(Address),
    #[error("{0} does not speak TLS; is it the agent port?")]
    NotTls(Address),
    /// The strongest sign that somebody is in between, or that the token is of another installation.
    #[error(
        "the authority at {address} is not the one the join token names (expected {expected}, found {found}); \
         do not go on: the token is of another installation, or somebody is in between"
    )]
    WrongPin { address: Address, expected: Digest, found: Digest },
    #[error("the certificate of {0} has expired, by this machine's clock")]
    Expired(Address),
    #[error("the certificate of {0} is not valid yet: is this machine's clock behind?")]
    NotYetValid(Address),
    #[error(
        "the certificate of {address} cannot be trusted; if its authority was changed and retired while this machine was \
         away, run `nexusmon-agent leave` and join again with a new token"
    )]
    Untrusted {
        address: Address,
        #[source]
        source: rustls::Error,
    },
    /// The coordinator does not take this agent's certificate: expired, or of another organism.
    #[error("{address} refused this agent's certificate ({alert:?})")]
    CredentialRefused { address: Address, alert: AlertDescription },
    #[error("the TLS handshake with {address} failed")]
    Handshake {
        address: Address,
        #[source]
        source: io::Error,
    },
    #[error("{address} does not speak HTTP/2")]
    NotHttp2 {
        address: Address,
        #[source]
        source: Option<tonic::transport::Error>,
    },
}

/// What the pin verifier says inside a TLS error.
#[derive(Debug, thiserror::Error)]
#[error("expected the authority {expected}, found {found}")]
pub(super) struct PinMismatch {
    pub(super) expected: Digest,
    pub(super) found: Digest,
}

impl ConnectError {
    /// Whether only a new certificate helps: renew by challenge.
    pub fn needs_new_certificate(&self) -> bool {
        matches!(self, Self::CredentialRefused { .. })
    }

    /// Sorts what a handshake, or the first read after it, failed with.
    pub(super) fn of_handshake(address: &Address, source: io::Error) -> Self {
        let address = address.clone();
        let Some(error) = source.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) else {
            return Self::Handshake { address, source };
        };
        match error {
            rustls::Error::InvalidMessage(_) => Self::NotTls(address),
            rustls::Error::InvalidCertificate(reason) => match reason {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired(address),
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::NotYetValid(address)
                }
                CertificateError::Other(other) => match other.0.downcast_ref::<PinMismatch>() {
                    Some(&PinMismatch { expected, found }) => Self::WrongPin { address, expected, found },
                    None => Self::Untrusted { address, source: error.clone() },
                },
                _ => Self::Untrusted { address, source: error.clone() },
            },
            rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
                Self::NotHttp2 { address, source: None }
            }
            rustls::Error::AlertReceived(alert) if is_about_certificates(*alert) => {
                Self::CredentialRefused { address, alert: *alert }
            }
            _ => Self::Handshake { address, source },
        }
    }
}

fn is_about_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
    )
}
