//! An export taken apart, and put together again.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::AuditId;
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::checkpoint::Checkpoint;
use nexusmon_shared::trust::ed25519::SigningKey;
use nexusmon_shared::trust::merkle::{Frontier, leaf_hash};
use nexusmon_shared::trust::note::{Algorithm, Note, VerifierKey};
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::super::export::{beside, chained, first_chain};
use super::super::line;
use super::super::words::Openings;

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) digest: Digest,
    pub(super) chain: Digest,
    pub(super) text: String,
    pub(super) openings: Openings,
}

impl Entry {
    pub(super) fn rehash(&mut self) {
        self.digest = Digest::of(self.text.as_bytes());
    }

    pub(super) fn value(&self) -> Value {
        serde_json::from_str(&self.text).expect("entries are JSON")
    }

    pub(super) fn set(&mut self, value: &Value) {
        self.text = canonical_text(value);
        self.rehash();
    }
}

#[derive(Clone)]
pub(super) enum Item {
    Entry(Entry),
    /// The note.
    Checkpoint(String),
    Witness(String),
    End(u64),
}

#[derive(Clone)]
pub(super) struct Parts {
    header: Value,
    pub(super) items: Vec<Item>,
}

impl Parts {
    pub(super) fn read(text: &str) -> Self {
        let mut lines = text.lines();
        let header = lines.next().and_then(|line| serde_json::from_str(line).ok()).expect("an honest export");
        let items = lines.map(|text| {
            let read = line::read(text.as_bytes()).expect("an honest export");
            match read.kind {
                line::Kind::Entry => Item::Entry(Entry {
                    seq: read.seq.expect("an entry"),
                    digest: read.digest.expect("an entry"),
                    chain: read.chain.expect("an entry"),
                    text: read.entry.expect("an entry").get().to_owned(),
                    openings: read.openings,
                }),
                line::Kind::Checkpoint => Item::Checkpoint(read.note.expect("a checkpoint").into_owned()),
                line::Kind::Witness => Item::Witness(text.to_owned()),
                line::Kind::End => Item::End(read.size.expect("an end")),
                line::Kind::Header => unreachable!("an honest export has one header"),
                line::Kind::Roster => unreachable!("rosters of samples fit into their entries"),
            }
        });
        Self { header, items: items.collect() }
    }

