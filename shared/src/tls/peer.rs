//! Who is at the other end of an accepted connection.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use super::TlsError;
use crate::id::{AgentId, OrganismId};
use crate::pki::AgentCertificate;
use crate::time::Timestamp;
use crate::trust::enrollment::{JOIN_EXPORTER_LABEL, RENEW_EXPORTER_LABEL};

/// The other end of one connection; found among a request's extensions. Only the TLS layer can make one.
#[derive(Clone, Debug)]
pub struct Peer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    remote: SocketAddr,
    same_host: bool,
    certificate: Option<PeerCertificate>,
    exporters: Exporters,
}

impl Peer {
    pub(super) fn new(
        remote: SocketAddr,
        same_host: bool,
        certificate: Option<PeerCertificate>,
        exporters: Exporters,
    ) -> Self {
        Self(Arc::new(Inner { remote, same_host, certificate, exporters }))
    }

    pub fn remote(&self) -> SocketAddr {
        self.0.remote
    }

    /// Whether the connection came from an address of this very host, as far as addresses tell: a container has one of
    /// its own.
    pub fn is_on_this_host(&self) -> bool {
        self.0.same_host
    }

    /// Verified against the organism's authority when the connection was made; absent for a machine that has none yet.
    pub fn certificate(&self) -> Option<&PeerCertificate> {
        self.0.certificate.as_ref()
    }

    pub fn exporters(&self) -> &Exporters {
        &self.0.exporters
    }
}

/// A certificate the organism's authority has signed for an agent.
#[derive(Clone, Debug)]
pub struct PeerCertificate {
    read: AgentCertificate,
    der: CertificateDer<'static>,
}

impl PeerCertificate {
    /// Of a certificate that TLS has verified.
    pub(super) fn new(der: &CertificateDer<'_>, organism: OrganismId) -> Result<Self, TlsError> {
        let read = AgentCertificate::read(der)?;
        if read.organism != organism {
            return Err(TlsError::OtherOrganism(read.organism));
        }
        Ok(Self { read, der: der.clone().into_owned() })
    }

    pub fn agent(&self) -> AgentId {
        self.read.agent
    }

    pub fn organism(&self) -> OrganismId {
        self.read.organism
    }

    pub fn not_after(&self) -> Timestamp {
        self.read.not_after
    }

    /// Lower-case hexadecimal.
    pub fn serial(&self) -> &str {
        &self.read.serial
    }

    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }
}

/// Keying material only the two ends of this connection know (RFC 8446, 7.5): it ties what is said to the line it is
/// said on.
#[derive(Clone, PartialEq, Eq)]
pub struct Exporters {
    pub join: [u8; 32],
    pub renew: [u8; 32],
}

impl Exporters {
    pub(super) fn of<Data>(connection: &rustls::ConnectionCommon<Data>) -> Result<Self, rustls::Error> {
        let export = |label| connection.export_keying_material([0_u8; 32], label, None);
        Ok(Self { join: export(JOIN_EXPORTER_LABEL)?, renew: export(RENEW_EXPORTER_LABEL)? })
    }
}

impl std::fmt::Debug for Exporters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exporters(..)")
    }
}
