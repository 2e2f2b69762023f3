//! Asserted beliefs: a statement with how sure somebody is, what it rests on, and every revision of it. One that is
//! contradicted or withdrawn puts a mark on everything that rests on it.
//!
//! People assert in their own name. What the system asserts or contradicts unasked asks for `BELIEF_TRACK`.

use std::collections::{BTreeMap, BTreeSet};

use nexusmon_core::beliefs::graph::{circular, doubted};
use nexusmon_core::evolution::Trait;
use nexusmon_shared::id::BeliefId;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{
    BeliefEdge, BeliefRevisionRow, BeliefRow, BeliefState, MOST_BELIEFS, MOST_BELIEFS_KEPT, Topic,
};
use serde_json::json;

use super::super::missions::no_nul;
use super::super::unit::{Actor, Unit};
use super::super::{Caller, evolution};
use super::evidence::{self, Evidence};
use crate::app::App;
use crate::error::{Error, Result};

const MAX_STATEMENT: usize = 1_000;
const MAX_NOTE: usize = 2_000;
const MOST_GROUNDS: usize = 50;
/// Of one belief, however often it is revised.
const MOST_GROUNDS_IN_ALL: usize = 100;
const MOST_REVISIONS: i64 = 200;

/// A belief as it is asserted.
#[derive(Debug, Clone)]
pub struct NewBelief {
    pub statement: String,
    /// 0 to 1.
    pub confidence: f64,
    pub evidence: Vec<Evidence>,
    pub rests_on: Vec<BeliefId>,
}

