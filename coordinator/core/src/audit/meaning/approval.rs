//! Approvals: who was asked about what, whether enough people agreed, and whether they signed for it.

use std::collections::{BTreeMap, BTreeSet};

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, OrganismId, TaskId};
use nexusmon_shared::plan::Author;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval::{
    Claim, Refusal, SignedDecision, SubjectKind, Verdict as Signed, enough,
};
use nexusmon_shared::trust::roster::Roster;
use serde::Deserialize;

use super::super::bad::Bad;

#[derive(Deserialize)]
pub(super) struct Requested {
    subject_kind: String,
    subject: String,
    digest: Digest,
    #[serde(default = "one")]
    needed: u32,
    #[serde(default)]
    rank: Option<Rank>,
    /// The mission's where it is not said.
    #[serde(default)]
    author: Option<Author>,
}

impl Requested {
    pub(super) fn is_of_plan(&self) -> bool {
        self.subject_kind == "mission_plan"
    }
}

const fn one() -> u32 {
    1
}

#[derive(Deserialize)]
pub(super) struct Decision {
    verdict: String,
    digest: Digest,
    #[serde(default)]
    signed: Option<Box<SignedDecision>>,
}

/// When a decision was made, by whom, and who could sign then.
pub(super) struct When<'a> {
    pub(super) organism: OrganismId,
    pub(super) mission: Option<MissionId>,
    pub(super) actor: &'a str,
    pub(super) at: Timestamp,
    /// None before the first.
    pub(super) roster: Option<&'a Roster>,
}

/// What of a decision was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    /// Its signature, by the roster of then.
    Signature,
    /// It ought to be signed, and there was nobody yet who could.
    Unsigned,
    /// It needs no signature.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Approval {
    kind: String,
    /// Of an instance approval.
    task: Option<TaskId>,
    digest: Digest,
    needed: u32,
    rank: Rank,
    author: Author,
    /// Agents, or the coordinator, want signatures for it.
    wants_signatures: bool,
    by: BTreeSet<String>,
    signed: Vec<SignedDecision>,
    given: bool,
    rejected: bool,
}

impl Approval {
    /// `author` and `held_for_capability` are the mission's.
    pub(super) fn requested(
        requested: Requested,
        author: Option<&Author>,
        held_for_capability: bool,
    ) -> Self {
        let Requested { subject_kind, subject, digest, needed, rank, author: own } = requested;
        let task = (subject_kind == "task_instance").then(|| subject.parse().ok()).flatten();
        let wants_signatures = held_for_capability
            || rank.is_some_and(Rank::needs_approval)
            || matches!(subject_kind.as_str(), "task_instance" | "standing_approval");
        Self {
            kind: subject_kind,
            task,
            digest,
            needed,
            rank: rank.unwrap_or(Rank::A),
            // Whoever is not known excludes nobody.
            author: own.or_else(|| author.cloned()).unwrap_or(Author::Planner(String::new())),
            wants_signatures,
            by: BTreeSet::new(),
            signed: Vec::new(),
            given: false,
            rejected: false,
        }
    }

    fn is_given(&self) -> bool {
        self.given && !self.rejected
    }

