//! Missions that are over, and what their playbooks say should follow: proposed, or begun where the system may.

use std::sync::Arc;
use std::time::Duration;

use nexusmon_core::evolution::Trait;
use nexusmon_core::planning::{FollowUp, FollowsOn, parse_playbook};
use nexusmon_core::trigger::{Run, condition, event_inputs, repeated, repeats};
use nexusmon_shared::id::ProposalId;
use nexusmon_store::{MissionInputsRow, MissionRow, PageRequest, ProposalRow, ProposalState, TaskFilter, Tx};
use serde_json::{Map, Value, json};

use super::super::Caller;
use super::super::evolution::{self, Use};
use super::super::missions::{Prepared, insert_prepared};
use super::super::triggers::{Looked, happened};
use super::super::unit::{After, SYSTEM, Unit};
use super::{CameFrom, depth_after, link, made};
use crate::app::App;
use crate::config::Chains;
use crate::error::{Error, Result};

/// Missions in one activation.
const MOST: u32 = 50;
const DAY: Duration = Duration::from_hours(24);
/// Ended missions looked at for repetitions.
const LOOKED_AT: u32 = 2_000;
/// Tasks of the mission that expressions see.
const TASKS: u32 = 200;

/// One follow-up that is meant.
#[derive(Clone)]
struct Wanted {
    row: ProposalRow,
    prepared: Option<Arc<Prepared>>,
}

#[derive(Clone)]
struct Plan {
    parent: MissionRow,
    wanted: Vec<Wanted>,
}

/// One activation; idempotent: each end is looked at once.
pub async fn look(app: &App) -> Result<Looked> {
    let ended = app.store.read().await?.follows_open(MOST).await?;
    let full = ended.len() >= MOST as usize;
    let (mut fired, mut decided) = (0, false);
    for parent in ended {
        let id = parent.id;
        match follow(app, parent).await {
            Ok(count) => {
                fired += count;
                decided = true;
            }
            // Looked at again the next time; those after it are looked at now.
            Err(error) => {
                tracing::warn!(mission = %id, %error, "what follows a mission could not be decided");
            }
        }
    }
    Ok(Looked { fired, more: full && decided })
}

async fn follow(app: &App, parent: MissionRow) -> Result<usize> {
    let wanted = wanted(app, &parent).await?;
    let mut plan = Plan { parent, wanted };
    let (started, after) = match written(app, plan.clone()).await {
        // It will be refused the next time, too: it is settled as what could not be made.
        Err(error) if error.status() < 500 && plan.wanted.iter().any(|one| one.prepared.is_some()) => {
            for one in plan.wanted.iter_mut().filter(|one| one.prepared.is_some()) {
                one.prepared = None;
                one.row.fail(&error.to_string());
            }
            written(app, plan).await?
        }
        answer => answer?,
    };
    for after in after {
        after.run_and_send(app).await;
    }
    Ok(started)
}

async fn written(app: &App, plan: Plan) -> Result<(usize, Vec<After>)> {
    let unit_app = app.clone();
    app.store
        .write_with("chains.follow", plan, move |tx, plan| {
            let app = unit_app.clone();
            Box::pin(async move { write(&app, tx, plan).await })
        })
        .await
}

