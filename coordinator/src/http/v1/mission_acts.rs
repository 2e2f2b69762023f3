//! What people do to a mission: approve, start, stop, repeat, plan anew, try out.

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use nexusmon_shared::id::MissionId;

use super::approvals::Decision;
use super::mission_body::{NewMission, NewPlan};
use super::mission_view::{Mission, Prediction};
use super::missions::{created, read_mission, tagged};
use super::shape::{self, Empty};
use super::task_view::Waiting;
use crate::http::Web;
use crate::http::access::Known;
use crate::http::etag;
use crate::http::json::{self, Json};
use crate::http::problem::Problem;
use crate::http::query::Id;
use crate::service::{approvals, missions as service};

/// Decide the mission's one pending approval
///
/// The digest must be the plan's as it is now; a comment is needed for ranks A and S.
#[utoipa::path(
    post, path = "/v1/engine/missions/{id}/approve", tag = "engine", params(("id" = String, Path)),
    request_body = Decision,
    responses((status = 200, body = Mission)),
)]
pub(in crate::http) async fn approve(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<MissionId>,
    Json(decision): Json<Decision>,
) -> Result<impl IntoResponse, Problem> {
    Ok(tagged(approvals::decide_mission(&web.app, &caller, id, decision.try_into()?).await?))
}

/// Start a mission that is held
#[utoipa::path(
    post, path = "/v1/engine/missions/{id}/run", tag = "engine", params(("id" = String, Path)),
    request_body(content = Empty),
    responses((status = 202, body = Mission)),
)]
pub(in crate::http) async fn run(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<MissionId>,
    Json(Empty {}): Json<Empty>,
) -> Result<impl IntoResponse, Problem> {
    Ok((StatusCode::ACCEPTED, tagged(service::run(&web.app, &caller, id).await?)))
}

/// What an act stopped.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Stopped {
    mission: StoppedMission,
    stopped: StoppedCounts,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct StoppedMission {
    id: String,
    #[schema(value_type = shape::MissionStatus)]
    status: &'static str,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct StoppedCounts {
    /// Told to end.
    cancelled_attempts: u64,
    /// Asked back before they start.
    recalled_attempts: u64,
    /// Tasks that will not run any more.
    cancelled_tasks: u64,
}

impl From<service::Stopped> for Stopped {
    fn from(stopped: service::Stopped) -> Self {
        let service::Stopped { mission, status, cancelled_attempts, recalled_attempts, tasks_cancelled } =
            stopped;
        Self {
            mission: StoppedMission { id: mission.to_string(), status: status.as_str() },
            stopped: StoppedCounts {
                cancelled_attempts,
                recalled_attempts,
                cancelled_tasks: tasks_cancelled,
            },
        }
    }
}

#[derive(Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Cancel {
    /// What runs is killed without time to tidy up, also where a cancel before has given it some.
    at_once: bool,
}

/// End a mission: running attempts are ended, nothing new starts
#[utoipa::path(
    post, path = "/v1/engine/missions/{id}/cancel", tag = "engine", params(("id" = String, Path)),
    request_body = Cancel,
    responses((status = 202, body = Stopped)),
)]
pub(in crate::http) async fn cancel(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<MissionId>,
    Json(Cancel { at_once }): Json<Cancel>,
) -> Result<(StatusCode, Answer<Stopped>), Problem> {
    let stopped = if at_once {
        service::kill(&web.app, &caller, id).await?
    } else {
        service::cancel(&web.app, &caller, id).await?
    };
    Ok((StatusCode::ACCEPTED, Answer(stopped.into())))
}

/// Start nothing new until resumed; what runs may finish
#[utoipa::path(
    post, path = "/v1/engine/missions/{id}/pause", tag = "engine", operation_id = "mission_pause", params(("id" = String, Path)),
    request_body(content = Empty),
    responses((status = 202, body = Stopped)),
)]
pub(in crate::http) async fn pause(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<MissionId>,
    Json(Empty {}): Json<Empty>,
) -> Result<(StatusCode, Answer<Stopped>), Problem> {
    Ok((StatusCode::ACCEPTED, Answer(service::pause(&web.app, &caller, id).await?.into())))
}

/// Go on with a paused mission
#[utoipa::path(
    post, path = "/v1/engine/missions/{id}/resume", tag = "engine", operation_id = "mission_resume", params(("id" = String, Path)),
    request_body(content = Empty),
    responses((status = 202, body = Mission)),
)]
pub(in crate::http) async fn resume(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<MissionId>,
    Json(Empty {}): Json<Empty>,
) -> Result<impl IntoResponse, Problem> {
    Ok((StatusCode::ACCEPTED, tagged(service::resume(&web.app, &caller, id).await?)))
}

/// Other ceilings for a mission.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct BudgetWish {
    /// The whole budget; absent ceilings have their defaults.
    #[schema(value_type = super::mission_body::Budget)]
    budget: nexusmon_shared::plan::Budget,
    /// Why: whoever approves reads it.
    comment: String,
}

/// What waits for approval.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct BudgetAsked {
    approval: String,
}

