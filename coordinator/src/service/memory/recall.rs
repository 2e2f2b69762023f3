//! What the system itself reads of its memory. Every way in asks for RECALL, counts, and is written down.

use nexusmon_core::evolution::Trait;
use nexusmon_core::memory::{Quality, likeness, worth};
use nexusmon_shared::id::{MemoryId, MissionId};
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{Connection, MemoryKind, MemoryUse};
use serde_json::{Map, Value, json};

use super::super::beliefs::day;
use super::super::evolution;
use super::super::unit::{SYSTEM, Unit};
use super::{MAX_QUESTION, MemoryView, WIDER, count, ordered};
use crate::app::App;
use crate::error::{Error, Result};

/// Plans of more tasks than this are not brought back whole.
const MOST_TASKS: u32 = 500;
/// Goals less alike than this are no answer.
const ALIKE: f64 = 0.3;
const CANDIDATES: u32 = 60;

/// What memory is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Planning,
    Answer,
}

impl Asked {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Answer => "answer",
        }
    }
}

/// A mission like the one that is wanted.
#[derive(Debug, Clone)]
pub struct Recalled {
    pub memory: MemoryId,
    /// Of those with this goal and plan the newest that came out best.
    pub mission: MissionId,
    pub goal: String,
    /// 0 to 1: by the words of the goals alone.
    pub likeness: f64,
    /// 0 to 1: with outcome and age; the order they come in.
    pub score: f64,
    pub outcome: Quality,
    pub runs: u64,
    pub verified: u64,
    pub at: Timestamp,
    /// Leaves in plan order, with every default resolved; empty where there are too many to bring back.
    pub plan: Vec<TaskSpec>,
    /// Name, version and inputs, where it was made from a playbook.
    pub playbook: Option<(String, i64, Map<String, Value>)>,
}

impl Recalled {
    pub fn is_verified(&self) -> bool {
        self.outcome == Quality::Verified
    }
}

/// Missions whose goals are like this one, the most promising first. Empty where RECALL is not held: whoever wants to say
/// so asks [`evolution::may`] itself.
pub async fn similar(app: &App, read: &mut Connection, goal: &str, limit: u32) -> Result<Vec<Recalled>> {
    alike(app, read, goal, limit, true).await
}

/// As [`similar`], where the same was asked before: written down again, and not counted again.
pub(in crate::service) async fn similar_again(
    app: &App,
    read: &mut Connection,
    goal: &str,
    limit: u32,
) -> Result<Vec<Recalled>> {
    alike(app, read, goal, limit, false).await
}

async fn alike(
    app: &App,
    read: &mut Connection,
    goal: &str,
    limit: u32,
    counted: bool,
) -> Result<Vec<Recalled>> {
    let now = app.clock.now();
    if !evolution::may(app, read, Trait::Recall, now).await? {
        return Ok(Vec::new());
    }
    let goal = bounded(goal);
    let found = read.memories_about(goal, Some(MemoryKind::Mission), CANDIDATES).await?;
    let mut alike: Vec<_> = found
        .into_iter()
        .filter_map(|one| {
            let likeness = likeness(goal, &one.title);
            let outcome = Quality::of(one.quality);
            let mission = one.mission?;
            (likeness >= ALIKE).then(|| Recalled {
                memory: one.id,
                mission,
                likeness,
                score: worth(likeness, now.since(one.at), outcome),
                outcome,
                runs: count(one.runs),
                verified: count(one.verified),
                at: one.at,
                goal: one.title,
                plan: Vec::new(),
                playbook: None,
            })
        })
        .collect();
    alike.sort_by(|left, right| right.score.total_cmp(&left.score).then(right.at.cmp(&left.at)));
    alike.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    for one in &mut alike {
        let leaves = read.first_leaves(one.mission, MOST_TASKS + 1).await?;
        if leaves.len() <= MOST_TASKS as usize {
            let plan: Result<Vec<_>, _> = leaves.iter().map(|leaf| serde_json::from_str(leaf)).collect();
            one.plan = plan.map_err(Error::internal)?;
        }
        let made_of = read.mission_inputs(&[one.mission]).await?.into_iter().next();
        one.playbook = made_of.and_then(|made| {
            let inputs = serde_json::from_str(&made.inputs).ok()?;
            Some((made.playbook.to_string(), made.version, inputs))
        });
    }
    let ids: Vec<_> = alike.iter().map(|one| one.memory).collect();
    note(app, Asked::Planning, &ids, counted).await?;
    Ok(alike)
}

/// Anything remembered about some words, for an answer or a planner; as [`similar`] about the trait.
pub async fn recall(
    app: &App,
    read: &mut Connection,
    words: &str,
    asked: Asked,
    limit: u32,
) -> Result<Vec<MemoryView>> {
    let now = app.clock.now();
    if !evolution::may(app, read, Trait::Recall, now).await? {
        return Ok(Vec::new());
    }
    let words = bounded(words);
    let found = read.memories_about(words, None, limit.saturating_mul(WIDER)).await?;
    let found = ordered(found, words, now, usize::try_from(limit).unwrap_or(usize::MAX));
    let ids: Vec<_> = found.iter().map(|one| one.id).collect();
    note(app, asked, &ids, true).await?;
    Ok(found)
}

fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_QUESTION.min(text.len()))]
}

/// Something was made of these memories: a plan, an answer. Counted once per use, within the trait that let them be read.
pub async fn used(app: &App, asked: Asked, ids: &[MemoryId], mission: Option<MissionId>) -> Result<()> {
    let counted = MemoryUse { used: 1, ..nothing(app, asked) };
    write(app, counted, ids, mission).await
}

async fn note(app: &App, asked: Asked, ids: &[MemoryId], counted: bool) -> Result<()> {
    let nothing = nothing(app, asked);
    let hit = i64::from(!ids.is_empty());
    let counted = if counted { MemoryUse { asked: 1, hits: hit, ..nothing } } else { nothing };
    write(app, counted, ids, None).await
}

fn nothing(app: &App, asked: Asked) -> MemoryUse {
    MemoryUse { day: day(app.clock.now()), purpose: asked.as_str().to_owned(), asked: 0, hits: 0, used: 0 }
}

async fn write(app: &App, counted: MemoryUse, ids: &[MemoryId], mission: Option<MissionId>) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("memory.use", (counted, ids.to_vec()), move |tx, (counted, ids)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let used = counted.used > 0;
                if used || counted.asked > 0 {
                    unit.tx.count_memory_use(counted).await?;
                    unit.tx.memories_recalled(ids, used).await?;
                }
                let action = if used { "memory.used" } else { "memory.recalled" };
                let body = json!({"for": counted.purpose, "trait": Trait::Recall.name(), "memories": ids});
                let subject = ("organism", app.organism.to_string());
                unit.audit(SYSTEM, action, subject, mission, body);
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}