/// What the playbook of a mission wants to follow, each prepared as far as it can be.
async fn wanted(app: &App, parent: &MissionRow) -> Result<Vec<Wanted>> {
    let mut read = app.store.read().await?;
    let Some(made) = read.mission_inputs(&[parent.id]).await?.pop() else { return Ok(Vec::new()) };
    let Some(found) = read.playbook(&made.playbook, Some(made.version)).await? else { return Ok(Vec::new()) };
    let body: Value = serde_json::from_str(&found.body).map_err(Error::internal)?;
    let then = match parse_playbook(&body).map_err(Error::from) {
        Ok(read) => read.then,
        // It is as unreadable the next time: people are told, and nothing follows.
        Err(error) => {
            let unread = FollowUp {
                on: FollowsOn::Failed,
                condition: None,
                playbook: format!("{}@{}", made.playbook, made.version),
                inputs: Map::new(),
                why: None,
            };
            let depth = depth_after(&mut read, parent.id).await?;
            let mut row = row(app, parent, &made, 0, &unread, &Map::new(), depth);
            row.fail(&error.to_string());
            return Ok(vec![Wanted { row, prepared: None }]);
        }
    };
    if !then.iter().any(|one| one.is_for(parent.status)) {
        return Ok(Vec::new());
    }
    let event = event(&mut read, parent).await?;
    let depth = depth_after(&mut read, parent.id).await?;
    drop(read);
    let mut wanted = Vec::new();
    for (place, one) in then.iter().enumerate().filter(|(_, one)| one.is_for(parent.status)) {
        let mut doubt = match one.condition.as_deref().map(|source| condition(source, &event)) {
            Some(Ok(false)) => continue,
            Some(Err(why)) => Some(format!("`if`: {why}")),
            None | Some(Ok(true)) => None,
        };
        let inputs = match event_inputs(&one.inputs, &event) {
            Ok(inputs) => inputs,
            Err(errors) => {
                doubt = doubt.or_else(|| errors.first().map(|one| one.message.clone()));
                Map::new()
            }
        };
        let prepared = match doubt {
            Some(why) => Err(why),
            None => prepare(app, &Caller::system(app), one, &inputs, parent).await?,
        };
        let mut row = row(app, parent, &made, place, one, &inputs, depth);
        let prepared = match prepared {
            Ok(prepared) => Some(Arc::new(prepared)),
            Err(why) => {
                row.fail(&why);
                None
            }
        };
        wanted.push(Wanted { row, prepared });
    }
    Ok(wanted)
}

/// What expressions see of the mission that ended.
async fn event(read: &mut nexusmon_store::Connection, parent: &MissionRow) -> Result<Value> {
    let page = PageRequest::first(TASKS);
    let found = read.task_list(parent.id, &TaskFilter::default(), &page).await?.items;
    let mut tasks = Map::new();
    for task in found.into_iter().filter(|task| task.item_index.is_none()) {
        let outputs: Value =
            task.outputs.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(json!({}));
        tasks.insert(task.key.to_string(), json!({"state": task.state.as_str(), "outputs": outputs}));
    }
    let failure = match &parent.state.0 {
        nexusmon_shared::mission::MissionState::Failed { cause } => {
            serde_json::to_value(cause).map_err(Error::internal)?
        }
        _ => Value::Null,
    };
    Ok(json!({"kind": format!("mission.{}", parent.status.as_str()), "at": parent.finished_at,
        "mission": happened::mission(read, parent).await?, "failure": failure, "tasks": tasks}))
}

fn row(
    app: &App,
    parent: &MissionRow,
    made: &MissionInputsRow,
    place: usize,
    one: &FollowUp,
    inputs: &Map<String, Value>,
    depth: u32,
) -> ProposalRow {
    let now = app.clock.now();
    let said_by = format!("{}@{}", made.playbook, made.version);
    let because = one.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    ProposalRow {
        id: app.rng.with(|rng| ProposalId::new(now, rng)),
        parent: parent.id,
        place: i64::try_from(place).unwrap_or(i64::MAX),
        why: format!("{} {}, and {said_by} says what follows{because}", parent.id, parent.status.as_str()),
        said_by,
        playbook: one.playbook.clone(),
        inputs: Value::Object(inputs.clone()).to_string(),
        depth: i64::from(depth),
        state: ProposalState::Proposed,
        reason: None,
        mission: None,
        created_at: now,
        decided_at: None,
        decided_by: None,
        version: 1,
    }
}

/// The mission of a follow-up, or why there can be none; errors are the coordinator's own.
async fn prepare(
    app: &App,
    caller: &Caller,
    one: &FollowUp,
    inputs: &Map<String, Value>,
    parent: &MissionRow,
) -> Result<std::result::Result<Prepared, String>> {
    match made(app, caller, &one.playbook, inputs.clone(), parent.id).await {
        Ok(prepared) => Ok(Ok(prepared)),
        Err(error) if error.status() >= 500 => Err(error),
        Err(error) => Ok(Err(error.to_string())),
    }
}

