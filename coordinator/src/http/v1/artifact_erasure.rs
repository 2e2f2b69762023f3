//! `/v1/vault/artifacts/{id}/erase`: bytes that must not be kept.

use axum::Json as Answer;
use axum::extract::State;
use nexusmon_shared::id::ArtifactId;

use super::artifacts::{ArtifactDetail, version};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::Id;
use crate::service::vault as service;

/// What is to go, and why.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ArtifactErasure {
    /// 1 to 1,000 bytes; the audit log keeps it.
    reason: String,
    /// Number or id; the newest if absent.
    version: Option<String>,
}

/// Erase the bytes of a version
///
/// A tombstone stays in the vault and in the audit log: digest, size, who, when, why. Bytes that another version has too stay
/// for that one; others are deleted within about a day, those of a log at once. This cannot be undone.
#[utoipa::path(
    post, path = "/v1/vault/artifacts/{id}/erase", tag = "vault", operation_id = "artifact_erase",
    params(("id" = String, Path)), request_body = ArtifactErasure,
    responses((status = 200, body = ArtifactDetail)),
)]
pub(in crate::http) async fn erase(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<ArtifactId>,
    Json(ArtifactErasure { reason, version: text }): Json<ArtifactErasure>,
) -> Result<Answer<ArtifactDetail>, Problem> {
    let number = match text {
        Some(text) => Some(version(&web, id, "/version", Some(&text)).await?.number),
        None => None,
    };
    Ok(Answer(service::erase(&web.app, &caller, id, number, reason).await?.into()))
}
