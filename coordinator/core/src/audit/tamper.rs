//! Spoils exports in every way that somebody with the file, or with the coordinator's key, might: for tests that all of
//! it is found, at the right place.

mod lies;
mod openings;
mod parts;
mod signatures;

use nexusmon_shared::trust::ed25519::SigningKey;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::bad::Bad;
use parts::{Item, Parts};
use signatures::FORGERIES;

/// A spoilt export.
#[derive(Debug)]
pub struct Tampered {
    pub kind: &'static str,
    pub text: String,
    /// The first entry that is not what was written, or does not mean what it should.
    pub first: Option<u64>,
    /// Whether the verifier can name it exactly; else the smallest range between two signed roots.
    pub exactly: bool,
    /// Found only by who knows a head from before.
    pub with_head: bool,
}

/// Ways of somebody who has the file, not the key.
const OF_THE_FILE: [&str; 19] = [
    "altered",
    "altered_rehashed",
    "altered_rechained",
    "dropped",
    "dropped_renumbered",
    "dropped_rechained",
    "swapped",
    "swapped_rechained",
    "doubled",
    "doubled_rechained",
    "inserted",
    "inserted_rechained",
    "cut_off",
    "checkpoint_altered",
    "checkpoint_moved",
    "opening_altered",
    "opening_under_another_key",
    "opening_of_another_entry",
    "opening_put_in",
];
/// Found by who knows the key, or a head, beforehand.
const OF_THE_PAST: [&str; 3] = ["old_end", "other_key", "rewritten"];

/// Spoils an honest export in some way. `key` is the log's: without it nothing is signed anew with it.
pub fn tamper(honest: &str, key: Option<&SigningKey>, rng: &mut StdRng) -> Tampered {
    let parts = Parts::read(honest);
    let most = OF_THE_FILE.len()
        + OF_THE_PAST.len()
        + if key.is_some() { lies::LIES.len() + FORGERIES.len() } else { 0 };
    loop {
        let pick = rng.random_range(0..most);
        let spoilt = match pick {
            pick if pick < OF_THE_FILE.len() => of_the_file(OF_THE_FILE[pick], parts.clone(), rng),
            pick if pick < OF_THE_FILE.len() + OF_THE_PAST.len() => {
                of_the_past(OF_THE_PAST[pick - OF_THE_FILE.len()], parts.clone(), key, rng)
            }
            pick => key.and_then(|key| {
                let pick = pick - OF_THE_FILE.len() - OF_THE_PAST.len();
                match lies::LIES.get(pick) {
                    Some(kind) => lies::lie(kind, parts.clone(), key, rng),
                    None => signatures::forge(FORGERIES[pick - lies::LIES.len()], parts.clone(), key, rng),
                }
            }),
        };
        // Some ways do not go with some logs: another one, then.
        if let Some(spoilt) = spoilt.filter(|spoilt| spoilt.text != honest) {
            return spoilt;
        }
    }
}

impl Tampered {
    /// What is wrong with what a verifier found; `None` if it found the right thing.
    pub fn judge(&self, found: &Result<super::Verified, Bad>) -> Option<String> {
        let Err(bad) = found else { return Some(format!("{}: not found", self.kind)) };
        let first = self.first?;
        match bad.entries {
            Some((from, to)) if from <= first && first <= to && (!self.exactly || from == to) => None,
            _ => Some(format!("{}: entry {first} is the first bad one; found: {bad}", self.kind)),
        }
    }
}

fn of_the_file(kind: &'static str, mut parts: Parts, rng: &mut StdRng) -> Option<Tampered> {
    let count = parts.entries();
    let place = rng.random_range(0..count);
    let number = place as u64 + 1;
    let mut exactly = true;
    let first = match kind {
        "altered" | "altered_rehashed" | "altered_rechained" => {
            let entry = parts.entry_mut(place);
            entry.text = parts::altered(&entry.text, rng);
            match kind {
                "altered" => {}
                "altered_rehashed" => entry.rehash(),
                _ => {
                    entry.rehash();
                    parts.rechain();
                    exactly = false;
                }
            }
            Some(number)
        }
        "dropped" | "dropped_renumbered" | "dropped_rechained" => {
            parts.remove(place);
            if kind != "dropped" {
                parts.renumber();
            }
            if kind == "dropped_rechained" {
                parts.rechain();
                exactly = false;
            }
            if place + 1 == count {
                // What is missing at the end is noticed by what follows it.
                return Some(Tampered {
                    kind,
                    text: parts.write(),
                    first: None,
                    exactly: false,
                    with_head: false,
                });
            }
            exactly &= !parts.ends_at(place);
            Some(number)
        }
        "swapped" | "swapped_rechained" => {
            let other = rng.random_range(0..count);
            let (low, high) = (place.min(other), place.max(other));
            if low == high || parts.entry(low).text == parts.entry(high).text {
                return None;
            }
            parts.swap(low, high);
            parts.renumber();
            if kind == "swapped_rechained" {
                parts.rechain();
                exactly = false;
            }
            Some(low as u64 + 1)
        }
        "doubled" | "doubled_rechained" | "inserted" | "inserted_rechained" => {
            let mut copy = parts.entry(place).clone();
            if kind.starts_with("inserted") {
                copy.text = parts::altered(&copy.text, rng);
                copy.rehash();
            }
            let into = if kind.starts_with("doubled") { place + 1 } else { rng.random_range(0..count) };
            parts.insert(into, copy);
            parts.renumber();
            if kind.ends_with("rechained") {
                parts.rechain();
                exactly = false;
            }
            Some(into as u64 + 1)
        }
        "cut_off" => {
            let lines = rng.random_range(1..parts.items.len());
            parts.items.truncate(lines);
            None
        }
        "checkpoint_altered" => {
            let checkpoint = parts.checkpoint(rng)?;
            let Item::Checkpoint(note) = &mut parts.items[checkpoint] else { return None };
            *note = parts::altered_note(note, rng);
            None
        }
        "checkpoint_moved" => {
            let from = parts.checkpoint(rng)?;
            let item = parts.items.remove(from);
            let to = rng.random_range(0..parts.items.len());
            // Back where it was, or among the cosignatures that follow it.
            if !parts.is_entry_between(from, to) {
                return None;
            }
            parts.items.insert(to, item);
            None
        }
        _ => Some(openings::spoil(kind, &mut parts, place, rng)? as u64 + 1),
    };
    Some(Tampered { kind, text: parts.write(), first, exactly: exactly && first.is_some(), with_head: false })
}

fn of_the_past(
    kind: &'static str,
    mut parts: Parts,
    key: Option<&SigningKey>,
    rng: &mut StdRng,
) -> Option<Tampered> {
    match kind {
        "old_end" => parts.end_at_older_checkpoint(rng)?,
        "other_key" => {
            let place = rng.random_range(0..parts.entries());
            let entry = parts.entry_mut(place);
            entry.text = parts::altered(&entry.text, rng);
            entry.rehash();
            parts.rechain();
            parts.sign_anew(&SigningKey::from_bytes(&[99; 32]));
        }
        // Whoever has the key writes another history, in which everything is in order.
        _ => {
            let place = rng.random_range(0..parts.entries());
            let entry = parts.entry_mut(place);
            entry.text = parts::later(&entry.text)?;
            entry.rehash();
            parts.rechain();
            parts.sign_anew(key?);
        }
    }
    Some(Tampered { kind, text: parts.write(), first: None, exactly: false, with_head: true })
}
