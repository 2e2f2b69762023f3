//! Orders out of committed grants. Whatever goes wrong here loses an order only: the lease, or the next Hello, finds it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use nexusmon_core::mission::MissionCommand;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, MissionId, StandingId, TaskId};
use nexusmon_shared::message::{
    CoordinatorMessage, MAX_BATCH_BYTES, MAX_BATCH_ITEMS, Order, OrderInput, Orders, PlanNotice, StandingUse,
};
use nexusmon_shared::trust::canonical::Object;
use nexusmon_shared::trust::merkle::{Tree, leaf_hash};
use nexusmon_store::GrantedTask;
use serde_json::json;

use crate::app::App;
use crate::app::plans::SealedPlan;
use crate::app::sessions::AgentLive;
use crate::error::{Error, Result};
use crate::service::consent::Shown;
use crate::service::spawned;
use crate::service::transition;
use crate::service::unit::{Actor, SYSTEM, Unit, attempt_of};

/// What the audit log says of a grant. It is written for every attempt, so it is put together in its canonical order.
pub(super) fn written(
    granted: &GrantedTask,
    shown: Option<&Shown>,
    standing: Option<&(StandingId, i64)>,
) -> Result<Object> {
    let row = &granted.task;
    let mut body = Object::new();
    body = match row.agent {
        Some(agent) => body.plain("agent", agent),
        None => body.null("agent"),
    };
    if let Some(shown) = shown {
        // The use of an approval stands where the grant stands, and commits with it.
        let counted: Vec<_> = shown
            .evidence
            .counted
            .iter()
            .map(|one| json!({"person": one.person, "key": one.key, "nonce": one.nonce}))
            .collect();
        body = body.value("approved_by", &counted.into()).map_err(Error::internal)?;
    }
    body = body.number("attempt", row.attempt.into()).plain("fence", row.fence());
    body = match row.item_index {
        Some(index) => body.number("item_index", index.into()),
        None => body.null("item_index"),
    };
    body = body.number("leaf_index", row.leaf_index.into());
    body = match row.offline_until {
        Some(until) => body.plain("offline_until", until),
        None => body.null("offline_until"),
    };
    body = body.plain("plan_digest", granted.plan_digest).plain("rank", row.rank);
    body = match row.session {
        Some(session) => body.number("session", session),
        None => body.null("session"),
    };
    // A use of a standing approval, and which one it is.
    let Some((standing, number)) = standing else { return Ok(body.text("task", row.key.as_str())) };
    let body = body.plain("standing", standing).text("task", row.key.as_str());
    Ok(body.number("use", u64::try_from(*number).map_err(Error::internal)?))
}

/// What orders rest on beside their plan, by task.
#[derive(Clone, Copy)]
pub(super) struct Rests<'a> {
    /// Signatures, of A and S work.
    pub shown: &'a HashMap<TaskId, Shown>,
    /// Who added them, of tasks that were.
    pub added: &'a HashMap<TaskId, spawned::Shown>,
}

/// Sends what was granted, batched by session; orders whose plan is not in memory last.
pub(super) async fn send(app: &App, live: &[Arc<AgentLive>], granted: Vec<GrantedTask>, rests: Rests<'_>) {
    let mut missing = BTreeMap::new();
    let mut later = Vec::new();
    let mut ready = Vec::new();
    for one in granted {
        match app.plans.get(&one.plan_digest) {
            Some(plan) => ready.push((plan, one)),
            None => {
                missing.insert(one.plan_digest, one.task.mission);
                later.push(one);
            }
        }
    }
    send_ready(live, ready, rests);
    if later.is_empty() {
        return;
    }
    let mut plans = BTreeMap::new();
    for (digest, mission) in missing {
        match sealed(app, digest, mission).await {
            Ok(plan) => drop(plans.insert(digest, plan)),
            Err(Error::Conflict { code: ALTERED, .. }) => {
                tracing::error!(%mission, "its plan in the database is not what was sealed; it is paused");
                if let Err(error) = hold_altered(app, mission).await {
                    tracing::error!(%error, %mission, "a mission whose plan was altered could not be paused");
                }
            }
            Err(error) => tracing::error!(%error, %mission, "orders without their plan were not sent"),
        }
    }
    let found = |one: GrantedTask| Some((Arc::clone(plans.get(&one.plan_digest)?), one));
    send_ready(live, later.into_iter().filter_map(found).collect(), rests);
}

fn send_ready(live: &[Arc<AgentLive>], granted: Vec<(Arc<SealedPlan>, GrantedTask)>, rests: Rests<'_>) {
    let mut by_agent = BTreeMap::<AgentId, Vec<(Arc<SealedPlan>, GrantedTask)>>::new();
    for (plan, one) in granted {
        if let Some(agent) = one.task.agent {
            by_agent.entry(agent).or_default().push((plan, one));
        }
    }
    for live in live {
        if let Some(tasks) = by_agent.remove(&live.agent) {
            send_to(live, tasks, rests);
        }
    }
}

