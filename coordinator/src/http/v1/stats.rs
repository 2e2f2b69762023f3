//! `/v1/engine/stats`: the engine in numbers.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::State;

use super::shape::seconds;
use crate::http::Web;
use crate::http::problem::Problem;
use crate::service::missions as service;

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Stats {
    missions_by_status: BTreeMap<String, u64>,
    tasks_by_status: BTreeMap<String, u64>,
    ready_tasks: u64,
    live_leases: u64,
    agents_online: u64,
    /// Ready tasks by why they wait.
    waiting_by_reason: BTreeMap<String, u64>,
    /// Seconds the oldest ready task has waited.
    oldest_ready_seconds: Option<f64>,
}

/// The engine in numbers
#[utoipa::path(get, path = "/v1/engine/stats", tag = "engine", operation_id = "engine_stats", responses((status = 200, body = Stats)))]
pub(in crate::http) async fn get(State(web): State<Web>) -> Result<Answer<Stats>, Problem> {
    let service::EngineStats {
        missions_by_status,
        tasks_by_status,
        ready_tasks,
        live_leases,
        agents_online,
        waiting_by_reason,
        oldest_ready,
    } = service::stats(&web.app).await?;
    Ok(Answer(Stats {
        missions_by_status,
        tasks_by_status,
        ready_tasks,
        live_leases,
        agents_online,
        waiting_by_reason,
        oldest_ready_seconds: oldest_ready.map(seconds),
    }))
}