async fn write(app: &App, tx: &mut Tx, plan: &Plan) -> Result<(usize, Vec<After>)> {
    let mut unit = Unit::new(app, tx);
    if !unit.tx.decide_follows(plan.parent.id).await? {
        return Ok((0, vec![unit.finish().await?]));
    }
    let mut starts = Vec::new();
    for Wanted { row, prepared } in &plan.wanted {
        let mut row = row.clone();
        if let Some(prepared) = prepared {
            let held_back = held_back(&mut unit, &plan.parent, &row, prepared).await?;
            let mission = prepared.new.mission.id;
            if held_back.is_none()
                && evolution::used(&mut unit, Trait::AutonomousChain, Use::start(mission)).await?
            {
                row.state = ProposalState::Started;
                row.mission = Some(mission);
                row.decided_at = Some(unit.now);
                row.decided_by = Some(SYSTEM.to_owned());
                let depth = u32::try_from(row.depth).unwrap_or(u32::MAX);
                let from = CameFrom {
                    parent: Some(row.parent),
                    depth,
                    by: row.id.to_string(),
                    why: row.why.clone(),
                };
                link(&mut unit, mission, from).await?;
                starts.push(Arc::clone(prepared));
            } else {
                let locked = "AUTONOMOUS_CHAIN is not the system's to use now: it waits for a person";
                row.reason = Some(held_back.unwrap_or_else(|| locked.to_owned()));
            }
        }
        unit.tx.insert_proposals(std::slice::from_ref(&row)).await?;
        let body = json!({"proposal": row.id, "playbook": row.playbook, "said_by": row.said_by, "state": row.state,
            "reason": row.reason, "mission": row.mission, "depth": row.depth});
        unit.audit(SYSTEM, "chain.proposed", ("proposal", row.id.to_string()), Some(row.parent), body);
    }
    let mut after = vec![unit.finish().await?];
    for prepared in &starts {
        after.push(insert_prepared(app, tx, std::slice::from_ref(prepared)).await?.1);
    }
    Ok((starts.len(), after))
}

/// Why the system does not begin this by itself, whatever its traits.
async fn held_back(
    unit: &mut Unit<'_>,
    parent: &MissionRow,
    row: &ProposalRow,
    prepared: &Prepared,
) -> Result<Option<String>> {
    let Chains { max_depth, per_day, max_rank, max_repeats } = unit.app.config.chains;
    if row.depth > i64::from(max_depth) {
        return Ok(Some(format!(
            "it would be the {}. link of a chain; {max_depth} begin by themselves",
            row.depth
        )));
    }
    let rank = prepared.new.mission.rank;
    if rank > max_rank {
        return Ok(Some(format!("it is of rank {rank}; up to {max_rank} begin by themselves")));
    }
    if rank > parent.rank {
        return Ok(Some(format!("it is of rank {rank}, graver than the {} of what it follows", parent.rank)));
    }
    let runs = unit.tx.followed_since(&row.said_by, row.place, unit.now - repeats::WINDOW, LOOKED_AT).await?;
    let runs: Vec<Run> = runs
        .into_iter()
        .map(|run| Run { shape: run.shape, inputs: run.inputs, status: run.status, ended_at: run.ended_at })
        .collect();
    if let Some(found) = repeated(&runs, max_repeats, unit.now) {
        let evidence = format!("{found}, started by what {} says follows", row.said_by);
        if evolution::may(unit.app, unit.tx, Trait::AutonomousChain, unit.now).await? {
            evolution::suspend(unit, Trait::AutonomousChain, evidence.clone()).await?;
            let alert = format!("a chain runs in a circle: {evidence}");
            let subject = ("proposal", row.id.to_string());
            unit.audit(SYSTEM, "alert.raised", subject, Some(row.parent), json!({"alert": alert}));
        }
        return Ok(Some(format!("{evidence}: this looks like a loop")));
    }
    let today = unit.tx.chained_since(unit.now - DAY).await?;
    if today >= i64::from(per_day) {
        return Ok(Some(format!(
            "the system has started {today} missions within 24 hours, which is its budget (`chains.per_day` is {per_day})"
        )));
    }
    Ok(None)
}
