//! Whether the process lives and is ready; for orchestrators, load balancers and `doctor`.

#![expect(clippy::struct_field_names, reason = "they are the names of the API")]

use axum::Json as Answer;
use axum::extract::State;

use super::Web;
use super::problem::Problem;
use crate::service;

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct Health {
    status: &'static str,
}

/// The process answers
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = Health)))]
pub(super) async fn live() -> Answer<Health> {
    Answer(Health { status: "ok" })
}

/// The process takes work: its database answers and it is not stopping
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200, body = Health)))]
pub(super) async fn ready(State(web): State<Web>) -> Result<Answer<Health>, Problem> {
    service::health::ready(&web.app).await?;
    Ok(Answer(Health { status: "ready" }))
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = CoordinatorVersion)]
pub(super) struct Version {
    name: &'static str,
    version: &'static str,
    /// The coordinator's clock.
    time: String,
}

/// Which version answers
#[utoipa::path(get, path = "/v1/version", tag = "health", responses((status = 200, body = Version)))]
pub(super) async fn version(State(web): State<Web>) -> Answer<Version> {
    let time = web.app.clock.now().to_string();
    Answer(Version { name: "nexusmon", version: env!("CARGO_PKG_VERSION"), time })
}
