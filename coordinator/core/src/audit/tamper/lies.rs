//! Logs that are whole and signed by the right key, and tell of what must not have happened: what a coordinator in the
//! wrong hands would write.

use nexusmon_shared::trust::ed25519::SigningKey;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::Tampered;
use super::parts::{Parts, fresh_id};
use crate::policy::PolicySet;

pub(super) const LIES: [&str; 17] = [
    "old_fence",
    "other_agent",
    "reported_twice",
    "never_dispatched",
    "unapproved",
    "other_plan_approved",
    "verdict_changed",
    "rank_lowered",
    "dispatched_early",
    "dispatched_while_halted",
    "decided_before_the_roster",
    "rank_asked_lowered",
    "released_by_nobody",
    "released_twice",
    "another_pull_released",
    "released_for_no_document",
    "policies_never_in_force",
];

/// What was decided is the same; only nobody put it in force.
const OTHER_POLICIES: &str = "@id(\"house-nothing\") \
    forbid (principal, action == Action::\"run_unattended\", resource) when { context.rank > 5 };";

pub(super) fn lie(
    kind: &'static str,
    mut parts: Parts,
    key: &SigningKey,
    rng: &mut StdRng,
) -> Option<Tampered> {
    let place = match kind {
        "old_fence" => {
            change(&mut parts, "task.settled", rng, |entry| entry["body"]["fence"] = "1.0".into())?
        }
        "other_agent" => change(&mut parts, "task.settled", rng, |entry| {
            entry["actor"] = "agt_00000000000000000000000001".into();
        })?,
        "other_plan_approved" => change(&mut parts, "approval.decided", rng, |entry| {
            entry["body"]["digest"] = "00".repeat(32).into();
        })?,
        "verdict_changed" => change_grave(&mut parts, rng, |entry| {
            entry["body"]["judged"]["answer"] = json!({"verdict": "allow"});
        })?,
        "rank_lowered" => change_grave(&mut parts, rng, |entry| entry["body"]["rank"] = "E".into())?,
        "reported_twice" => {
            let place = pick(&parts, "task.settled", rng)?;
            let (mut copy, mut value) = (parts.entry(place).clone(), parts.entry(place).value());
            value["id"] = fresh_id(rng).into();
            copy.set(&value);
            parts.insert(place + 1, copy);
            place + 1
        }
        "never_dispatched" => {
            let place = pick(&parts, "task.granted", rng)?;
            let task = parts.entry(place).value()["subject"].clone();
            // The first dispatch of its task, which the report right behind it tells of.
            if parts.entry(place).value()["body"]["attempt"] != 1 {
                return None;
            }
            parts.remove(place);
            (place..parts.entries()).find(|place| parts.entry(*place).value()["subject"] == task)?
        }
        "dispatched_while_halted" => {
            let place = pick(&parts, "task.granted", rng)?;
            let (mut copy, mut value) = (parts.entry(place).clone(), parts.entry(place).value());
            value["id"] = fresh_id(rng).into();
            value["action"] = "halt.pulled".into();
            value["mission"] = Value::Null;
            value["body"] = json!({"from": "none", "to": "halt", "number": 1});
            copy.set(&value);
            parts.insert(place, copy);
            place + 1
        }
        // Dated back to when nobody could sign.
        "decided_before_the_roster" => change(&mut parts, "approval.decided", rng, |entry| {
            entry["at"] = "2020-01-01T00:00:00.000000Z".into();
            entry["body"]["signed"] = Value::Null;
        })?,
        "rank_asked_lowered" => {
            let approved = pick(&parts, "mission.approved", rng)?;
            if parts.entry(approved + 1).value()["action"] != "task.granted" {
                return None;
            }
            set(&mut parts, approved - 2, |entry| entry["body"]["rank"] = "C".into());
            set(&mut parts, approved - 1, |entry| entry["body"]["signed"] = Value::Null);
            approved + 1
        }
        "released_by_nobody" => {
            change(&mut parts, "halt.released", rng, |entry| entry["body"]["approval"] = Value::Null)?
        }
        "released_twice" => {
            let place = pick(&parts, "halt.released", rng)?;
            for (from, to) in [(place - 3, place + 1), (place, place + 2)] {
                let (mut copy, mut value) = (parts.entry(from).clone(), parts.entry(from).value());
                value["id"] = fresh_id(rng).into();
                copy.set(&value);
                parts.insert(to, copy);
            }
            place + 2
        }
        "another_pull_released" => {
            let pulled =
                change(&mut parts, "halt.pulled", rng, |entry| entry["body"]["number"] = 999.into())?;
            pulled + 3
        }
        "released_for_no_document" => {
            let place = pick(&parts, "halt.released", rng)?;
            set(&mut parts, place - 2, |entry| entry["body"]["document"] = Value::Null);
            place
        }
        "policies_never_in_force" => {
            let text = format!("{}\n{OTHER_POLICIES}", PolicySet::shipped().text());
            let other = PolicySet::parse(&text).ok()?.digest();
            parts.bring_policies(&text);
            change(&mut parts, "mission.created", rng, |entry| {
                entry["body"]["judged"]["policy_set"] = other.to_string().into();
            })?
        }
        "unapproved" => {
            let place = pick(&parts, "approval.decided", rng)?;
            parts.remove(place);
            place
        }
        _ => {
            let approved = pick(&parts, "mission.approved", rng)?;
            let grant = approved + 1;
            if parts.entry(grant).value()["action"] != "task.granted" {
                return None;
            }
            let entry = parts.remove(grant);
            parts.insert(approved, entry);
            approved
        }
    };
    parts.renumber();
    parts.rechain();
    parts.sign_anew(key);
    Some(Tampered {
        kind,
        text: parts.write(),
        first: Some(place as u64 + 1),
        exactly: true,
        with_head: false,
    })
}

pub(super) fn pick(parts: &Parts, action: &str, rng: &mut StdRng) -> Option<usize> {
    let all = parts.of_action(action);
    (!all.is_empty()).then(|| all[rng.random_range(0..all.len())])
}

fn change(
    parts: &mut Parts,
    action: &str,
    rng: &mut StdRng,
    change: impl FnOnce(&mut Value),
) -> Option<usize> {
    let place = pick(parts, action, rng)?;
    set(parts, place, change);
    Some(place)
}

fn set(parts: &mut Parts, place: usize, change: impl FnOnce(&mut Value)) {
    let mut value = parts.entry(place).value();
    change(&mut value);
    parts.entry_mut(place).set(&value);
}

/// A mission that waits for approval.
fn change_grave(parts: &mut Parts, rng: &mut StdRng, change: impl FnOnce(&mut Value)) -> Option<usize> {
    let grave = |place: &usize| parts.entry(*place).value()["body"]["status"] == "awaiting_approval";
    let all: Vec<_> = parts.of_action("mission.created").into_iter().filter(grave).collect();
    if all.is_empty() {
        return None;
    }
    let place = all[rng.random_range(0..all.len())];
    set(parts, place, change);
    Some(place)
}
