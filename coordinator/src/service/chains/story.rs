//! The whole of a chain as one story: who started what, and why.

use std::collections::{HashMap, HashSet};

use nexusmon_shared::id::{MissionId, PrincipalId, TaskId, TriggerId};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{ChainLinkRow, Connection};

use super::proposals::{ProposalView, view};
use crate::app::App;
use crate::error::{Error, Result};

/// Missions shown beside the first.
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
    /// A task of its parent, whose work it is.
    Task(TaskId),
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

/// The chain that a mission belongs to, with the missions of tasks; of one that nothing led to, that has no parts and that
/// led to nothing, the mission alone.
pub async fn story(app: &App, id: MissionId) -> Result<ChainView> {
    let mut read = app.store.read().await?;
    if read.chain_link(id).await?.is_none() && read.mission(id).await?.is_none() {
        return Err(Error::not_found("mission", id));
    }
    let root = beginning(&mut read, id).await?;
    let Found { order, places, more } = found(&mut read, root).await?;
    let mut rows = read.missions(&order).await?;
    let depth = |id: &MissionId| places.get(id).map_or(0, Place::depth);
    let found_at: HashMap<MissionId, usize> =
        order.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    // What is made at the same moment comes after what it is a part of.
    rows.sort_by_key(|row| (row.created_at, depth(&row.id), found_at.get(&row.id).copied()));
    let mut names = HashMap::new();
    let mut items = Vec::new();
    for row in rows {
        let place = places.get(&row.id);
        let link = match place {
            Some(Place::Link(link)) => Some(link),
            _ => None,
        };
        let started_by = match place {
            Some(Place::Part { task, .. }) => StartedBy::Task(*task),
            _ => started_by(&mut read, app, link, row.created_by, &mut names).await?,
        };
        items.push(ChainItem {
            mission: row.id,
            goal: row.goal,
            status: row.status,
            rank: row.rank,
            origin: row.origin,
            depth: depth(&row.id),
            parent: place.map(Place::parent),
            started_by,
            why: link.map(|link| link.why.clone()),
            created_at: row.created_at,
            finished_at: row.finished_at,
        });
    }
    let mut found = read.proposals_among(&order).await?;
    found.sort_by_key(|row| (row.created_at, row.depth, row.place, row.id));
    let proposals = found.into_iter().map(view).collect::<Result<Vec<ProposalView>>>()?;
    Ok(ChainView { root, items, proposals, more })
}

/// How a mission came into the chain.
enum Place {
    Link(ChainLinkRow),
    /// As the work of a task: as deep as what it is a part of.
    Part {
        task: TaskId,
        parent: MissionId,
        depth: i64,
    },
}

impl Place {
    const fn depth(&self) -> i64 {
        match self {
            Self::Link(link) => link.depth,
            Self::Part { depth, .. } => *depth,
        }
    }

    const fn parent(&self) -> MissionId {
        match self {
            Self::Link(link) => link.parent,
            Self::Part { parent, .. } => *parent,
        }
    }
}

/// Where the chain of a mission began: above whatever led to it, and whatever it is a part of.
async fn beginning(read: &mut Connection, id: MissionId) -> Result<MissionId> {
    let mut at = id;
    let mut seen = HashSet::new();
    while seen.insert(at) {
        at = match read.chain_link(at).await? {
            Some(link) => link.root,
            None => match read.sub_mission(at).await? {
                Some(part) => part.parent,
                None => return Ok(at),
            },
        };
    }
    Ok(at)
}

struct Found {
    /// With the first one.
    order: Vec<MissionId>,
    /// Of all but the first one.
    places: HashMap<MissionId, Place>,
    more: bool,
}

/// Everything that a mission led to and has as its parts, and these again.
async fn found(read: &mut Connection, root: MissionId) -> Result<Found> {
    let mut order = vec![root];
    let mut places: HashMap<MissionId, Place> = HashMap::new();
    let mut newest = vec![root];
    let mut more = false;
    while !newest.is_empty() {
        let links = read.chains_of(&newest, MOST + 1).await?;
        let parts = read.sub_missions_among(&newest, MOST + 1).await?;
        let depth = |parent: &MissionId| places.get(parent).map_or(0, Place::depth);
        let parts: Vec<_> = parts
            .into_iter()
            .filter_map(|part| {
                let place = Place::Part { task: part.task, parent: part.parent, depth: depth(&part.parent) };
                Some((part.mission?, place))
            })
            .collect();
        newest.clear();
        for (id, place) in links.into_iter().map(|link| (link.mission, Place::Link(link))).chain(parts) {
            if id == root || places.contains_key(&id) {
                continue;
            }
            if places.len() >= MOST as usize {
                more = true;
                break;
            }
            places.insert(id, place);
            order.push(id);
            newest.push(id);
        }
    }
    Ok(Found { order, places, more })
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
