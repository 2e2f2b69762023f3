//! Asking for a standing approval: what a playbook would do, on which machines, how often and until when.

use nexusmon_core::planning::{
    PlanFacts, PlanRequest, Playbook, PlaybookRef, bind, open_leaves, parse_playbook, unfilled,
};
use nexusmon_core::schedule::AgentView;
use nexusmon_shared::id::StandingId;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::selector::{Labels, Selector};
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval::{StandingApproval, close, shape};
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::signable::Signable as _;
use nexusmon_store::{ApprovalSubject, Connection, StandingRow, StandingState};
use serde_json::{Map, Value, json};

use super::super::roster::NO_ROSTER;
use super::super::unit::Unit;
use super::super::{Caller, approvals, consent, missions, playbooks};
use super::{StandingView, get};
use crate::app::App;
use crate::error::{Error, Result};

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct NewStanding {
    pub playbook: PlaybookRef,
    /// Machines with these labels, as they are now: they are named by their ids.
    pub labels: Labels,
    /// Id or name of the only machine.
    pub agent: Option<String>,
    /// The rank of the work if absent.
    pub max_rank: Option<Rank>,
    pub expires_at: Timestamp,
    pub uses: u32,
    /// Narrower than the playbook's own, which counts if absent.
    pub input_schema: Option<Value>,
}

/// What a playbook does, its inputs open.
struct Bound {
    leaves: Vec<TaskSpec>,
    rank: Rank,
    /// Places of the leaves that need people.
    grave: Vec<usize>,
}

fn bound(app: &App, version: &str, playbook: &Playbook) -> Result<Bound> {
    let fleet = app.fleet.get();
    let drafts = unfilled(&playbook.mission);
    let request =
        PlanRequest { drafts: &drafts, requested: playbook.mission.rank, budget: &playbook.mission.budget };
    let secrets = app.secrets.get();
    let facts = PlanFacts {
        catalog: &fleet.catalog,
        agents: &fleet.by_name,
        fleet: &fleet.views,
        secrets: &secrets,
        playbook: Some(version),
    };
    let bound = bind(&request, &facts)?;
    let needs = bound.tasks.iter().map(|task| task.rank.needs_approval() || task.requires_approval);
    let grave = needs.enumerate().filter(|(_, grave)| *grave).map(|(place, _)| place).collect();
    Ok(Bound { leaves: open_leaves(&bound, &playbook.mission), rank: bound.assessment.rank, grave })
}

