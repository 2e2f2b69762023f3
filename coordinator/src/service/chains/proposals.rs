//! Proposals, decided by people: begun in their name, or dismissed.

use std::sync::Arc;

use nexusmon_shared::id::{MissionId, ProposalId};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{ProposalRow, ProposalState, Tx};
use serde_json::{Map, Value, json};

use super::super::missions::{Prepared, insert_prepared};
use super::super::unit::{Actor, After, Unit};
use super::super::{Caller, Page, PageRequest};
use super::{CameFrom, link, made};
use crate::app::App;
use crate::error::{Error, Result};

/// What the system would do next, or did.
#[derive(Debug, Clone)]
pub struct ProposalView {
    pub id: ProposalId,
    /// The mission whose end it comes from.
    pub parent: MissionId,
    /// The playbook that names it, with its version.
    pub said_by: String,
    pub playbook: String,
    pub inputs: Map<String, Value>,
    pub why: String,
    pub depth: i64,
    pub state: ProposalState,
    /// Why it was not begun, or could not be.
    pub reason: Option<String>,
    pub mission: Option<MissionId>,
    pub created_at: Timestamp,
    pub decided_at: Option<Timestamp>,
    pub decided_by: Option<String>,
}

pub(super) fn view(row: ProposalRow) -> Result<ProposalView> {
    Ok(ProposalView {
        id: row.id,
        parent: row.parent,
        said_by: row.said_by,
        playbook: row.playbook,
        inputs: serde_json::from_str(&row.inputs).map_err(Error::internal)?,
        why: row.why,
        depth: row.depth,
        state: row.state,
        reason: row.reason,
        mission: row.mission,
        created_at: row.created_at,
        decided_at: row.decided_at,
        decided_by: row.decided_by,
    })
}

/// Newest first, all or those in one state.
pub async fn list(app: &App, state: Option<&str>, page: PageRequest) -> Result<Page<ProposalView>> {
    let state = match state {
        None => None,
        Some(word) => Some(ProposalState::parse(word).ok_or_else(|| {
            let known = ProposalState::ALL.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(", ");
            Error::field("/state", "wrong_value", format!("one of {known}"))
        })?),
    };
    let found = app.store.read().await?.proposal_list(state, &page.store()?).await?;
    let items = found.items.into_iter().map(view).collect::<Result<_>>()?;
    Ok(Page { items, next_cursor: found.next_cursor })
}

/// Begins one in the caller's name: judged, ranked and held like any mission that person sends.
pub async fn start(app: &App, caller: &Caller, id: ProposalId) -> Result<ProposalView> {
    let row = waiting(app.store.read().await?.proposal(id).await?, id)?;
    let inputs: Map<String, Value> = serde_json::from_str(&row.inputs).map_err(Error::internal)?;
    let prepared = made(app, caller, &row.playbook, inputs, row.parent).await?;
    decide(app, caller, id, Some(Arc::new(prepared))).await
}

/// Nothing comes of it.
pub async fn dismiss(app: &App, caller: &Caller, id: ProposalId) -> Result<ProposalView> {
    decide(app, caller, id, None).await
}

fn waiting(row: Option<ProposalRow>, id: ProposalId) -> Result<ProposalRow> {
    let row = row.ok_or_else(|| Error::not_found("proposal", id))?;
    if row.state != ProposalState::Proposed {
        return Err(Error::conflict("decided", format!("the proposal is {} already", row.state.as_str())));
    }
    Ok(row)
}

async fn decide(
    app: &App,
    caller: &Caller,
    id: ProposalId,
    prepared: Option<Arc<Prepared>>,
) -> Result<ProposalView> {
    let unit_app = app.clone();
    let (row, after) = app
        .store
        .write_with("chains.decide", (Actor::from(caller), prepared), move |tx, (actor, prepared)| {
            let app = unit_app.clone();
            Box::pin(async move { write(&app, tx, actor, id, prepared.as_ref()).await })
        })
        .await?;
    for after in after {
        after.run_and_send(app).await;
    }
    view(row)
}

async fn write(
    app: &App,
    tx: &mut Tx,
    actor: &Actor,
    id: ProposalId,
    prepared: Option<&Arc<Prepared>>,
) -> Result<(ProposalRow, Vec<After>)> {
    let mut unit = Unit::new(app, tx);
    let mut row = waiting(unit.tx.lock_proposal(id).await?, id)?;
    row.state = if prepared.is_some() { ProposalState::Started } else { ProposalState::Dismissed };
    row.mission = prepared.map(|prepared| prepared.new.mission.id);
    row.decided_at = Some(unit.now);
    row.decided_by = Some(actor.0.to_string());
    row.version += 1;
    if let Some(mission) = row.mission {
        let depth = u32::try_from(row.depth).unwrap_or(u32::MAX);
        let from = CameFrom { parent: Some(row.parent), depth, by: row.id.to_string(), why: row.why.clone() };
        link(&mut unit, mission, from).await?;
    }
    unit.tx.update_proposal(&row).await?;
    let action = if prepared.is_some() { "chain.started" } else { "chain.dismissed" };
    let body = json!({"playbook": row.playbook, "mission": row.mission});
    unit.audit(actor.0.clone(), action, ("proposal", id.to_string()), Some(row.parent), body);
    let mut after = vec![unit.finish().await?];
    if let Some(prepared) = prepared {
        after.push(insert_prepared(app, tx, std::slice::from_ref(prepared)).await?.1);
    }
    Ok((row, after))
}
