//! How one begins.

use std::sync::Arc;

use nexusmon_core::budget::Spent;
use nexusmon_core::mission::Start;
use nexusmon_core::planning::{MissionDraft, PlaybookRef};
use nexusmon_core::policy::access;
use nexusmon_core::sub_mission::{DEEPEST, SubMission, least, part, remaining};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::plan::{Budget, TaskSpec};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::task::TaskStatus;
use nexusmon_store::{DueSubMission, HeldBudget, MissionRow, PrincipalKind};
use serde_json::{Map, Value, json};

use super::super::missions::{Prepared, insert_prepared, prepare_as};
use super::super::unit::{SYSTEM, Unit, task_subject};
use super::super::{Caller, Origin, Role, playbooks};
use crate::app::App;
use crate::error::{Error, Result};

/// A budget that others take from meanwhile is divided anew.
const AGAIN: usize = 3;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// It began, or it is known that it cannot.
    Yes,
    No,
    /// Until another leaves something of their parent's budget.
    Waits,
}

/// Made under what its parent's budget was, and held, then.
struct Made {
    prepared: Arc<Prepared>,
    ceiling: Rank,
    of: Budget,
    held: HeldBudget,
}

/// Why it cannot begin.
enum Stop {
    /// Others go on that hold what it needs.
    Waits,

    /// The task fails with it.
    Cause(Cause),
    /// The request's fault, and the task fails; or the coordinator's own, and it is tried again.
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<nexusmon_store::StoreError> for Stop {
    fn from(error: nexusmon_store::StoreError) -> Self {
        Self::Error(error.into())
    }
}

/// Begins the mission of a task.
pub(super) async fn begin(app: &App, due: &DueSubMission) -> Result<Begun> {
    for _ in 0..AGAIN {
        let made = match made(app, due).await {
            Ok(Some(made)) => Ok(made),
            Ok(None) => return Ok(Begun::No),
            Err(Stop::Waits) => return Ok(Begun::Waits),
            Err(Stop::Error(error)) if error.status() >= 500 => return Err(error),
            Err(Stop::Error(error)) => Err(refused(&error)),
            Err(Stop::Cause(cause)) => Err(cause),
        };
        if let Some(begun) = written(app, due, made).await? {
            return Ok(begun);
        }
    }
    // At the next look.
    Ok(Begun::No)
}

/// Writes it; `None` if the budget that it was made under is another by now.
async fn written(
    app: &App,
    due: &DueSubMission,
    made: std::result::Result<Made, Cause>,
) -> Result<Option<Begun>> {
    let unit_app = app.clone();
    let (begun, after) = app
        .store
        .write_with("sub_missions.begin", (due.clone(), made), move |tx, (due, made)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let parent = unit.tx.lock_mission(due.parent).await?;
                let running = parent.filter(|parent| parent.status == MissionStatus::Running);
                let task = unit.tx.lock_tasks(&[due.task]).await?.pop();
                let waits = task.is_some_and(|task| task.state == TaskStatus::Pending);
                let Some(parent) = running.filter(|_| waits) else {
                    return Ok::<_, Error>((Some(Begun::No), vec![unit.finish().await?]));
                };
                match made {
                    Err(cause) => {
                        unit.tx.settle_sub_mission(due.task, 0, unit.now).await?;
                        super::end(&mut unit, due.task, due.parent, |_| Err(cause.clone())).await?;
                        Ok((Some(Begun::Yes), vec![unit.finish().await?]))
                    }
                    Ok(Made { prepared, ceiling, of, held }) => {
                        // Under the parent's lock: nothing is given away twice.
                        if parent.budget.0 != *of || unit.tx.held_budget(due.parent).await? != *held {
                            return Ok((None, vec![unit.finish().await?]));
                        }
                        let row = &prepared.new.mission;
                        if !unit.tx.begin_sub_mission(due.task, row.id, &row.budget.0).await? {
                            return Ok((Some(Begun::No), vec![unit.finish().await?]));
                        }
                        told(&mut unit, due, prepared, *ceiling);
                        let own = unit.finish().await?;
                        let (_, after) = insert_prepared(&app, tx, std::slice::from_ref(prepared)).await?;
                        Ok((Some(Begun::Yes), vec![own, after]))
                    }
                }
            })
        })
        .await?;
    for after in after {
        after.run_and_send(app).await;
    }
    Ok(begun)
}