pub async fn ask(app: &App, caller: &Caller, wanted: NewStanding) -> Result<StandingView> {
    let now = app.clock.now();
    if consent::roster(&mut app.store.read().await?, now).await?.is_none() {
        return Err(Error::conflict("no_roster", NO_ROSTER));
    }
    let (row, playbook) = playbooks::usable(app, &wanted.playbook).await?;
    let bound = bound(app, &format!("{}@{}", row.name, row.version), &playbook)?;
    let max_rank = wanted.max_rank.unwrap_or(bound.rank);
    if bound.rank == Rank::S || max_rank == Rank::S {
        let message = "rank S always needs people: no standing approval covers it";
        return Err(Error::field("/max_rank", "rank_s", message));
    }
    if max_rank < bound.rank {
        let message =
            format!("the playbook is rank {}: one up to {max_rank} would never be used", bound.rank);
        return Err(Error::field("/max_rank", "out_of_range", message));
    }
    check_values(&playbook, &bound)?;
    let selector = machines(app, &wanted, &bound)?;
    let tree = shape(&bound.leaves).map_err(Error::internal)?;
    let standing = StandingApproval {
        organism: app.organism,
        author: missions::author_of(caller),
        shape: tree.root(),
        input_schema: wanted.input_schema.unwrap_or(playbook.input_schema),
        selector,
        max_rank,
        expires_at: wanted.expires_at,
        uses: wanted.uses,
    };
    if standing.expires_at <= now || standing.expires_at.since(now).as_secs() > 366 * 24 * 3600 {
        return Err(Error::field("/expires_at", "out_of_range", "it ends within the next 366 days"));
    }
    standing
        .validate()
        .map_err(|error| Error::field("", "bad_standing", nexusmon_shared::lifecycle::chain(&error)))?;
    let body = canonical::of(&standing).map_err(Error::internal)?;
    // What people sign is what agents will read.
    StandingApproval::read(body.as_bytes()).map_err(|error| {
        Error::field("/input_schema", "bad_standing", nexusmon_shared::lifecycle::chain(&error))
    })?;
    let id = app.rng.with(|rng| StandingId::new(now, rng));
    let unit_app = app.clone();
    let input = (caller.clone(), standing, body, row);
    let after = app
        .store
        .write_with("standing.ask", input, move |tx, (caller, standing, body, playbook)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let asked = approvals::Asked {
                    kind: ApprovalSubject::Standing,
                    subject: id.to_string(),
                    mission: None,
                    digest: standing.digest(),
                    rank: standing.max_rank,
                    body: body.clone(),
                };
                let approval = approvals::ask(&mut unit, caller, asked).await?;
                let row = StandingRow {
                    id,
                    approval,
                    state: StandingState::Pending,
                    playbook: playbook.name.clone(),
                    version: playbook.version,
                    shape: standing.shape,
                    digest: standing.digest(),
                    body: body.clone(),
                    expires_at: standing.expires_at,
                    uses: i64::from(standing.uses),
                    used: 0,
                    created_by: caller.principal,
                    created_at: unit.now,
                };
                unit.tx.insert_standing(&row).await?;
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    get(app, id).await
}

/// Values of run time that no `accept` bounds would be refused at every use: better said now.
fn check_values(playbook: &Playbook, bound: &Bound) -> Result<()> {
    let properties = playbook.input_schema["properties"].as_object();
    let some: Map<String, Value> =
        properties.into_iter().flatten().map(|(name, _)| (name.clone(), json!(0))).collect();
    for place in &bound.grave {
        let open = &bound.leaves[*place];
        let closed = close(open, &some).map_err(|error| {
            Error::field(format!("/playbook/tasks/{place}"), "bad_input", error.to_string())
        })?;
        if closed.is_open() && closed.accept.is_none() {
            let message = format!(
                "`{}` holds values of run time: an `accept` in the playbook has to bound them, or no use is covered",
                open.id
            );
            return Err(Error::field("/playbook", "needs_accept", message));
        }
    }
    Ok(())
}

/// The machines by their ids: a label can be given to any machine later.
fn machines(app: &App, wanted: &NewStanding, bound: &Bound) -> Result<Selector> {
    let fleet = app.fleet.get();
    let agent = match &wanted.agent {
        None => None,
        Some(text) => {
            let found = fleet.by_name.get(text).copied().or_else(|| text.parse().ok());
            let message = "no enrolled agent is called so";
            Some(found.ok_or_else(|| Error::field("/agent", "unknown_agent", message))?)
        }
    };
    let mut selector = Selector { labels: wanted.labels.clone(), agent, agents: None };
    let able = |view: &&AgentView| {
        selector.matches(view.id, &view.offer.labels)
            && bound
                .grave
                .iter()
                .any(|place| view.offer.capabilities.contains_key(&bound.leaves[*place].uses))
    };
    let named: std::collections::BTreeSet<_> =
        fleet.views.values().filter(able).map(|view| view.id).collect();
    if named.is_empty() {
        let message = "no machine fits that could do this work: nothing would be covered";
        return Err(Error::field("/labels", "no_machine", message));
    }
    selector.agents = Some(named);
    Ok(selector)
}

/// The open leaves of a standing approval, from its playbook; none where they are others by now.
pub(super) async fn open_leaves_of(
    app: &App,
    read: &mut Connection,
    row: &StandingRow,
) -> Result<Option<Value>> {
    let Some(playbook) = read.playbook(&row.playbook, Some(row.version)).await? else { return Ok(None) };
    let body: Value = serde_json::from_str(&playbook.body).map_err(Error::internal)?;
    let Ok(bound) = bound(app, row.playbook.as_str(), &parse_playbook(&body)?) else { return Ok(None) };
    let same = shape(&bound.leaves).map_err(Error::internal)?.root() == row.shape;
    same.then(|| serde_json::to_value(&bound.leaves)).transpose().map_err(Error::internal)
}
