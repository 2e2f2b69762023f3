//! The fleet as people and plans see it.

use std::collections::BTreeMap;

use nexusmon_core::schedule::Availability;
use nexusmon_shared::capability::Capability;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::message::{Facts, SUSPECT_AFTER};
use nexusmon_store::{AgentRow, AgentState};

use super::record::HelloRecord;
use super::session::profile;
use super::{AgentFilter, AgentView, CapabilityView, EnrollmentView, Presence};
use crate::app::App;
use crate::app::fleet::Member;
use crate::error::{Error, Result};
use crate::service::dispatch;
use crate::service::{Page, PageRequest};

/// Whether an agent answers, this node or another.
pub(in crate::service) fn presence(app: &App, agent: nexusmon_shared::id::AgentId) -> Presence {
    match app.sessions.get(agent) {
        Some(live) if app.clock.boot().saturating_sub(live.seen()) >= SUSPECT_AFTER => Presence::Suspect,
        Some(_) => Presence::Online,
        None => match app.elsewhere.get(agent) {
            Some(at) if app.clock.now().since(at) < SUSPECT_AFTER => Presence::Online,
            _ => Presence::Offline,
        },
    }
}

/// What the scheduler sees of an agent, by its row alone.
pub(in crate::service) fn profile_of(agent: &AgentRow) -> crate::app::sessions::Profile {
    profile(agent, &HelloRecord::read(agent).unwrap_or_default())
}

/// Of the authority that an agent trusts and has its certificate of, as it said in its newest Hello.
pub(in crate::service) fn authority_of(agent: &AgentRow) -> Option<Digest> {
    HelloRecord::read(agent)?.authority
}

/// Reads all agents anew: at start, and when another node has changed some.
pub(in crate::service) async fn refresh(app: &App) -> Result<()> {
    app.fleet.refresh(|| read(app)).await
}

async fn read(app: &App) -> Result<Vec<Member>> {
    let mut read = app.store.read().await?;
    let agents = read.live_agents().await?;
    let bars = read.bars().await?;
    drop(read);
    for bar in bars {
        app.barred.extend([(bar.agent, nexusmon_core::schedule::ClassId(bar.class.0))]);
    }
    Ok(agents.iter().map(member).collect())
}

/// This node has changed an agent's row, or seen its Hello.
pub(in crate::service) fn learn(app: &App, agent: &AgentRow) {
    app.fleet.put(member(agent));
}

fn member(agent: &AgentRow) -> Member {
    let record = HelloRecord::read(agent).unwrap_or_default();
    let mut view = dispatch::view(agent.id, 0, &profile(agent, &record));
    view.availability = match agent.state {
        AgentState::Active if record.paused => Availability::Paused,
        AgentState::Active => Availability::Offline,
        AgentState::Pending => Availability::Pending,
        AgentState::Draining => Availability::Draining,
        AgentState::Paused => Availability::Paused,
        AgentState::Quarantined => Availability::Quarantined,
        AgentState::Revoked => Availability::Revoked,
    };
    Member {
        version: agent.version,
        name: agent.name.clone(),
        revoked: agent.revoked_at.is_some(),
        admitted: agent.state != AgentState::Quarantined,
        view,
        manifests: record.manifests,
    }
}

pub(super) async fn list(app: &App, filter: AgentFilter, page: PageRequest) -> Result<Page<AgentView>> {
    let states = match &filter.state {
        None => Vec::new(),
        Some(text) => vec![AgentState::parse(text).ok_or_else(|| {
            Error::field(
                "?state",
                "unknown_value",
                "expected pending, active, draining, paused, quarantined or revoked",
            )
        })?],
    };
    let request = page.store()?;
    let found = app.store.read().await?.agent_list(&nexusmon_store::AgentFilter { states }, &request).await?;
    let next_cursor = found.next_cursor;
    let mut items = views(app, found.items).await?;
    items.retain(|agent| {
        filter.name.as_ref().is_none_or(|name| agent.name.as_str() == name)
            && filter.label.as_ref().is_none_or(|label| match label.split_once('=') {
                Some((key, value)) => agent.labels.get(key).is_some_and(|found| found == value),
                None => agent.labels.contains_key(label),
            })
    });
    Ok(Page { items, next_cursor })
}

