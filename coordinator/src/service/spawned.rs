//! Tasks that running tasks add to their missions: signed by the agent that runs them, checked and ranked here, tied in
//! behind their parent and before all that waits for it, in one unit with the record of it.

mod check;
mod shown;

use std::collections::BTreeSet;

use nexusmon_core::budget::tasks_fit;
use nexusmon_core::evolution::Trait;
use nexusmon_core::schedule::Dynamic;
use nexusmon_shared::id::{AgentId, TaskId};
use nexusmon_shared::message::{Spawn, SpawnAnswer};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::task::TaskStatus;
use nexusmon_shared::trust::merkle::leaf_hash;
use nexusmon_store::{ClassId, MissionRow, NewSpawned, SpawnedRow, TaskRow};
use serde_json::json;

use super::unit::{After, Unit, task_subject};
use super::{classes, evolution, finish, missions};
use crate::app::App;
use crate::app::sessions::Live;
use crate::error::{Error, Result};
use check::{Checked, New};
pub(super) use shown::{Shown, shown};

/// A reason is cut there: more is not sent.
const REASON_BYTES: usize = 2048;

/// Why a task is not added.
#[derive(Debug)]
enum Refused {
    /// It may not be, or not now.
    No(String),
    /// It is not what its signature says, or nobody's whose attempt that is.
    Forged(String),
}

/// Takes in what a running attempt adds. Adding the same once more is answered as before; a refusal is an answer too.
pub async fn add(app: &App, live: &Live, given: Spawn) -> Result<SpawnAnswer> {
    let (agent, task) = (live.agent(), given.task);
    let answer = match check::check(app, agent, &given).await? {
        Ok(Checked::Known) => Ok(()),
        Ok(Checked::New(new)) => write(app, agent, new).await?,
        Err(refused) => Err(refused),
    };
    let Err(refused) = answer else {
        return Ok(SpawnAnswer { task, refused: String::new() });
    };
    let (reason, forged) = match refused {
        Refused::No(reason) => (reason, false),
        Refused::Forged(reason) => (reason, true),
    };
    let mut reason = reason;
    reason.truncate(reason.floor_char_boundary(REASON_BYTES));
    tracing::warn!(%agent, %task, %reason, forged, "a task was not added");
    write_down(app, agent, task, &reason, forged).await?;
    Ok(SpawnAnswer { task, refused: reason })
}

