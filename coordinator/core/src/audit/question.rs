//! Asks the policies again what they were asked when a plan was judged.

use std::collections::BTreeMap;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::rank::Rank;

use super::bad::Bad;
use crate::policy::{PolicySet, Question, Verdict};

/// Policy sets that an export may bring.
const MOST_SETS: usize = 1_024;

/// As `mission.created` and `mission.planned` record it.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Judged {
    policy_set: Digest,
    question: Question,
    pub(super) answer: Verdict,
}

/// The sets an export brings, by digest; the shipped one is always known.
#[derive(Debug)]
pub(super) struct Sets(BTreeMap<Digest, PolicySet>);

impl Default for Sets {
    fn default() -> Self {
        let shipped = PolicySet::shipped();
        Self(BTreeMap::from([(shipped.digest(), shipped)]))
    }
}

impl Sets {
    pub(super) fn read(texts: &[String]) -> Result<Self, String> {
        if texts.len() > MOST_SETS {
            return Err(format!("the header brings {} policy sets, more than {MOST_SETS}", texts.len()));
        }
        let mut sets = Self::default();
        let shipped = PolicySet::shipped();
        for text in texts.iter().filter(|text| *text != shipped.text()) {
            let set = PolicySet::parse(text).map_err(|error| error.to_string())?;
            sets.0.insert(set.digest(), set);
        }
        Ok(sets)
    }

    /// Whether the policies still give the recorded answer to the recorded question.
    pub(super) fn check(&self, judged: &Judged, rank: Rank, policies: &[String]) -> Result<(), Bad> {
        let Judged { policy_set, question, answer } = judged;
        if question.rank != rank {
            return Err(Bad::new(
                "verdict",
                format!("the mission is rank {rank}, the policies were asked about rank {}", question.rank),
            ));
        }
        let Some(set) = self.0.get(policy_set) else {
            return Err(Bad::new("verdict", format!("the export lacks policy set {policy_set}")));
        };
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
