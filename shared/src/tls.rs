//! TLS 1.3 between agents and the coordinator: the agent port's acceptor and the agents' connector.
//!
//! Who a peer is comes from here and from nowhere else: only this module can make a [`Peer`]. Hybrid post-quantum key
//! exchange is preferred; there is no resumption, so every connection proves its certificate anew.

mod connector;
mod error;
mod peer;
mod port;
mod replay;
mod trusted;
mod verify;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;

pub use connector::{ClientCredential, Connection, Connector, Trust};
pub use error::{ConnectError, TlsError};
pub use peer::{Exporters, Peer, PeerCertificate};
pub use port::{AgentConnection, AgentPort, AgentPortLimits, Incoming, ServerIdentity};
pub use trusted::TrustedAuthorities;

use crate::time::SharedClock;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Certificates are judged by our clock, so that time is a parameter here too.
#[derive(Debug)]
struct Wall(SharedClock);

impl TimeProvider for Wall {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_micros() / 1_000_000).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests;
