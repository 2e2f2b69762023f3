//! Dispatch: ready tasks become orders. Claims, decides by the pure scheduler, commits grants, then sends.
//!
//! Each node gives work only to sessions it holds; a grant is conditional on the session's number.

mod balance;
mod orders;
mod rates;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nexusmon_core::evolution::Trait;
use nexusmon_core::flags::Scope;
use nexusmon_core::schedule::{self, Candidate, ClassId, DemandClass, Fit, LimitUse, Snapshot};
use nexusmon_core::{budget, lease};
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::{AgentId, TaskId};
use nexusmon_shared::task::TaskStatus;
use nexusmon_store::{GrantRow, GrantedTask, MissionRow, TaskRow};

use super::consent::{self, Shown};
use super::flags;
use super::unit::{SYSTEM, Unit, attempt_of, task_subject};
use super::{evolution, spawned, standing};
use crate::app::App;
use crate::app::sessions::AgentLive;
use crate::error::{Error, Result};
pub use balance::balance;
use rates::Rates;
pub(super) use snapshot::{agent_views, offline_views, view};

/// Grants of one unit; more are left for the next, so that orders do not wait for a huge commit.
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
    learn_classes(app).await?;
    if Claim::of(app, &BTreeSet::new()).is_none() {
        return Ok(TickResult::default());
    }
    let unit_app = app.clone();
    let (after, granted) = app
        .store
        .write("dispatch.grant", move |tx| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                // Room is looked at here, where no other unit gives it away meanwhile (on one node).
                if let Some(claim) = Claim::of(&app, &BTreeSet::new()) {
                    let granted = grant(&mut unit, &claim).await?;
                    unit.after.granted = Some(granted);
                }
                let count = unit.after.granted.as_ref().map_or((0, false), |g| (g.tasks.len(), g.left));
                Ok::<_, Error>((unit.finish().await?, count))
            })
        })
        .await?;
    after.run_and_send(app).await;
    let (count, left) = granted;
    Ok(TickResult { granted: count, more: count > 0 && left })
}

/// Grants in the commit of a unit that made tasks ready or slots free, so that orders leave one commit earlier. Where
/// several nodes write at once, [`tick`] does it alone: there, more locks in one unit would meet each other.
pub(super) async fn grant_along(unit: &mut Unit<'_>) -> Result<()> {
    if !unit.app.store.is_single_node() {
        return Ok(());
    }
    unit.flush_counters().await?;
    // A class numbered in this unit is not known yet to the rest of the process: the next tick takes it.
    let known = unit.after.ready.iter().all(|class| unit.app.classes.class(*class).is_some());
    unit.after.attended = known;
    let Some(claim) = Claim::of(unit.app, &unit.after.ready) else { return Ok(()) };
    unit.tx.savepoint("grant").await?;
    match grant(unit, &claim).await {
        Ok(granted) => {
            unit.tx.release("grant").await?;
            unit.after.attended = known && !granted.left;
            unit.after.granted = Some(granted);
        }
        Err(error) => {
            // What was reported stands; the next tick meets the same trouble alone and says so.
            tracing::warn!(%error, "nothing was granted along with other work");
            unit.tx.back_to("grant").await?;
            unit.after.attended = false;
        }
    }
    Ok(())
}

/// What there is room for.
struct Claim {
    live: Vec<Arc<AgentLive>>,
    agents: Vec<schedule::AgentView>,
    classes: BTreeMap<ClassId, Arc<DemandClass>>,
    wanted: Vec<(ClassId, u32)>,
    /// Classes with the activation that was known when this was made.
    seen: BTreeMap<ClassId, u64>,
}

impl Claim {
    /// `None`: nothing is ready, as far as is known here, or nobody has room for it.
    fn of(app: &App, ready: &BTreeSet<ClassId>) -> Option<Self> {
        let seen: BTreeMap<ClassId, u64> = app.classes.active().into_iter().collect();
        let ids: BTreeSet<ClassId> = seen.keys().chain(ready).copied().collect();
        if ids.is_empty() || app.switch.is_pulled() {
            return None;
        }
        let live: Vec<Arc<AgentLive>> = app.sessions.all();
        let agents = agent_views(app, &live);
        if agents.is_empty() {
            return None;
        }
        let classes: BTreeMap<_, _> =
            ids.into_iter().filter_map(|id| app.classes.class(id).map(|class| (id, class))).collect();
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
        if wanted.is_empty() { None } else { Some(Self { live, agents, classes, wanted, seen }) }
    }
}

