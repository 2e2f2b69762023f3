//! The organism's own certificate authority. ECDSA P-256: what every TLS stack verifies, and fast to sign with.

use std::fmt;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
    SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509CertificationRequest};
use zeroize::Zeroizing;

use super::certificate::spki_digest;
use super::succession::Vouched;
use super::{
    AGENT_CERTIFICATE_LIFE, AUTHORITY_LIFE, BACKDATED, PkiError, SERVER_CERTIFICATE_LIFE, SERVER_NAME, TlsKey,
};
use crate::digest::Digest;
use crate::id::{AgentId, OrganismId};
use crate::time::Timestamp;

/// The end of what X.509 can say, near enough: the year 9999.
const LAST_SECOND: u64 = 253_370_764_800;

/// Signs certificates for one organism.
pub struct Authority {
    organism: OrganismId,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// DER: leaf, then authority.
    pub chain: Vec<CertificateDer<'static>>,
    pub not_after: Timestamp,
    /// Lower-case hexadecimal.
    pub serial: String,
}

/// What the coordinator serves TLS with.
pub struct ServerCredential {
    /// PKCS#8, DER.
    pub key: Zeroizing<Vec<u8>>,
    pub issued: Issued,
}

impl Authority {
    /// A new authority with a new key.
    pub fn generate(organism: OrganismId, now: Timestamp) -> Result<Self, PkiError> {
        let making = "make the organism's certificate authority";
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(PkiError::making(making))?;
        let parameters = of_authority(organism, now)?;
        let certificate = parameters.self_signed(&key).map_err(PkiError::making(making))?.der().clone();
        Ok(Self { organism, issuer: Issuer::new(parameters, key), certificate })
    }

    /// The authority as it was kept: PKCS#8 key and certificate, both DER.
    pub fn from_der(organism: OrganismId, key: &[u8], certificate: &[u8]) -> Result<Self, PkiError> {
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key.into(), &PKCS_ECDSA_P256_SHA256)
            .map_err(|_| PkiError::Key("expected an ECDSA P-256 key in PKCS#8"))?;
        let certificate = CertificateDer::from(certificate.to_vec());
        if spki_digest(&certificate)? != Digest::of(&key.subject_public_key_info()) {
            return Err(PkiError::Certificate("the authority's certificate is of another key"));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(PkiError::making("read the organism's certificate authority"))?;
        Ok(Self { organism, issuer, certificate })
    }

    pub fn organism(&self) -> OrganismId {
        self.organism
    }

    /// DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// PKCS#8, DER; to be wrapped before it is kept.
    pub fn key(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.issuer.key().serialize_der())
    }

    /// What join tokens pin.
    pub fn pin(&self) -> Digest {
        Digest::of(&self.issuer.key().subject_public_key_info())
    }

    /// A certificate for the key of a signing request. Nothing else of the request is looked at.
    pub fn issue_agent(&self, csr: &[u8], agent: AgentId, now: Timestamp) -> Result<Issued, PkiError> {
        let key = requested_key(csr)?;
        let mut parameters = parameters(now, AGENT_CERTIFICATE_LIFE)?;
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, agent.to_string());
        parameters.subject_alt_names = vec![uri(format!("spiffe://{}/agent/{agent}", self.organism))?];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&parameters, &key, now + AGENT_CERTIFICATE_LIFE)
    }

    /// A key and a certificate for the coordinator's agent port.
    pub fn issue_server(&self, now: Timestamp) -> Result<ServerCredential, PkiError> {
        let key = TlsKey::generate()?;
        let mut parameters = parameters(now, SERVER_CERTIFICATE_LIFE)?;
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, SERVER_NAME);
        let name = SERVER_NAME.try_into().map_err(PkiError::making("name the coordinator"))?;
        parameters.subject_alt_names = vec![SanType::DnsName(name)];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let issued = self.sign(&parameters, key.pair(), now + SERVER_CERTIFICATE_LIFE)?;
        Ok(ServerCredential { key: key.to_pkcs8(), issued })
    }

    /// What tells whoever trusts this authority of the next one: its key, signed by this one's (RFC 4210 calls it
    /// "new with old").
    pub fn vouch_for(&self, next: &Self, now: Timestamp) -> Result<Vouched, PkiError> {
        let parameters = of_authority(self.organism, now)?;
        let vouched = self.sign(&parameters, next.issuer.key(), now + AUTHORITY_LIFE)?.chain.swap_remove(0);
        Ok(Vouched { certificate: next.certificate.clone(), vouched: Some(vouched) })
    }

    fn sign(
        &self,
        parameters: &CertificateParams,
        key: &impl PublicKeyData,
        not_after: Timestamp,
    ) -> Result<Issued, PkiError> {
        let certificate =
            parameters.signed_by(key, &self.issuer).map_err(PkiError::making("issue a certificate"))?;
        let serial = parameters.serial_number.as_ref().map(|serial| hex::encode(serial.to_bytes()));
        Ok(Issued {
            chain: vec![certificate.der().clone(), self.certificate.clone()],
            not_after,
            serial: serial.unwrap_or_default(),
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("organism", &self.organism)
            .field("pin", &self.pin())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCredential").field("issued", &self.issued).finish_non_exhaustive()
    }
}

/// The key of a PKCS#10 request (RFC 2986) that proves to have the private half.
fn requested_key(csr: &[u8]) -> Result<SubjectPublicKeyInfo, PkiError> {
    let (rest, request) =
        X509CertificationRequest::from_der(csr).map_err(|_| PkiError::Request("not PKCS#10 in DER"))?;
    if !rest.is_empty() {
        return Err(PkiError::Request("bytes follow it"));
    }
    request.verify_signature().map_err(|_| PkiError::Request("its signature does not verify"))?;
    let key = SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
        .map_err(|_| PkiError::Request("its key is of an unknown kind"))?;
    if key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
        return Err(PkiError::Request("its key is not ECDSA P-256"));
    }
    Ok(key)
}

fn of_authority(organism: OrganismId, now: Timestamp) -> Result<CertificateParams, PkiError> {
    let mut parameters = parameters(now, AUTHORITY_LIFE)?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, format!("NEXUSMON {organism}"));
    parameters.subject_alt_names = vec![uri(format!("spiffe://{organism}"))?];
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(parameters)
}

/// What all certificates share: serial number, validity, usage.
fn parameters(now: Timestamp, life: Duration) -> Result<CertificateParams, PkiError> {
    let mut serial = [0_u8; 16];
    getrandom::fill(&mut serial).map_err(|_| PkiError::Randomness)?;
    // Positive and of full length, so that its text form is the same everywhere.
    serial[0] = (serial[0] & 0x3f) | 0x40;
    let mut parameters = CertificateParams::default();
    parameters.serial_number = Some(SerialNumber::from_slice(&serial));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let seconds = |at: Timestamp| {
        Duration::from_secs(u64::try_from(at.as_micros() / 1_000_000).unwrap_or(0).min(LAST_SECOND))
    };
    parameters.not_before = epoch + seconds(now - BACKDATED);
    parameters.not_after = epoch + seconds(now + life);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}

fn uri(text: String) -> Result<SanType, PkiError> {
    Ok(SanType::URI(text.try_into().map_err(PkiError::making("name a certificate's holder"))?))
}
