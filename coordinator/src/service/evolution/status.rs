//! The state of the whole organism in one view.

use std::collections::BTreeMap;

use nexusmon_core::schedule::Availability;

use super::super::agents::Presence;
use super::super::{PageRequest, agents, audit, cognition};
use super::{OrganismStatus, organism, points, stage, traits};
use crate::app::App;
use crate::error::Result;

/// Newest audit entries shown.
const RECENT: u32 = 20;

pub async fn organism_status(app: &App) -> Result<OrganismStatus> {
    let mut read = app.store.read().await?;
    let organism = organism(app, &mut read, app.clock.now()).await?;
    let missions: BTreeMap<_, _> = crate::service::missions::counts(app, &mut read)
        .await?
        .into_iter()
        .map(|row| (row.status, cognition::count(row.count)))
        .collect();
    let attention = cognition::attention(&mut read, &missions).await?;
    drop(read);

    let (mut total, mut busy) = (0, 0);
    let mut fleet = BTreeMap::<String, u64>::new();
    let known = app.fleet.get();
    *fleet.entry("enrolled".to_owned()).or_default() = known.views.len() as u64;
    for agent in known.views.values() {
        let state = match agent.availability {
            Availability::Draining => Some("draining"),
            Availability::Paused => Some("paused"),
            Availability::Pending => Some("pending"),
            Availability::Quarantined => Some("quarantined"),
            _ => None,
        };
        if let Some(state) = state {
            *fleet.entry(state.to_owned()).or_default() += 1;
        }
        let presence = agents::presence(app, agent.id);
        *fleet.entry(presence.as_str().to_owned()).or_default() += 1;
        if presence != Presence::Offline {
            total += u64::from(agent.offer.slots);
            busy += app.sessions.get(agent.id).map_or(0, |live| live.held() as u64);
        }
    }
    let operator_load = [
        ("approvals_waiting", attention.approvals_waiting),
        ("reviews_waiting", attention.reviews_waiting),
        ("uncertain_tasks", attention.uncertain_tasks),
        ("needs_plan", attention.needs_plan),
    ];
    let newest = PageRequest { limit: Some(RECENT), cursor: None };
    let recent = audit::list(app, audit::AuditFilter::default(), newest).await?;
    Ok(OrganismStatus {
        organism: app.organism,
        name: "NEXUSMON",
        version: env!("CARGO_PKG_VERSION"),
        uptime: app.clock.boot().saturating_sub(app.started_boot),
        stage: organism.stage.name().to_owned(),
        xp: points(organism.xp),
        verified_missions: organism.verified,
        next_stage: organism.next_stage.map(|next| stage(next, organism.stage)),
        missions_to_next: organism.next_stage.map(|_| organism.missions_to_next),
        traits: traits(&organism),
        operator_load: named(operator_load),
        workers: named([("total", total), ("busy", busy.min(total)), ("free", total.saturating_sub(busy))]),
        fleet,
        missions: missions.into_iter().map(|(status, count)| (status.as_str().to_owned(), count)).collect(),
        recent_events: recent.items,
    })
}

fn named<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}
