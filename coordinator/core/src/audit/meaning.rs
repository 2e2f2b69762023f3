//! What entries say, followed: every dispatch was allowed, every completion came under the current fence.
//!
//! Remembers missions that are not over, with their tasks; nothing of those that are.

mod act;
mod approval;
mod roster;
mod task;

use std::collections::HashMap;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, OrganismId, TaskId};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::plan::Author;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval::StandingApproval;
use nexusmon_shared::trust::checkpoint::{RestoreRecord, SignedRestore};
use nexusmon_shared::trust::signable::Signable as _;
use serde::Deserialize;

use super::bad::Bad;
use super::line::Entry;
use super::question::{Judged, Sets};
use crate::policy::Verdict;
use approval::{Approval, Approvals, Checked, Decision, Requested, When};
pub(super) use roster::Rosters;
use task::Tasks;

/// The policy that holds work for the sake of a capability: its agents want signatures at any rank.
const CAPABILITY: &str = "guard-capability-demands-approval";

/// A mission that is not over.
#[derive(Debug, Default)]
struct Mission {
    plan: Option<Digest>,
    author: Option<Author>,
    held_for_capability: bool,
    answer: Option<Verdict>,
    /// The plan that people have approved.
    approved: Option<Digest>,
    /// Up to which rank they signed for it.
    signed_to: Option<Rank>,
    approvals: Approvals,
    tasks: Tasks,
}

/// What has been read so far.
#[derive(Debug)]
pub(super) struct Meaning {
    organism: OrganismId,
    sets: Sets,
    pub(super) rosters: Rosters,
    missions: HashMap<MissionId, Mission>,
    /// Approvals of acts beside missions.
    acts: Approvals,
    /// Standing approvals that count, by id.
    standing: HashMap<String, Standing>,
    /// Plans whose entries do not say what the policies were asked: of versions that did not write it down.
    pub(super) unjudged: u64,
    pub(super) completions: u64,
    pub(super) dispatches: u64,
    pub(super) verdicts: u64,
    /// Decisions whose signatures were checked.
    pub(super) signatures: u64,
    /// Decisions of before there was a roster that ought to be signed today.
    pub(super) unsigned: u64,
    /// The largest time of an entry so far. What an entry says of its own time makes no roster and no policies of
    /// before count again.
    latest: Timestamp,
    /// The kill switch is pulled.
    halted: bool,
    /// Number of its newest pull.
    pulled: Option<u64>,
    /// Of the newest restore.
    pub(super) epoch: Option<u32>,
    /// Restores from backups, and how many of them the owner has signed for.
    pub(super) restores: Vec<RestoreRecord>,
    pub(super) restores_signed: u64,
}

#[derive(Deserialize)]
struct Planned {
    status: Option<String>,
    to: Option<String>,
    rank: Rank,
    plan_digest: Option<Digest>,
    #[serde(default)]
    policies: Vec<String>,
    #[serde(default)]
    judged: Option<Judged>,
    #[serde(default)]
    author: Option<Author>,
    /// The standing approval that lets it begin.
    #[serde(default)]
    standing: Option<String>,
}

#[derive(Deserialize)]
struct Spawned {
    rank: Rank,
    plan_digest: Digest,
    policies: Vec<String>,
    judged: Judged,
}

#[derive(Deserialize)]
struct Moved {
    to: Option<String>,
}

#[derive(Deserialize)]
struct Pulled {
    to: Option<String>,
    #[serde(default)]
    number: Option<u64>,
}

#[derive(Deserialize)]
struct Activated {
    approval: String,
    digest: Digest,
    uses: u64,
    /// What people signed. Absent in entries of versions that did not write it down.
    #[serde(default)]
    document: Option<Box<StandingApproval>>,
}

/// A standing approval that counts.
#[derive(Debug)]
struct Standing {
    uses: u64,
    used: u64,
    document: Option<Box<StandingApproval>>,
}

impl Standing {
    /// What counts is what was signed, not what the entry says of it.
    fn of(organism: OrganismId, activated: Activated) -> Result<Self, Bad> {
        let Activated { digest, uses, document, .. } = activated;
        if let Some(document) = &document {
            let same = document.digest() == digest && u64::from(document.uses) == uses;
            if !same || document.organism != organism || document.validate().is_err() {
                return Err(Bad::new(
                    "approval",
                    "the standing approval is not the document that was signed",
                ));
            }
        }
        Ok(Self { uses, used: 0, document })
    }

