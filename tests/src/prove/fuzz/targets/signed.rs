//! Parsers of what is signed, sealed or proved: whoever forges something comes through here first.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{OrganismId, PrincipalId};
use nexusmon_shared::pki::{CertificateDer, Vouched, check_successor, spki_digest};
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::ed25519::{PublicKey, SigningKey};
use nexusmon_shared::trust::key::PersonKey;
use nexusmon_shared::trust::passkey::{Assertion, CredentialKey, Passkey, Registration};
use nexusmon_shared::trust::plan_digest;
use nexusmon_shared::trust::roster::{Need, Person, Role, Roster, SignedRoster};
use nexusmon_shared::trust::signable::Signable as _;
use serde_json::{Value, json};

use super::all;

pub(super) fn provenances() -> Vec<Vec<u8>> {
    let envelope = json!({"payloadType": "application/vnd.in-toto+json", "payload": "eyJfdHlwZSI6ICJodHRwczovL2luLXRvdG8uaW8vU3RhdGVtZW50L3YxIn0=",
        "signatures": [{"sig": "AAAA"}]});
    vec![envelope.to_string().into_bytes()]
}

/// An agent's envelope, and what a statement says without regard to who signed it.
pub(super) fn provenance(bytes: &[u8]) -> bool {
    use nexusmon_shared::trust::{dsse::Envelope, provenance::Provenance};
    Envelope::read(bytes).is_ok_and(|envelope| {
        let _ = Provenance::open(&envelope, |_| None);
        true
    })
}

pub(super) fn bindings() -> Vec<Vec<u8>> {
    vec![json!({"playbooks": ["deploy"], "hosts": ["api.example.org"]}).to_string().into_bytes()]
}

pub(super) fn secret_binding(bytes: &[u8]) -> bool {
    serde_json::from_slice::<nexusmon_shared::binding::Binding>(bytes)
        .is_ok_and(|binding| binding.check().is_ok() && !binding.scope().is_empty())
}

pub(super) fn documents() -> Vec<Vec<u8>> {
    let organism = OrganismId::from_bits(1);
    let proposal = json!({"organism": organism, "at": Timestamp::from_micros(1), "comment": "c",
        "act": {"kind": "halt_release", "number": 1}});
    let standing = json!({"organism": organism, "author": {"kind": "planner", "id": "model"},
        "shape": Digest::of(b"s"), "input_schema": true, "selector": {}, "max_rank": "A",
        "expires_at": Timestamp::from_micros(1), "uses": 1});
    let canonical = |value: &Value| nexusmon_shared::trust::canonical::of_value(value).unwrap_or_default();
    let record =
        json!({"organism": organism, "old_epoch": 1, "new_epoch": 2, "size": 3, "root": Digest::of(b"r")});
    let signature =
        json!({"key": Digest::of(b"k"), "proof": {"kind": "ed25519", "signature": "A".repeat(86) + "=="}});
    let restore = json!({"record": record, "signature": signature});
    [proposal, standing, restore].iter().map(|value| canonical(value).into_bytes()).collect()
}

/// What people and agents sign beside plans.
pub(super) fn document(bytes: &[u8]) -> bool {
    use nexusmon_shared::trust::approval::{Proposal, SignedDecision, StandingApproval};
    use nexusmon_shared::trust::checkpoint::SignedRestore;
    use nexusmon_shared::trust::spawned::SignedSpawned;
    Proposal::read(bytes).is_ok()
        || StandingApproval::read(bytes).is_ok()
        || SignedRestore::read(bytes).is_ok()
        || SignedDecision::read(bytes).is_ok()
        || SignedSpawned::read(bytes).is_ok_and(|read| !read.document.to_sign().is_empty())
}

pub(super) fn exports() -> Vec<Vec<u8>> {
    vec![nexusmon_core::audit::sample::text(1, 8, 8).into_bytes()]
}

/// A file that claims to be an audit log.
pub(super) fn export(bytes: &[u8]) -> bool {
    let mut verifier = nexusmon_core::audit::Verifier::new(nexusmon_core::audit::Trusted::default());
    let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.try_for_each(|line| verifier.line(line)).is_ok() && verifier.finish().is_ok()
}

