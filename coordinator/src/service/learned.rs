//! Learned playbooks: drafted from verified missions of one kind once the organism is FORGING, offered for review beside
//! the playbook most like it, and promoted by a person, or by the system where it holds `SELF_EVOLVE` and the rank is C or
//! below.

use bytes::Bytes;
use futures::StreamExt as _;
use nexusmon_core::evolution::{Stage, Trait};
use nexusmon_core::learned::{self as core, RUNS, Run};
use nexusmon_core::memory::{likeness, words};
use nexusmon_core::planning::parse_playbook;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{BeliefId, MissionId};
use nexusmon_shared::name::Name;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{Connection, Json, LearnedRow, LearnedState, PlaybookRow, Topic};
use serde_json::{Value, json};

use super::beliefs::{Evidence, NewBelief, assert_unasked};
use super::playbooks::{self, PlaybookView};
use super::unit::{Actor, SYSTEM, Unit};
use super::{Caller, PageRequest, evolution, missions, reviews, vault};
use crate::app::App;
use crate::error::{Error, Result};

/// The lease under which playbooks are drafted.
pub const DUTY: &str = "learned";

/// Drafts made by one activation, missions looked at for each, and offers shown.
const AT_ONCE: u32 = 10;
const LOOKED_AT: u32 = 10;
const SHOWN: u32 = 200;
/// The most that the system promotes by itself.
const CEILING: Rank = Rank::C;

/// An offer.
#[derive(Debug, Clone)]
pub struct LearnedView {
    pub name: Name,
    /// `offered`, `promoted`, `declined`.
    pub state: LearnedState,
    pub rank: Rank,
    pub missions: Vec<MissionId>,
    /// What the system believes of it.
    pub belief: Option<BeliefId>,
    /// The playbook most like it, and how like (0 to 1).
    pub nearest: Option<String>,
    pub likeness: Option<f64>,
    pub body: Value,
    pub decided_by: Option<String>,
    pub decided_at: Option<Timestamp>,
    pub comment: Option<String>,
    pub version: Option<i64>,
    pub created_at: Timestamp,
}

fn view(row: LearnedRow) -> Result<LearnedView> {
    Ok(LearnedView {
        body: serde_json::from_str(&row.body).map_err(Error::internal)?,
        name: row.name,
        state: row.state,
        rank: row.rank,
        missions: row.missions.0,
        belief: row.belief,
        nearest: row.nearest,
        likeness: row.likeness,
        decided_by: row.decided_by,
        decided_at: row.decided_at,
        comment: row.comment,
        version: row.version,
        created_at: row.created_at,
    })
}

/// Newest first.
pub async fn list(app: &App) -> Result<Vec<LearnedView>> {
    app.store.read().await?.learned(SHOWN).await?.into_iter().map(view).collect()
}

/// An offer with its difference from the nearest playbook there is now; `None` where there is none.
pub async fn get(app: &App, name: &Name) -> Result<(LearnedView, Option<String>)> {
    let row = app.store.read().await?.learned_named(name).await?;
    let found = view(row.ok_or_else(|| Error::not_found("learned playbook", name))?)?;
    let Some(nearest) = found.nearest.as_ref().and_then(|name| name.parse::<Name>().ok()) else {
        return Ok((found, None));
    };
    let known = match playbooks::get(app, &nearest, None).await {
        Ok(known) => known,
        // Retired since.
        Err(Error::NotFound { .. }) => return Ok((found, None)),
        Err(error) => return Err(error),
    };
    let pretty = |body: &Value| serde_json::to_string_pretty(body).map(|text| text + "\n");
    let old = pretty(&known.body).map_err(Error::internal)?;
    let new = pretty(&found.body).map_err(Error::internal)?;
    let names = (format!("{nearest}@{}", known.version), format!("{} (learned)", found.name));
    let diff = tokio::task::spawn_blocking(move || vault::unified(&names.0, &names.1, &old, &new));
    let diff = diff.await.map_err(Error::internal)?;
    Ok((found, Some(diff)))
}

/// One activation; idempotent. Drafts what has become worth it, then promotes what the system may promote. Gives how many
/// were drafted.
pub async fn learn(app: &App) -> Result<usize> {
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let ripe = read.ripe_skeletons(i64::try_from(RUNS).unwrap_or(i64::MAX), AT_ONCE).await?;
    let waits = read.learned(SHOWN).await?.iter().any(|row| row.state == LearnedState::Offered);
    if ripe.is_empty() && !waits {
        return Ok(0);
    }
    let organism = evolution::organism(app, &mut read, now).await?;
    let mut drafted = 0;
    if organism.stage >= Stage::Forging {
        for skeleton in ripe {
            let offered = match draft(app, &mut read, skeleton).await? {
                Some(row) => offer(app, row).await?,
                None => false,
            };
            if offered {
                drafted += 1;
            } else {
                unfit(app, skeleton).await?;
            }
        }
    }
    // Before anything is decided about them; also what a crash left without its file.
    let missing = read.learned_without_file(SHOWN).await?;
    drop(read);
    for row in missing {
        upload(app, row).await?;
    }
    if organism.may(Trait::SelfEvolve) {
        promote_unasked(app).await?;
    }
    Ok(drafted)
}

