//! Which authorities' certificates the agent port takes: one, and while it is being replaced two. What was accepted under
//! one that is taken away is cut off with it.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio_util::sync::CancellationToken;

use super::{TlsError, provider};
use crate::pki::signed;

/// May be replaced while the port serves.
#[derive(Debug)]
pub struct TrustedAuthorities(RwLock<Arc<Trusted>>);

#[derive(Debug)]
struct Trusted {
    verifier: Arc<dyn ClientCertVerifier>,
    /// Each with what ends the connections that rest on it.
    roots: Vec<(CertificateDer<'static>, CancellationToken)>,
}

impl TrustedAuthorities {
    pub fn new(authorities: &[CertificateDer<'_>]) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(RwLock::new(Arc::new(trusted(authorities, &[])?)))))
    }

    /// New connections are judged by these; living ones go on unless theirs is not among them.
    pub fn replace(&self, authorities: &[CertificateDer<'_>]) -> Result<(), TlsError> {
        let mut place = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let kept = Arc::new(trusted(authorities, &place.roots)?);
        let before = std::mem::replace(&mut *place, Arc::clone(&kept));
        drop(place);
        for (root, end) in &before.roots {
            if !kept.roots.iter().any(|(known, _)| known == root) {
                end.cancel();
            }
        }
        Ok(())
    }

    /// What ends a connection that showed `leaf`, which has been verified; `None`: whoever signed it counts no more.
    pub(super) fn end_of(&self, leaf: &CertificateDer<'_>) -> Option<CancellationToken> {
        let trusted = self.get();
        let mut roots = trusted.roots.iter();
        roots.find(|(root, _)| signed(root, leaf)).map(|(_, end)| end.clone())
    }

    fn get(&self) -> Arc<Trusted> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn trusted(
    authorities: &[CertificateDer<'_>],
    before: &[(CertificateDer<'static>, CancellationToken)],
) -> Result<Trusted, TlsError> {
    let mut store = RootCertStore::empty();
    let mut roots = Vec::with_capacity(authorities.len());
    for authority in authorities {
        let authority = authority.clone().into_owned();
        store.add(authority.clone()).map_err(TlsError::Configuration)?;
        let known = before.iter().find(|(root, _)| *root == authority).map(|(_, end)| end.clone());
        roots.push((authority, known.unwrap_or_default()));
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider())
        .allow_unauthenticated()
        .build()
        .map_err(TlsError::Authority)?;
    Ok(Trusted { verifier, roots })
}

impl ClientCertVerifier for TrustedAuthorities {
    /// Machines that have no certificate yet enroll here.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// Agents have one certificate and need no hint.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        behind: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.get().verifier.verify_client_cert(leaf, behind, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.get().verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.get().verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.get().verifier.supported_verify_schemes()
    }
}
