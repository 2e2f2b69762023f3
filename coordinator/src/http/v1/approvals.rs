//! `/v1/governance/approvals`: what waits for people, and what they decide.

use axum::Json as Answer;
use axum::extract::State;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ApprovalId, MissionId};
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval::Nonce;
use nexusmon_shared::trust::ed25519::Signature;
use nexusmon_shared::trust::key::{KeyId, Proof};
use nexusmon_shared::trust::passkey::Assertion;
use serde_json::Value;

use super::shape::{self, Author, maybe, time};
use crate::error::Error;
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::{Id, Page, Query, page, parameter};
use crate::service::approvals as service;

/// Something that waits, or waited, for people.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Approval {
    id: String,
    /// `mission_plan`, `task_instance`, `policy_change`, `halt_release`, `trait_grant`, `budget`, `standing_approval`.
    subject_kind: String,
    /// Absent where the subject belongs to none.
    mission: Option<String>,
    task: Option<String>,
    /// What would be done, in a line.
    summary: String,
    digest: String,
    #[schema(value_type = shape::Rank)]
    rank: nexusmon_shared::rank::Rank,
    /// Approvals it takes.
    needed: u32,
    author: Author,
    /// `pending`, `approved`, `rejected`, `expired`, `void`.
    status: String,
    created_at: String,
    /// Nothing runs if nobody has decided by then.
    decide_by: String,
    decided_at: Option<String>,
    decisions: Vec<DecisionMade>,
    /// Whether the agents want signatures for it: then a decision to approve needs one.
    signature_needed: bool,
    /// Until when the signatures hold that it rests on.
    valid_until: Option<String>,
    /// What a signature covers: these fields with `verdict`, `valid_until` and `nonce` added, in canonical form
    /// (RFC 8785) behind the line `nexusmon/approval/v1`.
    #[schema(value_type = Object)]
    to_sign: Value,
    /// For a `task_instance`: what its digest is made of, with the evaluated parameters.
    #[schema(value_type = Option<Object>)]
    instance: Option<Value>,
    /// For subjects that are documents: the document. Its digest is SHA-256 over the line `nexusmon/proposal/v1` (a
    /// standing approval's `nexusmon/standing-approval/v1`) and its canonical form (RFC 8785).
    #[schema(value_type = Option<Object>)]
    proposal: Option<Value>,
    /// For a `standing_approval`: the open leaves that its shape is made of (the RFC 9162 root over their canonical
    /// forms); absent where the playbook or what machines offer has changed since.
    #[schema(value_type = Option<Vec<Object>>)]
    leaves: Option<Value>,
    /// What whoever decides should know.
    notes: Vec<String>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct DecisionMade {
    by: String,
    by_name: String,
    /// `approve` or `reject`.
    verdict: &'static str,
    comment: Option<String>,
    method: String,
    at: String,
}

impl From<service::ApprovalView> for Approval {
    fn from(approval: service::ApprovalView) -> Self {
        let service::ApprovalView {
            id,
            subject_kind,
            mission,
            task,
            goal,
            digest,
            rank,
            needed,
            author,
            status,
            created_at,
            decide_by,
            decided_at,
            decisions,
            signature_needed,
            valid_until,
            to_sign,
            instance,
            proposal,
            leaves,
            notes,
        } = approval;
        Self {
            id: id.to_string(),
            subject_kind,
            mission: mission.map(|id| id.to_string()),
            task: task.map(|id| id.to_string()),
            summary: goal,
            digest: digest.to_string(),
            rank,
            needed,
            author: author.into(),
            status,
            created_at: time(created_at),
            decide_by: time(decide_by),
            decided_at: maybe(decided_at),
            decisions: decisions.into_iter().map(Into::into).collect(),
            signature_needed,
            valid_until: maybe(valid_until),
            to_sign,
            instance,
            proposal,
            leaves,
            notes,
        }
    }
}

impl From<service::DecisionView> for DecisionMade {
    fn from(decision: service::DecisionView) -> Self {
        let service::DecisionView { by, by_name, verdict, comment, method, at } = decision;
        Self { by: by.to_string(), by_name, verdict: verdict.as_str(), comment, method, at: time(at) }
    }
}

