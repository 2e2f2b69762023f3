//! `GET /v1/engine/missions/{id}/plan`: the plan as it was sealed, so that whoever approves can compute its digest.

use axum::Json as Answer;
use axum::extract::State;
use nexusmon_shared::id::MissionId;
use serde_json::Value;

use crate::http::Web;
use crate::http::problem::Problem;
use crate::http::query::Id;
use crate::service::missions as service;

/// Header and leaves; their canonical forms (RFC 8785) are what the digest covers.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct SealedPlan {
    digest: String,
    revision: u32,
    #[schema(value_type = Object)]
    header: Value,
    /// In plan order, every default resolved.
    #[schema(value_type = Vec<Object>)]
    tasks: Vec<Value>,
}

/// Read the plan in full, as it is approved
#[utoipa::path(
    get, path = "/v1/engine/missions/{id}/plan", tag = "engine", operation_id = "mission_plan", params(("id" = String, Path)),
    responses((status = 200, body = SealedPlan)),
)]
pub(in crate::http) async fn get(
    State(web): State<Web>,
    Id(id): Id<MissionId>,
) -> Result<Answer<SealedPlan>, Problem> {
    let service::WholePlan { digest, revision, header, leaves } = service::whole_plan(&web.app, id).await?;
    Ok(Answer(SealedPlan { digest: digest.to_string(), revision, header, tasks: leaves }))
}
