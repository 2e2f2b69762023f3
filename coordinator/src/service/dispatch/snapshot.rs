//! Agents as the scheduler sees them: what is enrolled, with what sessions add.

use std::sync::Arc;

use nexusmon_core::schedule::{AgentView, Availability};
use nexusmon_shared::id::AgentId;
use nexusmon_shared::message::SUSPECT_AFTER;

use crate::app::App;
use crate::app::sessions::{AgentLive, Profile};
use crate::service::flags;

/// What a session's profile says, without what is free.
pub(in crate::service) fn view(agent: AgentId, session: u64, profile: &Profile) -> AgentView {
    AgentView {
        id: agent,
        offer: Arc::clone(&profile.offer),
        session,
        availability: Availability::Offline,
        free_slots: 0,
        prefetch: 0,
        barred: std::collections::BTreeSet::new(),
        disabled: std::collections::BTreeSet::new(),
        rate: None,
    }
}

/// Sessions of this node that may be given something now. The credit an agent told, less what was sent since, bounds
/// what it is given; slots bound what does not allow prefetch.
pub(in crate::service) fn agent_views(app: &App, live: &[Arc<AgentLive>]) -> Vec<AgentView> {
    let boot = app.clock.boot();
    live.iter()
        .filter(|agent| boot.saturating_sub(agent.seen()) < SUSPECT_AFTER)
        .filter_map(|agent| {
            let profile = agent.profile();
            let credit = agent.credit();
            if credit == 0 || profile.closed {
                return None;
            }
            let held = u32::try_from(agent.held()).unwrap_or(u32::MAX);
            let free_slots = profile.slots.saturating_sub(held).min(credit);
            let room = (profile.slots + agent.prefetch(profile.slots)).saturating_sub(held).min(credit);
            Some(AgentView {
                availability: Availability::Live,
                free_slots,
                prefetch: room.saturating_sub(free_slots),
                barred: app.barred.of(agent.agent),
                ..view(agent.agent, agent.session, &profile)
            })
        })
        .collect()
}

/// Every enrolled agent for explanations: those with a session as they are, the others as offline.
pub(in crate::service) fn offline_views(app: &App) -> Vec<AgentView> {
    let fleet = app.fleet.get();
    let boot = app.clock.boot();
    let rules = app.flags.get();
    let views = fleet.views.values().map(|known| {
        let Some(live) = app.sessions.get(known.id) else {
            let mut view = known.clone();
            // Another node gives it work; what waits here waits for a slot there.
            if view.availability == Availability::Offline && app.elsewhere.get(known.id).is_some() {
                view.availability = Availability::Live;
            }
            return view;
        };
        let profile = live.profile();
        let held = u32::try_from(live.held()).unwrap_or(u32::MAX);
        let availability = match known.availability {
            Availability::Offline if boot.saturating_sub(live.seen()) >= SUSPECT_AFTER => {
                Availability::Offline
            }
            Availability::Offline if profile.closed => Availability::Paused,
            Availability::Offline => Availability::Live,
            set => set,
        };
        AgentView {
            availability,
            free_slots: profile.slots.saturating_sub(held),
            prefetch: profile.prefetch,
            barred: app.barred.of(known.id),
            ..view(known.id, live.session, &profile)
        }
    });
    views
        .map(|mut view| {
            flags::mark(&rules.flags, &mut view);
            view
        })
        .collect()
}
