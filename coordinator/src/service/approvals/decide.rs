//! One decision of one person, and what follows once there are enough.

use nexusmon_core::mission::{MissionCommand, Start};
use nexusmon_core::policy::access;
use nexusmon_shared::id::ApprovalId;
use nexusmon_shared::mission::{MissionState, ResumeTo};
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::plan::Author;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::trust::approval::SignedDecision;
use nexusmon_shared::trust::key::Proof;
use nexusmon_store::{
    ApprovalRow, ApprovalState, ApprovalSubject, DecisionRow, DecisionVerdict, MissionRow, Role, StoreError,
    pressing_if,
};
use serde_json::json;

use super::super::reviews::check_comment;
use super::super::unit::{Actor, Unit};
use super::super::{auth, consent, transition};
use super::{NewDecision, Verdict, instance, proposal, signature};
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::Caller;

pub(super) async fn decide(app: &App, caller: &Caller, id: ApprovalId, decision: NewDecision) -> Result<()> {
    check_comment(decision.comment.as_deref())?;
    if decision.verdict == Verdict::Approve {
        let row = app.store.read().await?.approval(id).await?;
        if row.is_some_and(|row| row.rank == Rank::S) {
            auth::require_fresh(app, caller).await?;
        }
    }
    let unit_app = app.clone();
    let caller = caller.clone();
    let denies = decision.verdict == Verdict::Reject;
    let written = app.store.write("approvals.decide", move |tx| {
        let (app, caller, decision) = (unit_app.clone(), caller.clone(), decision.clone());
        Box::pin(async move {
            let mut unit = Unit::new(&app, tx);
            write(&mut unit, &caller, id, decision).await?;
            unit.finish().await
        })
    });
    pressing_if(denies, written).await?.run(app);
    Ok(())
}

async fn write(unit: &mut Unit<'_>, caller: &Caller, id: ApprovalId, decision: NewDecision) -> Result<()> {
    if decision.signature.is_some() {
        // In one order with changes of the roster: whoever reads the log finds the roster that was asked.
        unit.tx.one_node_at_a_time().await?;
    }
    let row = unit.tx.lock_approval(id).await?;
    let row = row.ok_or_else(|| Error::not_found("approval", id))?;
    if row.state != ApprovalState::Pending {
        let detail = format!("this approval is {} already", row.state.as_str());
        return Err(Error::conflict("already_decided", detail).with("status", row.state.as_str()));
    }
    if row.decide_by <= unit.now {
        return Err(Error::conflict("approval_expired", "the time to decide is over; run the mission again"));
    }
    if row.digest != decision.digest {
        let detail = format!(
            "you decided on {}, but what waits is {}: look at it again and decide on what it says now",
            decision.digest, row.digest
        );
        return Err(Error::conflict("digest_changed", detail).with("digest", row.digest.to_string()));
    }
    let said_why = decision.comment.as_deref().is_some_and(|text| !text.trim().is_empty());
    if row.rank.needs_approval() && !said_why {
        let message = format!("rank {} needs a reason, which is kept with the decision", row.rank);
        return Err(Error::field("/comment", "missing_field", message));
    }
    let signed = signature::verify(unit, caller, &row, &decision).await?;
    if decision.verdict == Verdict::Approve {
        may_approve(unit, caller, &row).await?;
    }
    record(unit, caller, &row, &decision, signed.as_ref()).await?;
    match decision.verdict {
        Verdict::Reject => {
            unit.tx.end_approval(id, ApprovalState::Rejected, unit.now).await?;
            rejected(unit, caller, &row).await
        }
        Verdict::Approve if signature::is_needed(&row) => {
            let Some(until) = signature::complete(unit, &row).await? else { return Ok(()) };
            unit.tx.end_approval(id, ApprovalState::Approved, unit.now).await?;
            unit.tx.set_valid_until(id, Some(until)).await?;
            unit.timer();
            approved(unit, caller, &row).await
        }
        Verdict::Approve => {
            let decisions = unit.tx.decisions(id).await?;
            let approvals = decisions.iter().filter(|one| one.verdict == DecisionVerdict::Approve).count();
            if approvals < row.needed as usize {
                return Ok(());
            }
            unit.tx.end_approval(id, ApprovalState::Approved, unit.now).await?;
            approved(unit, caller, &row).await
        }
    }
}

/// Nobody approves what a token of theirs planned above its ceiling, nor their own text while somebody else could. Who
/// signs is held against the roster instead, as agents do it; they know nothing of who wrote a playbook.
async fn may_approve(unit: &mut Unit<'_>, caller: &Caller, row: &ApprovalRow) -> Result<()> {
    if caller.rank_ceiling.is_some_and(|ceiling| row.rank > ceiling) {
        let detail = format!("this token may not decide on rank {}", row.rank);
        return Err(Error::Forbidden { code: "above_ceiling", detail });
    }
    let signs = signature::is_needed(row);
    let wrote = wrote_playbook(unit, caller, row).await?;
    if wrote && signs && signature::enough_beside(unit, caller, row).await? {
        return Err(by_the_author());
    }
    let own = match row.author.0 {
        Author::Person(author) => (wrote || author == caller.principal) && !signs,
        Author::Token(author) if author == caller.principal => {
            let detail = "a token does not approve its own plan".to_owned();
            return Err(Error::Forbidden { code: "author_may_not_approve", detail });
        }
        _ => wrote && !signs,
    };
    if !own {
        return Ok(());
    }
    let roles = [Role::Owner, Role::Operator, Role::Approver, Role::Viewer, Role::Service];
    let may: Vec<_> =
        roles.into_iter().filter(|role| access::permits(role.as_str(), "approval.decide")).collect();
    let others = unit.tx.persons_with(&may).await?;
    if others.iter().any(|person| person.id != caller.principal) {
        return Err(by_the_author());
    }
    Ok(())
}