fn send_to(live: &AgentLive, tasks: Vec<(Arc<SealedPlan>, GrantedTask)>, rests: Rests<'_>) {
    if tasks.first().is_some_and(|(_, one)| one.task.session != Some(live.session)) {
        return;
    }
    let mut batch = Vec::new();
    let mut bytes = 0;
    for (plan, one) in tasks {
        let (shown, added) = (rests.shown.get(&one.task.id), rests.added.get(&one.task.id));
        // Told after its commit, and by another coordinator later still; in front of the order it is there in time.
        let roster = shown.and_then(|shown| shown.roster.as_ref());
        if let Some((roster, signed)) = roster.or_else(|| added.and_then(|added| added.roster.as_ref()))
            && live.must_announce(*roster)
        {
            live.offer(CoordinatorMessage::Roster(signed.clone()));
        }
        let of_plan = shown.filter(|shown| shown.of_plan).map_or(&[] as &[Bytes], |shown| &shown.decisions);
        if live.must_announce(announced(plan.digest, of_plan)) {
            // What is in the batch was made under the notice before.
            if !of_plan.is_empty() {
                flush(live, &mut batch);
                bytes = 0;
            }
            live.offer(CoordinatorMessage::Plan(PlanNotice {
                digest: plan.digest,
                header: plan.header.clone(),
                tasks_root: plan.tasks_root,
                size: plan.tree.len() as u64,
                decisions: of_plan.to_vec(),
            }));
        }
        let task = one.task.id;
        let decisions =
            shown.filter(|shown| !shown.of_plan).map_or_else(Vec::new, |shown| shown.decisions.clone());
        let standing = shown.and_then(|shown| shown.standing.as_ref()).map(|shown| shown.order.clone());
        let order = match order(&plan, one, decisions, standing, added) {
            Ok(order) => order,
            Err(error) => {
                tracing::error!(%error, %task, "an order could not be made");
                continue;
            }
        };
        let size = order.size_hint();
        if !batch.is_empty() && (batch.len() >= MAX_BATCH_ITEMS || bytes + size > MAX_BATCH_BYTES) {
            flush(live, &mut batch);
            bytes = 0;
        }
        bytes += size;
        batch.push(order);
    }
    flush(live, &mut batch);
}

/// What a session remembers of an announced plan: which one, and with which decisions.
fn announced(plan: Digest, decisions: &[Bytes]) -> Digest {
    if decisions.is_empty() {
        return plan;
    }
    let mut bytes = plan.as_bytes().to_vec();
    for decision in decisions {
        bytes.extend_from_slice(Digest::of(decision).as_bytes());
    }
    Digest::of(&bytes)
}

fn flush(live: &AgentLive, batch: &mut Vec<Order>) {
    if batch.is_empty() {
        return;
    }
    let orders = std::mem::take(batch);
    live.offer(CoordinatorMessage::Orders(Orders {
        heartbeat_number: live.heartbeat(),
        session: live.session,
        orders,
    }));
}

fn order(
    plan: &SealedPlan,
    granted: GrantedTask,
    decisions: Vec<Bytes>,
    standing: Option<Box<StandingUse>>,
    added: Option<&spawned::Shown>,
) -> Result<Order> {
    let task = granted.task;
    let spawned = added.map(|added| added.order(&plan.tree)).transpose()?;
    let proof = match &spawned {
        Some(_) => Some(Vec::new()),
        None => plan.tree.proof(task.leaf_index as usize),
    };
    let proof = proof.ok_or_else(|| Error::internal(format!("{} is not in its plan's tree", task.id)))?;
    let inputs: Vec<OrderInput> = match &task.inputs {
        Some(text) => serde_json::from_str(text).map_err(Error::internal)?,
        None => Vec::new(),
    };
    Ok(Order {
        attempt: attempt_of(&task),
        attempt_number: task.attempt,
        plan_digest: granted.plan_digest,
        leaf: Bytes::from(granted.spec),
        leaf_index: u64::from(task.leaf_index),
        proof,
        item_index: task.item_index,
        parameters: task.params.map(Bytes::from),
        inputs,
        rank: task.rank,
        traceparent: granted.traceparent.unwrap_or_default(),
        idempotency_key: task.id.to_string(),
        decisions,
        standing,
        spawned,
    })
}

/// Somebody wrote into the database: nobody runs that, and a person hears of it.
const ALTERED: &str = "plan_altered";

/// Raises the alert, once: a paused mission is given out no more.
async fn hold_altered(app: &App, mission: MissionId) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write("dispatch.altered", move |tx| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let Some(mut row) = unit.tx.lock_mission(mission).await? else { return unit.finish().await };
                let why = json!({"reason": "its plan in the database is not what was sealed"});
                let subject = ("mission", mission.to_string());
                unit.audit(SYSTEM, "alert.raised", subject, Some(mission), why.clone());
                let pause = MissionCommand::Pause { by: app.system };
                match transition::apply(&mut unit, &Actor::system(), &mut row, pause, "mission.paused", why)
                    .await
                {
                    // Paused already, or about to end.
                    Ok(_) | Err(Error::Conflict { .. }) => unit.finish().await,
                    Err(error) => Err(error),
                }
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

/// The plan from the cache, or made again from its leaves.
pub(in crate::service) async fn sealed(
    app: &App,
    digest: Digest,
    mission: MissionId,
) -> Result<Arc<SealedPlan>> {
    if let Some(plan) = app.plans.get(&digest) {
        return Ok(plan);
    }
    let mut read = app.store.read().await?;
    let plan = read.plan(mission).await?.ok_or_else(|| Error::not_found("plan", mission))?;
    let leaves = read.leaves(mission).await?;
    drop(read);
    let tree = Tree::new(leaves.iter().map(|leaf| leaf_hash(leaf.as_bytes())).collect());
    if tree.root() != plan.tasks_root || plan.digest != digest {
        let detail =
            format!("the plan of {mission} in the database is not what was sealed: it was altered there");
        return Err(Error::conflict(ALTERED, detail));
    }
    let plan = Arc::new(SealedPlan {
        digest: plan.digest,
        header: Bytes::from(plan.header),
        tasks_root: plan.tasks_root,
        tree,
    });
    app.plans.insert(Arc::clone(&plan));
    Ok(plan)
}
