//! `/v1/governance/audit`: who did what.

use axum::Json as Answer;
use axum::extract::State;
use nexusmon_shared::id::MissionId;
use nexusmon_shared::time::Timestamp;
use serde_json::Value;

use super::shape::time;
use crate::http::Web;
use crate::http::problem::Problem;
use crate::http::query::{Page, Query, only_sort, page, parameter};
use crate::service::audit as service;

/// One entry of the audit trail. Its digest is the SHA-256 of the canonical JSON (RFC 8785) of `action`, `actor`, `at`, `body`,
/// `id`, `mission`, `subject` and `subject_kind`, with the values at the places in `sealed` taken out of the body and
/// `sealed` put into it as a member.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct AuditEntry {
    seq: i64,
    /// `aud_…`
    id: String,
    at: String,
    /// A principal's or agent's id, or `nexusmon`.
    actor: String,
    action: String,
    subject_kind: String,
    subject: String,
    mission: Option<String>,
    /// Words in it stand beside the log; where some were erased, there is `null`.
    #[schema(value_type = Object)]
    body: Value,
    /// Commitments (HMAC-SHA-256) to words in the body by their places (JSON pointers); absent if there are none.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = HashMap<String, String>, required = false)]
    sealed: serde_json::Map<String, Value>,
    /// Places in the body (JSON pointers) of words that were erased; absent if none were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    erased: Vec<String>,
    digest: String,
}

impl From<service::AuditView> for AuditEntry {
    fn from(entry: service::AuditView) -> Self {
        let service::AuditView {
            seq,
            id,
            at,
            actor,
            action,
            subject_kind,
            subject,
            mission,
            body,
            sealed,
            erased,
            digest,
        } = entry;
        Self {
            seq,
            id: id.to_string(),
            at: time(at),
            actor,
            action,
            subject_kind,
            subject,
            mission: mission.map(|id| id.to_string()),
            body,
            sealed,
            erased,
            digest: digest.to_string(),
        }
    }
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Listing {
    actor: Option<String>,
    action: Option<String>,
    subject: Option<String>,
    mission: Option<String>,
    /// At or after this time.
    since: Option<String>,
    /// `-seq`, the only order.
    sort: Option<String>,
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// List audit entries, newest first
#[utoipa::path(
    get, path = "/v1/governance/audit", tag = "governance", operation_id = "audit", params(Listing),
    responses((status = 200, body = Page<AuditEntry>)),
)]
pub(in crate::http) async fn list(
    State(web): State<Web>,
    Query(listing): Query<Listing>,
) -> Result<Answer<Page<AuditEntry>>, Problem> {
    let Listing { actor, action, subject, mission, since, sort, limit, cursor } = listing;
    only_sort(sort.as_deref(), "-seq")?;
    let filter = service::AuditFilter {
        actor,
        action,
        subject,
        mission: parameter::<MissionId>("mission", mission.as_deref(), "a mission's id")?,
        since: parameter::<Timestamp>("since", since.as_deref(), "an RFC 3339 time")?,
    };
    Ok(Answer(Page::of(service::list(&web.app, filter, page(limit, cursor)?).await?)))
}
