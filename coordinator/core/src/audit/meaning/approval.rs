//! Approvals: who was asked about what, whether enough people agreed, and whether they signed for it.

use std::collections::{BTreeMap, BTreeSet};

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, OrganismId, TaskId};
use nexusmon_shared::plan::Author;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval::{
    Claim, Proposal, Refusal, SignedDecision, SubjectKind, Verdict as Signed, enough,
};
use nexusmon_shared::trust::roster::Roster;
use nexusmon_shared::trust::signable::Signable as _;
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
    /// What people sign, of an act beside missions.
    #[serde(default)]
    document: Option<Box<Proposal>>,
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
    document: Option<Box<Proposal>>,
    by: BTreeSet<String>,
    /// By person.
    signed: BTreeMap<String, SignedDecision>,
    given: bool,
    /// By signatures that were checked, not by the number of entries alone.
    by_signatures: bool,
    rejected: bool,
    /// An act rests on it: it is good for one.
    used: bool,
}

impl Approval {
    /// `author` and `held_for_capability` are the mission's.
    pub(super) fn requested(
        requested: Requested,
        author: Option<&Author>,
        held_for_capability: bool,
    ) -> Self {
        let Requested { subject_kind, subject, digest, needed, rank, author: own, document } = requested;
        let task = (subject_kind == "task_instance").then(|| subject.parse().ok()).flatten();
        let wants_signatures = held_for_capability
            || rank.is_some_and(Rank::needs_approval)
            || matches!(
                subject_kind.as_str(),
                "task_instance" | "standing_approval" | "policy_change" | "halt_release" | "trait_grant"
            );
        Self {
            kind: subject_kind,
            task,
            digest,
            needed,
            rank: rank.unwrap_or(Rank::A),
            // Whoever is not known excludes nobody.
            author: own.or_else(|| author.cloned()).unwrap_or(Author::Planner(String::new())),
            wants_signatures,
            document,
            by: BTreeSet::new(),
            signed: BTreeMap::new(),
            given: false,
            by_signatures: false,
            rejected: false,
            used: false,
        }
    }

    fn is_given(&self) -> bool {
        self.given && !self.rejected
    }

    /// Up to which rank those who signed for it are enough. Below A as many are needed as for A.
    fn signed_to(&self) -> Option<Rank> {
        (self.by_signatures && !self.rejected).then(|| self.rank.max(Rank::A))
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
        counts(roster, signed, &claim, when.at).map_err(bad)?;
        if approves != (signed.statement.verdict == Signed::Approve) {
            return Err(bad("the entry says another verdict than what was signed"));
        }
        if roster.holder(&signed.key).is_none_or(|holder| holder.id.to_string() != when.actor) {
            return Err(bad(format!("signed by another person's key than {}'s", when.actor)));
        }
        if let Some(earlier) = self.signed.insert(when.actor.to_owned(), (**signed).clone()) {
            // Whose signature has ended, or whose key is another now, signs anew.
            if counts(roster, &earlier, &claim, when.at).is_err() {
                self.by.remove(when.actor);
            }
        }
        // One signature was checked just now; of several, also the earlier ones still have to count.
        let alone =
            self.signed.len() == 1 && roster.needed(self.rank, roster.eligible(&self.author).len()) == 1;
        let signed: Vec<SignedDecision> = self.signed.values().cloned().collect();
        self.by_signatures = alone || enough(roster, &signed, &claim, when.at).is_ok();
        self.given = self.by_signatures;
        Ok(Checked::Signature)
    }
}

/// Whether a decision would be counted, were there enough others.
fn counts(roster: &Roster, signed: &SignedDecision, claim: &Claim<'_>, at: Timestamp) -> Result<(), String> {
    match enough(roster, std::slice::from_ref(signed), claim, at) {
        Ok(_) | Err(Refusal::Rejected { .. }) => Ok(()),
        Err(Refusal::NotEnough { faults, .. }) => match faults.first() {
            Some(fault) => Err(format!("the signature does not count: {}", fault.reason)),
            None => Ok(()),
        },
        Err(other) => Err(other.to_string()),
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

    /// Takes this approval for an act of this kind: it must have been given, and serves once.
    pub(super) fn spend(&mut self, id: &str, kind: &str) -> Result<(), Bad> {
        let bad = |reason: String| Err(Bad::new("approval", reason));
        let Some(approval) = self.0.get_mut(id) else {
            return bad(format!("an act rests on {id}, which nobody was asked for"));
        };
        if approval.kind != kind {
            return bad(format!("{id} was given for a {}, not a {kind}", approval.kind));
        }
        if !approval.is_given() {
            return bad(format!("an act rests on {id}, which was not given"));
        }
        if std::mem::replace(&mut approval.used, true) {
            return bad(format!("a second act rests on {id}, which was good for one"));
        }
        Ok(())
    }

    /// What people signed, as the request for this approval has it.
    pub(super) fn document(&self, id: &str, organism: OrganismId) -> Result<&Proposal, Bad> {
        let approval = self.0.get(id);
        let found = approval.and_then(|approval| Some((approval.document.as_deref()?, approval.digest)));
        match found {
            Some((document, digest)) if document.digest() == digest && document.organism == organism => {
                Ok(document)
            }
            Some(_) => Err(Bad::new("approval", format!("the document of {id} is not what was signed"))),
            None => Err(Bad::new("approval", format!("the log does not say what {id} was given for"))),
        }
    }

    /// Up to which rank people signed for this approval; `None`: nobody did.
    pub(super) fn signed_to(&self, id: &str) -> Option<Rank> {
        self.0.get(id).and_then(Approval::signed_to)
    }

    /// A task whose run-time values wait for approval is not dispatched before; with `rank`, not before people signed
    /// for them as work of that rank wants it.
    pub(super) fn instance_allows(&self, task: TaskId, rank: Option<Rank>) -> Result<(), Bad> {
        // Asked again once signatures had ended, the newest counts; ids grow with time.
        let newest = self.0.values().rfind(|approval| approval.task == Some(task));
        match newest {
            Some(approval) if !approval.is_given() || approval.signed_to() < rank => {
                Err(Bad::new("approval", "a dispatch before the values of this task were approved"))
            }
            _ => Ok(()),
        }
    }
}