/// Puts an offer into the vault.
async fn upload(app: &App, row: LearnedRow) -> Result<()> {
    let upload = vault::NewUpload {
        name: file_of(&row.name),
        media_type: "application/json".to_owned(),
        mission: None,
        digest: None,
    };
    let bytes = Bytes::from(row.body);
    let body = futures::stream::once(async move { Ok(bytes) }).boxed();
    vault::upload(app, &Caller::system(app), upload, body).await.map(drop)
}

/// As [`Connection::learned_without_file`] looks for it.
fn file_of(name: &Name) -> String {
    format!("learned/{name}.json")
}

/// What the newest verified missions of a kind have in common, as a playbook.
async fn draft(app: &App, read: &mut Connection, skeleton: Digest) -> Result<Option<LearnedRow>> {
    let ids = read.verified_of(skeleton, LOOKED_AT).await?;
    let mut rows = read.missions(&ids).await?;
    rows.sort_by_key(|row| std::cmp::Reverse(row.id));
    let mut runs = Vec::new();
    for row in &rows {
        let leaves = read.leaves(row.id).await?;
        let tasks = missions::draft_again(row, &leaves)?.tasks.unwrap_or_default();
        runs.push(Run {
            goal: row.goal.clone(),
            tasks: serde_json::to_value(tasks).map_err(Error::internal)?,
        });
    }
    if runs.len() < RUNS {
        return Ok(None);
    }
    let Some(found) = core::draft(&runs) else { return Ok(None) };
    let name = name_of(&found.goal, skeleton);
    let body = json!({
        "name": name, "goal": found.goal, "tasks": found.tasks, "input_schema": found.input_schema,
        "description": format!("Learned from {} verified missions.", runs.len()),
    });
    let known: Option<Name> = name.parse().ok();
    let (Some(name), Ok(_)) = (known, parse_playbook(&body)) else {
        tracing::info!(%skeleton, "what these missions have in common makes no playbook");
        return Ok(None);
    };
    let (nearest, likeness) = nearest(app, &body).await?.unzip();
    Ok(Some(LearnedRow {
        name,
        shape: skeleton,
        body: body.to_string(),
        rank: rows.iter().map(|row| row.rank).max().unwrap_or_default(),
        missions: Json(rows.iter().map(|row| row.id).collect()),
        belief: None,
        nearest,
        likeness,
        state: LearnedState::Offered,
        decided_by: None,
        decided_at: None,
        comment: None,
        version: None,
        created_at: app.clock.now(),
    }))
}

/// Remembers that nothing came of this kind, so that it does not stand before others each time.
async fn unfit(app: &App, skeleton: Digest) -> Result<()> {
    app.store
        .write("learned.unfit", move |tx| {
            Box::pin(async move {
                let now = tx.now();
                Ok::<_, Error>(tx.put_unfit_skeleton(skeleton, now).await?)
            })
        })
        .await
}

fn name_of(goal: &str, skeleton: Digest) -> String {
    let said: Vec<_> = words(&goal.replace("${{ inputs.", " ").replace("}}", " "))
        .into_iter()
        .filter(|word| word.is_ascii())
        .take(4)
        .map(|word| word.chars().take(10).collect::<String>())
        .collect();
    let digest = skeleton.to_string();
    let tail: String = digest.chars().rev().take(4).collect();
    format!("learned-{}-{tail}", said.join("-")).replace("--", "-")
}

/// The playbook whose words are most like these, of those that may be used.
async fn nearest(app: &App, body: &Value) -> Result<Option<(String, f64)>> {
    let text = body.to_string();
    let page = PageRequest { limit: Some(200), cursor: None };
    let known = playbooks::list(app, page).await?.items;
    let likest = known.into_iter().map(|one| (one.name.to_string(), likeness(&text, &one.body.to_string())));
    Ok(likest.max_by(|left, right| left.1.total_cmp(&right.1)))
}