/// Rows as people see them.
pub(super) async fn views(app: &App, rows: Vec<AgentRow>) -> Result<Vec<AgentView>> {
    let mut read = app.store.read().await?;
    let mut views = Vec::with_capacity(rows.len());
    for row in rows {
        let busy = u32::try_from(read.leases_of(row.id).await?.len()).unwrap_or(u32::MAX);
        let session = read.agent_session(row.id).await?;
        views.push(view(app, row, busy, session.map(|session| session.renewed_at)));
    }
    Ok(views)
}

pub(in crate::service) fn view(
    app: &App,
    row: AgentRow,
    busy: u32,
    renewed_at: Option<nexusmon_shared::time::Timestamp>,
) -> AgentView {
    let record = HelloRecord::read(&row);
    let live = app.sessions.get(row.id);
    let presence = match presence(app, row.id) {
        // Another node may hold the session.
        Presence::Offline
            if renewed_at.is_some_and(|at| app.clock.now().since(at) < SUSPECT_AFTER)
                && !app.store.is_single_node() =>
        {
            Presence::Online
        }
        known => known,
    };
    let known = record.is_some();
    let record = record.unwrap_or_default();
    let facts: Facts = serde_json::from_str(&row.facts).unwrap_or_default();
    AgentView {
        id: row.id,
        name: row.name.parse().unwrap_or_else(|_| HelloRecord::fallback_name()),
        state: row.state.as_str().to_owned(),
        presence,
        labels: row.labels.0,
        max_rank: row.max_rank,
        slots: record.slots,
        busy,
        load_percent: live.map_or(0, |live| live.load_percent()),
        build: record.build,
        facts,
        sandbox_levels: record.sandbox_levels,
        sandbox_missing: record.sandbox_missing,
        local_policy: known.then_some(record.local_policy),
        paused_locally: record.paused,
        manifests: record.manifests,
        enrolled_at: row.created_at,
        last_seen: renewed_at,
        certificate_expires_at: row.certificate_until,
        enrollment: EnrollmentView {
            identity_key: row.identity_key,
            authority: app.keyring.authorities.get().current.pin().to_string(),
            words: row.words.filter(|_| row.confirmed_at.is_none()),
            confirmed_at: row.confirmed_at,
            confirmed_by: row.confirmed_by,
        },
        version: u64::try_from(row.version).unwrap_or(0),
    }
}

pub(super) fn capabilities(app: &App) -> Vec<CapabilityView> {
    let fleet = app.fleet.get();
    let mut found = BTreeMap::<Capability, CapabilityView>::new();
    for (name, known) in fleet.catalog.iter() {
        let spec = &known.spec;
        found.insert(
            name.clone(),
            CapabilityView {
                name: name.clone(),
                description: spec.description.clone(),
                plugin: known
                    .plugin
                    .as_ref()
                    .map_or_else(|| name.plugin().to_owned(), |(name, _)| name.clone()),
                plugin_versions: known.plugin.iter().map(|(_, version)| version.clone()).collect(),
                rank_floor: spec.risk_level,
                requires_approval: spec.requires_approval,
                params: spec.params.clone(),
                outputs: spec.outputs.clone(),
                agents: Vec::new(),
                flags: Vec::new(),
            },
        );
    }
    for view in fleet.views.values() {
        if presence(app, view.id) == Presence::Offline {
            continue;
        }
        for (capability, version) in &view.offer.capabilities {
            if let Some(entry) = found.get_mut(capability) {
                entry.agents.push(view.offer.name.clone());
                if !entry.plugin_versions.contains(version) {
                    entry.plugin_versions.push(version.clone());
                }
            }
        }
    }
    for entry in found.values_mut() {
        entry.agents.sort();
    }
    found.into_values().collect()
}
