//! Memory: what missions were, what they left and what people said of it, found again by words. Learned in the
//! background, behind the audit log; the hot path writes nothing for it.
//!
//! The operator searches and forgets. What the *system* reads of it, for planning or answering, asks for RECALL.

mod learn;
mod recall;

use std::sync::atomic::AtomicI64;

use nexusmon_core::memory::{Quality, worth};
use nexusmon_shared::id::{MemoryId, MissionId};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{FoundMemory, MemoryKind, MemoryUse};
use serde_json::json;

use super::beliefs::day;
use super::unit::{Actor, Unit};
use super::{Caller, audit};
use crate::app::App;
use crate::error::{Error, Result};

pub use learn::{Learned, learn};
pub(in crate::service) use recall::similar_again;
pub use recall::{Asked, Recalled, recall, similar, used};

/// Bytes of a question.
const MAX_QUESTION: usize = 1_000;
/// Looked at for each that is asked for: text alone is not what they are ordered by.
const WIDER: u32 = 4;
/// Bytes of an excerpt.
const EXCERPT: usize = 240;

/// How far this node knows memory to be, so that a quiet system is not asked again and again.
#[derive(Debug, Default)]
pub struct Place(pub(super) AtomicI64);

/// A memory as people see it.
#[derive(Debug, Clone)]
pub struct MemoryView {
    pub id: MemoryId,
    /// `mission`, `artifact`, `review`.
    pub kind: &'static str,
    pub mission: Option<MissionId>,
    pub title: String,
    /// Where the words stand.
    pub excerpt: String,
    /// `verified`, `succeeded`, `failed`, `cancelled`, `rejected`.
    pub outcome: &'static str,
    pub runs: u64,
    pub verified: u64,
    pub succeeded: u64,
    pub failed: u64,
    /// How often the system was reminded of it, and made something of it.
    pub recalled: u64,
    pub used: u64,
    pub at: Timestamp,
    /// 0 to 1: text, outcome and age together.
    pub score: f64,
}

fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}

fn view(found: FoundMemory, question: &str, score: f64) -> MemoryView {
    let FoundMemory { id, kind, mission, title, body, .. } = &found;
    MemoryView {
        id: *id,
        kind: kind.as_str(),
        mission: *mission,
        excerpt: excerpt(body, question),
        title: title.clone(),
        outcome: Quality::of(found.quality).as_str(),
        runs: count(found.runs),
        verified: count(found.verified),
        succeeded: count(found.succeeded),
        failed: count(found.failed),
        recalled: count(found.recalled),
        used: count(found.used),
        at: found.at,
        score,
    }
}

/// The surroundings of the first word that was asked for.
fn excerpt(body: &str, question: &str) -> String {
    let lower = body.to_lowercase();
    // Where lower case has another length than the text, the place would be a guess.
    let place = if lower.len() == body.len() {
        let words = nexusmon_core::memory::words(question);
        words.iter().filter_map(|word| lower.find(word.as_str())).min().unwrap_or(0)
    } else {
        0
    };
    let from = body.floor_char_boundary(place.saturating_sub(EXCERPT / 4));
    let to = body.floor_char_boundary((from + EXCERPT).min(body.len()));
    let text: String = body[from..to].split_whitespace().collect::<Vec<_>>().join(" ");
    let lead = if from > 0 { "… " } else { "" };
    let tail = if to < body.len() { " …" } else { "" };
    format!("{lead}{text}{tail}")
}

/// In the order of worth; `fit` of the database is measured against the best there is.
fn ordered(found: Vec<FoundMemory>, question: &str, now: Timestamp, limit: usize) -> Vec<MemoryView> {
    let best = found.iter().map(|one| one.fit).fold(0.0, f64::max);
    let mut scored: Vec<(f64, FoundMemory)> = found
        .into_iter()
        .map(|one| {
            let text = if best > 0.0 { one.fit / best } else { 1.0 };
            (worth(text, now.since(one.at), Quality::of(one.quality)), one)
        })
        .collect();
    scored.sort_by(|left, right| right.0.total_cmp(&left.0).then(right.1.at.cmp(&left.1.at)));
    scored.into_iter().take(limit).map(|(score, one)| view(one, question, score)).collect()
}

/// What the operator finds; without a question the newest. Counted, so that the hit rate is a number and no feeling.
pub async fn search(
    app: &App,
    question: Option<&str>,
    kind: Option<&str>,
    limit: u32,
) -> Result<Vec<MemoryView>> {
    let kind = match kind {
        None => None,
        Some(word) => Some(MemoryKind::parse(word).ok_or_else(|| {
            Error::field("?kind", "unknown_value", "must be `mission`, `artifact` or `review`")
        })?),
    };
    let question = question.map(str::trim).filter(|text| !text.is_empty());
    if question.is_some_and(|text| text.len() > MAX_QUESTION) {
        let message = format!("must be at most {MAX_QUESTION} bytes");
        return Err(Error::field("?q", "too_long", message));
    }
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let Some(question) = question else {
        let newest = read.newest_memories(kind, limit).await?;
        return Ok(newest.into_iter().map(|one| view(one, "", 0.0)).collect());
    };
    let found = read.memories_about(question, kind, limit.saturating_mul(WIDER)).await?;
    drop(read);
    let hit = !found.is_empty();
    let asked =
        MemoryUse { day: day(now), purpose: "search".to_owned(), asked: 1, hits: i64::from(hit), used: 0 };
    app.store
        .write_with("memory.search", asked, |tx, asked| {
            Box::pin(async move { Ok::<_, Error>(tx.count_memory_use(asked).await?) })
        })
        .await?;
    Ok(ordered(found, question, now, usize::try_from(limit).unwrap_or(usize::MAX)))
}

/// Takes a memory away for good: its text goes, and the same thing is not learned again.
pub async fn forget(app: &App, caller: &Caller, id: MemoryId) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("memory.forget", (id, Actor::from(caller)), move |tx, (id, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let found = unit.tx.memory(*id).await?.filter(|row| row.forgotten_at.is_none());
                let found = found.ok_or_else(|| Error::not_found("memory", *id))?;
                let now = unit.now;
                let gone = unit.tx.forget_memory(*id, now).await?;
                // Nor does the audit trail go on saying it.
                let words = match found.mission {
                    Some(mission) => unit.tx.openings_of_mission(mission).await?,
                    None => Vec::new(),
                };
                let words = audit::among(words, &[&found.title, &found.body]);
                let words = unit.tx.erase_openings(&words).await?;
                // What it said is not written down again here.
                let body = json!({"kind": found.kind.as_str(), "texts": gone, "words_erased": words});
                unit.audit(
                    actor.0.clone(),
                    "memory.forgotten",
                    ("memory", id.to_string()),
                    found.mission,
                    body,
                );
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn excerpts_show_where_the_words_stand() {
        let body = format!("{} the needle {}", "hay ".repeat(200), "straw ".repeat(200));
        let shown = excerpt(&body, "Needles");
        assert!(shown.starts_with('…') && shown.ends_with('…') && shown.contains("needle"), "{shown}");
        assert_eq!(excerpt("short\ntext", "nothing of it"), "short text");
        // Cut between characters, never within one.
        assert!(excerpt(&"ß→".repeat(500), "ß").len() <= 250 + 8);
    }
}