/// Offers it: in the list, with what is believed of it; its file follows. False if somebody was quicker, or its name is
/// taken.
async fn offer(app: &App, row: LearnedRow) -> Result<bool> {
    let unit_app = app.clone();
    let (offered, after) = app
        .store
        .write_with("learned.offer", row, move |tx, row| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let mut row = row.clone();
                if unit.tx.learned_named(&row.name).await?.is_some() {
                    return Ok((false, unit.finish().await?));
                }
                let evidence = |id: &MissionId| Evidence {
                    kind: "mission".to_owned(),
                    id: Some(id.to_string()),
                    note: None,
                };
                let belief = NewBelief {
                    statement: format!("The plan of `{}` does what it is for.", row.name),
                    confidence: learned_confidence(row.missions.0.len()),
                    evidence: row.missions.0.iter().map(evidence).collect(),
                    rests_on: Vec::new(),
                };
                row.belief = assert_unasked(&mut unit, &belief).await?;
                let offered = unit.tx.insert_learned(&row).await?;
                if offered {
                    let body = json!({"missions": row.missions.0, "rank": row.rank, "artifact": file_of(&row.name),
                        "nearest": row.nearest, "stage": Stage::Forging.name()});
                    unit.audit(SYSTEM, "playbook.drafted", ("playbook", row.name.to_string()), None, body);
                    unit.tx.wake(Topic::Missions);
                }
                Ok::<_, Error>((offered, unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    Ok(offered)
}

/// Mean of Beta(runs + 1, 1).
#[expect(clippy::cast_precision_loss, reason = "a handful of runs")]
fn learned_confidence(runs: usize) -> f64 {
    (runs as f64 + 1.0) / (runs as f64 + 2.0)
}

/// Makes it a playbook, by a person's word.
pub async fn promote(
    app: &App,
    caller: &Caller,
    name: &Name,
    comment: Option<String>,
) -> Result<PlaybookView> {
    reviews::check_comment(comment.as_deref())?;
    make(app, caller, name, comment, false).await?;
    playbooks::get(app, name, None).await
}

async fn promote_unasked(app: &App) -> Result<()> {
    for row in app.store.read().await?.learned(SHOWN).await? {
        if row.state == LearnedState::Offered && row.rank <= CEILING {
            match make(app, &Caller::system(app), &row.name, None, true).await {
                Ok(()) => {}
                // Decided meanwhile, the trait lost meanwhile, or of a name that is taken: for a person to look at.
                Err(Error::Conflict { .. }) => {
                    tracing::info!(playbook = %row.name, "a learned playbook is left to people");
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

async fn make(app: &App, caller: &Caller, name: &Name, comment: Option<String>, unasked: bool) -> Result<()> {
    let found = open_offer(app, name).await?;
    let playbook = playbooks::read(app, caller, &found.body)?;
    let actor = if unasked { Actor::system() } else { Actor::from(caller) };
    decide(app, name, Decision { actor, comment, unasked, playbook: Some(playbook) }).await
}

/// Puts it aside for good: the same kind is not offered again.
pub async fn decline(app: &App, caller: &Caller, name: &Name, comment: Option<String>) -> Result<()> {
    reviews::check_comment(comment.as_deref())?;
    open_offer(app, name).await?;
    let decision = Decision { actor: Actor::from(caller), comment, unasked: false, playbook: None };
    decide(app, name, decision).await
}

async fn open_offer(app: &App, name: &Name) -> Result<LearnedView> {
    let row = app.store.read().await?.learned_named(name).await?;
    let row = row.ok_or_else(|| Error::not_found("learned playbook", name))?;
    if row.state != LearnedState::Offered {
        return Err(Error::conflict("already_decided", format!("it is {} already", row.state.as_str())));
    }
    view(row)
}

/// What becomes of an offer.
#[derive(Clone)]
struct Decision {
    actor: Actor,
    comment: Option<String>,
    /// By the system, of its own accord.
    unasked: bool,
    /// What it is made into; without one it is put aside.
    playbook: Option<PlaybookRow>,
}

async fn decide(app: &App, name: &Name, decision: Decision) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("learned.decide", (name.clone(), decision), move |tx, (name, decision)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                unit.tx.lock_organism().await?;
                write(&mut unit, name, decision).await?;
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

async fn write(unit: &mut Unit<'_>, name: &Name, decision: &Decision) -> Result<()> {
    let Decision { actor, comment, unasked, playbook } = decision;
    // What would have suspended it may have come in since it was asked for.
    if *unasked && !evolution::may(unit.app, unit.tx, Trait::SelfEvolve, unit.now).await? {
        return Err(Error::conflict("trait_locked", "SELF_EVOLVE is not the system's to use now"));
    }
    let row = unit.tx.learned_named(name).await?;
    let mut row = row.ok_or_else(|| Error::not_found("learned playbook", name))?;
    let (state, action) = match playbook {
        Some(_) => (LearnedState::Promoted, "playbook.promoted"),
        None => (LearnedState::Declined, "playbook.declined"),
    };
    row.state = state;
    row.decided_by = Some(actor.0.to_string());
    row.decided_at = Some(unit.now);
    row.comment.clone_from(comment);
    row.version = match playbook {
        Some(playbook) => Some(playbooks::begin(unit, actor, playbook).await?),
        None => None,
    };
    if !unit.tx.decide_learned(&row).await? {
        return Err(Error::conflict("already_decided", "somebody decided meanwhile"));
    }
    let by = unasked.then(|| Trait::SelfEvolve.name());
    let body = json!({"trait": by, "rank": row.rank, "version": row.version, "comment": comment});
    unit.audit(actor.0.clone(), action, ("playbook", name.to_string()), None, body);
    unit.tx.wake(Topic::Missions);
    Ok(())
}
