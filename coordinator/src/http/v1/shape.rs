//! Shapes that several resources share: how times, ranks, authors and causes look as JSON, and their schemas.

use nexusmon_shared::plan::Author as PlanAuthor;
use nexusmon_shared::time::Timestamp;
use serde_json::Value;

/// RFC 3339, UTC, microseconds.
pub(in crate::http) fn time(at: Timestamp) -> String {
    at.to_string()
}

/// As [`time`]; null when absent.
pub(in crate::http) fn maybe(at: Option<Timestamp>) -> Option<String> {
    at.map(time)
}

/// Seconds, as durations leave.
pub(in crate::http) fn seconds(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64()
}

/// Any serializable value as JSON; ours always are.
pub(in crate::http) fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// How much harm work could do; E is harmless, S the gravest.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents `shared::rank::Rank`")]
pub(in crate::http) enum Rank {
    E,
    D,
    C,
    B,
    A,
    S,
}

/// What a passkey answered to a challenge, base64url without padding, as the browser gave it.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents `shared::trust::passkey::Assertion`")]
pub(in crate::http) struct Assertion {
    /// `clientDataJSON`, to the byte.
    client_data: String,
    authenticator_data: String,
    /// DER for ES256, 64 bytes for EdDSA.
    signature: String,
}

/// A new passkey, base64url without padding, as the browser gave it.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents `shared::trust::passkey::Registration`")]
pub(in crate::http) struct Registration {
    /// `clientDataJSON`, to the byte.
    client_data: String,
    /// `getAuthenticatorData()`.
    authenticator_data: String,
}

#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents `shared::mission::MissionStatus`")]
pub(in crate::http) enum MissionStatus {
    Planning,
    NeedsPlan,
    AwaitingApproval,
    Ready,
    Running,
    Paused,
    Cancelling,
    Succeeded,
    Failed,
    Cancelled,
    Rejected,
    Expired,
}

#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents `shared::task::TaskStatus`")]
pub(in crate::http) enum TaskStatus {
    Pending,
    Gated,
    Ready,
    Leased,
    Running,
    Backoff,
    Uncertain,
    Succeeded,
    Failed,
    Skipped,
    Cancelled,
}

/// Why something failed; more fields by kind.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents `shared::outcome::Cause`")]
pub(in crate::http) struct Cause {
    /// `exit_status`, `timeout`, `signal`, `lost_agent`, `refused_by_agent`, `plugin_error`, `verify_failed`,
    /// `output_too_large`, `artifact_failed`, `bad_parameters`, `denied_by_policy`, `approval_expired`,
    /// `budget_exceeded`, `resolved`.
    kind: String,
}

/// Whose text became the plan.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Author {
    /// `person`, `token`, `planner`, `trigger`.
    kind: &'static str,
    id: String,
}

impl From<PlanAuthor> for Author {
    fn from(author: PlanAuthor) -> Self {
        match author {
            PlanAuthor::Person(id) => Self { kind: "person", id: id.to_string() },
            PlanAuthor::Token(id) => Self { kind: "token", id: id.to_string() },
            PlanAuthor::Planner(id) => Self { kind: "planner", id },
            PlanAuthor::Trigger(id) => Self { kind: "trigger", id },
        }
    }
}

/// A request without fields.
#[derive(Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Empty {}
