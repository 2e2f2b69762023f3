//! `/v1/governance/policies`: policies as code.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse};
use http::{HeaderMap, StatusCode, header};

use super::shape::{self, maybe, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::etag;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::service::policies as service;

/// Missions that a replay goes over unless it says otherwise.
const MISSIONS: u32 = 100;

/// A set of Cedar policies.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Policies {
    /// Grows with every change; 0 is what is shipped.
    version: i64,
    /// Over what the set means, guardrails included.
    digest: String,
    /// Cedar, as it was written, without the guardrails.
    text: String,
    /// Cedar: part of every set; no edit removes them.
    guardrails: &'static str,
    comment: Option<String>,
    by: Option<String>,
    at: Option<String>,
    /// The approval that the newest proposed set waits for.
    pending_approval: Option<String>,
    /// The newest fifty, newest first.
    versions: Vec<PolicyVersion>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PolicyVersion {
    version: i64,
    digest: String,
    comment: String,
    by: String,
    at: String,
}

impl From<service::VersionView> for PolicyVersion {
    fn from(view: service::VersionView) -> Self {
        let service::VersionView { version, digest, comment, by, at } = view;
        Self { version, digest: digest.to_string(), comment, by: by.to_string(), at: time(at) }
    }
}

impl From<service::PolicyView> for Policies {
    fn from(view: service::PolicyView) -> Self {
        let service::PolicyView { version, digest, text, guardrails, comment, by, at, pending, versions } =
            view;
        Self {
            version,
            digest: digest.to_string(),
            text,
            guardrails,
            comment,
            by: by.map(|id| id.to_string()),
            at: maybe(at),
            pending_approval: pending.map(|id| id.to_string()),
            versions: versions.into_iter().map(Into::into).collect(),
        }
    }
}

fn tagged(view: service::PolicyView) -> impl IntoResponse {
    let tag = etag::tag(u64::try_from(view.version).unwrap_or(0));
    (AppendHeaders([(header::ETAG, tag)]), Answer(Policies::from(view)))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Asked {
    /// What is in force if absent.
    version: Option<i64>,
}

/// The policies in force, or an earlier version
#[utoipa::path(
    get, path = "/v1/governance/policies", tag = "governance", operation_id = "policies", params(Asked),
    responses((status = 200, body = Policies, headers(("ETag" = String)))),
)]
pub(in crate::http) async fn get(
    State(web): State<Web>,
    Query(Asked { version }): Query<Asked>,
) -> Result<impl IntoResponse, Problem> {
    Ok(tagged(service::view(&web.app, version).await?))
}

#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewPolicies {
    /// Cedar; the whole set without the guardrails. Every policy has an `@id`.
    text: String,
    /// Why; goes into the audit log.
    comment: String,
}

/// Put a set of policies in force
///
/// A rank A act. Where there is a roster it is only proposed (202): `pending_approval` waits for those who sign. Else it is
/// the owner's, after a log-in of the last five minutes. A refusal names the policy, the line and the column.
#[utoipa::path(
    post, path = "/v1/governance/policies", tag = "governance", operation_id = "policies_change",
    params(("If-Match" = Option<String>, Header)), request_body = NewPolicies,
    responses(
        (status = 201, body = Policies, headers(("ETag" = String))),
        (status = 202, body = Policies, headers(("ETag" = String))),
    ),
)]
pub(in crate::http) async fn change(
    State(web): State<Web>,
    Known(caller): Known,
    headers: HeaderMap,
    Json(NewPolicies { text, comment }): Json<NewPolicies>,
) -> Result<impl IntoResponse, Problem> {
    let if_match = etag::if_match(&headers)?;
    let (view, waits) = service::change(&web.app, &caller, text, comment, if_match).await?;
    let status = if waits { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    Ok((status, tagged(view)))
}

#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ReplayBody {
    /// What is proposed, as for a change; or `version`.
    text: Option<String>,
    version: Option<i64>,
    /// How many of the newest missions, 1 to 1,000; 100 if absent.
    missions: Option<u32>,
}

/// What a set decides about a mission.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ReplayVerdict {
    /// `allow`, `flag`, `hold`, `deny`.
    verdict: &'static str,
    approvals_needed: u32,
    /// Ids of the policies that determined it.
    policies: Vec<String>,
    reason: String,
}

impl From<service::ReplayVerdict> for ReplayVerdict {
    fn from(verdict: service::ReplayVerdict) -> Self {
        let service::ReplayVerdict { verdict, approvals_needed, policies, reason } = verdict;
        Self { verdict, approvals_needed, policies, reason }
    }
}

/// A mission that the proposed set decides otherwise.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PolicyDifference {
    mission: String,
    goal: String,
    #[schema(value_type = shape::Rank)]
    rank: nexusmon_shared::rank::Rank,
    created_at: String,
    /// By what is in force.
    current: ReplayVerdict,
    /// By what is proposed.
    proposed: ReplayVerdict,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ReplaySkipped {
    mission: String,
    reason: String,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PolicyReplay {
    current_digest: String,
    proposed_digest: String,
    /// Missions that were judged by both.
    missions: u64,
    differing: u64,
    /// The first 200, newest first.
    differences: Vec<PolicyDifference>,
    /// Missions that cannot be judged again, and why.
    skipped: Vec<ReplaySkipped>,
}

impl From<service::Replay> for PolicyReplay {
    fn from(replay: service::Replay) -> Self {
        let service::Replay { current, proposed, missions, differing, differences, skipped } = replay;
        let difference = |one: service::Difference| {
            let service::Difference { mission, goal, rank, created_at, now, then } = one;
            PolicyDifference {
                mission: mission.to_string(),
                goal,
                rank,
                created_at: time(created_at),
                current: now.into(),
                proposed: then.into(),
            }
        };
        Self {
            current_digest: current.to_string(),
            proposed_digest: proposed.to_string(),
            missions,
            differing,
            differences: differences.into_iter().map(difference).collect(),
            skipped: skipped
                .into_iter()
                .map(|one| ReplaySkipped { mission: one.mission.to_string(), reason: one.reason })
                .collect(),
        }
    }
}

/// Judge the newest missions again, by what is in force and by what is proposed
#[utoipa::path(
    post, path = "/v1/governance/policies/replay", tag = "governance", operation_id = "policies_replay",
    request_body = ReplayBody, responses((status = 200, body = PolicyReplay)),
)]
pub(in crate::http) async fn replay(
    State(web): State<Web>,
    Json(ReplayBody { text, version, missions }): Json<ReplayBody>,
) -> Result<Answer<PolicyReplay>, Problem> {
    let proposed = match (text, version) {
        (Some(text), None) => service::Proposed::Text(text),
        (None, Some(version)) => service::Proposed::Version(version),
        _ => return Err(Problem::field("/text", "required", "give either `text` or `version`")),
    };
    Ok(Answer(service::replay(&web.app, proposed, missions.unwrap_or(MISSIONS)).await?.into()))
}
