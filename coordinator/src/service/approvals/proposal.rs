//! Approvals of acts rather than of work: a change of the policies, the release of the kill switch, a trait, a budget, a
//! standing approval. The row keeps the document that is signed; what it says is done in the unit of the decision that
//! was still missing.

use nexusmon_core::policy::decide_within;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ApprovalId, MissionId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::trust::approval::{Act, MAX_PROPOSAL_BYTES, Proposal};
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::signable::Signable as _;
use nexusmon_store::{ApprovalRow, ApprovalState, ApprovalSubject, Json};
use serde_json::{Value, json};

use super::super::unit::{Actor, SYSTEM, Unit};
use super::super::{Caller, dispatch, evolution, halt, missions, policies, standing};
use super::needed;
use crate::app::App;
use crate::error::{Error, Result};

const MAX_COMMENT_BYTES: usize = 1000;

/// What is asked about, and the document.
pub(in crate::service) struct Asked {
    pub kind: ApprovalSubject,
    pub subject: String,
    pub mission: Option<MissionId>,
    pub digest: Digest,
    pub rank: Rank,
    pub body: String,
}

/// Asks people for an act; gives the approval that waits for them. One that waits for the same already is given instead.
pub(in crate::service) async fn propose(
    app: &App,
    caller: &Caller,
    act: Act,
    rank: Rank,
    comment: String,
) -> Result<ApprovalId> {
    if comment.trim().is_empty() {
        return Err(Error::field("/comment", "required", "say why: whoever approves reads it"));
    }
    if comment.len() > MAX_COMMENT_BYTES {
        let message = format!("must be at most {MAX_COMMENT_BYTES} bytes");
        return Err(Error::field("/comment", "too_long", message));
    }
    let unit_app = app.clone();
    let input = (caller.clone(), act, comment);
    let (id, after) = app
        .store
        .write_with("approvals.propose", input, move |tx, (caller, act, comment)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                unit.tx.lock_organism().await?;
                if let Some(waits) = same(&mut unit, act).await? {
                    return Ok((waits, unit.finish().await?));
                }
                let (organism, at) = (app.organism, unit.now);
                let proposal = Proposal { organism, at, comment: comment.clone(), act: act.clone() };
                let body = canonical::of(&proposal).map_err(Error::internal)?;
                if body.len() > MAX_PROPOSAL_BYTES {
                    let message = format!("must be at most {MAX_PROPOSAL_BYTES} bytes together");
                    return Err(Error::field("", "too_large", message));
                }
                let asked = Asked {
                    kind: kind(act),
                    subject: subject(&app, act),
                    mission: act.mission(),
                    digest: proposal.digest(),
                    rank,
                    body,
                };
                let id = ask(&mut unit, caller, asked).await?;
                Ok((id, unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    Ok(id)
}

/// Writes the question down in a unit of work.
pub(in crate::service) async fn ask(
    unit: &mut Unit<'_>,
    caller: &Caller,
    asked: Asked,
) -> Result<ApprovalId> {
    let now = unit.now;
    let id = unit.app.rng.with(|rng| ApprovalId::new(now, rng));
    let author = missions::author_of(caller);
    let Asked { kind, subject, mission, digest, rank, body } = asked;
    let needed = needed(unit.app, rank, &author);
    // What people sign, for whoever verifies by the log alone. A standing approval's comes when it counts.
    let of_act = kind != ApprovalSubject::Standing;
    let document: Option<Value> =
        of_act.then(|| serde_json::from_str(&body)).transpose().map_err(Error::internal)?;
    let told = json!({"subject_kind": super::signature::word(kind), "subject": subject, "digest": digest,
        "rank": rank, "needed": needed, "author": author, "document": document});
    let row = ApprovalRow {
        id,
        subject_kind: kind,
        subject,
        mission,
        digest,
        rank,
        needed,
        author: Json(author),
        state: ApprovalState::Pending,
        policies: Json(Vec::new()),
        created_at: now,
        decide_by: now + decide_within(rank),
        decided_at: None,
        version: 1,
        valid_until: None,
        body: Some(body),
    };
    unit.tx.insert_approvals(&[row]).await?;
    unit.timer();
    let actor = Actor::from(caller);
    unit.audit(actor.0, "approval.requested", ("approval", id.to_string()), mission, told);
    Ok(id)
}

const fn kind(act: &Act) -> ApprovalSubject {
    match act {
        Act::PolicyChange { .. } => ApprovalSubject::PolicyChange,
        Act::HaltRelease { .. } => ApprovalSubject::Release,
        Act::TraitGrant { .. } => ApprovalSubject::TraitGrant,
        Act::Budget { .. } => ApprovalSubject::Budget,
    }
}

fn subject(app: &App, act: &Act) -> String {
    match act {
        Act::PolicyChange { to, .. } => to.to_string(),
        Act::HaltRelease { .. } => app.organism.to_string(),
        Act::TraitGrant { r#trait, .. } => r#trait.clone(),
        Act::Budget { mission, .. } => mission.to_string(),
    }
}

/// A question about the very same act that still waits.
async fn same(unit: &mut Unit<'_>, act: &Act) -> Result<Option<ApprovalId>> {
    let pending = unit.tx.pending_approvals_about(kind(act)).await?;
    let same = pending.into_iter().filter(|row| row.decide_by > unit.now).find(|row| {
        let body = row.body.as_deref().unwrap_or_default();
        Proposal::read(body.as_bytes()).is_ok_and(|proposal| proposal.act == *act)
    });
    Ok(same.map(|row| row.id))
}

/// In a line, for lists.
pub(super) fn summary(kind: ApprovalSubject, body: &Value) -> String {
    let act = &body["act"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let why = text(&body["comment"]);
    match kind {
        ApprovalSubject::PolicyChange => format!("another set of policies: {why}"),
        ApprovalSubject::Release => format!("release of the kill switch: {why}"),
        ApprovalSubject::TraitGrant => {
            format!("trait {} until {}: {why}", text(&act["trait"]), minute(&act["until"]))
        }
        ApprovalSubject::Budget => format!("other budget for {}: {why}", text(&act["mission"])),
        ApprovalSubject::Standing => format!(
            "standing approval: {} uses up to rank {} until {}",
            body["uses"],
            text(&body["max_rank"]),
            minute(&body["expires_at"])
        ),
        _ => String::new(),
    }
}

/// A moment of a document, to the minute: a line for people has no use for microseconds.
fn minute(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    match (text.get(..16), text.ends_with('Z')) {
        (Some(head), true) => format!("{} UTC", head.replace('T', " ")),
        _ => text.to_owned(),
    }
}

/// Enough people agreed: what the document says is done, in the unit that recorded it.
pub(super) async fn carry_out(unit: &mut Unit<'_>, caller: &Caller, row: &ApprovalRow) -> Result<()> {
    if row.subject_kind == ApprovalSubject::Standing {
        return standing::activate(unit, row).await;
    }
    let body = row.body.as_deref().ok_or_else(|| Error::internal(format!("{} has no document", row.id)))?;
    let proposal = Proposal::read(body.as_bytes()).map_err(Error::internal)?;
    if proposal.digest() != row.digest {
        return Err(Error::internal(format!("the document of {} is not what was approved", row.id)));
    }
    let actor = Actor::from(caller);
    let Proposal { comment, act, .. } = proposal;
    match act {
        Act::PolicyChange { from, text, .. } => {
            let change = policies::Approved { from, text, comment, by: caller.principal, approval: row.id };
            policies::carry_out(unit, &actor, change).await
        }
        Act::HaltRelease { number } => {
            halt::carry_out(unit, &actor, caller.principal, number, comment, row.id).await
        }
        Act::TraitGrant { r#trait, until } => {
            evolution::carry_out(unit, &actor, caller.principal, &r#trait, until, row.id).await
        }
        Act::Budget { mission, plan, to, .. } => {
            missions::carry_out_budget(unit, &actor, mission, plan, to, row.id).await
        }
    }
}

/// Somebody said no.
pub(super) async fn refused(unit: &mut Unit<'_>, row: &ApprovalRow) -> Result<()> {
    if row.subject_kind == ApprovalSubject::Standing { standing::refuse(unit, row).await } else { Ok(()) }
}

/// Nobody decided in time.
pub(super) async fn expire(app: &App, id: ApprovalId) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write("approvals.expire", move |tx| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                if let Some(row) = unit.tx.lock_approval(id).await?.filter(|row| row.decide_by <= unit.now)
                    && unit.tx.end_approval(id, ApprovalState::Expired, unit.now).await?
                {
                    let body = json!({"digest": row.digest, "subject": row.subject});
                    unit.audit(SYSTEM, "approval.expired", ("approval", id.to_string()), row.mission, body);
                    refused(&mut unit, &row).await?;
                }
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

/// What this process keeps of what was done is read again; other nodes hear of it.
pub(super) async fn carried_out(app: &App) -> Result<()> {
    policies::load(app).await?;
    halt::load(app).await?;
    dispatch::refresh(app).await?;
    dispatch::wake(app);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_people_says_the_minute() {
        let body = json!({"uses": 2, "max_rank": "A", "expires_at": "2031-12-23T06:57:32.181000Z"});
        assert_eq!(
            summary(ApprovalSubject::Standing, &body),
            "standing approval: 2 uses up to rank A until 2031-12-23 06:57 UTC"
        );
        let act = json!({"comment": "why", "act": {"trait": "recall", "until": "soon"}});
        assert_eq!(summary(ApprovalSubject::TraitGrant, &act), "trait recall until soon: why");
    }
}
