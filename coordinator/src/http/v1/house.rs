//! `/v1/nexusmon/house`: how large everything is that this coordinator keeps.

use axum::Json as Answer;
use axum::extract::State;

use crate::http::Web;
use crate::http::problem::Problem;
use crate::service::house as service;

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct House {
    /// Without the write-ahead log.
    database_bytes: u64,
    /// Of these, what holds nothing.
    database_free_bytes: u64,
    database_log_bytes: u64,
    blobs: u64,
    blob_bytes: u64,
    advice: Vec<Advice>,
}

/// Something a person should know about how the database is kept.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Advice {
    about: String,
    problem: String,
    remedy: String,
}

/// How large everything is, and what would help
#[utoipa::path(get, path = "/v1/nexusmon/house", tag = "nexusmon", operation_id = "house", responses((status = 200, body = House)))]
pub(in crate::http) async fn get(State(web): State<Web>) -> Result<Answer<House>, Problem> {
    let service::HouseView { database, blobs, blob_bytes, advice } = service::view(&web.app).await?;
    Ok(Answer(House {
        database_bytes: database.database,
        database_free_bytes: database.free,
        database_log_bytes: database.log,
        blobs,
        blob_bytes,
        advice: advice
            .into_iter()
            .map(|one| Advice { about: one.about, problem: one.problem, remedy: one.remedy })
            .collect(),
    }))
}
