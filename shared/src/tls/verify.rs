//! How an agent decides that it speaks to its coordinator: by the pin of a join token, or by the authority it keeps.
//! The name checked is the role's fixed one; the address is only a route.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, OtherError, PeerIncompatible, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::connector::Trust;
use super::error::PinMismatch;
use crate::digest::Digest;
use crate::pki::spki_digest;

#[derive(Debug)]
pub(super) struct CoordinatorVerifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

impl CoordinatorVerifier {
    pub(super) fn new(trust: Trust, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { trust, algorithms }
    }
}

/// The authority a server showed behind its leaf, if its key is the pinned one.
pub(super) fn pinned<'a>(
    pin: Digest,
    leaf: &CertificateDer<'_>,
    behind: &'a [CertificateDer<'a>],
) -> Result<&'a CertificateDer<'a>, rustls::Error> {
    let mut found = digest(leaf)?;
    for certificate in behind {
        found = digest(certificate)?;
        if found == pin {
            return Ok(certificate);
        }
    }
    let mismatch = PinMismatch { expected: pin, found };
    Err(CertificateError::Other(OtherError(Arc::new(mismatch))).into())
}

fn digest(certificate: &CertificateDer<'_>) -> Result<Digest, rustls::Error> {
    spki_digest(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

impl ServerCertVerifier for CoordinatorVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        behind: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut roots = RootCertStore::empty();
        match &self.trust {
            Trust::Pin(pin) => roots.add(pinned(*pin, leaf, behind)?.clone().into_owned())?,
            Trust::Authorities(kept) => {
                for authority in kept {
                    roots.add(authority.clone())?;
                }
            }
        }
        let parsed = ParsedCertificate::try_from(leaf)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, self.algorithms.all)?;
        verify_server_name(&parsed, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
