//! Becoming and remaining an agent: joining, the kept identity, renewing the certificate.
//!
//! Keys are made here and never leave the machine. Knows no sessions and no attempts.

mod authorities;
mod clock;
mod home;
mod join;
mod renew;

use std::path::PathBuf;

use nexusmon_shared::id::AgentId;
use nexusmon_shared::join_token::JoinTokenError;
use nexusmon_shared::pki::PkiError;
use nexusmon_shared::tls::{ConnectError, TlsError};
use nexusmon_shared::wire::WireError;

pub use authorities::Followed;
pub use clock::NeverBehind;
pub use home::{Home, Membership, Renewal};
pub use join::{Joined, join};
pub use renew::renew_by_challenge;

/// Why joining or renewing does not work. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    #[error("the join token is not usable")]
    Token(#[from] JoinTokenError),
    #[error("{path} is already enrolled as {agent}; use another --data-dir, or `nexusmon-agent leave` first")]
    AlreadyEnrolled { path: PathBuf, agent: AgentId },
    #[error(
        "{0} is not enrolled; get a token with `nexusmon agent invite` and run `nexusmon-agent join <token>`"
    )]
    NotEnrolled(PathBuf),
    #[error("cannot {what} {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is damaged: {reason}; leave and join again")]
    Damaged { path: PathBuf, reason: String },
    #[error("{path} may be read by others; run `chmod 600 {path}`")]
    Exposed { path: PathBuf },
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
    #[error("a key or certificate is not usable")]
    Pki(#[from] PkiError),
    #[error(
        "the coordinator does not accept this invite: it is unknown, used or expired; ask for a new one with `nexusmon agent invite`"
    )]
    InviteRefused,
    #[error("the coordinator refused: {0}")]
    Refused(String),
    #[error(
        "the coordinator says that this agent's identity is not to be trusted any more ({0}); an operator has to look at it"
    )]
    IdentityRefused(String),
    #[error("the coordinator could not answer ({0}); try again")]
    Unavailable(String),
    #[error("the coordinator's answer is not usable")]
    Answer(#[from] WireError),
    #[error("the coordinator's answer is not usable: {0}")]
    WrongAnswer(&'static str),
}

impl EnrollError {
    fn io(what: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }

    /// Whether trying again later can help without a person.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Connect(error) => !matches!(error, ConnectError::WrongPin { .. }),
            Self::Unavailable(_) => true,
            _ => false,
        }
    }
}
