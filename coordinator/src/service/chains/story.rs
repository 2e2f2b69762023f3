//! The whole of a chain as one story: who started what, and why.

use std::collections::HashMap;

use nexusmon_shared::id::{MissionId, PrincipalId, TriggerId};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{ChainLinkRow, Connection};

use super::link_of;
use super::proposals::{ProposalView, view};
use crate::app::App;
use crate::error::{Error, Result};

/// Links shown.
const MOST: u32 = 500;

/// What started a mission of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartedBy {
    /// The chain's first: whoever asked for it.
    Person(PrincipalId),
    /// A trigger that somebody set up, by name while it is there.
    Trigger(String, Option<String>),
    /// The system, by a proposal.
    Nexusmon,
    /// A person, by a proposal.
    Proposal(PrincipalId),
}

#[derive(Debug, Clone)]
pub struct ChainItem {
    pub mission: MissionId,
    pub goal: String,
    pub status: MissionStatus,
    pub rank: Rank,
    pub origin: String,
    /// 0 for the first.
    pub depth: i64,
    pub parent: Option<MissionId>,
    pub started_by: StartedBy,
    pub why: Option<String>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub struct ChainView {
    pub root: MissionId,
    /// In the order they were made.
    pub items: Vec<ChainItem>,
    /// What the ends of those missions led the system to propose, in the order it did.
    pub proposals: Vec<ProposalView>,
    /// There is more than is shown.
    pub more: bool,
}

/// The chain that a mission belongs to; of one that nothing led to and that led to nothing, the mission alone.
pub async fn story(app: &App, id: MissionId) -> Result<ChainView> {
    let mut read = app.store.read().await?;
    let own = read.chain_link(id).await?;
    if own.is_none() && read.mission(id).await?.is_none() {
        return Err(Error::not_found("mission", id));
    }
    let above = match own {
        Some(own) => Some(own),
        None => link_of(&mut read, id).await?,
    };
    let root = above.map_or(id, |link| link.root);
    let mut links = read.chain_of(root, MOST + 1).await?;
    let more = links.len() > MOST as usize;
    links.truncate(MOST as usize);
    let links: HashMap<MissionId, ChainLinkRow> =
        links.into_iter().map(|link| (link.mission, link)).collect();
    let ids: Vec<MissionId> = std::iter::once(root).chain(links.keys().copied()).collect();
    let mut rows = read.missions(&ids).await?;
    let depth = |id: &MissionId| links.get(id).map_or(0, |link| link.depth);
    rows.sort_by_key(|row| (row.created_at, depth(&row.id), row.id));
    let mut names = HashMap::new();
    let mut items = Vec::new();
    for row in rows {
        let link = links.get(&row.id);
        let started_by = started_by(&mut read, app, link, row.created_by, &mut names).await?;
        items.push(ChainItem {
            mission: row.id,
            goal: row.goal,
            status: row.status,
            rank: row.rank,
            origin: row.origin,
            depth: link.map_or(0, |link| link.depth),
            parent: link.map(|link| link.parent),
            started_by,
            why: link.map(|link| link.why.clone()),
            created_at: row.created_at,
            finished_at: row.finished_at,
        });
    }
    let mut found = read.proposals_among(&ids).await?;
    found.sort_by_key(|row| (row.created_at, row.depth, row.place, row.id));
    let proposals = found.into_iter().map(view).collect::<Result<Vec<ProposalView>>>()?;
    Ok(ChainView { root, items, proposals, more })
}

async fn started_by(
    read: &mut Connection,
    app: &App,
    link: Option<&ChainLinkRow>,
    created_by: PrincipalId,
    names: &mut HashMap<TriggerId, Option<String>>,
) -> Result<StartedBy> {
    let Some(link) = link else { return Ok(StartedBy::Person(created_by)) };
    let Ok(trigger) = link.started_by.parse::<TriggerId>() else {
        let own = created_by == app.system;
        return Ok(if own { StartedBy::Nexusmon } else { StartedBy::Proposal(created_by) });
    };
    if let Some(known) = names.get(&trigger) {
        return Ok(StartedBy::Trigger(link.started_by.clone(), known.clone()));
    }
    let name = read.trigger(trigger).await?.map(|row| row.name.to_string());
    names.insert(trigger, name.clone());
    Ok(StartedBy::Trigger(link.started_by.clone(), name))
}
