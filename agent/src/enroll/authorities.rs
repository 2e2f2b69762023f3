//! Which authorities this machine trusts: the one it joined under, and those that came after, each vouched for by one
//! trusted before. A file of its own beside the membership, on the disk before it decides anything.

use std::path::Path;

use nexusmon_shared::id::OrganismId;
use nexusmon_shared::message::AuthorityNotice;
use nexusmon_shared::pki::{CertificateDer, Vouched, check_successor, spki_digest};
use nexusmon_shared::time::Timestamp;

use super::EnrollError;
use super::home::read_json;

pub(super) const FILE: &str = "authorities.json";

/// Newest first; never empty.
pub(super) type Kept = Vec<CertificateDer<'static>>;

/// What came of a list of authorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    Nothing,
    /// One is trusted now that was not before.
    New,
    /// One is no longer in force.
    Forgot,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct File {
    /// Hexadecimal DER, newest first.
    authorities: Vec<String>,
}

/// As kept, or the one of the membership where there never was another.
pub(super) fn read(folder: &Path, joined_under: &str) -> Result<Kept, EnrollError> {
    let path = folder.join(FILE);
    let texts =
        if path.exists() { read_json::<File>(&path)?.authorities } else { vec![joined_under.to_owned()] };
    let damaged = |reason: &str| EnrollError::Damaged { path: folder.to_owned(), reason: reason.to_owned() };
    let mut kept = Kept::with_capacity(texts.len());
    for text in texts {
        let authority = hex::decode(text).map_err(|_| damaged("the authority is not hexadecimal"))?;
        kept.push(authority.into());
    }
    if kept.is_empty() { Err(damaged("it names no authority")) } else { Ok(kept) }
}

pub(super) fn text(kept: &[CertificateDer<'_>]) -> Vec<u8> {
    let file = File { authorities: kept.iter().map(hex::encode).collect() };
    serde_json::to_vec_pretty(&file).expect("texts always serialize")
}

/// What is trusted after this. Nothing changes where one that is new is not vouched for, or none of those trusted is left.
pub(super) fn follow(
    kept: &[CertificateDer<'static>],
    told: &[AuthorityNotice],
    organism: OrganismId,
    now: Timestamp,
) -> Result<(Kept, Followed), EnrollError> {
    let mut next = Kept::with_capacity(told.len());
    let mut followed = Followed::Nothing;
    // Oldest first: each may be vouched for by the one before.
    for AuthorityNotice { certificate, vouched } in told.iter().rev() {
        let certificate = CertificateDer::from(certificate.to_vec());
        if !kept.contains(&certificate) {
            let vouched = (!vouched.is_empty()).then(|| CertificateDer::from(vouched.to_vec()));
            let successor = Vouched { certificate: certificate.clone(), vouched };
            let trusted: Kept = kept.iter().chain(&next).cloned().collect();
            check_successor(&trusted, &successor, organism, now)?;
            let pin = spki_digest(&certificate)?;
            tracing::warn!(authority = %pin, "the organism has a new authority, and the one before vouches for it");
            followed = Followed::New;
        }
        next.insert(0, certificate);
    }
    if next.is_empty() {
        return Err(EnrollError::WrongAnswer("no authority is in force"));
    }
    for forgotten in kept.iter().filter(|known| !next.contains(known)) {
        let pin = spki_digest(forgotten)?;
        tracing::warn!(authority = %pin, "an authority was retired: nothing it signed counts here any more");
        if followed == Followed::Nothing {
            followed = Followed::Forgot;
        }
    }
    Ok((next, followed))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use nexusmon_shared::pki::Authority;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_900_000_000_000_000);
    const ORGANISM: OrganismId = OrganismId::from_bits(7);

    fn authority() -> Authority {
        Authority::generate(ORGANISM, NOW).unwrap()
    }

    fn plain(authority: &Authority) -> AuthorityNotice {
        AuthorityNotice {
            certificate: Bytes::copy_from_slice(authority.certificate()),
            vouched: Bytes::new(),
        }
    }

    fn after(old: &Authority, new: &Authority) -> AuthorityNotice {
        let vouched = old.vouch_for(new, NOW).unwrap().vouched.unwrap();
        AuthorityNotice { vouched: Bytes::copy_from_slice(&vouched), ..plain(new) }
    }

    #[test]
    fn a_new_one_is_believed_beside_the_old_one_and_the_old_one_forgotten_when_it_is_retired() {
        let (old, new) = (authority(), authority());
        let kept = vec![old.certificate().clone()];
        let both = [after(&old, &new), plain(&old)];
        let (two, followed) = follow(&kept, &both, ORGANISM, NOW).unwrap();
        assert_eq!(followed, Followed::New);
        assert_eq!(two, [new.certificate().clone(), old.certificate().clone()]);
        assert_eq!(follow(&two, &both, ORGANISM, NOW).unwrap(), (two.clone(), Followed::Nothing));
        let (one, followed) = follow(&two, &[plain(&new)], ORGANISM, NOW).unwrap();
        assert_eq!((one, followed), (vec![new.certificate().clone()], Followed::Forgot));
    }

    #[test]
    fn what_nobody_trusted_vouches_for_changes_nothing() {
        let (old, new, stranger) = (authority(), authority(), authority());
        let kept = vec![old.certificate().clone()];
        for told in [
            vec![plain(&new)],
            vec![plain(&new), plain(&old)],
            vec![after(&stranger, &new), plain(&stranger)],
            vec![after(&stranger, &new), plain(&old)],
            vec![],
        ] {
            assert!(follow(&kept, &told, ORGANISM, NOW).is_err());
        }
    }

    #[test]
    fn what_was_kept_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (authority(), authority());
        let joined = hex::encode(old.certificate());
        assert_eq!(read(folder.path(), &joined).unwrap(), [old.certificate().clone()]);
        let kept = vec![new.certificate().clone(), old.certificate().clone()];
        std::fs::write(folder.path().join(FILE), text(&kept)).unwrap();
        assert_eq!(read(folder.path(), &joined).unwrap(), kept);
        std::fs::write(folder.path().join(FILE), br#"{"authorities":[]}"#).unwrap();
        assert!(read(folder.path(), &joined).is_err());
    }
}
