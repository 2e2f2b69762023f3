//! Reading certificates: who an agent's certificate names, until when, and the digest of a key.

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::PkiError;
use crate::digest::Digest;
use crate::id::{AgentId, OrganismId};
use crate::time::Timestamp;

/// What an agent's certificate says. Reading is not verifying: that is TLS's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentCertificate {
    pub organism: OrganismId,
    pub agent: AgentId,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Lower-case hexadecimal.
    pub serial: String,
}

impl AgentCertificate {
    /// Reads a certificate in DER.
    pub fn read(der: &[u8]) -> Result<Self, PkiError> {
        let certificate = parse(der)?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| PkiError::Certificate("its alternative names are broken"))?
            .ok_or(PkiError::Certificate("it names nobody"))?;
        let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else {
            return Err(PkiError::Certificate("it does not name exactly one URI"));
        };
        let (organism, agent) = uri
            .strip_prefix("spiffe://")
            .and_then(|rest| rest.split_once("/agent/"))
            .and_then(|(organism, agent)| Some((organism.parse().ok()?, agent.parse().ok()?)))
            .ok_or(PkiError::Certificate("it does not name an agent"))?;
        let at = |time: x509_parser::time::ASN1Time| {
            Timestamp::from_micros(time.timestamp().saturating_mul(1_000_000))
        };
        Ok(Self {
            organism,
            agent,
            not_before: at(certificate.validity().not_before),
            not_after: at(certificate.validity().not_after),
            serial: hex::encode(certificate.raw_serial()),
        })
    }
}

/// From when until when a certificate says it counts.
pub fn validity(certificate: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), PkiError> {
    let validity = parse(certificate)?.validity().clone();
    let at = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_micros(time.timestamp().saturating_mul(1_000_000))
    };
    Ok((at(validity.not_before), at(validity.not_after)))
}

/// SHA-256 of a certificate's `SubjectPublicKeyInfo`, as RFC 7469 pins keys.
pub fn spki_digest(certificate: &CertificateDer<'_>) -> Result<Digest, PkiError> {
    Ok(Digest::of(parse(certificate)?.public_key().raw))
}

/// Whether the key of `authority` has signed `certificate`; says nothing of times and purposes.
pub fn signed(authority: &CertificateDer<'_>, certificate: &CertificateDer<'_>) -> bool {
    let (Ok(authority), Ok(certificate)) = (parse(authority), parse(certificate)) else { return false };
    certificate.verify_signature(Some(authority.public_key())).is_ok()
}

pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, PkiError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(PkiError::Certificate("bytes follow it")),
        Err(_) => Err(PkiError::Certificate("not X.509 in DER")),
    }
}