fn told(unit: &mut Unit<'_>, due: &DueSubMission, prepared: &Prepared, ceiling: Rank) {
    let row = &prepared.new.mission;
    let body = json!({"mission": row.id, "depth": due.depth, "ceiling": ceiling, "rank": row.rank,
        "budget": row.budget.0, "status": row.status.as_str()});
    unit.audit(SYSTEM, "sub_mission.begun", task_subject(due.task), Some(due.parent), body);
}

/// What a task that cannot begin its mission fails with.
fn refused(error: &Error) -> Cause {
    let detail: String = error.to_string().chars().take(1_000).collect();
    match error {
        Error::Forbidden { code: "denied_by_policy", .. } => Cause::DeniedByPolicy { policies: vec![detail] },
        _ => Cause::BadParameters { detail },
    }
}

/// The mission, prepared. `None` if there is nothing to do any more.
async fn made(app: &App, due: &DueSubMission) -> std::result::Result<Option<Made>, Stop> {
    let mut read = app.store.read().await?;
    let Some(parent) = read.mission(due.parent).await? else { return Ok(None) };
    let Some(task) = read.task(due.task).await? else { return Ok(None) };
    let Some(leaf) = read.specs_of(&[due.task]).await?.pop() else { return Ok(None) };
    let held = read.held_budget(due.parent).await?;
    let parts = u32::try_from(read.sub_missions_left(due.parent).await?).unwrap_or(u32::MAX);
    drop(read);
    let spec: TaskSpec = serde_json::from_str(&leaf.spec).map_err(Error::internal)?;
    let with: Map<String, Value> = match task.params.as_deref() {
        Some(text) => serde_json::from_str(text).map_err(Error::internal)?,
        None => spec.with.clone(),
    };
    let bad = |detail| Stop::Cause(Cause::BadParameters { detail });
    let wanted = SubMission::read(&with).map_err(bad)?;
    let over = |budget: String| Stop::Cause(Cause::BudgetExceeded { budget });
    if due.depth > DEEPEST {
        return Err(over(format!("depth: missions lie at most {DEEPEST} deep in each other")));
    }
    let left = match left(app, &parent, &held) {
        Ok(left) => left,
        Err("tasks" | "attempts") if held.living > 0 => return Err(Stop::Waits),
        Err(what) => return Err(over(format!("{what}: nothing is left of the parent's"))),
    };
    let caller = caller(app, &parent, wanted.ceiling).await?;
    let rest = Rest { left, parts, shared: held.living > 0, said: with.get("budget") };
    let draft = draft(app, &parent, due, &wanted, &rest).await?;
    let prepared = prepare_as(app, &caller, parent.author.0.clone(), Arc::new(draft), None).await?;
    let prepared = Arc::new(Prepared { rider: None, ..prepared });
    let ceiling = caller.rank_ceiling.unwrap_or(wanted.ceiling);
    Ok(Some(Made { prepared, ceiling, of: parent.budget.0, held }))
}

/// What a mission may be given.
struct Rest<'a> {
    left: Budget,
    /// So many are still to begin.
    parts: u32,
    /// Others go on, and may leave something.
    shared: bool,
    /// What the task itself says of its budget.
    said: Option<&'a Value>,
}

