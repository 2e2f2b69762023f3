//! Which finished missions count, written into the ledger; and what is taken back.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nexusmon_core::evolution::{Award, Completion, Entry, award};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, PrincipalId};
use nexusmon_shared::plan::{Author, TaskSpec};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::canonical;
use nexusmon_store::{AwardRow, Connection, MissionRow, NewLedgerRow, ReviewState, TraceRow};
use serde_json::json;

use super::super::reviews;
use super::super::unit::{SYSTEM, Unit};
use super::points;
use crate::app::App;
use crate::error::{Error, Result};

/// The lease under which missions are judged.
pub const DUTY: &str = "evolution";

const BATCH: u32 = 200;
const GATHER: Duration = Duration::from_millis(50);
const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

/// Looks at what just ended, soon, without holding up whoever asks; many askers make one look.
pub(in crate::service) fn judge_soon(app: &App) {
    if app.judging.swap(true, Ordering::AcqRel) {
        return;
    }
    let judged = app.clone();
    app.lifecycle.spawn_quiet("evolution.judge", async move {
        // What ends meanwhile is looked at together.
        tokio::time::sleep(GATHER).await;
        // Cleared first: what ends from here on asks for another look.
        judged.judging.store(false, Ordering::Release);
        // Of several nodes one judges, so that two cannot count the same shape twice a day.
        judged.store.on_duty(DUTY, settle(&judged)).await?.map_or(Ok(()), |counted| counted.map(drop))
    });
}

/// Awards what has become verified: at once, once reviewed, or (A and S) a day after; an idempotent activation. Gives
/// how many missions were counted.
pub async fn settle(app: &App) -> Result<usize> {
    super::uses::watch(app).await?;
    let (mut counted, mut after) = (0, None);
    loop {
        let missions = app.store.read().await?.missions_to_judge(after, BATCH).await?;
        let Some(last) = missions.last() else { return Ok(counted) };
        after = Some(last.id);
        let ids: Vec<_> = missions.iter().map(|mission| mission.id).collect();
        let unit_app = app.clone();
        counted += app
            .store
            .write("judging missions", move |tx| {
                let (app, ids) = (unit_app.clone(), ids.clone());
                Box::pin(async move {
                    let mut unit = Unit::new(&app, tx);
                    let counted = judge(&mut unit, &ids).await?;
                    unit.finish().await?;
                    Ok::<_, Error>(counted)
                })
            })
            .await?;
    }
}

async fn judge(unit: &mut Unit<'_>, ids: &[MissionId]) -> Result<usize> {
    // Locked and read again: a review may have come in between.
    let missions = unit.tx.lock_missions(ids).await?;
    let traces: BTreeMap<_, _> =
        unit.tx.traces(ids).await?.into_iter().map(|trace| (trace.mission, trace)).collect();
    let inputs: BTreeMap<MissionId, Digest> = unit
        .tx
        .mission_inputs(ids)
        .await?
        .into_iter()
        .map(|made| (made.mission, made.inputs_digest))
        .collect();
    let (mut awards, mut entries) = (Vec::new(), Vec::new());
    let day = unit.now.as_micros() / DAY_MICROS;
    for row in missions.iter().filter(|row| row.xp_awarded.is_none()) {
        let Some(trace) = traces.get(&row.id) else { continue };
        // The same shape with other inputs is other work.
        let fingerprint = match (row.shape, inputs.get(&row.id)) {
            (Some(shape), Some(inputs)) => Some(Digest::of(format!("{shape} {inputs}").as_bytes())),
            (shape, _) => shape,
        };
        let mut completion = completion(unit.tx, row, trace, unit.app.system).await?;
        if let Some(fingerprint) = fingerprint {
            let in_batch = entries.iter().any(|entry: &NewLedgerRow| entry.fingerprint == Some(fingerprint));
            completion.counted_today = in_batch || unit.tx.counted_on(fingerprint, day).await?;
        }
        // A nightly job does not ask every day: what is like an accepted run closes by itself.
        if completion.left_something && !completion.reviewed && !completion.rejected {
            completion.reviewed = reviews::cover(unit, row).await?;
        }
        match award(&completion, unit.now) {
            Award::Pending(_) => {}
            Award::Nothing { .. } => awards.push(AwardRow { mission: row.id, xp: 0 }),
            Award::Verified { xp } => {
                awards.push(AwardRow { mission: row.id, xp: points(xp) });
                let rank = completion.rank;
                let entry = Entry::Verified { mission: row.id, rank, xp, shape: row.shape };
                entries
                    .push(NewLedgerRow { fingerprint, ..ledger(&entry, row, rank, points(xp), unit.now)? });
                unit.audit_mission(
                    &super::super::unit::Actor::system(),
                    "evolution.verified",
                    row.id,
                    json!({"xp": xp, "rank": rank, "shape": row.shape}),
                );
            }
        }
    }
    unit.tx.set_xp_awarded(&awards).await?;
    unit.tx.append_ledger(&entries).await?;
    Ok(entries.len())
}