    /// What the document bounds and the log can tell of one use; the rest each agent checks itself.
    fn covers(&self, id: &str, rank: Rank, at: Timestamp) -> Result<(), Bad> {
        let Some(document) = &self.document else { return Ok(()) };
        if rank > document.max_rank {
            let most = document.max_rank;
            return Err(Bad::new(
                "approval",
                format!("rank {rank} work under {id}, which covers up to {most}"),
            ));
        }
        if at > document.expires_at {
            let end = document.expires_at;
            return Err(Bad::new("approval", format!("a dispatch at {at} under {id}, which ended at {end}")));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Restored {
    epoch: u32,
    #[serde(default)]
    old_epoch: Option<u32>,
    #[serde(default)]
    log_size: Option<u64>,
    #[serde(default)]
    log_root: Option<Digest>,
}

#[derive(Deserialize)]
struct RestoreSigned {
    signed: SignedRestore,
}

impl Meaning {
    pub(super) fn of(organism: OrganismId, sets: Sets, rosters: Rosters) -> Self {
        Self {
            organism,
            sets,
            rosters,
            missions: HashMap::new(),
            acts: Approvals::default(),
            standing: HashMap::new(),
            unjudged: 0,
            completions: 0,
            dispatches: 0,
            verdicts: 0,
            signatures: 0,
            unsigned: 0,
            latest: Timestamp::from_micros(i64::MIN),
            halted: false,
            pulled: None,
            epoch: None,
            restores: Vec::new(),
            restores_signed: 0,
        }
    }

    pub(super) fn read(&mut self, entry: &Entry<'_>) -> Result<(), Bad> {
        if let Ok(at) = entry.at.parse::<Timestamp>() {
            self.latest = self.latest.max(at);
        }
        match &*entry.action {
            // Of a policy, a trait, a standing approval: not of a mission.
            "approval.requested" if entry.mission.is_none() => {
                let approval = Approval::requested(body(entry)?, None, false);
                self.acts.add(entry.subject.to_string(), approval);
                Ok(())
            }
            "roster.changed" => {
                let times = (time(entry)?, self.latest);
                self.rosters.changed(self.organism, times, body(entry)?)
            }
            "standing.activated" => {
                let activated: Activated = body(entry)?;
                self.acts.enough(&activated.approval, &activated.digest)?;
                self.acts.spend(&activated.approval, "standing_approval")?;
                let standing = Standing::of(self.organism, activated)?;
                self.standing.insert(entry.subject.to_string(), standing);
                Ok(())
            }
            "standing.revoked" => {
                self.standing.remove(&*entry.subject);
                Ok(())
            }
            "policy.changed" | "halt.released" | "trait.granted" => self.acted(entry),
            "task.spawned" => self.spawned(entry),
            "task.granted" => self.granted(entry),
            "task.settled" => self.settled(entry),
            "task.resolved" => {
                let task = subject::<TaskId>(entry)?;
                self.mission(entry)?.tasks.resolved(task);
                Ok(())
            }
            "mission.created" | "mission.planned" => self.planned(entry),
            "approval.requested" => {
                let id = entry.subject.to_string();
                let requested: Requested = body(entry)?;
                let mission = self.mission(entry)?;
                // It says so of the plan it judged, once.
                let held = requested.is_of_plan() && std::mem::take(&mut mission.held_for_capability);
                let approval = Approval::requested(requested, mission.author.as_ref(), held);
                mission.approvals.add(id, approval);
                Ok(())
            }
            "approval.decided" => self.decided(entry),
            "mission.approved" => self.approved(entry),
            "halt.pulled" => {
                let Pulled { to, number } = body(entry)?;
                self.halted = to.is_none_or(|level| level != "none");
                self.pulled = number;
                Ok(())
            }
            "organism.restored" => {
                let Restored { epoch, old_epoch, log_size, log_root } = body(entry)?;
                self.epoch = Some(epoch);
                if let (Some(old_epoch), Some(size), Some(root)) = (old_epoch, log_size, log_root) {
                    let organism = self.organism;
                    self.restores.push(RestoreRecord { organism, old_epoch, new_epoch: epoch, size, root });
                }
                Ok(())
            }
            "restore.signed" => self.restore_signed(entry),
            action if action.starts_with("mission.") => self.moved(entry),
            _ => Ok(()),
        }
    }

    /// Where people sign, an act rests on an approval of its own, over a document that says the same.
    fn acted(&mut self, entry: &Entry<'_>) -> Result<(), Bad> {
        let done: act::Done = body(entry)?;
        match &done.approval {
            None if self.rosters.in_force(self.latest).is_some() => {
                let reason =
                    format!("{} without an approval, though there are people who sign", entry.action);
                return Err(Bad::new("approval", reason));
            }
            None => {}
            Some(approval) => {
                self.acts.spend(approval, act::kind(&entry.action))?;
                let document = self.acts.document(approval, self.organism)?;
                if !done.is(document, &entry.action, &entry.subject, self.pulled) {
                    let reason = format!("{} is not what {approval} was given for", entry.action);
                    return Err(Bad::new("approval", reason));
                }
            }
        }
        match &*entry.action {
            "policy.changed" => self.sets.changed(done.digest, self.latest),
            "halt.released" => self.halted = done.to.is_none_or(|level| level != "none"),
            _ => {}
        }
        Ok(())
    }

    /// The owner speaks of a restore that the log knows, by the roster of then.
    fn restore_signed(&mut self, entry: &Entry<'_>) -> Result<(), Bad> {
        let RestoreSigned { signed } = body(entry)?;
        let bad = |reason: String| Bad::new("restore", reason);
        if !self.restores.contains(&signed.record) {
            return Err(bad("signed is a restore that the log does not tell of".to_owned()));
        }
        let roster = self.rosters.in_force(self.latest);
        let roster = roster.ok_or_else(|| bad("a restore is signed before there was a roster".to_owned()))?;
        signed.verify(roster, signed.record.old_epoch).map_err(|error| bad(error.to_string()))?;
        self.restores_signed += 1;
        Ok(())
    }

    fn mission(&mut self, entry: &Entry<'_>) -> Result<&mut Mission, Bad> {
        let id = entry.mission.ok_or_else(|| Bad::new("body", "the entry names no mission"))?;
        known(&mut self.missions, entry, id)
    }

    fn planned(&mut self, entry: &Entry<'_>) -> Result<(), Bad> {
        let id = entry.mission.ok_or_else(|| Bad::new("body", "the entry names no mission"))?;
        let planned: Planned = body(entry)?;
        let created = entry.action == "mission.created";
        if created == self.missions.contains_key(&id) {
            let reason = if created { "a mission is created twice" } else { "a plan for an unknown mission" };
            return Err(Bad::new("mission", reason));
        }
        let status = planned.status.as_deref().or(planned.to.as_deref());
        let mission = self.missions.entry(id).or_default();
        mission.plan = planned.plan_digest;
        if planned.author.is_some() {
            mission.author = planned.author;
        }
        mission.held_for_capability = planned.policies.iter().any(|policy| policy == CAPABILITY);
        mission.approved = None;
        mission.signed_to = None;
        mission.answer = None;
        match (&planned.judged, planned.plan_digest) {
            (Some(judged), Some(_)) => {
                self.sets.check(judged, planned.rank, &planned.policies, self.latest)?;
                self.verdicts += 1;
                mission.answer = Some(judged.answer);
                let covered = planned.standing.as_ref().is_some_and(|id| self.standing.contains_key(id));
                check_begin(judged.answer, status, covered)?;
            }
            (None, Some(_)) => self.unjudged += 1,
            (_, None) => {}
        }
        if is_over(status) {
            self.missions.remove(&id);
        }
        Ok(())
    }

    fn decided(&mut self, entry: &Entry<'_>) -> Result<(), Bad> {
        let decision: Decision = body(entry)?;
        let at = time(entry)?;
        let approvals = match entry.mission {
            None => &mut self.acts,
            Some(id) => &mut known(&mut self.missions, entry, id)?.approvals,
        };
        let roster = self.rosters.in_force(self.latest);
        let when = When { organism: self.organism, mission: entry.mission, actor: &entry.actor, at, roster };
        match approvals.decide(&entry.subject, &decision, &when)? {
            Checked::Signature => self.signatures += 1,
            Checked::Unsigned => self.unsigned += 1,
            Checked::Nothing => {}
        }
        Ok(())
    }

    fn approved(&mut self, entry: &Entry<'_>) -> Result<(), Bad> {
        #[derive(Deserialize)]
        struct Approved {
            approval: String,
            digest: Digest,
        }
        let Approved { approval, digest } = body(entry)?;
        let mission = self.mission(entry)?;
        if mission.plan != Some(digest) {
            return Err(Bad::new(
                "approval",
                format!("{digest} is approved, which is not the mission's plan"),
            ));
        }
        mission.approvals.enough(&approval, &digest)?;
        mission.approved = Some(digest);
        mission.signed_to = mission.approvals.signed_to(&approval);
        Ok(())
    }

    fn granted(&mut self, entry: &Entry<'_>) -> Result<(), Bad> {
        let task = subject::<TaskId>(entry)?;
        let granted: task::Granted<'_> = body(entry)?;
        if self.halted {
            return Err(Bad::new("halt", "a dispatch while the kill switch was pulled"));
        }
        let standing =
            granted.standing.as_deref().map(|id| self.spend(id, &granted, time(entry)?)).transpose()?;
        // What the request for the approval said of the rank is not asked: what was dispatched is.
        let grave = granted.rank.needs_approval() && standing.is_none();
        let wanted = (grave && self.rosters.in_force(self.latest).is_some()).then_some(granted.rank);
        let mission = self.mission(entry)?;
        let plan = granted.plan_digest;
        if mission.plan != Some(plan) {
            return Err(Bad::new(
                "plan",
                format!("a dispatch under plan {plan}, which is not the mission's"),
            ));
        }
        let rank = granted.rank;
        let spent = standing.is_some();
        let held = matches!(mission.answer, Some(Verdict::Hold { .. })) || rank.needs_approval();
        if mission.answer == Some(Verdict::Deny) {
            return Err(Bad::new("approval", "a dispatch of what the policies deny"));
        }
        if held && !spent && mission.approved != Some(plan) {
            return Err(Bad::new(
                "approval",
                format!("a dispatch of rank {rank} work before its plan was approved"),
            ));
        }
        if mission.signed_to < wanted {
            let reason = format!("a dispatch of rank {rank} work that nobody signed for at that rank");
            return Err(Bad::new("approval", reason));
        }
        mission.approvals.instance_allows(task, wanted)?;
        mission.tasks.granted(task, &granted)?;
        self.dispatches += 1;
        Ok(())
    }

    /// A use of a standing approval that counts, in turn and within what was signed.
    fn spend(&mut self, id: &str, granted: &task::Granted<'_>, at: Timestamp) -> Result<(), Bad> {
        let Some(standing) = self.standing.get_mut(id) else {
            return Err(Bad::new("approval", format!("a dispatch under {id}, which does not count")));
        };
        standing.covers(id, granted.rank, at)?;
        standing.used += 1;
        let number = granted.number;
        if standing.used > standing.uses || number != Some(standing.used) {
            let Standing { uses, used, .. } = standing;
            let reason = format!("use {number:?} of {id}, which is number {used} of {uses}");
            return Err(Bad::new("approval", reason));
        }
        Ok(())
    }

    /// A running task adds one: below A, as the policies said, to the plan that goes on.
    fn spawned(&mut self, entry: &Entry<'_>) -> Result<(), Bad> {
        let Spawned { rank, plan_digest, policies, judged } = body(entry)?;
        if rank.needs_approval() {
            return Err(Bad::new("approval", format!("a running task adds one of rank {rank}")));
        }
        self.sets.check(&judged, rank, &policies, self.latest)?;
        self.verdicts += 1;
        if !matches!(judged.answer, Verdict::Allow | Verdict::Flag) {
            return Err(Bad::new("verdict", "a task is added although the policies say otherwise"));
        }
        if self.mission(entry)?.plan != Some(plan_digest) {
            let reason = format!("a task is added to plan {plan_digest}, which is not the mission's");
            return Err(Bad::new("plan", reason));
        }
        Ok(())
    }

    fn settled(&mut self, entry: &Entry<'_>) -> Result<(), Bad> {
        let task = subject::<TaskId>(entry)?;
        let settled: task::Settled<'_> = body(entry)?;
        let reported = self.mission(entry)?.tasks.settled(task, &entry.actor, &settled)?;
        self.completions += u64::from(reported);
        Ok(())
    }

    /// Any other step of a mission: when it is over, it is forgotten.
    fn moved(&mut self, entry: &Entry<'_>) -> Result<(), Bad> {
        let Some(id) = entry.mission else { return Ok(()) };
        let over = match &*entry.action {
            "mission.completed" => true,
            _ => is_over(body::<Moved>(entry)?.to.as_deref()),
        };
        if over {
            self.missions.remove(&id);
        }
        Ok(())
    }
}

/// What a plan may begin as under this answer.
fn check_begin(answer: Verdict, status: Option<&str>, covered: bool) -> Result<(), Bad> {
    let runs = matches!(status, Some("running" | "ready"));
    match answer {
        // A standing approval was given ahead of time.
        Verdict::Hold { .. } if runs && covered => Ok(()),
        Verdict::Hold { .. } | Verdict::Deny if runs => {
            Err(Bad::new("verdict", "the mission goes on although the policies say otherwise"))
        }
        _ => Ok(()),
    }
}

fn known<'a>(
    missions: &'a mut HashMap<MissionId, Mission>,
    entry: &Entry<'_>,
    id: MissionId,
) -> Result<&'a mut Mission, Bad> {
    missions.get_mut(&id).ok_or_else(|| {
        Bad::new(
            "mission",
            format!("{} in mission {id}, which was not created before or is over", entry.action),
        )
    })
}

fn time(entry: &Entry<'_>) -> Result<Timestamp, Bad> {
    entry.at.parse().map_err(|_| Bad::new("body", format!("`{}` is not a time", entry.at)))
}

fn is_over(status: Option<&str>) -> bool {
    status.and_then(MissionStatus::parse).is_some_and(MissionStatus::is_terminal)
}

fn body<'a, T: Deserialize<'a>>(entry: &Entry<'a>) -> Result<T, Bad> {
    serde_json::from_str(entry.body.get()).map_err(|error| {
        Bad::new("body", format!("the body of {} is not what it should be: {error}", entry.action))
    })
}

fn subject<T: std::str::FromStr>(entry: &Entry<'_>) -> Result<T, Bad> {
    entry
        .subject
        .parse()
        .map_err(|_| Bad::new("body", format!("`{}` is not what {} is about", entry.subject, entry.action)))
}

#[cfg(test)]
mod tests {
    use nexusmon_shared::selector::Selector;
    use serde_json::json;

