//! `/v1/engine/bulk`: one act on many missions, named one by one.

use axum::Json as Answer;
use axum::extract::State;
use http::HeaderMap;
use nexusmon_shared::id::MissionId;
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::rank::Rank;

use super::shape::{self, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::idempotency;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::service::missions::bulk as service;

/// What can be done to many. Approvals are decided one by one.
#[derive(Debug, Clone, Copy, serde::Deserialize, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum BulkAct {
    Run,
    Pause,
    Resume,
    Cancel,
    /// As new missions.
    Rerun,
}

impl From<BulkAct> for service::BulkAct {
    fn from(act: BulkAct) -> Self {
        match act {
            BulkAct::Run => Self::Run,
            BulkAct::Pause => Self::Pause,
            BulkAct::Resume => Self::Resume,
            BulkAct::Cancel => Self::Cancel,
            BulkAct::Rerun => Self::Rerun,
        }
    }
}

/// One of the list.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct BulkMission {
    #[schema(value_type = String)]
    id: MissionId,
    /// As the trial answered it; not needed for the trial.
    #[schema(value_type = Option<shape::MissionStatus>)]
    status: Option<MissionStatus>,
}

#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Bulk {
    act: BulkAct,
    /// 1 to 200, each once.
    missions: Vec<BulkMission>,
    /// True if absent: say what would happen, and do nothing.
    dry_run: Option<bool>,
    /// From the trial: exactly that list, within fifteen minutes.
    frozen: Option<String>,
}

/// What happened to one mission, or would.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct BulkOutcome {
    id: String,
    goal: Option<String>,
    #[schema(value_type = Option<shape::Rank>)]
    rank: Option<Rank>,
    /// Before the act; null where there is no such mission.
    #[schema(value_type = Option<shape::MissionStatus>)]
    status: Option<&'static str>,
    /// After it.
    #[schema(value_type = Option<shape::MissionStatus>)]
    after: Option<&'static str>,
    /// Of its tasks, when it was looked at.
    running_tasks: u64,
    open_tasks: u64,
    /// The mission that a rerun made.
    made: Option<String>,
    /// Why not: a stable code, `rank_above_bulk`, `changed_since` and what the act alone answers; null if it goes.
    code: Option<&'static str>,
    detail: Option<String>,
}

impl From<service::BulkOutcome> for BulkOutcome {
    fn from(outcome: service::BulkOutcome) -> Self {
        let service::BulkOutcome { mission, goal, rank, status, after, running, open, made, refused } =
            outcome;
        let (code, detail) = refused.unzip();
        Self {
            id: mission.to_string(),
            goal,
            rank,
            status: status.map(MissionStatus::as_str),
            after: after.map(MissionStatus::as_str),
            running_tasks: running,
            open_tasks: open,
            made: made.map(|id| id.to_string()),
            code,
            detail,
        }
    }
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct BulkAnswer {
    act: BulkAct,
    dry_run: bool,
    /// In the order of the request.
    items: Vec<BulkOutcome>,
    /// Of a trial: send it with the missions and the status of each to do it.
    frozen: Option<String>,
    valid_until: Option<String>,
}

/// Run, pause, resume, cancel or run again many missions
///
/// First as a trial, which answers what would happen to each, and `frozen`. Then with that, for exactly those missions:
/// one that is something else by now is left alone. Up to rank C. Running them again needs an `Idempotency-Key`: without
/// one, the same request sent twice would make every mission twice.
#[utoipa::path(
    post, path = "/v1/engine/bulk", tag = "engine", operation_id = "missions_bulk", request_body = Bulk,
    responses((status = 200, body = BulkAnswer)),
)]
pub(in crate::http) async fn act(
    State(web): State<Web>,
    Known(caller): Known,
    headers: HeaderMap,
    Json(Bulk { act, missions, dry_run, frozen }): Json<Bulk>,
) -> Result<Answer<BulkAnswer>, Problem> {
    let missions = missions.into_iter().map(|BulkMission { id, status }| (id, status));
    if dry_run.unwrap_or(true) {
        if frozen.is_some() {
            let message = "comes from a trial and goes with `dry_run: false`";
            return Err(Problem::field("/frozen", "unexpected", message));
        }
        let ids: Vec<MissionId> = missions.map(|(id, _)| id).collect();
        let tried = service::dry_run(&web.app, &caller, act.into(), &ids).await?;
        let service::Tried { outcomes, frozen, valid_until } = tried;
        return Ok(Answer(BulkAnswer {
            act,
            dry_run: true,
            items: outcomes.into_iter().map(Into::into).collect(),
            frozen: Some(frozen),
            valid_until: Some(time(valid_until)),
        }));
    }
    let frozen = frozen.ok_or_else(|| {
        let message = "is needed: try the act first (`dry_run: true`), it answers one";
        Problem::field("/frozen", "required", message)
    })?;
    // The others change nothing a second time: each names the status it was tried with.
    if matches!(act, BulkAct::Rerun) && !headers.contains_key(idempotency::HEADER) {
        let message =
            "is needed to run missions again, so that a request that is sent twice makes none twice";
        return Err(Problem::field("Idempotency-Key", "required", message));
    }
    let outcomes = service::act(&web.app, &caller, act.into(), missions.collect(), &frozen).await?;
    let items = outcomes.into_iter().map(Into::into).collect();
    Ok(Answer(BulkAnswer { act, dry_run: false, items, frozen: None, valid_until: None }))
}
