//! One authority takes the place of another: the old one's key signs the new one's, and whoever trusts the old one can
//! check that.

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{GeneralName, X509Certificate};

use super::PkiError;
use super::certificate::parse;
use crate::id::OrganismId;
use crate::time::Timestamp;

/// An authority with what vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// DER, signed by itself.
    pub certificate: CertificateDer<'static>,
    /// Its key in a certificate that its predecessor signed. Absent for the oldest one in force.
    pub vouched: Option<CertificateDer<'static>>,
}

/// Refuses a successor that none of the trusted authorities vouches for.
pub fn check_successor(
    trusted: &[CertificateDer<'_>],
    next: &Vouched,
    organism: OrganismId,
    now: Timestamp,
) -> Result<(), PkiError> {
    let certificate = parse(&next.certificate)?;
    let vouched = next.vouched.as_ref().ok_or(PkiError::Certificate("nobody vouches for it"))?;
    let vouched = parse(vouched)?;
    for one in [&certificate, &vouched] {
        of_authority(one, organism, now)?;
    }
    if certificate.public_key().raw != vouched.public_key().raw {
        return Err(PkiError::Certificate("another key was vouched for"));
    }
    certificate
        .verify_signature(None)
        .map_err(|_| PkiError::Certificate("it is not signed by its own key"))?;
    let by = |authority: &CertificateDer<'_>| {
        parse(authority).is_ok_and(|known| vouched.verify_signature(Some(known.public_key())).is_ok())
    };
    if !trusted.iter().any(by) {
        return Err(PkiError::Certificate("no authority trusted here has signed for it"));
    }
    Ok(())
}

/// A leaf, which anybody enrolled has, must not pass for an authority.
fn of_authority(
    certificate: &X509Certificate<'_>,
    organism: OrganismId,
    now: Timestamp,
) -> Result<(), PkiError> {
    if !certificate.is_ca() {
        return Err(PkiError::Certificate("it is not an authority's"));
    }
    let names = certificate.subject_alternative_name().ok().flatten();
    let own = format!("spiffe://{organism}");
    if !names.is_some_and(
        |names| matches!(names.value.general_names.as_slice(), [GeneralName::URI(uri)] if *uri == own),
    ) {
        return Err(PkiError::Certificate("it is of another organism"));
    }
    let seconds = now.as_micros() / 1_000_000;
    let validity = certificate.validity();
    if seconds < validity.not_before.timestamp() || seconds > validity.not_after.timestamp() {
        return Err(PkiError::Certificate("it does not count at this time"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::AgentId;
    use crate::pki::{Authority, TlsKey};

    const NOW: Timestamp = Timestamp::from_micros(1_900_000_000_000_000);
    const ORGANISM: OrganismId = OrganismId::from_bits(77);

    fn authority() -> Authority {
        Authority::generate(ORGANISM, NOW).unwrap()
    }

    fn refusal(trusted: &Authority, next: &Vouched, organism: OrganismId, now: Timestamp) -> String {
        check_successor(&[trusted.certificate().clone()], next, organism, now).unwrap_err().to_string()
    }

    #[test]
    fn a_successor_is_believed_if_its_predecessor_vouches_for_it() {
        let (old, new) = (authority(), authority());
        let next = old.vouch_for(&new, NOW).unwrap();
        assert_eq!(next.certificate, *new.certificate());
        check_successor(&[old.certificate().clone()], &next, ORGANISM, NOW).unwrap();
        let both = [new.certificate().clone(), old.certificate().clone()];
        check_successor(&both, &next, ORGANISM, NOW).unwrap();
    }

    #[test]
    fn nobody_else_can_vouch() {
        let (old, new, other) = (authority(), authority(), authority());
        let good = old.vouch_for(&new, NOW).unwrap();
        let by_itself = new.vouch_for(&new, NOW).unwrap();
        assert!(refusal(&old, &by_itself, ORGANISM, NOW).contains("no authority trusted here"));
        assert!(refusal(&other, &good, ORGANISM, NOW).contains("no authority trusted here"));
        let alone = Vouched { vouched: None, ..good.clone() };
        assert!(refusal(&old, &alone, ORGANISM, NOW).contains("nobody vouches"));
        let crossed = Vouched { certificate: other.certificate().clone(), ..good.clone() };
        assert!(refusal(&old, &crossed, ORGANISM, NOW).contains("another key"));
        assert!(refusal(&old, &good, OrganismId::from_bits(78), NOW).contains("another organism"));
        let late = NOW + Duration::from_hours(21 * 365 * 24);
        assert!(refusal(&old, &good, ORGANISM, late).contains("at this time"));
        let broken = Vouched { vouched: Some(vec![1, 2, 3].into()), ..good };
        assert!(refusal(&old, &broken, ORGANISM, NOW).contains("not X.509"));
    }

    /// What every agent holds is signed by the authority, too.
    #[test]
    fn an_agents_certificate_is_no_authority() {
        let old = authority();
        let key = TlsKey::generate().unwrap();
        let leaf = old.issue_agent(&key.signing_request().unwrap(), AgentId::from_bits(5), NOW).unwrap();
        let leaf = leaf.chain[0].clone();
        let next = Vouched { certificate: leaf.clone(), vouched: Some(leaf) };
        assert!(refusal(&old, &next, ORGANISM, NOW).contains("not an authority's"));
    }
}
