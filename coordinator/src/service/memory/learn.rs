//! What is learned: missions that ended, once each, behind the audit log. Restart-safe, for the place in the log moves in
//! the unit that remembers; a later verdict or review is an entry again, and the mission is looked at again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use nexusmon_core::memory::Quality;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MemoryId, MissionId};
use nexusmon_shared::mission::{MissionFailure, MissionState, MissionStatus};
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{Connection, LeftRow, MemoryKind, MemoryRow, MissionRow, ReviewState};
use serde_json::Value;

use super::super::beliefs::{Evidence, contradict_unasked};
use super::super::unit::Unit;
use crate::app::App;
use crate::error::Result;

/// Where the place in the audit log is kept.
const PLACE: &str = "memory.seq";
/// Entries of the log looked through at once, and of those that move missions.
const ENTRIES: i64 = 20_000;
const ENTRIES_AT_ONCE: u32 = 100;
/// Missions remembered in one unit, and bytes of text after which no other mission is taken along: others want to write,
/// too.
const MISSIONS: usize = 25;
const UNIT_TEXT: usize = 1024 * 1024;
/// Of one mission: leaves whose text counts, artifacts that are read, words of people.
const LEAVES: u32 = 50;
const ARTIFACTS: u32 = 20;
const WORDS: u32 = 50;
/// Bytes of a plan's text, and of the first and the last part of an artifact's.
const PLAN_TEXT: usize = 16 * 1024;
const ARTIFACT_TEXT: u64 = 64 * 1024;

/// What one activation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Learned {
    pub missions: usize,
    /// There is more to look at.
    pub more: bool,
}

/// What was gathered for one unit.
#[derive(Default)]
struct Gathered {
    missions: Vec<MemoryRow>,
    texts: Vec<MemoryRow>,
}

impl Gathered {
    fn bytes(&self) -> usize {
        self.missions.iter().chain(&self.texts).map(|row| row.title.len() + row.body.len()).sum()
    }
}

