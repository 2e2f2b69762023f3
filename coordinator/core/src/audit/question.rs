//! Asks the policies again what they were asked when a plan was judged.

use std::collections::BTreeMap;
use std::time::Duration;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;

use super::bad::Bad;
use crate::policy::{PolicySet, Question, Verdict};

/// Policy sets that an export may bring.
pub const MOST_SETS: u32 = 200;

/// As `mission.created` and `mission.planned` record it.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Judged {
    policy_set: Digest,
    question: Question,
    pub(super) answer: Verdict,
}

/// So long a plan may still be judged by the set before: another node had not heard, or the plan was being judged.
const GRACE: Duration = Duration::from_mins(1);

/// The sets an export brings, by digest, and which of them the log put in force. The shipped one is always known, and
/// in force until another takes its place.
#[derive(Debug)]
pub(super) struct Sets {
    known: BTreeMap<Digest, PolicySet>,
    in_force: Digest,
    /// Those before, with when they ended, while that may still matter.
    before: Vec<(Digest, Timestamp)>,
}

impl Default for Sets {
    fn default() -> Self {
        let shipped = PolicySet::shipped();
        let in_force = shipped.digest();
        Self { known: BTreeMap::from([(in_force, shipped)]), in_force, before: Vec::new() }
    }
}

impl Sets {
    pub(super) fn read(texts: &[String]) -> Result<Self, String> {
        if texts.len() > MOST_SETS as usize {
            return Err(format!("the header brings {} policy sets, more than {MOST_SETS}", texts.len()));
        }
        let mut sets = Self::default();
        let shipped = PolicySet::shipped();
        for text in texts.iter().filter(|text| *text != shipped.text()) {
            let set = PolicySet::parse(text).map_err(|error| error.to_string())?;
            sets.known.insert(set.digest(), set);
        }
        Ok(sets)
    }

    /// Another set takes the place of what was in force; an entry that names none leaves none.
    pub(super) fn changed(&mut self, to: Option<Digest>, at: Timestamp) {
        self.before.retain(|(_, until)| *until + GRACE >= at);
        let to = to.unwrap_or(Digest::from_bytes([0; 32]));
        self.before.push((std::mem::replace(&mut self.in_force, to), at));
    }

    fn was_in_force(&self, set: Digest, at: Timestamp) -> bool {
        set == self.in_force
            || self.before.iter().any(|(before, until)| *before == set && *until + GRACE >= at)
    }

    /// Whether the policies still give the recorded answer to the recorded question.
    pub(super) fn check(
        &self,
        judged: &Judged,
        rank: Rank,
        policies: &[String],
        at: Timestamp,
    ) -> Result<(), Bad> {
        let Judged { policy_set, question, answer } = judged;
        if question.rank != rank {
            return Err(Bad::new(
                "verdict",
                format!("the mission is rank {rank}, the policies were asked about rank {}", question.rank),
            ));
        }
        let Some(set) = self.known.get(policy_set) else {
            return Err(Bad::new("verdict", format!("the export lacks policy set {policy_set}")));
        };
        if !self.was_in_force(*policy_set, at) {
            return Err(Bad::new("verdict", format!("policy set {policy_set} was not in force")));
        }
        let again = set.answer(question);
        if again.verdict != *answer {
            return Err(Bad::new(
                "verdict",
                format!("the policies say {:?}, the entry says {answer:?}", again.verdict),
            ));
        }
        if again.policies != policies {
            let (found, wanted) = (policies.join(", "), again.policies.join(", "));
            return Err(Bad::new("verdict", format!("determined by {wanted}, the entry says {found}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_counts_from_when_the_log_puts_it_in_force_until_a_little_after_the_next() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let (shipped, one, two) = (PolicySet::shipped().digest(), Digest::of(b"one"), Digest::of(b"two"));
        let mut sets = Sets::default();
        assert!(sets.was_in_force(shipped, at(0)) && !sets.was_in_force(one, at(0)));
        sets.changed(Some(one), at(100));
        assert!(sets.was_in_force(one, at(100)) && sets.was_in_force(shipped, at(160)));
        assert!(!sets.was_in_force(shipped, at(161)) && !sets.was_in_force(two, at(161)));
        sets.changed(Some(two), at(110));
        for (set, counts) in [(shipped, true), (one, true), (two, true)] {
            assert_eq!(sets.was_in_force(set, at(160)), counts, "{set}");
        }
        for (set, counts) in [(shipped, false), (one, true), (two, true)] {
            assert_eq!(sets.was_in_force(set, at(170)), counts, "{set}");
        }
        // Back again.
        sets.changed(Some(shipped), at(1_000));
        assert!(sets.was_in_force(shipped, at(9_000)) && !sets.was_in_force(two, at(9_000)));
    }
}
