//! Agents that have been away for a while: written down once, so that whoever wants to know is told.

use std::time::Duration;

use nexusmon_store::AgentState;
use serde_json::json;

use super::super::unit::{SYSTEM, Unit};
use crate::app::App;
use crate::error::Result;

/// A restart, a cable, a night's update: none of them is longer.
const AWAY: Duration = Duration::from_mins(3);

/// One look, under a duty.
pub async fn look_for_lost(app: &App) -> Result<()> {
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let mut lost = Vec::new();
    for session in read.agent_sessions().await? {
        // A coordinator that was away itself has heard nobody since: it looks again once agents could have come back.
        let seen =
            session.renewed_at.max(session.closed_at.unwrap_or(session.renewed_at)).max(app.started_at);
        if app.sessions.get(session.agent).is_some() || now.since(seen) < AWAY {
            continue;
        }
        let agent = read.agent(session.agent).await?;
        if agent.is_none_or(|agent| agent.state != AgentState::Active) {
            continue;
        }
        let subject = session.agent.to_string();
        let said = read.last_lost(&subject).await?;
        if said.is_none_or(|said| said < session.opened_at) {
            lost.push((session.agent, session.renewed_at));
        }
    }
    drop(read);
    if lost.is_empty() {
        return Ok(());
    }
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("agents.lost", lost, move |tx, lost| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                for (agent, seen) in lost {
                    let subject = ("agent", agent.to_string());
                    unit.audit(SYSTEM, "agent.lost", subject, None, json!({"last_seen": seen}));
                }
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}