impl Rest<'_> {
    /// The most for a mission of so many tasks: a fair part, or all that is left where the task says what it wants.
    fn most(&self, tasks: u32) -> Budget {
        let part = part(&self.left, self.parts, tasks);
        let said = |field: &str| self.said.is_some_and(|said| said.get(field).is_some());
        Budget {
            tasks: if said("tasks") { self.left.tasks } else { part.tasks },
            attempts: if said("attempts") { self.left.attempts } else { part.attempts },
            duration: part.duration,
            artifact_bytes: if said("artifact_bytes") {
                self.left.artifact_bytes
            } else {
                part.artifact_bytes
            },
            log_bytes: if said("log_bytes") { self.left.log_bytes } else { part.log_bytes },
        }
    }
}

fn left(app: &App, parent: &MissionRow, held: &HeldBudget) -> std::result::Result<Budget, &'static str> {
    let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    let bytes = |number: i64| u64::try_from(number).unwrap_or(0);
    let held = Spent {
        tasks: count(held.tasks),
        attempts: count(held.attempts),
        started_at: None,
        artifact_bytes: bytes(held.artifact_bytes),
        log_bytes: bytes(held.log_bytes),
    };
    let spent = super::super::finish::spent(parent);
    remaining(&parent.budget.0, &spent, &held, parent.deadline, app.clock.now())
}

/// It acts in the name of whoever its parent is made by, as they may act now, and starts nothing above its ceiling.
async fn caller(app: &App, parent: &MissionRow, ceiling: Rank) -> std::result::Result<Caller, Stop> {
    let origin = Origin::of(&parent.origin);
    if parent.created_by == app.system {
        return Ok(Caller { rank_ceiling: Some(ceiling), origin, ..Caller::system(app) });
    }
    let found = app.store.read().await?.principal(parent.created_by).await?;
    let now = app.expiry_clock.now();
    let live = found.filter(|one| one.revoked_at.is_none() && one.expires_at.is_none_or(|until| until > now));
    let allowed = live.filter(|one| access::permits(one.role.as_str(), "mission.create"));
    let Some(owner) = allowed else {
        let detail = "whoever made the mission may not create missions any more".to_owned();
        return Err(Stop::Cause(Cause::DeniedByPolicy { policies: vec![detail] }));
    };
    let role = match owner.kind {
        PrincipalKind::Token => Role::Service,
        _ => Role::parse(owner.role.as_str()).unwrap_or(Role::Service),
    };
    let ceiling = owner.rank_ceiling.map_or(ceiling, |own| own.min(ceiling));
    let rank_ceiling = Some(ceiling);
    Ok(Caller { principal: owner.id, name: owner.name, role, session: None, rank_ceiling, origin })
}

async fn draft(
    app: &App,
    parent: &MissionRow,
    due: &DueSubMission,
    wanted: &SubMission,
    rest: &Rest<'_>,
) -> std::result::Result<MissionDraft, Stop> {
    let about = json!({"mission": parent.id, "task": due.task, "depth": due.depth});
    let mut draft = MissionDraft {
        goal: wanted.playbook.to_string(),
        tasks: None,
        rank: Rank::E,
        start: Start::Auto,
        priority: i32::try_from(parent.priority).unwrap_or(0),
        budget: Budget::default(),
        labels: parent.labels.0.clone(),
        metadata: Map::from_iter([("parent".to_owned(), about)]),
        playbook: Some(PlaybookRef { name: wanted.playbook.clone(), version: Some(wanted.version) }),
        inputs: wanted.inputs.clone(),
    };
    // The playbook's own ceilings, those the task says, and its part of what is left: the lowest of each.
    let (resolved, _) = playbooks::resolve(app, Arc::new(draft.clone())).await?;
    let asked = wanted.budget.as_ref().map_or(resolved.budget, |said| least(said, &resolved.budget));
    let tasks = u32::try_from(resolved.tasks.as_ref().map_or(1, Vec::len)).unwrap_or(u32::MAX).max(1);
    if rest.shared && (rest.left.tasks < tasks || rest.left.attempts < tasks) {
        return Err(Stop::Waits);
    }
    draft.budget = least(&asked, &rest.most(tasks));
    Ok(draft)
}