/// What is different from now on.
#[derive(Debug, Clone, Default)]
pub struct Revision {
    pub statement: Option<String>,
    pub state: Option<BeliefState>,
    pub confidence: Option<f64>,
    pub evidence: Vec<Evidence>,
    /// Beliefs it rests on in addition.
    pub rests_on: Vec<BeliefId>,
    pub comment: Option<String>,
    /// The revision that is meant; another in between is a conflict.
    pub of_revision: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct AssertedBelief {
    pub id: BeliefId,
    pub statement: String,
    pub state: BeliefState,
    pub confidence: f64,
    /// The fallen belief that it rests on.
    pub doubted_by: Option<BeliefId>,
    pub rests_on: Vec<BeliefId>,
    pub revision: i64,
    pub created_by: String,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct RevisionView {
    pub revision: i64,
    pub statement: String,
    pub state: BeliefState,
    pub confidence: f64,
    pub evidence: Vec<Evidence>,
    pub comment: Option<String>,
    pub author: String,
    pub at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct BeliefDetail {
    pub belief: AssertedBelief,
    /// What rests on it.
    pub supports: Vec<BeliefId>,
    /// Oldest first.
    pub history: Vec<RevisionView>,
}

fn view(row: BeliefRow, edges: &BTreeMap<BeliefId, Vec<BeliefId>>) -> AssertedBelief {
    let rests_on = edges.get(&row.id).cloned().unwrap_or_default();
    let BeliefRow {
        id,
        statement,
        state,
        confidence,
        doubted_by,
        revision,
        created_by,
        created_at,
        changed_at,
    } = row;
    AssertedBelief {
        id,
        statement,
        state,
        confidence,
        doubted_by,
        rests_on,
        revision,
        created_by,
        created_at,
        changed_at,
    }
}

fn grounds(edges: &[BeliefEdge]) -> BTreeMap<BeliefId, Vec<BeliefId>> {
    let mut grounds = BTreeMap::<_, Vec<_>>::new();
    for edge in edges {
        grounds.entry(edge.belief).or_default().push(edge.rests_on);
    }
    grounds
}

/// Every asserted belief, newest first.
pub async fn beliefs(app: &App) -> Result<Vec<AssertedBelief>> {
    let mut read = app.store.read().await?;
    let edges = grounds(&read.belief_edges().await?);
    Ok(read.beliefs().await?.into_iter().map(|row| view(row, &edges)).collect())
}

pub async fn get(app: &App, id: BeliefId) -> Result<BeliefDetail> {
    let mut read = app.store.read().await?;
    let row = read.belief(id).await?.ok_or_else(|| Error::not_found("belief", id))?;
    let edges = read.belief_edges().await?;
    let supports = edges.iter().filter(|edge| edge.rests_on == id).map(|edge| edge.belief).collect();
    let history = read.belief_revisions(id).await?;
    let history = history
        .into_iter()
        .map(|row| {
            Ok(RevisionView {
                revision: row.revision,
                statement: row.statement,
                state: row.state,
                confidence: row.confidence,
                evidence: serde_json::from_str(&row.evidence).map_err(Error::internal)?,
                comment: row.comment,
                author: row.author,
                at: row.at,
            })
        })
        .collect::<Result<_>>()?;
    Ok(BeliefDetail { belief: view(row, &grounds(&edges)), supports, history })
}

fn check_text(text: &str, pointer: &'static str, most: usize) -> Result<()> {
    if text.trim().is_empty() {
        return Err(Error::field(pointer, "required", "must say something"));
    }
    if text.len() > most {
        return Err(Error::field(pointer, "too_long", format!("must be at most {most} bytes")));
    }
    no_nul(text, pointer)
}

fn check_confidence(confidence: f64) -> Result<()> {
    if (0.0..=1.0).contains(&confidence) {
        return Ok(());
    }
    Err(Error::field("/confidence", "out_of_range", "must be from 0 to 1"))
}

/// Asserts something in a person's or program's name.
pub async fn assert(app: &App, caller: &Caller, new: NewBelief) -> Result<BeliefDetail> {
    check_text(&new.statement, "/statement", MAX_STATEMENT)?;
    check_confidence(new.confidence)?;
    evidence::check(&new.evidence)?;
    if new.evidence.is_empty() && new.rests_on.is_empty() {
        let message = "say what it rests on: at least one piece of evidence, or another belief";
        return Err(Error::field("/evidence", "required", message));
    }
    let unit_app = app.clone();
    let (id, after) = app
        .store
        .write_with("beliefs.assert", (new, Actor::from(caller)), move |tx, (new, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                evidence::check_known(&mut unit, &new.evidence).await?;
                let graph = Graph::locked(&mut unit).await?;
                let id = put_new(&mut unit, graph, actor, new).await?;
                Ok::<_, Error>((id, unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    get(app, id).await
}

/// The system asserts something in a unit under way, if it may: `None` where `BELIEF_TRACK` is not held, or where no more
/// beliefs are kept.
pub(in crate::service) async fn assert_unasked(
    unit: &mut Unit<'_>,
    new: &NewBelief,
) -> Result<Option<BeliefId>> {
    let now = unit.now;
    if !evolution::may(unit.app, unit.tx, Trait::BeliefTrack, now).await? {
        return Ok(None);
    }
    let graph = Graph::locked(unit).await?;
    if graph.full().is_some() {
        tracing::info!(statement = %new.statement, "not asserted: as many beliefs are kept as there may be");
        return Ok(None);
    }
    put_new(unit, graph, &Actor::system(), new).await.map(Some)
}

/// All beliefs with what rests on what, held so for the unit.
struct Graph {
    known: Vec<BeliefRow>,
    /// (belief, what it rests on).
    edges: Vec<(BeliefId, BeliefId)>,
}

impl Graph {
    async fn locked(unit: &mut Unit<'_>) -> Result<Self> {
        unit.tx.lock_organism().await?;
        let known = unit.tx.beliefs().await?;
        let edges = unit.tx.belief_edges().await?;
        Ok(Self { known, edges: edges.into_iter().map(|edge| (edge.belief, edge.rests_on)).collect() })
    }

    /// Why there cannot be another one.
    fn full(&self) -> Option<String> {
        let standing = self.known.iter().filter(|row| row.state != BeliefState::Withdrawn).count();
        if standing >= MOST_BELIEFS as usize {
            return Some(format!(
                "there are {MOST_BELIEFS} beliefs already, which is the most that are kept; withdraw one that is not \
                 needed"
            ));
        }
        let all = self.known.len() >= MOST_BELIEFS_KEPT as usize;
        all.then(|| {
            format!(
                "there are {MOST_BELIEFS_KEPT} beliefs already with those that were withdrawn, which is the most \
                 that are kept"
            )
        })
    }

    /// As it is with this belief, and with what it rests on in addition.
    fn put(&mut self, row: &BeliefRow, rests_on: &[BeliefId]) {
        if let Some(known) = self.known.iter_mut().find(|known| known.id == row.id) {
            known.clone_from(row);
        } else {
            self.known.push(row.clone());
        }
        for ground in rests_on {
            if !self.edges.contains(&(row.id, *ground)) {
                self.edges.push((row.id, *ground));
            }
        }
    }
}

async fn put_new(unit: &mut Unit<'_>, graph: Graph, actor: &Actor, new: &NewBelief) -> Result<BeliefId> {
    if let Some(why) = graph.full() {
        return Err(Error::conflict("too_many", why));
    }
    let now = unit.now;
    let id = unit.app.rng.with(|rng| BeliefId::new(now, rng));
    check_grounds(&graph, id, &new.rests_on)?;
    let row = BeliefRow {
        id,
        statement: new.statement.trim().to_owned(),
        state: BeliefState::Held,
        confidence: new.confidence,
        doubted_by: None,
        revision: 1,
        created_by: actor.0.to_string(),
        created_at: now,
        changed_at: now,
    };
    let change =
        Change { evidence: &new.evidence, rests_on: &new.rests_on, comment: None, action: "belief.asserted" };
    keep(unit, graph, actor, row, change).await?;
    Ok(id)
}

fn check_grounds(graph: &Graph, id: BeliefId, rests_on: &[BeliefId]) -> Result<()> {
    if rests_on.len() > MOST_GROUNDS {
        return Err(Error::field("/rests_on", "too_many", format!("at most {MOST_GROUNDS} at once")));
    }
    let known: BTreeSet<_> = graph.known.iter().map(|row| row.id).collect();
    if let Some(unknown) = rests_on.iter().find(|id| !known.contains(id)) {
        let message = format!("there is no belief `{unknown}`");
        return Err(Error::field("/rests_on", "unknown_belief", message));
    }
    let before = graph.edges.iter().filter(|(belief, _)| *belief == id).map(|(_, ground)| *ground);
    let all: BTreeSet<_> = before.chain(rests_on.iter().copied()).collect();
    if !rests_on.is_empty() && all.len() > MOST_GROUNDS_IN_ALL {
        let message =
            format!("a belief rests on at most {MOST_GROUNDS_IN_ALL} others in all; assert a new one");
        return Err(Error::field("/rests_on", "too_many", message));
    }
    Ok(())
}

/// Adds a revision. Another state may mark, or unmark, what rests on it.
pub async fn revise(app: &App, caller: &Caller, id: BeliefId, revision: Revision) -> Result<BeliefDetail> {
    if let Some(statement) = &revision.statement {
        check_text(statement, "/statement", MAX_STATEMENT)?;
    }
    if let Some(confidence) = revision.confidence {
        check_confidence(confidence)?;
    }
    evidence::check(&revision.evidence)?;
    if let Some(comment) = &revision.comment {
        check_text(comment, "/comment", MAX_NOTE)?;
    }
    let changed = revision.statement.is_some() || revision.state.is_some() || revision.confidence.is_some();
    if !changed && revision.evidence.is_empty() && revision.rests_on.is_empty() {
        let message = "a revision changes something, or adds evidence";
        return Err(Error::field("", "empty", message));
    }
    if revision.state.is_some() && revision.evidence.is_empty() && revision.comment.is_none() {
        return Err(Error::field("/evidence", "required", "say why: evidence, or a comment"));
    }
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("beliefs.revise", (revision, Actor::from(caller)), move |tx, (revision, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                evidence::check_known(&mut unit, &revision.evidence).await?;
                put_revision(&mut unit, actor, id, revision).await?;
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    get(app, id).await
}

/// The system contradicts what it asserted itself, within the trait that let it; nothing without it.
pub(in crate::service) async fn contradict_unasked(
    unit: &mut Unit<'_>,
    id: BeliefId,
    evidence: Evidence,
    why: &str,
) -> Result<()> {
    let now = unit.now;
    // One that is held may fall, however often it was revised.
    let held = unit.tx.belief(id).await?.filter(|row| row.state == BeliefState::Held);
    if held.is_none() || !evolution::may(unit.app, unit.tx, Trait::BeliefTrack, now).await? {
        return Ok(());
    }
    let revision = Revision {
        state: Some(BeliefState::Contradicted),
        evidence: vec![evidence],
        comment: Some(why.to_owned()),
        ..Revision::default()
    };
    put_revision(unit, &Actor::system(), id, &revision).await
}

async fn put_revision(unit: &mut Unit<'_>, actor: &Actor, id: BeliefId, revision: &Revision) -> Result<()> {
    let graph = Graph::locked(unit).await?;
    let row = graph.known.iter().find(|row| row.id == id);
    let mut row = row.cloned().ok_or_else(|| Error::not_found("belief", id))?;
    if revision.of_revision.is_some_and(|meant| meant != row.revision) {
        let detail = format!("it is at revision {} by now; read it again", row.revision);
        return Err(Error::conflict("changed", detail));
    }
    if row.revision >= MOST_REVISIONS && !falls(row.state, revision.state) {
        let message = format!(
            "a belief has at most {MOST_REVISIONS} revisions, and this one has them; withdraw it and assert a new one"
        );
        return Err(Error::field("/state", "too_many_revisions", message));
    }
    check_grounds(&graph, id, &revision.rests_on)?;
    if circular(id, &revision.rests_on, &graph.edges) {
        return Err(Error::field("/rests_on", "circular", "a belief cannot rest on itself"));
    }
    if let Some(statement) = &revision.statement {
        statement.trim().clone_into(&mut row.statement);
    }
    row.state = revision.state.unwrap_or(row.state);
    row.confidence = revision.confidence.unwrap_or(row.confidence);
    row.revision += 1;
    row.changed_at = unit.now;
    let change = Change {
        evidence: &revision.evidence,
        rests_on: &revision.rests_on,
        comment: revision.comment.as_deref(),
        action: "belief.revised",
    };
    keep(unit, graph, actor, row, change).await
}

/// A step nobody may be kept from, and that cannot be taken often.
fn falls(from: BeliefState, to: Option<BeliefState>) -> bool {
    match from {
        BeliefState::Held => to.is_some_and(|to| to != BeliefState::Held),
        BeliefState::Contradicted => to == Some(BeliefState::Withdrawn),
        BeliefState::Withdrawn => false,
    }
}

/// What a revision adds beside the row itself.
struct Change<'a> {
    evidence: &'a [Evidence],
    rests_on: &'a [BeliefId],
    comment: Option<&'a str>,
    action: &'static str,
}

async fn keep(
    unit: &mut Unit<'_>,
    mut graph: Graph,
    actor: &Actor,
    row: BeliefRow,
    change: Change<'_>,
) -> Result<()> {
    let Change { evidence, rests_on, comment, action } = change;
    let revision = BeliefRevisionRow {
        belief: row.id,
        revision: row.revision,
        statement: row.statement.clone(),
        state: row.state,
        confidence: row.confidence,
        evidence: serde_json::to_string(evidence).map_err(Error::internal)?,
        comment: comment.map(str::to_owned),
        author: actor.0.to_string(),
        at: row.changed_at,
    };
    unit.tx.put_belief(&row, &revision).await?;
    let edges: Vec<_> =
        rests_on.iter().map(|ground| BeliefEdge { belief: row.id, rests_on: *ground }).collect();
    unit.tx.add_belief_edges(&edges).await?;
    graph.put(&row, rests_on);
    let marked = mark(unit, &graph).await?;
    let body = json!({"revision": row.revision, "statement": row.statement, "state": row.state,
        "confidence": row.confidence, "evidence": evidence, "rests_on": rests_on, "comment": comment,
        "in_doubt": marked});
    unit.audit(actor.0.clone(), action, ("belief", row.id.to_string()), None, body);
    unit.tx.wake(Topic::Governance);
    Ok(())
}

/// Brings the marks to what the graph says; gives what is in doubt newly.
async fn mark(unit: &mut Unit<'_>, graph: &Graph) -> Result<Vec<BeliefId>> {
    let fallen = graph.known.iter().filter(|row| row.state != BeliefState::Held).map(|row| row.id).collect();
    let doubts = doubted(&fallen, &graph.edges);
    let changes: Vec<_> = graph
        .known
        .iter()
        .map(|row| (row, doubts.get(&row.id).copied()))
        .filter(|(row, doubt)| row.doubted_by != *doubt)
        .map(|(row, doubt)| (row.id, doubt))
        .collect();
    unit.tx.mark_doubts(&changes).await?;
    Ok(changes.into_iter().filter(|(_, doubt)| doubt.is_some()).map(|(id, _)| id).collect())
}