/// Leases made in a unit. Until they are told to be [kept](Self::send), their places are given back when this is
/// dropped: the unit was rolled back.
#[derive(Debug)]
pub(super) struct Granted {
    tasks: Vec<GrantedTask>,
    /// Signatures that A and S orders rest on.
    shown: HashMap<TaskId, Shown>,
    /// What the orders of added tasks rest on.
    added: HashMap<TaskId, spawned::Shown>,
    live: Vec<Arc<AgentLive>>,
    /// Classes that had fewer ready tasks than asked for.
    drained: Vec<(ClassId, u64)>,
    /// There is room and there are tasks.
    left: bool,
    newest_tag: u64,
}

impl Granted {
    fn none() -> Self {
        Self {
            tasks: Vec::new(),
            shown: HashMap::new(),
            added: HashMap::new(),
            live: Vec::new(),
            drained: Vec::new(),
            left: false,
            newest_tag: 0,
        }
    }

    /// Marks the places of these leases as taken.
    fn reserve(&self) {
        for live in &self.live {
            let given = self.given(live);
            live.spend_credit(u32::try_from(given.len()).unwrap_or(u32::MAX));
            live.hold(given);
        }
    }

    fn given(&self, live: &AgentLive) -> Vec<AttemptRef> {
        let of = |task: &TaskRow| task.agent == Some(live.agent) && task.session == Some(live.session);
        self.tasks.iter().filter(|one| of(&one.task)).map(|one| attempt_of(&one.task)).collect()
    }

    /// The classes this unit has emptied.
    pub(super) fn drained(&self) -> impl Iterator<Item = ClassId> {
        self.drained.iter().map(|(class, _)| *class)
    }

    /// Once it is committed: orders leave.
    pub(super) async fn send(mut self, app: &App) {
        for (class, seen) in &self.drained {
            app.classes.deactivate(*class, *seen);
        }
        app.advance_virtual_time(self.newest_tag);
        let tasks = std::mem::take(&mut self.tasks);
        app.running.granted(tasks.iter().map(|one| (one.task.id, one.task.mission)));
        orders::send(app, &self.live, tasks, orders::Rests { shown: &self.shown, added: &self.added }).await;
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        for live in &self.live {
            let given = self.given(live);
            live.give_back(u32::try_from(given.len()).unwrap_or(u32::MAX));
            live.release(&given);
        }
    }
}

/// Reads the classes that are known by number only.
async fn learn_classes(app: &App) -> Result<()> {
    let missing: Vec<_> = app
        .classes
        .active()
        .into_iter()
        .filter(|(id, _)| app.classes.class(*id).is_none())
        .map(|(id, _)| nexusmon_store::ClassId(id.0))
        .collect();
    if !missing.is_empty() {
        for row in app.store.read().await?.classes_by_id(&missing).await? {
            app.classes.learn(ClassId(row.id.0), &row.key);
        }
    }
    Ok(())
}

/// Claimed tasks have a class: they were claimed by it.
fn class_of(task: &TaskRow) -> ClassId {
    ClassId(task.class.map_or(0, |class| class.0))
}

