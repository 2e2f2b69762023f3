//! Whether work falls under a standing approval, and the bound it misses where it nearly does.

use nexusmon_core::evolution::Trait;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, OrganismId, StandingId};
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::selector::Selector;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval::{
    Claim, Evidence, SignedDecision, StandingApproval, SubjectKind, Use, enough,
};
use nexusmon_shared::trust::roster::Roster;
use nexusmon_store::{Connection, StandingRow, StandingState};
use serde_json::{Map, Value};

use super::super::missions::Judged;
use super::super::playbooks::MadeOf;
use super::super::{Caller, consent, evolution};
use crate::app::App;
use crate::error::{Error, Result};

/// Policies that hold work only because of its rank or what its manifest demands: what a standing approval is for.
const COVERED: [&str; 3] =
    ["guard-a-s-need-approval", "guard-c-b-never-unseen", "guard-capability-demands-approval"];

/// One that covers a mission.
pub(in crate::service) struct Covering {
    pub id: StandingId,
    pub selector: Selector,
}

/// The work that wants to be covered.
pub(super) struct Wish<'a> {
    pub organism: OrganismId,
    pub shape: Digest,
    pub inputs: &'a Map<String, Value>,
    pub rank: Rank,
    pub at: Timestamp,
}

/// The first standing approval that covers a mission. The system spends them only with `OPERATOR_FUSION`; a token's own
/// ceiling holds whatever was signed.
pub(in crate::service) async fn covering(
    app: &App,
    caller: &Caller,
    judged: &Judged,
    made: &MadeOf,
) -> Result<Option<Covering>> {
    let rank = judged.bound.assessment.rank;
    let others = judged
        .decision
        .policies
        .iter()
        .any(|policy| !COVERED.contains(&policy.as_str()) && !policy.starts_with("rank-table-"));
    if others || caller.rank_ceiling.is_some_and(|ceiling| rank > ceiling) {
        return Ok(None);
    }
    let mut read = app.store.read().await?;
    let now = app.clock.now();
    let rows = read.standing_for(judged.shape, &made.name).await?;
    if rows.is_empty() || !may(app, &mut read, caller.origin.is_unasked(), now).await? {
        return Ok(None);
    }
    let Some(roster) = consent::roster(&mut read, now).await? else { return Ok(None) };
    let wish = Wish { organism: app.organism, shape: judged.shape, inputs: &made.inputs, rank, at: now };
    let grave: Vec<&TaskSpec> = judged
        .bound
        .tasks
        .iter()
        .filter(|task| task.rank.needs_approval() || task.requires_approval)
        .map(|task| &task.spec)
        .collect();
    for row in rows {
        let Ok(found) = fits(app, &mut read, &row, &wish, &roster).await? else { continue };
        let agents = found.standing.selector.agents.clone().unwrap_or_default();
        let reached = |spec: &&TaskSpec| spec.on.agents.iter().any(|agent| agents.contains(agent));
        let admitted = |spec: &&TaskSpec| !spec.is_open() || spec.accept.is_some();
        if grave.iter().all(|spec| reached(spec) && admitted(spec)) {
            return Ok(Some(Covering { id: row.id, selector: found.standing.selector }));
        }
    }
    Ok(None)
}

/// Whether standing approvals may be spent by whoever asks. What starts on a schedule was all decided by the person who
/// set it up; what starts because of something else was not, and is the system's doing.
pub(super) async fn may(app: &App, read: &mut Connection, unasked: bool, now: Timestamp) -> Result<bool> {
    if !unasked {
        return Ok(true);
    }
    evolution::may(app, read, Trait::OperatorFusion, now).await
}

pub(super) struct Fits {
    pub standing: StandingApproval,
    pub decisions: Vec<String>,
    pub evidence: Evidence,
}

/// Whether this one covers the work, by the function that agents ask, too; else the bound it misses.
pub(super) async fn fits(
    app: &App,
    read: &mut Connection,
    row: &StandingRow,
    wish: &Wish<'_>,
    roster: &Roster,
) -> Result<std::result::Result<Fits, String>> {
    match row.state {
        StandingState::Active => {}
        StandingState::Pending => return Ok(Err("it waits for those who sign".to_owned())),
        StandingState::Revoked => return Ok(Err("it was revoked".to_owned())),
        StandingState::Refused => return Ok(Err("it was refused".to_owned())),
    }
    let standing = StandingApproval::read(row.body.as_bytes()).map_err(Error::internal)?;
    let used = u32::try_from(row.used).unwrap_or(u32::MAX);
    let fleet = app.fleet.get();
    let mut missed = "none of the machines it names is enrolled".to_owned();
    let mut covered = false;
    for agent in standing.selector.agents.iter().flatten() {
        let Some(view) = fleet.views.get(agent) else { continue };
        let Wish { organism, shape, inputs, rank, at } = *wish;
        let labels = &view.offer.labels;
        match standing.covers(&Use { organism, shape, inputs, agent: *agent, labels, rank, at, used }) {
            Ok(()) => covered = true,
            Err(miss) => missed = miss.to_string(),
        }
    }
    if !covered {
        return Ok(Err(missed));
    }
    let decisions = read.decisions(row.approval).await?;
    let decisions: Vec<String> = decisions.into_iter().filter_map(|one| one.signature).collect();
    let signed: Vec<SignedDecision> =
        decisions.iter().filter_map(|text| SignedDecision::read(text.as_bytes()).ok()).collect();
    let claim = Claim {
        organism: wish.organism,
        subject: SubjectKind::StandingApproval,
        digest: row.digest,
        mission: None,
        rank: standing.max_rank,
        author: &standing.author,
    };
    Ok(match enough(roster, &signed, &claim, wish.at) {
        Ok(evidence) => Ok(Fits { standing, decisions, evidence }),
        Err(refusal) => Err(format!("its signatures do not count any more: {refusal}")),
    })
}

/// For a mission that waits for people: the standing approvals that nearly cover it, each with the bound it missed.
pub(in crate::service) async fn misses(
    app: &App,
    read: &mut Connection,
    mission: MissionId,
) -> Result<Vec<String>> {
    let Some(made) = read.mission_inputs(&[mission]).await?.pop() else { return Ok(Vec::new()) };
    let Some(row) = read.mission(mission).await? else { return Ok(Vec::new()) };
    let rows = read.standing_for(made.shape, &made.playbook).await?;
    let now = app.clock.now();
    let Some(roster) = consent::roster(read, now).await? else { return Ok(Vec::new()) };
    let inputs: Map<String, Value> = serde_json::from_str(&made.inputs).map_err(Error::internal)?;
    let wish = Wish { organism: app.organism, shape: made.shape, inputs: &inputs, rank: row.rank, at: now };
    let mut found = Vec::new();
    for row in rows.iter().take(5) {
        if let Err(missed) = fits(app, read, row, &wish, &roster).await? {
            found.push(format!("the standing approval {} does not cover it: {missed}", row.id));
        }
    }
    Ok(found)
}