/// Ask for another budget
///
/// Approved over plan and budget; a mission that was paused for want of it then goes on.
#[utoipa::path(
    put, path = "/v1/engine/missions/{id}/budget", tag = "engine", params(("id" = String, Path)),
    operation_id = "mission_budget", request_body = BudgetWish,
    responses((status = 202, body = BudgetAsked)),
)]
pub(in crate::http) async fn budget(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<MissionId>,
    Json(BudgetWish { budget, comment }): Json<BudgetWish>,
) -> Result<(StatusCode, Answer<BudgetAsked>), Problem> {
    let approval = service::propose_budget(&web.app, &caller, id, budget, comment).await?;
    Ok((StatusCode::ACCEPTED, Answer(BudgetAsked { approval: approval.to_string() })))
}

#[derive(Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Rerun {
    from: RerunFrom,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum RerunFrom {
    /// The whole mission.
    #[default]
    Start,
    /// The failed tasks, with the outputs of the others.
    Failed,
}

/// Run a mission again, as a new one
#[utoipa::path(
    post, path = "/v1/engine/missions/{id}/rerun", tag = "engine", params(("id" = String, Path)),
    request_body = Rerun,
    responses((status = 201, body = Mission, headers(("Location" = String)))),
)]
pub(in crate::http) async fn rerun(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<MissionId>,
    Json(Rerun { from }): Json<Rerun>,
) -> Result<Response, Problem> {
    Ok(created(service::rerun(&web.app, &caller, id, from == RerunFrom::Failed).await?))
}

/// Give a mission another plan, before it is approved
///
/// Makes a new digest; approvals of the old one are void.
#[utoipa::path(
    put, path = "/v1/engine/missions/{id}/plan", tag = "engine",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = NewPlan,
    responses((status = 200, body = Mission, headers(("ETag" = String)))),
)]
pub(in crate::http) async fn replace_plan(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<MissionId>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<impl IntoResponse, Problem> {
    let if_match = etag::if_match(&headers)?;
    let bytes = json::document(request, json::MISSION_LIMIT).await?;
    let tasks = json::off_thread(bytes, service::parse_plan).await??;
    Ok(tagged(service::replace_plan(&web.app, &caller, id, tasks, if_match).await?))
}

/// What a mission would be.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct DryRun {
    #[schema(value_type = shape::Rank)]
    rank: nexusmon_shared::rank::Rank,
    risk: &'static str,
    /// `allow`, `flag`, `hold`, `deny`.
    verdict: String,
    /// Ids of the policies that decided.
    policies: Vec<String>,
    policy_digest: String,
    approvals_needed: u32,
    tasks: Vec<DryRunTask>,
    blast_radius: BlastRadius,
    prediction: Prediction,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct DryRunTask {
    id: String,
    uses: String,
    #[schema(value_type = shape::Rank)]
    rank: nexusmon_shared::rank::Rank,
    /// What made the rank, in words.
    rank_reasons: Vec<String>,
    /// Agents that could take it now.
    agents: Vec<String>,
    /// Set when none can.
    waiting: Option<Waiting>,
}

/// What could be touched if all goes wrong.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct BlastRadius {
    machines: Vec<String>,
    capabilities: Vec<String>,
    host_paths: Vec<String>,
    /// As listed in sandboxes; with `network` and none listed: any.
    hosts: Vec<String>,
    writes: bool,
    network: bool,
    irreversible: bool,
    /// Handed to some task, by name; never a value.
    secrets: Vec<String>,
}

impl From<service::DryRun> for DryRun {
    fn from(run: service::DryRun) -> Self {
        let service::DryRun {
            rank,
            verdict,
            policies,
            policy_digest,
            approvals_needed,
            tasks,
            blast,
            prediction,
        } = run;
        let service::BlastRadius {
            machines,
            capabilities,
            host_paths,
            hosts,
            writes,
            network,
            irreversible,
            secrets,
        } = blast;
        Self {
            rank,
            risk: rank.risk(),
            verdict,
            policies,
            policy_digest: policy_digest.to_string(),
            approvals_needed,
            tasks: tasks.into_iter().map(Into::into).collect(),
            blast_radius: BlastRadius {
                machines,
                capabilities,
                host_paths,
                hosts,
                writes,
                network,
                irreversible,
                secrets,
            },
            prediction: prediction.into(),
        }
    }
}

impl From<service::DryRunTask> for DryRunTask {
    fn from(task: service::DryRunTask) -> Self {
        let service::DryRunTask { id, uses, rank, rank_reasons, agents, waiting } = task;
        Self { id, uses, rank, rank_reasons, agents, waiting: waiting.map(Into::into) }
    }
}

/// Judge a mission without storing anything
///
/// Its rank and why, the verdict, what it could touch, and where each task could run now.
#[utoipa::path(
    post, path = "/v1/engine/missions/dry-run", tag = "engine",
    request_body = NewMission,
    responses((status = 200, body = DryRun)),
)]
pub(in crate::http) async fn dry_run(
    State(web): State<Web>,
    Known(caller): Known,
    request: Request<Body>,
) -> Result<Answer<DryRun>, Problem> {
    let mission = read_mission(request).await?;
    Ok(Answer(service::dry_run(&web.app, &caller, mission).await?.into()))
}
