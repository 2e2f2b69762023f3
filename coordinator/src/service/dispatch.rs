//! Dispatch: ready tasks become orders. Claims, decides by the pure scheduler, commits grants, then sends.
//!
//! Each node gives work only to sessions it holds; a grant is conditional on the session's number.

mod orders;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nexusmon_core::schedule::{self, Candidate, ClassId, DemandClass, Fit, LimitUse, Snapshot};
use nexusmon_core::{budget, lease};
use nexusmon_shared::attempt::Fence;
use nexusmon_shared::id::{AgentId, TaskId};
use nexusmon_shared::task::TaskStatus;
use nexusmon_store::{GrantRow, GrantedTask, MissionRow, Tx};
use serde_json::json;

use super::unit::{After, SYSTEM, Unit, task_subject};
use crate::app::App;
use crate::app::sessions::AgentLive;
use crate::error::{Error, Result};
pub(super) use snapshot::{agent_views, offline_views, view};

/// Grants of one activation; more are left for the next, so that orders do not wait for a huge commit.
const MOST: usize = 1000;
/// Candidates read beyond what there is room for: some may be held back by limits.
const SPARE: u32 = 16;

/// The store is asked which classes have ready tasks at least this often, whoever forgot to say so.
const REFRESH: Duration = Duration::from_secs(5);

/// What one activation did.
#[derive(Debug, Clone, Copy, Default)]
pub struct TickResult {
    pub granted: usize,
    /// More may be waiting: tick again at once.
    pub more: bool,
}

/// Asks for a tick soon; cheap, callable from anywhere.
pub fn wake(app: &App) {
    app.dispatch.notify_one();
}

/// Waits until somebody called [`wake`]; whoever follows other nodes does when they made tasks ready.
pub async fn woken(app: &App) {
    app.dispatch.notified().await;
}

/// Asks the store which classes have ready tasks: at start, when another node made some, and as polling behind lost
/// wake-ups.
pub async fn refresh(app: &App) -> Result<()> {
    let ready = app.store.read().await?.ready_classes().await?;
    app.classes.activate(ready.into_iter().map(|class| ClassId(class.0)));
    Ok(())
}

/// One activation; idempotent. Background calls it whenever [`woken`] returns.
pub async fn tick(app: &App) -> Result<TickResult> {
    let boot = app.clock.boot().as_secs();
    if boot.saturating_sub(app.refreshed.load(Ordering::Relaxed)) >= REFRESH.as_secs() {
        app.refreshed.store(boot, Ordering::Relaxed);
        refresh(app).await?;
    }
    let live: Vec<Arc<AgentLive>> = app.sessions.all();
    let agents = agent_views(app, &live);
    if agents.is_empty() {
        return Ok(TickResult::default());
    }
    let active: BTreeMap<ClassId, u64> = app.classes.active().into_iter().collect();
    let ids: Vec<_> = active.keys().copied().collect();
    let classes = known_classes(app, &ids).await?;
    let mut wanted = Vec::new();
    for (id, class) in &classes {
        let room: u32 = agents
            .iter()
            .filter(|agent| schedule::fits(*id, class, agent) == Fit::Fits)
            .map(|agent| agent.free_slots + if class.prefetch { agent.prefetch } else { 0 })
            .sum();
        if room > 0 {
            wanted.push((*id, (room + SPARE).min(u32::try_from(MOST).unwrap_or(u32::MAX))));
        }
    }
    if wanted.is_empty() {
        return Ok(TickResult::default());
    }
    let input = Claim { agents, classes, wanted };
    let unit_app = app.clone();
    let granted = app
        .store
        .write_with("dispatch.grant", input, move |tx, input| {
            let app = unit_app.clone();
            Box::pin(async move { grant(&app, tx, input).await })
        })
        .await?;
    let count = granted.tasks.len();
    for class in granted.drained {
        app.classes.deactivate(class, active.get(&class).copied().unwrap_or(0));
    }
    app.advance_virtual_time(granted.newest_tag);
    granted.after.run(app);
    app.running.granted(granted.tasks.iter().map(|one| (one.task.id, one.task.mission)));
    orders::send(app, &live, granted.tasks).await?;
    Ok(TickResult { granted: count, more: count > 0 && granted.left })
}

struct Claim {
    agents: Vec<schedule::AgentView>,
    classes: BTreeMap<ClassId, Arc<DemandClass>>,
    wanted: Vec<(ClassId, u32)>,
}

struct Granted {
    tasks: Vec<GrantedTask>,
    /// Classes that had fewer ready tasks than asked for.
    drained: Vec<ClassId>,
    left: bool,
    newest_tag: u64,
    after: After,
}

async fn known_classes(app: &App, ids: &[ClassId]) -> Result<BTreeMap<ClassId, Arc<DemandClass>>> {
    let mut known = BTreeMap::new();
    let mut missing = Vec::new();
    for id in ids {
        match app.classes.class(*id) {
            Some(class) => drop(known.insert(*id, class)),
            None => missing.push(nexusmon_store::ClassId(id.0)),
        }
    }
    if !missing.is_empty() {
        for row in app.store.read().await?.classes_by_id(&missing).await? {
            let id = ClassId(row.id.0);
            app.classes.learn(id, &row.key);
            known.extend(app.classes.class(id).map(|class| (id, class)));
        }
    }
    Ok(known)
}

