//! Chains: which mission led to which and why, and what the system would do next.
//!
//! A trigger that a person set up acts in that person's name. A follow-up that a playbook names is the system's own: it
//! proposes, and begins by itself only with `AUTONOMOUS_CHAIN`, within depth, rank and a day's number.

mod follow;
mod proposals;
mod story;

use std::sync::Arc;

use nexusmon_core::planning::parse_mission;
use nexusmon_core::sub_mission::DEEPEST;
use nexusmon_shared::id::MissionId;
use nexusmon_store::{ChainLinkRow, Connection};
use serde_json::{Map, Value, json};

use super::Caller;
use super::missions::{Prepared, prepare_mission};
use super::unit::Unit;
use crate::app::App;
use crate::error::Result;

pub use follow::look;
pub use proposals::{ProposalView, dismiss, list, start};
pub use story::{ChainItem, ChainView, StartedBy, story};

/// What a mission came from.
#[derive(Debug, Clone)]
pub(super) struct CameFrom {
    /// The mission that led to it, if one did.
    pub parent: Option<MissionId>,
    pub depth: u32,
    /// The trigger, or the proposal, that started it.
    pub by: String,
    pub why: String,
}

/// How deep a mission lies that this one leads to.
pub(super) async fn depth_after(read: &mut Connection, parent: MissionId) -> Result<u32> {
    let above = link_of(read, parent).await?.map_or(0, |link| link.depth);
    Ok(u32::try_from(above.saturating_add(1)).unwrap_or(u32::MAX))
}

/// The link of a mission, or else of the mission that it is a part of: what a part leads to lies as deep as what the
/// whole does.
async fn link_of(read: &mut Connection, mission: MissionId) -> Result<Option<ChainLinkRow>> {
    let mut at = mission;
    for _ in 0..=DEEPEST {
        if let Some(link) = read.chain_link(at).await? {
            return Ok(Some(link));
        }
        let Some(part) = read.sub_mission(at).await? else { return Ok(None) };
        at = part.parent;
    }
    Ok(None)
}

/// Writes down where a mission came from, in the unit that makes it.
pub(super) async fn link(unit: &mut Unit<'_>, mission: MissionId, from: CameFrom) -> Result<()> {
    let Some(parent) = from.parent else { return Ok(()) };
    let root = link_of(unit.tx, parent).await?.map_or(parent, |link| link.root);
    let row = ChainLinkRow {
        mission,
        root,
        parent,
        depth: i64::from(from.depth),
        started_by: from.by,
        why: from.why,
        at: unit.now,
    };
    unit.tx.insert_chain_link(&row).await?;
    Ok(())
}

/// The mission of a follow-up, ready to be written.
async fn made(
    app: &App,
    caller: &Caller,
    playbook: &str,
    inputs: Map<String, Value>,
    follows: MissionId,
) -> Result<Prepared> {
    let mut draft = parse_mission(&json!({"playbook": playbook, "inputs": inputs}))?;
    draft.metadata.insert("follows".to_owned(), json!(follows));
    let mut prepared = prepare_mission(app, caller, Arc::new(draft), None).await?;
    // A request is remembered as itself, not as the mission that it led to.
    prepared.rider = None;
    Ok(prepared)
}
