//! Orders sent ahead to one agent are called back when another has nothing to do: tasks that turn out to be long must
//! not queue behind each other while slots are free elsewhere.
//!
//! Each node looks at its own sessions. What is called back comes as returned, is ready again, and goes to free slots
//! first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nexusmon_core::schedule::{self, AgentView, ClassId, Fit};
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::message::CoordinatorMessage;
use nexusmon_store::TaskRow;

use super::agent_views;
use crate::app::App;
use crate::app::sessions::AgentLive;
use crate::error::Result;
use crate::service::unit::attempt_of;

/// Younger orders are on their way, or about to start.
const SETTLED: Duration = Duration::from_secs(1);

/// Calls back what waits behind other work on one agent and would fit a free slot of another; how many.
pub async fn balance(app: &App) -> Result<usize> {
    let live = app.sessions.all();
    let mut free: Vec<AgentView> =
        agent_views(app, &live).into_iter().filter(|agent| agent.free_slots > 0).collect();
    let full: Vec<&Arc<AgentLive>> =
        live.iter().filter(|agent| agent.held() > agent.profile().slots as usize).collect();
    if free.is_empty() || full.is_empty() {
        return Ok(0);
    }
    let mut called = 0;
    for agent in full {
        let rows = app.store.read().await?.leases_of(agent.agent).await?;
        let chosen = choose(app, agent, &rows, &mut free);
        if !chosen.is_empty() {
            called += chosen.len();
            agent.offer(CoordinatorMessage::Recall(chosen));
        }
    }
    Ok(called)
}

/// At most half of what waits there, what was granted last first, and no more than fits free slots.
fn choose(app: &App, agent: &AgentLive, rows: &[TaskRow], free: &mut [AgentView]) -> Vec<AttemptRef> {
    let settled = app.clock.now() - SETTLED;
    let mut waiting: BTreeMap<AttemptRef, &TaskRow> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.session == Some(agent.session) && row.idempotent) {
        let attempt = attempt_of(row);
        let started = app.running.get(&attempt).is_some_and(|news| news.started_at.is_some());
        if !started && row.granted_at.is_some_and(|at| at <= settled) {
            waiting.insert(attempt, row);
        }
    }
    let most = waiting.len().div_ceil(2);
    let mut newest: Vec<_> = waiting.into_iter().collect();
    newest.sort_by_key(|(attempt, _)| std::cmp::Reverse(attempt.fence));
    let fitting = newest.into_iter().filter_map(|(attempt, row)| {
        let id = ClassId(row.class?.0);
        let class = app.classes.class(id)?;
        let place = free.iter_mut().find(|other| {
            other.id != agent.agent && other.free_slots > 0 && schedule::fits(id, &class, other) == Fit::Fits
        })?;
        place.free_slots -= 1;
        Some(attempt)
    });
    fitting.take(most).collect()
}