async fn grant(app: &App, tx: &mut Tx, input: &Claim) -> Result<Granted> {
    let mut unit = Unit::new(app, tx);
    let wanted: Vec<_> =
        input.wanted.iter().map(|(class, limit)| (nexusmon_store::ClassId(class.0), *limit)).collect();
    let mut found = unit.tx.claim_candidates(&wanted).await?;
    let mut by_class = HashMap::<ClassId, u32>::new();
    for one in &found {
        *by_class.entry(ClassId(one.class.0)).or_default() += 1;
    }
    let drained: Vec<_> = input
        .wanted
        .iter()
        .filter(|(class, limit)| by_class.get(class).is_none_or(|count| count < limit))
        .map(|(class, _)| *class)
        .collect();
    // The order of fairness, over all classes.
    found.sort_by(|a, b| b.priority.cmp(&a.priority).then(a.tag.cmp(&b.tag)).then(a.id.cmp(&b.id)));
    let missions: BTreeSet<_> = found.iter().map(|one| one.mission).collect();
    let missions: Vec<_> = missions.into_iter().collect();
    let missions: HashMap<_, MissionRow> =
        unit.tx.missions(&missions).await?.into_iter().map(|row| (row.id, row)).collect();
    let keys: BTreeSet<String> = input
        .classes
        .iter()
        .filter(|(id, _)| by_class.contains_key(id))
        .flat_map(|(_, class)| class.limits.keys().cloned())
        .collect();
    let limits = unit
        .tx
        .lock_limits(&keys)
        .await?
        .into_iter()
        .map(|used| {
            let live = u32::try_from(used.live).unwrap_or(u32::MAX);
            (used.key, LimitUse { live, least: used.maximum })
        })
        .collect();
    let candidates: Vec<Candidate> = found
        .iter()
        .filter_map(|one| {
            let mission = missions.get(&one.mission)?;
            Some(Candidate {
                task: one.id,
                mission: one.mission,
                class: ClassId(one.class.0),
                approved: mission.rank,
                budget_left: budget::grants_left(&mission.budget.0, &super::finish::spent(mission)),
            })
        })
        .collect();
    let snapshot = Snapshot {
        halted: false,
        candidates,
        classes: input.classes.iter().map(|(id, class)| (*id, (**class).clone())).collect(),
        agents: input.agents.clone(),
        limits,
        disabled: unit
            .tx
            .flags()
            .await?
            .into_iter()
            .filter(|flag| flag.disabled)
            .filter_map(|flag| (flag.scope == "fleet").then_some(flag.capability))
            .collect(),
    };
    let plan = schedule::plan(&snapshot);
    let by_id: HashMap<TaskId, &nexusmon_store::Candidate> = found.iter().map(|one| (one.id, one)).collect();
    let rows: Vec<GrantRow> = plan
        .grants
        .iter()
        .take(MOST)
        .filter_map(|grant| {
            let one = by_id.get(&grant.task)?;
            let fence = one.fence().next(app.epoch);
            Some(grant_row(one, grant.agent, grant.session, fence, unit.now))
        })
        .collect();
    let mut tasks = unit.tx.grant(&rows).await?;
    set_offline(&mut unit, &mut tasks).await?;
    let mut newest_tag = 0;
    for granted in &tasks {
        let row = &granted.task;
        newest_tag = newest_tag.max(u64::try_from(row.tag).unwrap_or(0));
        unit.moved(row.mission, TaskStatus::Ready, TaskStatus::Leased);
        unit.delta(row.mission).attempts += 1;
        let body = json!({
            "task": row.key, "item_index": row.item_index, "attempt": row.attempt, "fence": row.fence().to_string(),
            "agent": row.agent, "session": row.session, "rank": row.rank, "plan_digest": granted.plan_digest,
            "leaf_index": row.leaf_index, "offline_until": row.offline_until,
        });
        unit.audit(SYSTEM, "task.granted", task_subject(row.id), Some(row.mission), body);
    }
    let left = found.len() > tasks.len() && !tasks.is_empty();
    // What was read and not granted is still ready.
    let drained = drained
        .into_iter()
        .filter(|class| {
            let read = by_class.get(class).copied().unwrap_or(0);
            let granted = tasks.iter().filter(|one| one.task.class.is_some_and(|id| id.0 == class.0)).count();
            usize::try_from(read).unwrap_or(usize::MAX) <= granted
        })
        .collect();
    let after = unit.finish().await?;
    Ok(Granted { tasks, drained, left, newest_tag, after })
}

fn grant_row(
    one: &nexusmon_store::Candidate,
    agent: AgentId,
    session: u64,
    fence: Fence,
    now: nexusmon_shared::time::Timestamp,
) -> GrantRow {
    // How long a cut-off agent may go on stands in the leaf, which is read with the grant; the longest that ranks
    // below A may have is assumed until then.
    let offline = lease::default_offline(one.rank);
    GrantRow {
        id: one.id,
        agent,
        session,
        attempt: one.attempt + 1,
        fence_epoch: fence.epoch,
        fence_number: fence.number,
        offline_until: lease::offline_until(one.idempotent, offline, now),
        granted_at: now,
    }
}

/// Corrects the allowance of leaves that name another than the default.
async fn set_offline(unit: &mut Unit<'_>, tasks: &mut [GrantedTask]) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Leaf {
        offline: nexusmon_shared::time::Span,
    }
    let mut updates = Vec::new();
    for granted in tasks.iter_mut().filter(|granted| !granted.task.idempotent) {
        let leaf: Leaf = serde_json::from_str(&granted.spec).map_err(Error::internal)?;
        let until = lease::offline_until(false, leaf.offline.0, unit.now);
        if until != granted.task.offline_until {
            granted.task.offline_until = until;
            updates.push(nexusmon_store::TaskUpdate::from(&granted.task));
        }
    }
    if !updates.is_empty() {
        unit.tx.update_tasks(&updates).await?;
    }
    Ok(())
}