fn by_the_author() -> Error {
    let detail = "you typed this plan, and somebody else may approve it: an author does not".to_owned();
    Error::Forbidden { code: "author_may_not_approve", detail }
}

/// Whether the plan is made of a playbook whose version this caller wrote.
async fn wrote_playbook(unit: &mut Unit<'_>, caller: &Caller, row: &ApprovalRow) -> Result<bool> {
    let of_work = matches!(row.subject_kind, ApprovalSubject::MissionPlan | ApprovalSubject::TaskInstance);
    let Some(mission) = row.mission.filter(|_| of_work) else { return Ok(false) };
    let Some(made) = unit.tx.mission_inputs(&[mission]).await?.pop() else { return Ok(false) };
    let written = unit.tx.playbook(&made.playbook, Some(made.version)).await?;
    Ok(written.is_some_and(|written| written.created_by == caller.principal))
}

async fn record(
    unit: &mut Unit<'_>,
    caller: &Caller,
    row: &ApprovalRow,
    decision: &NewDecision,
    signed: Option<&SignedDecision>,
) -> Result<()> {
    let method = match signed.map(|signed| &signed.proof) {
        None => "server",
        Some(Proof::Ed25519 { .. }) => "key",
        Some(Proof::Passkey(_)) => "passkey",
    };
    let signature = signed.map(serde_json::to_string).transpose().map_err(Error::internal)?;
    let given = DecisionRow {
        approval: row.id,
        principal: caller.principal,
        verdict: match decision.verdict {
            Verdict::Approve => DecisionVerdict::Approve,
            Verdict::Reject => DecisionVerdict::Reject,
        },
        comment: decision.comment.clone(),
        method: method.to_owned(),
        signature,
        at: unit.now,
    };
    signature::lapse(unit, caller, row).await?;
    unit.tx.insert_decision(&given).await.map_err(|error| match error {
        StoreError::Unique { .. } => Error::conflict("already_voted", "you have decided on this already"),
        other => other.into(),
    })?;
    let body = json!({
        "verdict": decision.verdict.as_str(),
        "comment": decision.comment,
        "digest": row.digest,
        "rank": row.rank,
        "subject_kind": row.subject_kind.as_str(),
        "subject": row.subject,
        "method": method,
        // In full: whoever verifies the log later holds it against the roster of then.
        "signed": signed,
    });
    let actor = Actor::from(caller);
    unit.audit(actor.0, "approval.decided", ("approval", row.id.to_string()), row.mission, body);
    Ok(())
}

async fn approved(unit: &mut Unit<'_>, caller: &Caller, row: &ApprovalRow) -> Result<()> {
    match row.subject_kind {
        ApprovalSubject::MissionPlan => {
            let mut mission = mission(unit, row).await?;
            if again(&mission) {
                return consent::release(unit, mission.id).await;
            }
            let command = MissionCommand::Approve { digest: row.digest, start: start_of(&mission) };
            let why = json!({"approval": row.id, "digest": row.digest});
            let actor = Actor::from(caller);
            transition::apply(unit, &actor, &mut mission, command, "mission.approved", why).await.map(drop)
        }
        ApprovalSubject::TaskInstance => instance::approve(unit, row).await,
        ApprovalSubject::RosterChange => Err(consent::unknown(row)),
        _ => proposal::carry_out(unit, caller, row).await,
    }
}

async fn rejected(unit: &mut Unit<'_>, caller: &Caller, row: &ApprovalRow) -> Result<()> {
    match row.subject_kind {
        ApprovalSubject::MissionPlan => {
            let mut mission = mission(unit, row).await?;
            if again(&mission) {
                let cause = Cause::DeniedByPolicy { policies: vec!["rejected".to_owned()] };
                return consent::lapse(unit, mission.id, &cause).await;
            }
            let command = MissionCommand::Reject { digest: row.digest, by: caller.principal };
            let why = json!({"approval": row.id, "digest": row.digest});
            let actor = Actor::from(caller);
            transition::apply(unit, &actor, &mut mission, command, "mission.rejected", why).await.map(drop)
        }
        ApprovalSubject::TaskInstance => instance::reject(unit, row).await,
        ApprovalSubject::RosterChange => Err(consent::unknown(row)),
        _ => proposal::refused(unit, row).await,
    }
}

/// The mission runs on an earlier approval; this one is for what is left of it.
fn again(mission: &MissionRow) -> bool {
    matches!(
        &mission.state.0,
        MissionState::Running { .. } | MissionState::Paused { resume_to: ResumeTo::Running { .. }, .. }
    )
}

async fn mission(unit: &mut Unit<'_>, row: &ApprovalRow) -> Result<MissionRow> {
    let id = row.mission.ok_or_else(|| Error::internal("an approval of a plan names no mission"))?;
    unit.tx.lock_mission(id).await?.ok_or_else(|| Error::not_found("mission", id))
}

fn start_of(row: &MissionRow) -> Start {
    match (row.start, row.start_at) {
        (nexusmon_store::Start::Manual, _) => Start::Manual,
        (nexusmon_store::Start::At, Some(at)) => Start::At(at),
        _ => Start::Auto,
    }
}
