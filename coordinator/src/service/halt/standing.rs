//! Who has obeyed, and until when the rest might still run something.

use std::collections::HashMap;
use std::time::Duration;

use nexusmon_core::halt::{Seen, Standing, standing};
use nexusmon_shared::message::HaltLevel;
use nexusmon_store::{AgentState, ApprovalSubject};

use super::{AgentHalt, HaltView, level};
use crate::app::App;
use crate::error::Result;
use crate::service::agents::{Presence, presence};

/// Agents that are listed; all are counted.
const MOST: usize = 200;

pub(super) async fn view(app: &App) -> Result<HaltView> {
    let mut read = app.store.read().await?;
    let newest = read.newest_halt().await?;
    let mut view = HaltView {
        level: newest.as_ref().map_or(HaltLevel::None, |row| level(row.level)),
        number: newest.as_ref().map_or(0, |row| u64::try_from(row.number).unwrap_or(0)),
        since: newest.as_ref().map(|row| row.at),
        by: newest.as_ref().map(|row| row.by_principal),
        reason: newest.as_ref().and_then(|row| row.reason.clone()),
        release: None,
        acknowledged: 0,
        waiting: 0,
        unreachable: 0,
        agents: Vec::new(),
    };
    let (Some(newest), true) = (newest, view.level != HaltLevel::None) else { return Ok(view) };
    let asked = read.pending_approvals_about(ApprovalSubject::Release).await?;
    view.release = asked.last().map(|row| row.id);
    let acks: HashMap<_, _> =
        read.halt_acks(newest.number).await?.into_iter().map(|ack| (ack.agent, ack)).collect();
    let held: HashMap<_, _> = read.held_leases().await?.into_iter().map(|held| (held.agent, held)).collect();
    let renewed: HashMap<_, _> =
        read.agent_sessions().await?.into_iter().map(|row| (row.agent, row.renewed_at)).collect();
    let agents = read.live_agents().await?;
    drop(read);
    let now = app.clock.now();
    let mut listed = Vec::with_capacity(agents.len());
    for agent in agents {
        let (ack, held) = (acks.get(&agent.id), held.get(&agent.id));
        let leases = held.map_or(0, |held| u64::try_from(held.leases).unwrap_or(0));
        let allowance = held.map_or(0, |held| u64::try_from(held.allowance).unwrap_or(0));
        let shut_out = agent.state == AgentState::Quarantined;
        let seen = Seen {
            acknowledged: ack.is_some(),
            reachable: !shut_out && presence(app, agent.id) == Presence::Online,
            leases,
            renewed_at: renewed.get(&agent.id).copied(),
            allowance: Duration::from_micros(allowance),
        };
        let standing = standing(&seen, now);
        match standing {
            Standing::Acknowledged => view.acknowledged += 1,
            Standing::Waiting => view.waiting += 1,
            Standing::Unreachable { .. } => view.unreachable += 1,
            Standing::Clear => {}
        }
        let agent = AgentHalt {
            id: agent.id,
            name: agent.name,
            state: standing.as_str(),
            may_run_until: match standing {
                Standing::Unreachable { until } => Some(until),
                _ => None,
            },
            acknowledged_at: ack.map(|ack| ack.at),
            running: ack.map(|ack| u64::try_from(ack.running).unwrap_or(0)),
            leases,
        };
        listed.push((standing, agent));
    }
    // What may still run comes first, then what still runs, then what has not answered.
    listed.sort_by(|(a_standing, a), (b_standing, b)| {
        (a_standing, b.leases, &a.name).cmp(&(b_standing, a.leases, &b.name))
    });
    view.agents = listed.into_iter().take(MOST).map(|(_, agent)| agent).collect();
    Ok(view)
}