/// A person's decision over exactly this digest.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Decision {
    /// The approval's: SHA-256 in hexadecimal. A plan that changed meanwhile has another.
    #[schema(value_type = String)]
    digest: Digest,
    verdict: Verdict,
    /// Needed for ranks A and S.
    comment: Option<String>,
    /// Needed to approve ranks A and S, and whatever agents want signatures for.
    signature: Option<Given>,
}

/// A signature over the approval's `to_sign`.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Given {
    /// The key's id, as the roster lists it.
    #[schema(value_type = String)]
    key: KeyId,
    /// At most 7 days from now.
    #[schema(value_type = String)]
    valid_until: Timestamp,
    /// 16 random bytes, base64url.
    #[schema(value_type = String)]
    nonce: Nonce,
    /// Of a key of the command line: 64 bytes, base64url.
    #[schema(value_type = Option<String>)]
    bytes: Option<Signature>,
    /// Of a passkey.
    #[schema(value_type = Option<shape::Assertion>)]
    assertion: Option<Assertion>,
}

#[derive(Debug, Clone, Copy, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Verdict {
    Approve,
    Reject,
}

impl TryFrom<Decision> for service::NewDecision {
    type Error = Error;

    fn try_from(decision: Decision) -> Result<Self, Error> {
        let Decision { digest, verdict, comment, signature } = decision;
        let verdict = match verdict {
            Verdict::Approve => service::Verdict::Approve,
            Verdict::Reject => service::Verdict::Reject,
        };
        let signature = signature.map(TryInto::try_into).transpose()?;
        Ok(Self { verdict, digest, comment, signature })
    }
}

impl TryFrom<Given> for service::GivenSignature {
    type Error = Error;

    fn try_from(given: Given) -> Result<Self, Error> {
        let Given { key, valid_until, nonce, bytes, assertion } = given;
        let proof = match (bytes, assertion) {
            (Some(signature), None) => Proof::Ed25519 { signature },
            (None, Some(assertion)) => Proof::Passkey(assertion),
            _ => {
                let message = "give either `bytes` (a key of the command line) or `assertion` (a passkey)";
                return Err(Error::field("/signature", "invalid", message));
            }
        };
        Ok(Self { key, valid_until, nonce, proof })
    }
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Listing {
    status: Option<String>,
    mission: Option<String>,
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// List approvals, those that end first at the top
#[utoipa::path(
    get, path = "/v1/governance/approvals", tag = "governance", operation_id = "approvals", params(Listing),
    responses((status = 200, body = Page<Approval>)),
)]
pub(in crate::http) async fn list(
    State(web): State<Web>,
    Query(Listing { status, mission, limit, cursor }): Query<Listing>,
) -> Result<Answer<Page<Approval>>, Problem> {
    let mission = parameter::<MissionId>("mission", mission.as_deref(), "a mission's id")?;
    let filter = service::ApprovalFilter { status, mission };
    Ok(Answer(Page::of(service::list(&web.app, filter, page(limit, cursor)?).await?)))
}

/// Read an approval with what there is to sign
#[utoipa::path(
    get, path = "/v1/governance/approvals/{id}", tag = "governance", operation_id = "approval", params(("id" = String, Path)),
    responses((status = 200, body = Approval)),
)]
pub(in crate::http) async fn get(
    State(web): State<Web>,
    Id(id): Id<ApprovalId>,
) -> Result<Answer<Approval>, Problem> {
    Ok(Answer(service::get(&web.app, id).await?.into()))
}

/// Decide an approval
#[utoipa::path(
    post, path = "/v1/governance/approvals/{id}/decisions", tag = "governance", operation_id = "approval_decide",
    params(("id" = String, Path)), request_body = Decision,
    responses((status = 201, body = Approval)),
)]
pub(in crate::http) async fn decide(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<ApprovalId>,
    Json(decision): Json<Decision>,
) -> Result<(http::StatusCode, Answer<Approval>), Problem> {
    let approval = service::decide(&web.app, &caller, id, decision.try_into()?).await?;
    Ok((http::StatusCode::CREATED, Answer(approval.into())))
}
