use proptest::prelude::*;
use rand::SeedableRng as _;
use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate};

use super::*;
use crate::id::{AgentId, OrganismId};
use crate::time::Timestamp;
use crate::trust::enrollment::{sealing_key_message, verify_identity_signature};

const NOW: Timestamp = Timestamp::from_micros(1_900_000_000_000_000);

fn organism() -> OrganismId {
    OrganismId::from_bits(77)
}

#[test]
fn an_agent_certificate_says_what_it_should_and_no_more() {
    let authority = Authority::generate(organism(), NOW).unwrap();
    let agent = AgentId::from_bits(5);
    let key = TlsKey::generate().unwrap();
    let issued = authority.issue_agent(&key.signing_request().unwrap(), agent, NOW).unwrap();

    let read = AgentCertificate::read(&issued.chain[0]).unwrap();
    assert_eq!((read.organism, read.agent), (organism(), agent));
    assert_eq!(read.not_before, NOW - BACKDATED);
    assert_eq!(read.not_after, NOW + AGENT_CERTIFICATE_LIFE);
    assert_eq!(read.not_after, issued.not_after);
    assert_eq!(read.serial, issued.serial);
    assert!(key.is_of(&issued.chain[0]));
    assert!(!TlsKey::generate().unwrap().is_of(&issued.chain[0]));

    let (_, leaf) = X509Certificate::from_der(&issued.chain[0]).unwrap();
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    assert!(!leaf.is_ca());
    let (_, root) = X509Certificate::from_der(&issued.chain[1]).unwrap();
    assert!(root.is_ca());
    leaf.verify_signature(Some(root.public_key())).unwrap();
    assert_eq!(leaf.issuer(), root.subject());
}

#[test]
fn what_a_request_asks_for_is_not_given() {
    let authority = Authority::generate(organism(), NOW).unwrap();
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut wishes = rcgen::CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
    wishes.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    wishes.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let csr = wishes.serialize_request(&pair).unwrap().der().to_vec();

    let issued = authority.issue_agent(&csr, AgentId::from_bits(1), NOW).unwrap();
    let (_, leaf) = X509Certificate::from_der(&issued.chain[0]).unwrap();
    assert!(!leaf.is_ca());
    assert!(!leaf.extended_key_usage().unwrap().unwrap().value.server_auth);
    assert!(AgentCertificate::read(&issued.chain[0]).is_ok(), "names the agent and nothing else");
    let named = leaf.extensions().iter().any(|extension| {
        matches!(extension.parsed_extension(), ParsedExtension::SubjectAlternativeName(names)
            if format!("{names:?}").contains("evil"))
    });
    assert!(!named);
}

#[test]
fn a_request_must_prove_its_key() {
    let authority = Authority::generate(organism(), NOW).unwrap();
    let mut csr = TlsKey::generate().unwrap().signing_request().unwrap();
    let last = csr.len() - 1;
    csr[last] ^= 1;
    let error = authority.issue_agent(&csr, AgentId::from_bits(1), NOW).unwrap_err();
    assert!(matches!(error, PkiError::Request(_)), "{error}");

    let mut csr = TlsKey::generate().unwrap().signing_request().unwrap();
    csr.push(0);
    assert!(authority.issue_agent(&csr, AgentId::from_bits(1), NOW).is_err());

    let other_kind = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&other_kind).unwrap().der().to_vec();
    assert!(authority.issue_agent(&csr, AgentId::from_bits(1), NOW).is_err());
}

#[test]
fn an_authority_survives_being_kept() {
    let authority = Authority::generate(organism(), NOW).unwrap();
    let again = Authority::from_der(organism(), &authority.key(), authority.certificate()).unwrap();
    assert_eq!(again.pin(), authority.pin());
    assert_eq!(spki_digest(authority.certificate()).unwrap(), authority.pin());
    let csr = TlsKey::generate().unwrap().signing_request().unwrap();
    let issued = again.issue_agent(&csr, AgentId::from_bits(1), NOW).unwrap();
    let (_, leaf) = X509Certificate::from_der(&issued.chain[0]).unwrap();
    let (_, root) = X509Certificate::from_der(authority.certificate()).unwrap();
    leaf.verify_signature(Some(root.public_key())).unwrap();
    assert_eq!(leaf.issuer(), root.subject());

    let other = Authority::generate(organism(), NOW).unwrap();
    assert!(Authority::from_der(organism(), &other.key(), authority.certificate()).is_err());
}

#[test]
fn keys_survive_being_kept_and_do_not_mix() {
    let mut rng = rand::rngs::StdRng::seed_from_u64(3);
    let identity = IdentityKey::generate(&mut rng);
    let sealing = SealingKey::generate(&mut rng);
    let tls = TlsKey::generate().unwrap();

    assert_eq!(IdentityKey::from_pem(&identity.to_pem()).unwrap().public(), identity.public());
    assert_eq!(SealingKey::from_pem(&sealing.to_pem()).unwrap().public(), sealing.public());
    assert_eq!(TlsKey::from_pem(&tls.to_pem()).unwrap().to_pkcs8(), tls.to_pkcs8());
    assert!(IdentityKey::from_pem(&sealing.to_pem()).is_err());
    assert!(SealingKey::from_pem(&identity.to_pem()).is_err());
    assert!(TlsKey::from_pem(&identity.to_pem()).is_err());

    let signature = identity.sign_sealing_key(&sealing);
    let message = sealing_key_message(&sealing.public());
    assert!(verify_identity_signature(&identity.public(), &message, &signature));

    let other = SealingKey::generate(&mut rng);
    assert_eq!(sealing.agree(&other.public()), other.agree(&sealing.public()));
    assert!(sealing.agree(&[0; 32]).is_none(), "a key of small order gives no secret");
}

#[test]
fn debug_shows_no_secret() {
    let identity = IdentityKey::generate(&mut rand::rngs::StdRng::seed_from_u64(3));
    let shown = format!("{identity:?}");
    assert!(shown.contains(&hex::encode(identity.public())));
    let pem = identity.to_pem();
    let secret = pem.lines().nth(1).unwrap();
    assert!(!shown.contains(secret));
}

#[test]
fn certificates_at_the_ends_of_time_do_not_panic() {
    for micros in [i64::MIN, -1, 0, i64::MAX] {
        Authority::generate(organism(), Timestamp::from_micros(micros)).unwrap();
    }
}

proptest! {
    #[test]
    fn outside_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in ".{0,200}") {
        let _ = AgentCertificate::read(&bytes);
        let _ = TlsKey::from_pkcs8(&bytes);
        let _ = IdentityKey::from_pem(&text);
        let _ = SealingKey::from_pem(&text);
    }

    #[test]
    fn damaged_requests_never_panic(at in 0_usize..200, bit in 0_u8..8) {
        let authority = Authority::generate(organism(), NOW).unwrap();
        let mut csr = TlsKey::generate().unwrap().signing_request().unwrap();
        let at = at % csr.len();
        csr[at] ^= 1 << bit;
        let _ = authority.issue_agent(&csr, AgentId::from_bits(1), NOW);
    }
}