async fn grant(unit: &mut Unit<'_>, input: &Claim) -> Result<Granted> {
    let app = unit.app;
    if unit.tx.is_halted().await? {
        return Ok(Granted::none());
    }
    let wanted: Vec<_> =
        input.wanted.iter().map(|(class, limit)| (nexusmon_store::ClassId(class.0), *limit)).collect();
    let mut found = unit.tx.claim_candidates(&wanted).await?;
    let mut by_class = HashMap::<ClassId, u32>::new();
    for one in &found {
        *by_class.entry(class_of(one)).or_default() += 1;
    }
    let shown = approved(unit, input, &mut found).await?;
    hold_added(unit, &mut found).await?;
    // The order of fairness, over all classes.
    found.sort_by(|a, b| b.priority.cmp(&a.priority).then(a.tag.cmp(&b.tag)).then(a.id.cmp(&b.id)));
    let mut rates = Rates::lock(unit, input).await?;
    let plan = schedule::plan(&snapshot(unit, input, &found, &by_class, &rates).await?);
    let by_id: HashMap<TaskId, &TaskRow> = found.iter().map(|one| (one.id, one)).collect();
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
    let candidates = found.len();
    let mut tasks = unit.tx.grant(&rows, found).await?;
    set_offline(unit, &mut tasks).await?;
    rates.spend(unit, input, &tasks).await?;
    let uses = standing::spend(unit, &tasks, &shown).await?;
    let added = spawned::shown(unit, &tasks).await?;
    let mut left_of = by_class.clone();
    for granted in &tasks {
        let class = granted.task.class.map(|class| ClassId(class.0));
        if let Some(left) = class.and_then(|class| left_of.get_mut(&class)) {
            *left = left.saturating_sub(1);
        }
    }
    // Fewer were ready than asked for, and none of them was left.
    let drained = input
        .wanted
        .iter()
        .filter(|(class, limit)| by_class.get(class).is_none_or(|count| count < limit))
        .filter(|(class, _)| left_of.get(class).is_none_or(|left| *left == 0))
        .map(|(class, _)| (*class, input.seen.get(class).copied().unwrap_or(0)))
        .collect();
    let room: usize = input.agents.iter().map(|agent| (agent.free_slots + agent.prefetch) as usize).sum();
    let left = !tasks.is_empty() && candidates > tasks.len() && room > tasks.len();
    let newest_tag = tasks.iter().map(|one| u64::try_from(one.task.tag).unwrap_or(0)).max().unwrap_or(0);
    for granted in &tasks {
        let row = &granted.task;
        unit.moved(row.mission, TaskStatus::Ready, TaskStatus::Leased);
        unit.delta(row.mission).attempts += 1;
        let body = orders::written(granted, shown.get(&row.id), uses.get(&row.id))?;
        if !nexusmon_shared::planted::planted("grant-unaudited") {
            unit.audit(SYSTEM, "task.granted", task_subject(row.id), Some(row.mission), body);
        }
    }
    let granted = Granted { tasks, shown, added, live: input.live.clone(), drained, left, newest_tag };
    granted.reserve();
    Ok(granted)
}

/// Takes A and S work out that is not approved any more, and has it asked about; gives the signatures for the rest.
async fn approved(
    unit: &mut Unit<'_>,
    input: &Claim,
    found: &mut Vec<TaskRow>,
) -> Result<HashMap<TaskId, Shown>> {
    let is_grave =
        |one: &TaskRow| input.classes.get(&class_of(one)).is_some_and(|class| consent::is_grave(class));
    let grave: Vec<TaskId> = found.iter().filter(|one| is_grave(one)).map(|one| one.id).collect();
    if grave.is_empty() {
        return Ok(HashMap::new());
    }
    let checked = consent::check(unit, &grave).await?;
    if !checked.refused.is_empty() {
        found.retain(|one| !checked.refused.contains(&one.id));
        let refused: Vec<_> = checked.refused.into_iter().collect();
        consent::ask_again(unit, &refused, "there are not enough valid signatures").await?;
    }
    Ok(checked.shown)
}

/// Takes tasks out that running tasks have added, while the system may not let that happen: they wait.
async fn hold_added(unit: &mut Unit<'_>, found: &mut Vec<TaskRow>) -> Result<()> {
    if found.iter().any(|one| one.spawned_by.is_some())
        && !evolution::may(unit.app, unit.tx, Trait::WorkerSpawn, unit.now).await?
    {
        found.retain(|one| one.spawned_by.is_none());
    }
    Ok(())
}

/// What the decision rests on, read and locked.
async fn snapshot(
    unit: &mut Unit<'_>,
    input: &Claim,
    found: &[TaskRow],
    by_class: &HashMap<ClassId, u32>,
    rates: &Rates,
) -> Result<Snapshot> {
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
    let candidates = found
        .iter()
        .filter_map(|one| {
            let mission = missions.get(&one.mission)?;
            Some(Candidate {
                task: one.id,
                mission: one.mission,
                class: class_of(one),
                approved: mission.rank,
                budget_left: budget::grants_left(&mission.budget.0, &super::finish::spent(mission)),
            })
        })
        .collect();
    let flags = flags::flags_of(&unit.tx.flags().await?);
    let mut agents = input.agents.clone();
    for agent in &mut agents {
        flags::mark(&flags, agent);
        agent.rate = rates.used(&format!("agent:{}", agent.id), unit.now);
    }
    let fleet_wide = |class: &&Arc<DemandClass>| {
        flags.iter().any(|flag| flag.scope == Scope::Fleet && flag.target.covers(&class.capability))
    };
    let disabled = input.classes.values().filter(fleet_wide).map(|class| class.capability.clone()).collect();
    Ok(Snapshot {
        // Whoever got here holds it so.
        halted: false,
        candidates,
        classes: input.classes.iter().map(|(id, class)| (*id, (**class).clone())).collect(),
        agents,
        limits,
        rates: rates.all(unit.now),
        disabled,
        bands: unit.app.beliefs.bands(&input.classes, &input.agents),
    })
}

fn grant_row(
    one: &TaskRow,
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
