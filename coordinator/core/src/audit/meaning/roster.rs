//! Rosters as the log tells of them: each follows the one before, the first is the owner's. They say whose signatures
//! count, and when.

use std::collections::BTreeMap;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::OrganismId;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::key::{KeyId, PersonKey};
use nexusmon_shared::trust::roster::{InForce, Roster, SignedRoster};
use nexusmon_shared::trust::signable::Signable as _;
use serde::Deserialize;

use super::super::bad::Bad;

/// Rosters that stand beside the log, since they are too large for an entry; more are not kept at a time.
const MOST_BESIDE: usize = 4;

#[derive(Deserialize)]
pub(super) struct Changed {
    number: u64,
    digest: Digest,
    in_force_at: Timestamp,
    /// Absent where it is too large for an entry: then it stands before it, as a line of its own.
    #[serde(default)]
    signed: Option<Box<SignedRoster>>,
}

#[derive(Debug)]
struct Kept {
    /// Of rosters with one number, the one that came last decides.
    place: u64,
    from: Timestamp,
    roster: Roster,
}

#[derive(Debug, Default)]
pub(in super::super) struct Rosters {
    /// As whoever verifies knows it.
    pinned: Option<KeyId>,
    /// The key that signed the first one.
    pub(in super::super) owner: Option<KeyId>,
    kept: Vec<Kept>,
    beside: BTreeMap<Digest, Box<SignedRoster>>,
}

impl Rosters {
    pub(in super::super) fn beginning_with(pinned: Option<KeyId>) -> Self {
        Self { pinned, ..Self::default() }
    }

    /// One that an entry to come tells of by its digest.
    pub(in super::super) fn beside(&mut self, text: &str) -> Result<(), Bad> {
        let signed = SignedRoster::read(text.as_bytes()).map_err(|error| bad(error.to_string()))?;
        if self.beside.len() >= MOST_BESIDE {
            return Err(bad("rosters stand here that no entry tells of"));
        }
        self.beside.insert(signed.roster.digest(), Box::new(signed));
        Ok(())
    }

    /// `at` is what the entry says, `latest` the largest of what entries have said so far.
    pub(super) fn changed(
        &mut self,
        organism: OrganismId,
        (at, latest): (Timestamp, Timestamp),
        changed: Changed,
    ) -> Result<(), Bad> {
        let Changed { number, digest, in_force_at, signed } = changed;
        let beside = self.beside.remove(&digest);
        let signed = signed.or(beside).ok_or_else(|| bad(format!("the export lacks roster {number}")))?;
        if signed.roster.digest() != digest || signed.roster.number != number {
            return Err(bad("the roster is not the one the entry speaks of"));
        }
        let in_force = match self.in_force(latest) {
            None => {
                self.owner = Some(self.first(organism, &signed)?);
                InForce::AtOnce
            }
            Some(before) => signed.verify_successor(before).map_err(|error| bad(error.to_string()))?,
        };
        let from = match in_force {
            InForce::AtOnce => at,
            InForce::After(delay) => at + delay,
        };
        if in_force_at != from {
            return Err(bad(format!("roster {number} decides from {from}, the entry says {in_force_at}")));
        }
        let place = self.kept.last().map_or(0, |kept| kept.place + 1);
        self.kept.push(Kept { place, from, roster: signed.roster });
        Ok(())
    }

    /// Signed by an owner it names, who is the one that is known beforehand, if anybody is.
    fn first(&self, organism: OrganismId, signed: &SignedRoster) -> Result<KeyId, Bad> {
        let owner = signed.roster.owner().map(|(_, owner)| owner);
        let keys: Vec<KeyId> =
            owner.into_iter().flat_map(|owner| owner.keys.iter().map(PersonKey::id)).collect();
        let wanted: Vec<KeyId> = self.pinned.map_or(keys, |pinned| vec![pinned]);
        let mut reason = "it names no owner".to_owned();
        for key in wanted {
            match signed.verify_first(organism, key) {
                Ok(_) => return Ok(key),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(match self.pinned {
            Some(pinned) => {
                bad(format!("the first roster is not that of the owner key you know ({pinned}): {reason}"))
            }
            None => bad(format!("the first roster does not hold: {reason}")),
        })
    }

    /// The one that decides at a time: the largest that entries have said so far, since none is older than what is
    /// before it.
    pub(super) fn in_force(&mut self, at: Timestamp) -> Option<&Roster> {
        let newest = self.kept.iter().filter(|kept| kept.from <= at);
        let newest = newest.max_by_key(|kept| (kept.roster.number, kept.place)).map(|kept| kept.place)?;
        // What came before it never decides again; what comes later may.
        self.kept.retain(|kept| kept.place == newest || kept.from > at);
        self.kept.iter().find(|kept| kept.place == newest).map(|kept| &kept.roster)
    }
}

fn bad(reason: impl Into<String>) -> Bad {
    Bad::new("roster", reason)
}
