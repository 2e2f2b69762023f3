//! Why a task waits, worked out when somebody looks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nexusmon_core::evolution::Trait;
use nexusmon_core::mission::Start;
use nexusmon_core::schedule::{AgentView, ClassId, DemandClass, Explaining, LimitUse, Reason, explain};
use nexusmon_shared::task::{TaskState, TaskStatus};
use nexusmon_store::{Connection, Halt, MissionRow, TaskRow};

use super::Waiting;
use crate::app::App;
use crate::error::Result;
use crate::service::agents::{Presence, presence};
use crate::service::dispatch::offline_views;
use crate::service::evolution;

/// What has to be read for explanations.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub limits: BTreeMap<String, LimitUse>,
    pub rates: BTreeMap<String, LimitUse>,
    pub halted: bool,
    /// The system may let tasks add tasks.
    pub may_spawn: bool,
}

/// One waiting task.
pub(super) struct About<'a> {
    pub row: &'a TaskRow,
    pub open_needs: &'a [String],
}

/// Explains tasks of one mission against the fleet as it is now.
pub(super) struct Explainer<'a> {
    app: &'a App,
    mission: &'a MissionRow,
    agents: Vec<AgentView>,
    extra: Extra,
}

/// Reads what explanations of these tasks need.
pub(super) async fn extra(app: &App, read: &mut Connection, rows: &[TaskRow]) -> Result<Extra> {
    let halted = read.organism().await?.is_some_and(|organism| organism.halt != Halt::None);
    let ids: BTreeSet<_> = rows
        .iter()
        .filter(|row| !row.state.is_terminal())
        .filter_map(|row| row.class)
        .filter(|class| app.classes.class(ClassId(class.0)).is_none())
        .collect();
    if !ids.is_empty() {
        let ids: Vec<_> = ids.into_iter().collect();
        for row in read.classes_by_id(&ids).await? {
            app.classes.learn(ClassId(row.id.0), &row.key);
        }
    }
    let keys: BTreeSet<String> = rows
        .iter()
        .filter(|row| row.state == TaskStatus::Ready)
        .flat_map(|row| row.limits.iter().flat_map(|limits| limits.keys().cloned()))
        .collect();
    let keys: Vec<_> = keys.into_iter().collect();
    let mut limits = BTreeMap::new();
    if !keys.is_empty() {
        for used in read.limit_use(&keys).await? {
            let live = u32::try_from(used.live).unwrap_or(u32::MAX);
            limits.insert(used.key, LimitUse { live, least: used.maximum });
        }
    }
    let rates = crate::service::flags::rates_used(app, read).await?;
    let added = rows.iter().any(|row| row.spawned_by.is_some() && !row.state.is_terminal());
    let may_spawn = added && evolution::may(app, read, Trait::WorkerSpawn, app.clock.now()).await?;
    Ok(Extra { limits, rates, halted, may_spawn })
}

impl<'a> Explainer<'a> {
    pub(super) fn new(app: &'a App, mission: &'a MissionRow, extra: Extra) -> Self {
        let mut agents = offline_views(app);
        if !extra.rates.is_empty() {
            for agent in &mut agents {
                agent.rate = extra.rates.get(&format!("agent:{}", agent.id)).copied();
            }
        }
        Self { app, mission, agents, extra }
    }

    pub(super) fn explain(&self, about: &About<'_>) -> Option<Waiting> {
        let row = about.row;
        if row.state.is_terminal() {
            return None;
        }
        let state = row.task_state().ok()?;
        // A lease whose agent is gone is not waiting for a slot, but people want to know.
        if let (TaskStatus::Leased | TaskStatus::Running, Some(agent), Some(until)) =
            (row.state, row.agent, row.offline_until)
            && presence(self.app, agent) == Presence::Offline
        {
            return Some(waiting(&Reason::Away { agent, until }));
        }
        let class: Option<(ClassId, Arc<DemandClass>)> = row.class.and_then(|class| {
            let id = ClassId(class.0);
            self.app.classes.class(id).map(|class| (id, class))
        });
        let start = match (self.mission.start, self.mission.start_at) {
            (nexusmon_store::Start::Manual, _) => Start::Manual,
            (nexusmon_store::Start::At, Some(at)) => Start::At(at),
            _ => Start::Auto,
        };
        let state: &TaskState = &state;
        explain(&Explaining {
            task: state,
            mission: &self.mission.state.0,
            start,
            open_needs: about.open_needs,
            class: class.as_ref().map(|(id, class)| (*id, &**class)),
            agents: &self.agents,
            limits: &self.extra.limits,
            rates: &self.extra.rates,
            halted: self.extra.halted,
            may_spawn: self.extra.may_spawn,
        })
        .map(|reason| waiting(&reason))
    }
}

pub(super) fn waiting(reason: &Reason) -> Waiting {
    Waiting { reason: reason.code(), detail: reason.view(), text: reason.message() }
}
