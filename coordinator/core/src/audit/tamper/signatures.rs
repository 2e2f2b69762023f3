//! Logs that are whole and signed by the log's key, with decisions that nobody signed: what a coordinator writes whose
//! host is in the wrong hands while the keys of persons are elsewhere.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::MissionId;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::ed25519::SigningKey;
use nexusmon_shared::trust::roster::SignedRoster;
use nexusmon_shared::trust::signable::Signable as _;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::Value;

use super::super::sample;
use super::Tampered;
use super::lies::pick;
use super::parts::{Parts, fresh_id};

pub(super) const FORGERIES: [&str; 7] = [
    "signature_altered",
    "signature_left_out",
    "signed_by_a_stranger",
    "signed_by_the_author",
    "signed_for_another_mission",
    "decided_in_anothers_name",
    "roster_of_a_stranger",
];

pub(super) fn forge(
    kind: &'static str,
    mut parts: Parts,
    key: &SigningKey,
    rng: &mut StdRng,
) -> Option<Tampered> {
    let place = pick(&parts, "approval.decided", rng)?;
    let mut value = parts.entry(place).value();
    let at: Timestamp = value["at"].as_str()?.parse().ok()?;
    let mission: MissionId = value["mission"].as_str()?.parse().ok()?;
    let plan: Digest = value["body"]["digest"].as_str()?.parse().ok()?;
    let stranger = SigningKey::from_bytes(&[77; 32]);
    let signed = |key: &SigningKey, mission, nonce| {
        serde_json::to_value(sample::decision(key, mission, plan, at, nonce)).ok()
    };
    match kind {
        // The end of its validity is part of what was signed.
        "signature_altered" => {
            let later = at + std::time::Duration::from_hours(rng.random_range(25..100));
            value["body"]["signed"]["statement"]["valid_until"] = later.to_string().into();
        }
        "signature_left_out" => value["body"]["signed"] = Value::Null,
        "signed_by_a_stranger" => value["body"]["signed"] = signed(&stranger, mission, rng.random())?,
        "signed_by_the_author" => {
            value["body"]["signed"] = signed(&sample::owner_key(), mission, rng.random())?;
        }
        "signed_for_another_mission" => {
            let other = MissionId::from_bits(mission.to_bits() + (1 << 32));
            value["body"]["signed"] = signed(&sample::approver_key(), other, rng.random())?;
        }
        "decided_in_anothers_name" => value["actor"] = "prn_00000000000000000000000001".into(),
        // Its owner is the stranger, who then could sign whatever there is.
        _ => {
            let mut next = sample::roster().roster;
            (next.number, next.predecessor) = (2, Some(next.digest()));
            let (owner, _) = next.owner()?;
            next.persons.get_mut(&owner)?.keys = [sample::person_key(&stranger)].into();
            let next = SignedRoster::new(next).signed_by(&stranger);
            let mut entry = parts.entry(place).clone();
            value["id"] = fresh_id(rng).into();
            value["action"] = "roster.changed".into();
            value["mission"] = Value::Null;
            value["body"] = sample::told(&next, at);
            entry.set(&value);
            parts.insert(place, entry);
        }
    }
    if kind != "roster_of_a_stranger" {
        parts.entry_mut(place).set(&value);
    }
    parts.renumber();
    parts.rechain();
    parts.sign_anew(key);
    let (text, first) = (parts.write(), Some(place as u64 + 1));
    Some(Tampered { kind, text, first, exactly: true, with_head: false })
}