/// One activation; idempotent.
pub async fn learn(app: &App) -> Result<Learned> {
    let newest = app.store.seq();
    if app.memory.0.load(Ordering::Acquire) >= newest {
        return Ok(Learned::default());
    }
    let mut read = app.store.read().await?;
    let from = place(&mut read).await?;
    let through = newest.min(from.saturating_add(ENTRIES));
    let moved = read.missions_moved(from, through, ENTRIES_AT_ONCE).await?;
    drop(read);
    // A full page may end before the entries do.
    let full = moved.len() >= ENTRIES_AT_ONCE as usize;
    let mut reached = if full { moved.last().map_or(through, |last| last.seq) } else { through };
    let mut gathered = Gathered::default();
    let mut seen = BTreeSet::new();
    for entry in moved {
        if seen.contains(&entry.mission) {
            continue;
        }
        if seen.len() >= MISSIONS || gathered.bytes() >= UNIT_TEXT {
            // From here on another time.
            reached = entry.seq - 1;
            break;
        }
        seen.insert(entry.mission);
        gather(app, entry.mission, &mut gathered).await?;
    }
    let count = gathered.missions.len();
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("memory.learn", gathered, move |tx, gathered| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                // Whoever was quicker has moved the place.
                if place(unit.tx).await? == from {
                    unit.tx.remember_missions(&gathered.missions).await?;
                    // Something may have been erased or forgotten since it was read.
                    let texts = unit.tx.still_told(&gathered.texts).await?;
                    unit.tx.remember_texts(&texts).await?;
                    let now = unit.now;
                    unit.tx.put_setting(PLACE, &reached.to_string(), now).await?;
                    unlearn(&mut unit, &gathered.missions).await?;
                }
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    app.memory.0.store(reached, Ordering::Release);
    Ok(Learned { missions: count, more: reached < newest })
}

/// Work that was rejected speaks against what the system believes of the playbook it drafted from it.
async fn unlearn(unit: &mut Unit<'_>, missions: &[MemoryRow]) -> Result<()> {
    for row in missions.iter().filter(|row| row.quality == Quality::Rejected.number()) {
        let Some(mission) = row.mission else { continue };
        for learned in unit.tx.learned_from(mission).await? {
            let Some(belief) = learned.belief else { continue };
            let evidence = Evidence { kind: "mission".to_owned(), id: Some(mission.to_string()), note: None };
            contradict_unasked(unit, belief, evidence, "a mission it was drafted from was rejected").await?;
        }
    }
    Ok(())
}

async fn place(read: &mut Connection) -> Result<i64> {
    let kept = read.setting(PLACE).await?;
    Ok(kept.and_then(|row| row.value.parse().ok()).unwrap_or(0))
}

fn memory(app: &App, kind: MemoryKind, subject: String, mission: MissionId, at: Timestamp) -> MemoryRow {
    MemoryRow {
        id: app.rng.with(|rng| MemoryId::new(at, rng)),
        kind,
        subject,
        mission: Some(mission),
        skeleton: None,
        title: String::new(),
        body: String::new(),
        quality: 0,
        runs: 0,
        verified: 0,
        succeeded: 0,
        failed: 0,
        recalled: 0,
        used: 0,
        at,
        forgotten_at: None,
    }
}

/// Everything worth remembering of one mission that ended.
async fn gather(app: &App, id: MissionId, gathered: &mut Gathered) -> Result<()> {
    let mut read = app.store.read().await?;
    let row = read.missions(&[id]).await?.pop();
    let Some(row) = row.filter(|row| row.status.is_terminal() && row.shape.is_some()) else { return Ok(()) };
    let review = read.review_of(row.id).await?.map(|review| review.state);
    let quality = quality(&row, review);
    let left = read.left_by(row.id, ARTIFACTS).await?;
    let leaves = read.first_leaves(row.id, LEAVES).await?;
    let said = read.said_about(row.id, WORDS).await?;
    let skeleton = skeleton(&mut read, &row, &leaves, quality).await?;
    // Bytes may be slow to come: others read meanwhile.
    drop(read);
    let subject = Digest::of(format!("{} {}", row.shape.unwrap_or(Digest::of(b"")), row.goal).as_bytes());
    let at = row.finished_at.unwrap_or(row.created_at);
    gathered.missions.push(MemoryRow {
        title: row.goal.clone(),
        body: plan_text(&row, &leaves, &left),
        quality: quality.number(),
        skeleton,
        ..memory(app, MemoryKind::Mission, subject.to_string(), row.id, at)
    });
    let mut seen = BTreeSet::new();
    for one in &left {
        if !seen.insert(one.digest) || !textual(&one.media_type) {
            continue;
        }
        let body = match text_of(app, one).await {
            Ok(Some(body)) => body,
            Ok(None) => continue,
            // One that cannot be read keeps nothing else from being learned.
            Err(error) => {
                tracing::warn!(mission = %row.id, name = one.name, digest = %one.digest, ?error,
                    "an artifact cannot be read, and is not remembered");
                continue;
            }
        };
        let quality = if one.rejected { Quality::Rejected } else { quality };
        gathered.texts.push(MemoryRow {
            title: one.name.clone(),
            body,
            quality: quality.number(),
            ..memory(app, MemoryKind::Artifact, one.digest.to_string(), row.id, at)
        });
    }
    for said in said {
        if said.comment.trim().is_empty() {
            continue;
        }
        gathered.texts.push(MemoryRow {
            title: format!("{}: {}", said.verdict, row.goal),
            body: said.comment,
            quality: quality.number(),
            ..memory(app, MemoryKind::Review, said.id, row.id, said.at)
        });
    }
    Ok(())
}

/// Of plans that a person wrote out and that verified: what was made from a playbook is one already.
async fn skeleton(
    read: &mut Connection,
    row: &MissionRow,
    leaves: &[String],
    quality: Quality,
) -> Result<Option<Digest>> {
    let whole = leaves.len() < LEAVES as usize;
    if quality != Quality::Verified || !whole || !read.mission_inputs(&[row.id]).await?.is_empty() {
        return Ok(None);
    }
    let tasks: Result<Vec<TaskSpec>, _> = leaves.iter().map(|leaf| serde_json::from_str(leaf)).collect();
    Ok(tasks.ok().and_then(|tasks| nexusmon_core::learned::skeleton(&tasks)))
}

fn quality(row: &MissionRow, review: Option<ReviewState>) -> Quality {
    if review == Some(ReviewState::Rejected) {
        return Quality::Rejected;
    }
    match row.status {
        MissionStatus::Rejected => Quality::Rejected,
        MissionStatus::Succeeded if row.xp_awarded.is_some_and(|xp| xp > 0) => Quality::Verified,
        MissionStatus::Succeeded => Quality::Succeeded,
        MissionStatus::Failed => Quality::Failed,
        _ => Quality::Cancelled,
    }
}

fn textual(media_type: &str) -> bool {
    media_type.starts_with("text/") || media_type.contains("json") || media_type.contains("xml")
}

/// The words a plan is found by: labels, capabilities, task names, the text in their parameters, how it ended, what it
/// left.
fn plan_text(row: &MissionRow, leaves: &[String], left: &[LeftRow]) -> String {
    let mut out = String::new();
    for (key, value) in &row.labels.0 {
        let _ = writeln!(out, "{key} {value}");
    }
    for spec in leaves.iter().filter_map(|leaf| serde_json::from_str::<TaskSpec>(leaf).ok()) {
        let _ = write!(out, "{} {}", spec.id, spec.uses);
        spec.with.values().for_each(|value| strings(value, &mut out));
        out.push('\n');
        if out.len() > PLAN_TEXT {
            break;
        }
    }
    out.truncate(out.floor_char_boundary(PLAN_TEXT.min(out.len())));
    if let MissionState::Failed { cause: MissionFailure::Task { task, cause } } = &row.state.0 {
        let _ = write!(out, "\nfailed {task} {}", cause.kind());
    }
    for one in left {
        let _ = write!(out, "\n{}", one.name);
    }
    out.replace('\0', " ")
}

fn strings(value: &Value, out: &mut String) {
    // Plans are bounded in depth where they come in.
    match value {
        Value::String(text) => {
            out.push(' ');
            out.push_str(text);
        }
        Value::Array(items) => items.iter().for_each(|item| strings(item, out)),
        Value::Object(fields) => fields.values().for_each(|item| strings(item, out)),
        _ => {}
    }
}

/// The first and the last part of an artifact's text; `None` where its bytes are gone by now.
async fn text_of(app: &App, one: &LeftRow) -> Result<Option<String>> {
    let size = u64::try_from(one.size).unwrap_or(0);
    if size == 0 || app.blobs.size(&one.digest).await?.is_none() {
        return Ok(None);
    }
    let head = app.blobs.read(&one.digest, Some(0..size.min(ARTIFACT_TEXT))).await?;
    let mut text = String::from_utf8_lossy(&head).into_owned();
    if size > ARTIFACT_TEXT {
        let from = ARTIFACT_TEXT.max(size.saturating_sub(ARTIFACT_TEXT));
        let tail = app.blobs.read(&one.digest, Some(from..size)).await?;
        text.push_str("\n…\n");
        text.push_str(&String::from_utf8_lossy(&tail));
    }
    Ok(Some(text.replace('\0', " ")))
}