    use super::*;

    const ORGANISM: OrganismId = OrganismId::from_bits(1);
    const END: Timestamp = Timestamp::from_micros(1_000_000);

    fn document() -> StandingApproval {
        StandingApproval {
            organism: ORGANISM,
            author: Author::Planner("p".to_owned()),
            shape: Digest::of(b"shape"),
            input_schema: json!({}),
            selector: Selector::default(),
            max_rank: Rank::A,
            expires_at: END,
            uses: 3,
        }
    }

    fn activated(digest: Digest, uses: u64, document: Option<&StandingApproval>) -> Activated {
        let text = json!({"approval": "apr", "digest": digest, "uses": uses, "document": document});
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_standing_approval_counts_as_it_was_signed() {
        let signed = document();
        let digest = signed.digest();
        Standing::of(ORGANISM, activated(digest, 3, Some(&signed))).unwrap();
        // Of versions that did not write it down.
        Standing::of(ORGANISM, activated(digest, 3, None)).unwrap();
        for (organism, digest, uses, said) in [
            (ORGANISM, digest, 4, signed.clone()),
            (ORGANISM, Digest::of(b"other"), 3, signed.clone()),
            (ORGANISM, digest, 3, StandingApproval { max_rank: Rank::B, ..signed.clone() }),
            (OrganismId::from_bits(2), digest, 3, signed.clone()),
        ] {
            assert!(Standing::of(organism, activated(digest, uses, Some(&said))).is_err());
        }
        let grave = StandingApproval { max_rank: Rank::S, ..signed };
        assert!(Standing::of(ORGANISM, activated(grave.digest(), 3, Some(&grave))).is_err(), "never S");
    }

    #[test]
    fn a_use_stays_within_the_document() {
        let signed = document();
        let standing = Standing::of(ORGANISM, activated(signed.digest(), 3, Some(&signed))).unwrap();
        standing.covers("sta", Rank::A, END).unwrap();
        let late = Timestamp::from_micros(END.as_micros() + 1);
        assert!(standing.covers("sta", Rank::A, late).is_err());
        assert!(standing.covers("sta", Rank::S, END).is_err());
    }
}