/// XP goes back when work that counted is rejected afterwards.
pub(in crate::service) async fn take_back(unit: &mut Unit<'_>, row: &MissionRow, reason: &str) -> Result<()> {
    let lost = row.xp_awarded.unwrap_or(0);
    unit.tx.set_xp_awarded(&[AwardRow { mission: row.id, xp: 0 }]).await?;
    if lost <= 0 {
        return Ok(());
    }
    let entry = Entry::TakenBack { mission: row.id, reason: reason.to_owned() };
    let trace = unit.tx.traces(&[row.id]).await?.pop();
    let rank = trace.and_then(|trace| trace.rank).unwrap_or(row.rank);
    unit.tx.append_ledger(&[ledger(&entry, row, rank, -lost, unit.now)?]).await?;
    unit.audit(
        SYSTEM,
        "evolution.taken_back",
        ("mission", row.id.to_string()),
        Some(row.id),
        json!({"xp": -lost, "reason": reason}),
    );
    Ok(())
}

/// `rank` as assessed: what was requested beyond it earned nothing.
fn ledger(entry: &Entry, row: &MissionRow, rank: Rank, xp: i64, now: Timestamp) -> Result<NewLedgerRow> {
    let body = canonical::to_bytes(entry).map_err(Error::internal)?;
    let verified = matches!(entry, Entry::Verified { .. });
    Ok(NewLedgerRow {
        kind: if verified { "verified" } else { "taken_back" }.to_owned(),
        subject: row.id.to_string(),
        mission: Some(row.id),
        rank: Some(rank),
        xp,
        fingerprint: row.shape,
        day: now.as_micros() / DAY_MICROS,
        at: now,
        body: String::from_utf8(body).map_err(Error::internal)?,
    })
}

/// Whether a person wrote it; what the system thought of itself was not.
fn by_person(row: &MissionRow, system: PrincipalId) -> bool {
    matches!(row.author.0, Author::Person(person) if person != system)
}

async fn completion(
    read: &mut Connection,
    row: &MissionRow,
    trace: &TraceRow,
    system: PrincipalId,
) -> Result<Completion> {
    let review = read.review_of(row.id).await?.map(|review| review.state);
    // People said yes to it: after the fact, or before it began.
    let accepted =
        matches!(review, Some(ReviewState::Accepted | ReviewState::Covered)) || row.rank.needs_approval();
    let left_something = left_something(read, row, trace).await?;
    Ok(Completion {
        status: row.status,
        // What was requested beyond it earns nothing.
        rank: trace.rank.unwrap_or(row.rank),
        finished_at: row.finished_at.unwrap_or(row.created_at),
        executed: u32::try_from(trace.executed).unwrap_or(u32::MAX),
        left_something,
        rejected: review == Some(ReviewState::Rejected),
        reviewed: matches!(review, Some(ReviewState::Accepted | ReviewState::Covered)),
        rerun: row.rerun_of.is_some(),
        by_person: accepted || by_person(row, system),
        counted_today: false,
    })
}

/// Whether a mission has anything to be judged by beside its log.
pub(in crate::service) async fn left_something(
    read: &mut Connection,
    row: &MissionRow,
    trace: &TraceRow,
) -> Result<bool> {
    Ok(trace.artifacts || trace.outputs || (trace.executed > 0 && has_verification(read, row.id).await?))
}

/// Whether a task of a succeeded mission has a post-condition: it held, else the mission had failed.
async fn has_verification(read: &mut Connection, mission: MissionId) -> Result<bool> {
    let leaves = read.leaves(mission).await?;
    Ok(leaves
        .iter()
        .filter_map(|leaf| serde_json::from_str::<TaskSpec>(leaf).ok())
        .any(|task| task.verify.is_some()))
}