    /// As the coordinator and every agent did: by the same function.
    fn check(&mut self, decision: &Decision, when: &When<'_>) -> Result<Checked, Bad> {
        let approves = decision.verdict == "approve";
        let Some(signed) = &decision.signed else {
            return match when.roster {
                Some(_) if approves && self.wants_signatures => {
                    Err(bad("an approval that needs a signature, without one"))
                }
                _ => Ok(if approves && self.wants_signatures { Checked::Unsigned } else { Checked::Nothing }),
            };
        };
        let roster = when.roster.ok_or_else(|| bad("a signature before there was a roster"))?;
        let subject = serde_json::from_value::<SubjectKind>(self.kind.as_str().into());
        let subject = subject.map_err(|_| bad(format!("signatures over a {} are not known", self.kind)))?;
        let claim = Claim {
            organism: when.organism,
            subject,
            digest: self.digest,
            mission: when.mission,
            rank: self.rank,
            author: &self.author,
        };
        match enough(roster, std::slice::from_ref(&**signed), &claim, when.at) {
            Ok(_) | Err(Refusal::Rejected { .. }) => {}
            Err(Refusal::NotEnough { faults, .. }) => {
                if let Some(fault) = faults.first() {
                    return Err(bad(format!("the signature does not count: {}", fault.reason)));
                }
            }
            Err(other) => return Err(bad(other.to_string())),
        }
        if approves != (signed.statement.verdict == Signed::Approve) {
            return Err(bad("the entry says another verdict than what was signed"));
        }
        if roster.holder(&signed.key).is_none_or(|holder| holder.id.to_string() != when.actor) {
            return Err(bad(format!("signed by another person's key than {}'s", when.actor)));
        }
        self.signed.push((**signed).clone());
        // One signature was checked just now; of several, also the earlier ones still have to count.
        let alone =
            self.signed.len() == 1 && roster.needed(self.rank, roster.eligible(&self.author).len()) == 1;
        self.given = alone || enough(roster, &self.signed, &claim, when.at).is_ok();
        Ok(Checked::Signature)
    }
}

fn bad(reason: impl Into<String>) -> Bad {
    Bad::new("signature", reason)
}

/// Of one mission.
#[derive(Debug, Default)]
pub(super) struct Approvals(BTreeMap<String, Approval>);

impl Approvals {
    pub(super) fn add(&mut self, id: String, approval: Approval) {
        self.0.insert(id, approval);
    }

    pub(super) fn decide(&mut self, id: &str, decision: &Decision, when: &When<'_>) -> Result<Checked, Bad> {
        let Some(approval) = self.0.get_mut(id) else {
            return Err(Bad::new("approval", format!("a decision on {id}, which was not asked for")));
        };
        if approval.digest != decision.digest {
            return Err(Bad::new(
                "approval",
                format!("a decision over {}, asked was {}", decision.digest, approval.digest),
            ));
        }
        let checked = approval.check(decision, when)?;
        if decision.verdict == "approve" {
            if !approval.by.insert(when.actor.to_owned()) {
                return Err(Bad::new("approval", format!("{} approves twice", when.actor)));
            }
        } else {
            approval.rejected = true;
        }
        if !(approval.wants_signatures && checked == Checked::Signature) {
            approval.given = approval.by.len() >= approval.needed as usize;
        }
        Ok(checked)
    }

    /// Whether this approval over this digest was given by as many as it needs.
    pub(super) fn enough(&self, id: &str, digest: &Digest) -> Result<(), Bad> {
        match self.0.get(id) {
            Some(approval) if approval.digest == *digest && approval.is_given() => Ok(()),
            Some(approval) => {
                let (found, needed) = (approval.by.len(), approval.needed);
                Err(Bad::new("approval", format!("{id} has {found} of {needed} approvals over {digest}")))
            }
            None => Err(Bad::new("approval", format!("nobody was asked for {id}"))),
        }
    }

    /// Whether this approval was given at all, for this kind of act.
    pub(super) fn given(&self, id: &str, kind: &str) -> Result<(), Bad> {
        match self.0.get(id) {
            Some(approval) if approval.kind != kind => {
                Err(Bad::new("approval", format!("{id} was given for a {}, not a {kind}", approval.kind)))
            }
            Some(approval) if approval.is_given() => Ok(()),
            Some(_) => Err(Bad::new("approval", format!("an act rests on {id}, which was not given"))),
            None => Err(Bad::new("approval", format!("an act rests on {id}, which nobody was asked for"))),
        }
    }

    /// A task whose run-time values wait for approval is not dispatched before.
    pub(super) fn instance_allows(&self, task: TaskId) -> Result<(), Bad> {
        // Asked again once signatures had ended, the newest counts; ids grow with time.
        let newest = self.0.values().rfind(|approval| approval.task == Some(task));
        match newest.filter(|approval| !approval.is_given()) {
            Some(_) => Err(Bad::new("approval", "a dispatch before the values of this task were approved")),
            None => Ok(()),
        }
    }
}