async fn write_down(app: &App, agent: AgentId, task: TaskId, reason: &str, forged: bool) -> Result<()> {
    let (unit_app, reason) = (app.clone(), reason.to_owned());
    let after = app
        .store
        .write("spawned.refuse", move |tx| {
            let (app, reason) = (unit_app.clone(), reason.clone());
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let (action, body) = if forged {
                    (
                        "alert.raised",
                        json!({"alert": format!("a task was added that does not hold: {reason}")}),
                    )
                } else {
                    ("task.spawn_refused", json!({"reason": reason}))
                };
                unit.audit(agent.to_string(), action, task_subject(task), None, body);
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

async fn write(app: &App, agent: AgentId, new: Box<New>) -> Result<std::result::Result<(), Refused>> {
    let unit_app = app.clone();
    let (after, answer) = app
        .store
        .write_with("spawned.add", new, move |tx, new| {
            let app = unit_app.clone();
            Box::pin(async move { insert(&app, tx, agent, new).await })
        })
        .await?;
    after.run(app);
    Ok(answer)
}

async fn insert(
    app: &App,
    tx: &mut nexusmon_store::Tx,
    agent: AgentId,
    new: &New,
) -> Result<(After, std::result::Result<(), Refused>)> {
    let mut unit = Unit::new(app, tx);
    let document = &new.signed.document;
    let no = |why: &str| Err(Refused::No(why.to_owned()));
    let Some(parent) = unit.tx.lock_tasks(&[document.parent.task]).await?.pop() else {
        return Ok((unit.finish().await?, no("its mission is gone")));
    };
    let mission = unit.tx.lock_mission(parent.mission).await?;
    let mission = mission.ok_or_else(|| Error::not_found("mission", parent.mission))?;
    if !unit.tx.spawned(&[document.task()]).await?.is_empty() {
        return Ok((unit.finish().await?, Ok(())));
    }
    if let Err(why) = in_the_way(&mut unit, &parent, &mission, agent, new).await? {
        return Ok((unit.finish().await?, Err(why)));
    }
    if !evolution::used(&mut unit, Trait::WorkerSpawn, evolution::Use::help(mission.id)).await? {
        let why = "WORKER_SPAWN is not the system's to use now: running tasks add none";
        return Ok((unit.finish().await?, no(why)));
    }
    add_row(&mut unit, &parent, &mission, agent, new).await?;
    Ok((unit.finish().await?, Ok(())))
}

/// What keeps it from being added now.
async fn in_the_way(
    unit: &mut Unit<'_>,
    parent: &TaskRow,
    mission: &MissionRow,
    agent: AgentId,
    new: &New,
) -> Result<std::result::Result<(), Refused>> {
    let document = &new.signed.document;
    let no = |why: String| Ok(Err(Refused::No(why)));
    if !is_current(parent, agent, document.parent.fence) {
        return no("the attempt that adds it is not its task's newest any more".to_owned());
    }
    if !matches!(mission.status, MissionStatus::Running | MissionStatus::Paused)
        || mission.plan_digest != Some(document.plan_digest)
    {
        return no("its mission does not go on, or by another plan".to_owned());
    }
    let most = new.parent.spawn.as_ref().map_or(0, |envelope| envelope.max);
    if unit.tx.spawned_by(parent.id, parent.attempt).await? >= most {
        return no(format!("`spawn.max` is {most}: this attempt has added as many"));
    }
    if let Err(exceeded) = tasks_fit(&mission.budget.0, &finish::spent(mission), 1) {
        return no(exceeded.to_string());
    }
    let key = &document.leaf.id;
    let same = unit.tx.spawned_as(mission.id, key).await?;
    // What an earlier attempt of the same task added goes with that attempt.
    if same.iter().any(|one| one.parent != parent.id || one.attempt == parent.attempt) {
        return no(format!("`id`: `{key}` was added to this mission before"));
    }
    Ok(Ok(()))
}

/// The same that makes a report count: the fence decides.
fn is_current(parent: &TaskRow, agent: AgentId, fence: nexusmon_shared::attempt::Fence) -> bool {
    let open = matches!(
        parent.state,
        TaskStatus::Leased
            | TaskStatus::Running
            | TaskStatus::Uncertain
            | TaskStatus::Backoff
            | TaskStatus::Ready
    );
    open && parent.attempt > 0 && parent.agent == Some(agent) && parent.fence() == fence
}

async fn add_row(
    unit: &mut Unit<'_>,
    parent: &TaskRow,
    mission: &MissionRow,
    agent: AgentId,
    new: &New,
) -> Result<()> {
    let document = &new.signed.document;
    let mut class = missions::class_of(&new.bound);
    class.dynamic = Dynamic::Added;
    // Whether it may start is asked when it is granted, so it is not sent ahead.
    class.prefetch = false;
    if !new.vouched {
        // No other machine knows the key it is signed with.
        class.selector.agent = Some(agent);
    }
    let key = crate::app::classes::key(&class);
    let interned = classes::intern(unit, &BTreeSet::from([key.clone()])).await?;
    let class = interned.get(&key).ok_or_else(|| Error::unavailable("a class was not interned"))?;
    let now = unit.now;
    let task = TaskRow {
        spawned_by: Some(parent.id),
        class: Some(ClassId(class.0)),
        held: mission.status == MissionStatus::Paused,
        ..missions::task_row(mission, &new.bound, 0, document.task(), &new.leaf, now)
    };
    let spawned = SpawnedRow {
        task: task.id,
        mission: mission.id,
        key: task.key.clone(),
        parent: parent.id,
        attempt: parent.attempt,
        agent,
        signed: new.text.clone(),
        at: now,
    };
    let task = unit.tx.insert_spawned(NewSpawned { task, parent_leaf: parent.leaf_index, spawned }).await?;
    let delta = unit.delta(mission.id);
    delta.total += 1;
    delta.open += 1;
    let body = json!({
        "task": task.key, "uses": task.uses, "rank": task.rank, "leaf": leaf_hash(new.leaf.as_bytes()),
        "leaf_index": task.leaf_index, "parent": parent.key, "parent_task": parent.id,
        "fence": document.parent.fence.to_string(), "number": document.number,
        "plan_digest": document.plan_digest, "policies": new.decision.policies,
        "judged": {"policy_set": new.policy_set, "question": new.question, "answer": new.decision.verdict},
    });
    unit.audit(agent.to_string(), "task.spawned", task_subject(task.id), Some(mission.id), body);
    Ok(())
}