pub(super) fn proofs() -> Vec<Vec<u8>> {
    let mut bytes = vec![0_u8; 17 + 64];
    bytes[8] = 4;
    bytes[16] = 2;
    bytes.extend_from_slice(br#"{"id":"a","uses":"shell.run"}"#);
    vec![bytes]
}

/// Index, size, a path of digests, the rest a leaf.
pub(super) fn proof(bytes: &[u8]) -> bool {
    let (Some((head, rest)), root) = (bytes.split_at_checked(17), Digest::of(b"root")) else { return false };
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    let steps = usize::from(head[16]).min(rest.len() / 32);
    let (path, leaf) = rest.split_at(steps * 32);
    let path: Vec<Digest> = path
        .chunks_exact(32)
        .map(|digest| Digest::from_bytes(digest.try_into().unwrap_or_default()))
        .collect();
    let _ = plan_digest::open_header(leaf, &root, &Digest::of(leaf));
    plan_digest::open_leaf(leaf, number(&head[..8]), number(&head[8..16]), &path, &root).is_ok()
}

/// A new passkey and an answer, at a place of their own.
pub(super) fn passkeys() -> Vec<Vec<u8>> {
    all(&[
        r#"{"client_data":"eyJ0eXBlIjoid2ViYXV0aG4uY3JlYXRlIiwiY2hhbGxlbmdlIjoiIiwib3JpZ2luIjoiIn0","authenticator_data":"SZYN5YgOjGh0NBcPZHZgW4_krrmihjLHmVzzuoMdl2NFAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQAQEBAQEBAQEBAQEBAQEBAaQBAQMnIAYhWCA"}"#,
        r#"{"client_data":"eyJ0eXBlIjoid2ViYXV0aG4uZ2V0In0","authenticator_data":"SZYN5YgOjGh0NBcPZHZgW4_krrmihjLHmVzzuoMdl2MFAAAAAQ","signature":"MEUCIQ"}"#,
    ])
}

const P256_GENERATOR: &[u8] = b"\x03\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96";

pub(super) fn passkey(bytes: &[u8]) -> bool {
    let challenge = Digest::of(b"");
    let (rp, origin) = ("localhost", "http://localhost:7300");
    let mut taken = false;
    if let Ok(new) = serde_json::from_slice::<Registration>(bytes) {
        taken |= new.accept(rp, origin, &challenge).is_ok();
    }
    // The bytes as what an authenticator says, behind client data that are right.
    let client_data = |kind: &str| {
        let challenge = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        json!({"type": kind, "challenge": challenge, "origin": origin}).to_string().into_bytes()
    };
    let new =
        Registration { client_data: client_data("webauthn.create"), authenticator_data: bytes.to_vec() };
    if let Ok((passkey, _)) = new.accept(rp, origin, &challenge) {
        assert!(passkey.is_plausible(), "what is taken can be listed");
        let answer = Assertion {
            client_data: client_data("webauthn.get"),
            authenticator_data: bytes.to_vec(),
            signature: bytes.to_vec(),
        };
        assert!(passkey.verify(&challenge, &answer).is_err(), "nobody signed this");
        taken = true;
    }
    if let Ok(answer) = serde_json::from_slice::<Assertion>(bytes) {
        let public_key = CredentialKey::es256(P256_GENERATOR).expect("a point of the curve");
        let (rp_id, origin) = (rp.to_owned(), origin.to_owned());
        let passkey = Passkey { rp_id, origin, credential_id: vec![1], public_key };
        assert!(passkey.verify(&challenge, &answer).is_err(), "nobody signed this");
        taken = true;
    }
    taken
}

/// Of the authorities below.
const ORGANISM: OrganismId = OrganismId::from_bits(77);
const NOW: Timestamp = Timestamp::from_micros(1_900_000_000_000_000);
/// An authority, one it vouches for, and the certificate that does so; made once, since keys are made at random.
const AUTHORITIES: [&[u8]; 3] = [
    include_bytes!("../../../../corpora/authority-successor/trusted.der"),
    include_bytes!("../../../../corpora/authority-successor/next.der"),
    include_bytes!("../../../../corpora/authority-successor/vouched.der"),
];

/// A certificate behind its length, then the one that vouches for it.
pub(super) fn authorities() -> Vec<Vec<u8>> {
    let [_, next, vouched] = AUTHORITIES;
    let framed = |first: &[u8], second: &[u8]| {
        let length = u16::try_from(first.len()).unwrap_or_default().to_be_bytes();
        [&length[..], first, second].concat()
    };
    vec![framed(next, vouched), framed(next, next), framed(vouched, next), framed(next, b"")]
}

/// What a coordinator says takes the place of an agent's trusted authority.
pub(super) fn authority(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_at_checked(2) else { return false };
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    let (first, second) = rest.split_at(length.min(rest.len()));
    let owned = |bytes: &[u8]| CertificateDer::from(bytes.to_vec());
    let vouched = (!second.is_empty()).then(|| owned(second));
    let next = Vouched { certificate: owned(first), vouched };
    let [trusted, good, _] = AUTHORITIES.map(CertificateDer::from);
    let taken = check_successor(&[trusted], &next, ORGANISM, NOW).is_ok();
    if taken {
        let key = |certificate| spki_digest(certificate).ok();
        assert_eq!(key(&next.certificate), key(&good), "nobody vouched for another key");
    }
    taken
}

fn person(key: &SigningKey) -> PersonKey {
    PersonKey::Cli { public_key: PublicKey::of(key) }
}

fn owner() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn first_roster() -> SignedRoster {
    let owns = Person { name: "owner".to_owned(), role: Role::Owner, keys: [person(&owner())].into() };
    let roster = Roster {
        organism: ORGANISM,
        number: 1,
        predecessor: None,
        persons: [(PrincipalId::from_bits(1), owns)].into(),
        need: Need::default(),
        agents: std::collections::BTreeMap::new(),
        recovery: None,
    };
    SignedRoster::new(roster).signed_by(&owner())
}

/// The first one; one that follows, by the owner and by nobody it names.
pub(super) fn rosters() -> Vec<Vec<u8>> {
    let first = first_roster();
    let mut next = first.roster.clone();
    (next.number, next.predecessor) = (2, Some(first.roster.digest()));
    let approver = Person {
        name: "second".to_owned(),
        role: Role::Approver,
        keys: [person(&SigningKey::from_bytes(&[8; 32]))].into(),
    };
    next.persons.insert(PrincipalId::from_bits(2), approver);
    let followed = SignedRoster::new(next.clone()).signed_by(&owner());
    let forged = SignedRoster::new(next).signed_by(&SigningKey::from_bytes(&[9; 32]));
    let canonical = |one: &SignedRoster| nexusmon_shared::trust::canonical::to_bytes(one).unwrap_or_default();
    [first, followed, forged].iter().map(canonical).collect()
}

/// What a coordinator says takes the place of an agent's roster.
pub(super) fn roster(bytes: &[u8]) -> bool {
    let Ok(read) = SignedRoster::read(bytes) else { return false };
    let first = first_roster();
    if read.verify_successor(&first.roster).is_ok() {
        let good = rosters().into_iter().nth(1).and_then(|bytes| SignedRoster::read(&bytes).ok());
        let digest = good.map(|good| good.roster.digest());
        assert_eq!(Some(read.roster.digest()), digest, "nobody signed another");
    }
    let _ = read.verify_first(ORGANISM, person(&owner()).id());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_bytes_reach_far_and_forged_ones_do_not() {
        assert_eq!(
            authorities().iter().map(|one| authority(one)).collect::<Vec<_>>(),
            [true, false, false, false]
        );
        let first = first_roster();
        let follows =
            |bytes: &Vec<u8>| SignedRoster::read(bytes).unwrap().verify_successor(&first.roster).is_ok();
        assert_eq!(rosters().iter().map(follows).collect::<Vec<_>>(), [false, true, false]);
        assert!(rosters().iter().all(|one| roster(one)));
    }
}