    pub(super) fn write(&self) -> String {
        let mut text = format!("{}\n", self.header);
        for item in &self.items {
            let line = match item {
                Item::Entry(Entry { seq, digest, chain, text: entry, openings }) => {
                    text.push_str(&format!(
                        "{{\"kind\":\"entry\",\"seq\":{seq},\"digest\":\"{digest}\",\"chain\":\"{chain}\",\"entry\":{entry}"
                    ));
                    beside(openings, &mut text);
                    continue;
                }
                Item::Checkpoint(note) => json!({"kind": "checkpoint", "note": note}).to_string(),
                Item::Witness(line) => line.clone(),
                Item::End(size) => json!({"kind": "end", "size": size}).to_string(),
            };
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// Another set of policies in the header, which nobody signs.
    pub(super) fn bring_policies(&mut self, text: &str) {
        if let Some(policies) = self.header["policies"].as_array_mut() {
            policies.push(text.into());
        }
    }

    fn places(&self) -> Vec<usize> {
        let of = |(place, item): (usize, &Item)| matches!(item, Item::Entry(_)).then_some(place);
        self.items.iter().enumerate().filter_map(of).collect()
    }

    pub(super) fn entries(&self) -> usize {
        self.places().len()
    }

    pub(super) fn entry(&self, place: usize) -> &Entry {
        match &self.items[self.places()[place]] {
            Item::Entry(entry) => entry,
            _ => unreachable!("places are those of entries"),
        }
    }

    pub(super) fn entry_mut(&mut self, place: usize) -> &mut Entry {
        let place = self.places()[place];
        match &mut self.items[place] {
            Item::Entry(entry) => entry,
            _ => unreachable!("places are those of entries"),
        }
    }

    /// Entries whose action is this, by their place.
    pub(super) fn of_action(&self, action: &str) -> Vec<usize> {
        (0..self.entries()).filter(|place| self.entry(*place).value()["action"] == action).collect()
    }

    pub(super) fn remove(&mut self, place: usize) -> Entry {
        match self.items.remove(self.places()[place]) {
            Item::Entry(entry) => entry,
            _ => unreachable!("places are those of entries"),
        }
    }

    /// Right behind entry number `place`, before a checkpoint that follows it.
    pub(super) fn insert(&mut self, place: usize, entry: Entry) {
        let at = if place == 0 { 0 } else { self.places()[place - 1] + 1 };
        self.items.insert(at, Item::Entry(entry));
    }

    pub(super) fn swap(&mut self, low: usize, high: usize) {
        let places = self.places();
        self.items.swap(places[low], places[high]);
    }

    /// Whether a checkpoint, or the end, comes where this entry would be.
    pub(super) fn ends_at(&self, place: usize) -> bool {
        let at = if place == 0 { 0 } else { self.places()[place - 1] + 1 };
        !matches!(self.items.get(at), Some(Item::Entry(_)))
    }

    pub(super) fn is_entry_between(&self, from: usize, to: usize) -> bool {
        self.items[from.min(to)..from.max(to)].iter().any(|item| matches!(item, Item::Entry(_)))
    }

    pub(super) fn checkpoint(&self, rng: &mut StdRng) -> Option<usize> {
        let of = |(place, item): (usize, &Item)| matches!(item, Item::Checkpoint(_)).then_some(place);
        let all: Vec<_> = self.items.iter().enumerate().filter_map(of).collect();
        (!all.is_empty()).then(|| all[rng.random_range(0..all.len())])
    }

    pub(super) fn renumber(&mut self) {
        let mut seq = 0;
        for item in &mut self.items {
            match item {
                Item::Entry(entry) => {
                    seq += 1;
                    entry.seq = seq;
                }
                Item::End(size) => *size = seq,
                _ => {}
            }
        }
    }

    pub(super) fn rechain(&mut self) {
        let mut chain = first_chain();
        for item in &mut self.items {
            if let Item::Entry(entry) = item {
                chain = chained(&chain, &entry.digest);
                entry.chain = chain;
            }
        }
    }

    /// As an export made some time ago would have ended.
    pub(super) fn end_at_older_checkpoint(&mut self, rng: &mut StdRng) -> Option<()> {
        let place = self.checkpoint(rng)?;
        let last = self.items.iter().rposition(|item| matches!(item, Item::Checkpoint(_)))?;
        if place == last {
            return None;
        }
        self.items.truncate(place + 1);
        let size = self.entries() as u64;
        self.items.push(Item::End(size));
        Some(())
    }

    /// Every checkpoint over what is before it now. Cosignatures go: nobody has the agents' keys.
    pub(super) fn sign_anew(&mut self, key: &SigningKey) {
        let named: VerifierKey = self.header["key"].as_str().and_then(|key| key.parse().ok()).expect("a key");
        let name = named.name().clone();
        self.header["key"] = VerifierKey::of(name, Algorithm::Ed25519, key).to_string().into();
        self.items.retain(|item| !matches!(item, Item::Witness(_)));
        let mut frontier = Frontier::default();
        for item in &mut self.items {
            match item {
                Item::Entry(entry) => drop(frontier.append(leaf_hash(entry.digest.as_bytes()))),
                Item::Checkpoint(note) => {
                    let old = Note::parse(note.as_bytes()).expect("an honest note");
                    let old = Checkpoint::parse_body(old.text()).expect("an honest checkpoint");
                    let new = Checkpoint { size: frontier.size(), root: frontier.root(), ..old };
                    *note = new.sign(key).to_string();
                }
                _ => {}
            }
        }
    }
}

pub(super) fn canonical_text(value: &Value) -> String {
    let bytes = canonical::to_bytes(value).expect("values have a canonical form");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

/// Another entry that looks like this one.
pub(super) fn altered(text: &str, rng: &mut StdRng) -> String {
    let mut value: Value = serde_json::from_str(text).expect("entries are JSON");
    match rng.random_range(0..5) {
        0 => value["actor"] = "prn_00000000000000000000000001".into(),
        1 => value["at"] = "2020-01-01T00:00:00.000000Z".into(),
        2 => value["body"]["more"] = rng.random_range(0_u32..1_000).into(),
        3 => value["subject"] = fresh_id(rng).into(),
        _ => value["id"] = fresh_id(rng).into(),
    }
    canonical_text(&value)
}

/// The same, said to have happened at another time: nothing else depends on it.
pub(super) fn later(text: &str) -> Option<String> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    value["at"] = "2020-01-01T00:00:00.000000Z".into();
    Some(canonical_text(&value))
}

pub(super) fn fresh_id(rng: &mut StdRng) -> String {
    AuditId::from_bits(rng.random::<u128>() >> 1).to_string()
}

/// One letter of a note is another.
pub(super) fn altered_note(note: &str, rng: &mut StdRng) -> String {
    let mut letters: Vec<char> = note.chars().collect();
    let place = rng.random_range(0..letters.len());
    letters[place] = if letters[place] == 'x' { 'y' } else { 'x' };
    letters.into_iter().collect()
}
