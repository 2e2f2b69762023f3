//! `/v1/governance/roster`: who may approve, as the owner signed it.

use axum::Json as Answer;
use axum::extract::State;
use nexusmon_shared::trust::roster::{Roster, RosterSignature, SignedRoster};
use serde_json::Value;

use super::shape::time;
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::service::roster as service;

/// The roster in force.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct RosterRead {
    number: u64,
    /// What its successor names as `predecessor`.
    digest: String,
    /// What new agents pin: the owner's key that signed this roster.
    owner_key: String,
    /// Persons with keys and roles, how many A and S need, agents' keys, the recovery key.
    #[schema(value_type = Object)]
    roster: Value,
    #[schema(value_type = Vec<Object>)]
    signatures: Value,
    /// One that the recovery key signed, and that decides later.
    pending: Option<PendingRoster>,
    /// The owner's key lies on the coordinator's own host: signatures add nothing against that host.
    key_shares_host: bool,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PendingRoster {
    number: u64,
    in_force_at: String,
}

impl From<service::RosterView> for RosterRead {
    fn from(view: service::RosterView) -> Self {
        let service::RosterView { signed, digest, owner_key, pending, key_shares_host } = view;
        let SignedRoster { roster, signatures } = signed;
        Self {
            number: roster.number,
            digest: digest.to_string(),
            owner_key: owner_key.to_string(),
            roster: serde_json::to_value(roster).unwrap_or_default(),
            signatures: serde_json::to_value(signatures).unwrap_or_default(),
            pending: pending.map(|(number, at)| PendingRoster { number, in_force_at: time(at) }),
            key_shares_host,
        }
    }
}

/// A roster with its signatures.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewRoster {
    /// As read, with `number` one higher and `predecessor` the digest of the one before.
    #[schema(value_type = Object)]
    roster: Roster,
    /// By the owner: of the one before, and of this one.
    #[schema(value_type = Vec<Object>)]
    signatures: Vec<RosterSignature>,
}

/// Read the roster in force
#[utoipa::path(
    get, path = "/v1/governance/roster", tag = "governance", operation_id = "roster",
    responses((status = 200, body = RosterRead)),
)]
pub(in crate::http) async fn get(State(web): State<Web>) -> Result<Answer<RosterRead>, Problem> {
    Ok(Answer(service::get(&web.app).await?.into()))
}

/// Give the first roster, or the next: signed by the owner
///
/// Every agent verifies it for itself against the owner key it pinned, or against the roster before.
#[utoipa::path(
    post, path = "/v1/governance/roster", tag = "governance", request_body = NewRoster,
    responses((status = 201, body = RosterRead)),
)]
pub(in crate::http) async fn put(
    State(web): State<Web>,
    Known(caller): Known,
    Json(NewRoster { roster, signatures }): Json<NewRoster>,
) -> Result<(http::StatusCode, Answer<RosterRead>), Problem> {
    let kept = service::put(&web.app, &caller, SignedRoster { roster, signatures }).await?;
    Ok((http::StatusCode::CREATED, Answer(kept.into())))
}
