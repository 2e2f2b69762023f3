//! `/v1/vault/artifacts`: series and versions as read, their differences, their review trail.

#![expect(clippy::struct_field_names, reason = "they are the names of the API")]

use axum::Json as Answer;
use axum::extract::State;
use http::StatusCode;
use nexusmon_shared::id::{ArtifactId, MissionId, VersionId};
use serde_json::Value;

use super::shape::time;
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::{Id, Page, Query, only_sort, page, parameter};
use crate::service::PageRequest;
use crate::service::vault as service;

/// A named series of versions.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Artifact {
    id: String,
    name: String,
    /// `output`, `log`, `upload`.
    kind: String,
    mission: Option<String>,
    /// Id in the plan of the task that makes it.
    task: Option<String>,
    /// How many versions there are.
    versions: u32,
    latest: Version,
    created_at: String,
}

/// One immutable version.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Version {
    version_id: String,
    /// From 1.
    version: u32,
    /// SHA-256.
    digest: String,
    size: u64,
    media_type: String,
    /// `active`, `rejected`, `withheld` (a secret was found in it; a note stands in its place), `purged`.
    status: String,
    producer: Producer,
    /// Digests of what went in.
    inputs: Vec<String>,
    reviews: u32,
    created_at: String,
}

/// Who made a version.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Producer {
    mission: Option<String>,
    task: Option<String>,
    attempt: Option<u32>,
    fence: Option<String>,
    agent: Option<String>,
    /// Who uploaded it.
    principal: Option<String>,
}

/// A judgement in the review trail.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ArtifactReview {
    version_id: String,
    /// `accept`, `reject`, `comment`.
    verdict: &'static str,
    comment: Option<String>,
    by: String,
    by_name: String,
    at: String,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ArtifactDetail {
    #[serde(flatten)]
    artifact: Artifact,
    reviews: Vec<ArtifactReview>,
}

impl From<service::ArtifactView> for Artifact {
    fn from(artifact: service::ArtifactView) -> Self {
        let service::ArtifactView { id, mission, task, name, kind, created_at, latest, versions } = artifact;
        Self {
            id: id.to_string(),
            name,
            kind,
            mission: mission.map(|id| id.to_string()),
            task,
            versions,
            latest: latest.into(),
            created_at: time(created_at),
        }
    }
}

impl From<service::VersionView> for Version {
    fn from(version: service::VersionView) -> Self {
        let service::VersionView {
            id,
            number,
            digest,
            size,
            media_type,
            status,
            producer,
            inputs,
            created_at,
            reviews,
        } = version;
        let service::Producer { mission, task, attempt, fence, agent, principal } = producer;
        Self {
            version_id: id.to_string(),
            version: number,
            digest: digest.to_string(),
            size,
            media_type,
            status,
            producer: Producer {
                mission: mission.map(|id| id.to_string()),
                task: task.map(|id| id.to_string()),
                attempt,
                fence,
                agent: agent.map(|id| id.to_string()),
                principal: principal.map(|id| id.to_string()),
            },
            inputs: inputs.iter().map(ToString::to_string).collect(),
            reviews,
            created_at: time(created_at),
        }
    }
}

impl From<service::ArtifactDetail> for ArtifactDetail {
    fn from(detail: service::ArtifactDetail) -> Self {
        let service::ArtifactDetail { artifact, reviews } = detail;
        let reviews = reviews.into_iter().map(|review| {
            let service::ArtifactReviewView { version, verdict, comment, by, by_name, at } = review;
            let (version_id, by) = (version.to_string(), by.to_string());
            ArtifactReview { version_id, verdict: verdict.as_str(), comment, by, by_name, at: time(at) }
        });
        Self { artifact: artifact.into(), reviews: reviews.collect() }
    }
}

/// The version a request names: its number, its id, or the newest.
pub(super) async fn version(
    web: &Web,
    id: ArtifactId,
    name: &str,
    text: Option<&str>,
) -> Result<service::VersionView, Problem> {
    let Some(text) = text else { return Ok(service::get(&web.app, id).await?.artifact.latest) };
    let number: Option<u32> = text.parse().ok();
    let wanted: Option<VersionId> = text.parse().ok();
    if number.is_none() && wanted.is_none() {
        return Err(Problem::field(name, "invalid_value", "is neither a version's number nor its id"));
    }
    let mut cursor = None;
    loop {
        let request = PageRequest { limit: Some(200), cursor };
        let found = service::versions(&web.app, id, request).await?;
        for version in found.items {
            if Some(version.number) == number || Some(version.id) == wanted {
                return Ok(version);
            }
        }
        if found.next_cursor.is_none() {
            let shown: String = text.chars().take(40).collect();
            return Err(Problem::not_found(format!("the artifact has no version `{shown}`")));
        }
        cursor = found.next_cursor;
    }
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Listing {
    mission: Option<String>,
    name: Option<String>,
    kind: Option<String>,
    status: Option<String>,
    /// Words in its name or text.
    q: Option<String>,
    /// `-created_at`, the only order.
    sort: Option<String>,
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// List artifacts, newest first
#[utoipa::path(
    get, path = "/v1/vault/artifacts", tag = "vault", operation_id = "artifacts", params(Listing),
    responses((status = 200, body = Page<Artifact>)),
)]
pub(in crate::http) async fn list(
    State(web): State<Web>,
    Query(listing): Query<Listing>,
) -> Result<Answer<Page<Artifact>>, Problem> {
    let Listing { mission, name, kind, status, q, sort, limit, cursor } = listing;
    only_sort(sort.as_deref(), "-created_at")?;
    let mission = parameter::<MissionId>("mission", mission.as_deref(), "a mission's id")?;
    let filter = service::ArtifactFilter { mission, name, kind, status, q };
    Ok(Answer(Page::of(service::list(&web.app, filter, page(limit, cursor)?).await?)))
}

/// Read an artifact with its newest version and its review trail
#[utoipa::path(
    get, path = "/v1/vault/artifacts/{id}", tag = "vault", operation_id = "artifact", params(("id" = String, Path)),
    responses((status = 200, body = ArtifactDetail)),
)]
pub(in crate::http) async fn get(
    State(web): State<Web>,
    Id(id): Id<ArtifactId>,
) -> Result<Answer<ArtifactDetail>, Problem> {
    Ok(Answer(service::get(&web.app, id).await?.into()))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct VersionListing {
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// List an artifact's versions, newest first
#[utoipa::path(
    get, path = "/v1/vault/artifacts/{id}/versions", tag = "vault",
    params(("id" = String, Path), VersionListing),
    responses((status = 200, body = Page<Version>)),
)]
pub(in crate::http) async fn versions(
    State(web): State<Web>,
    Id(id): Id<ArtifactId>,
    Query(VersionListing { limit, cursor }): Query<VersionListing>,
) -> Result<Answer<Page<Version>>, Problem> {
    Ok(Answer(Page::of(service::versions(&web.app, id, page(limit, cursor)?).await?)))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Comparing {
    /// The older version, by number or id; the one before if absent.
    with: Option<String>,
    /// The newer version, by number or id; the newest if absent.
    version: Option<String>,
}

/// What changed between two versions.
#[derive(Debug, Default, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Difference {
    /// `text`, `json`, or `metadata` where the bytes are neither or too many.
    kind: &'static str,
    /// Unified diff of text.
    unified: Option<String>,
    /// Of JSON.
    changes: Option<Vec<Change>>,
    before: Option<Version>,
    after: Option<Version>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = JsonChange)]
pub(in crate::http) struct Change {
    pointer: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// Compare two versions
#[utoipa::path(
    get, path = "/v1/vault/artifacts/{id}/diff", tag = "vault", params(("id" = String, Path), Comparing),
    responses((status = 200, body = Difference)),
)]
pub(in crate::http) async fn diff(
    State(web): State<Web>,
    Id(id): Id<ArtifactId>,
    Query(Comparing { with, version: newer }): Query<Comparing>,
) -> Result<Answer<Difference>, Problem> {
    let after = version(&web, id, "?version", newer.as_deref()).await?;
    let before = match with {
        Some(text) => version(&web, id, "?with", Some(&text)).await?.number,
        None if after.number > 1 => after.number - 1,
        None => return Err(Problem::field("?with", "missing_field", "there is no version before the first")),
    };
    Ok(Answer(match service::diff(&web.app, id, Some(after.number), before).await? {
        service::Difference::Text(unified) => {
            Difference { kind: "text", unified: Some(unified), ..Difference::default() }
        }
        service::Difference::Json(changes) => {
            let change = |(pointer, before, after)| Change { pointer, before, after };
            let changes = changes.into_iter().map(change).collect();
            Difference { kind: "json", changes: Some(changes), ..Difference::default() }
        }
        service::Difference::Metadata { before, after } => Difference {
            kind: "metadata",
            before: Some((*before).into()),
            after: Some((*after).into()),
            ..Difference::default()
        },
    }))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct OfVersion {
    /// Number or id; the newest if absent.
    version: Option<String>,
}

/// What the agent that made a version signed about it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ArtifactProvenance {
    version_id: String,
    digest: String,
    agent: String,
    /// Ed25519, base64url; to rest on more than this answer, take it from a roster or from the machine itself.
    identity_key: String,
    /// DSSE with an in-toto statement (SLSA provenance).
    #[schema(value_type = Object)]
    envelope: Value,
}

/// Where a version came from, signed by the agent that made it
#[utoipa::path(
    get, path = "/v1/vault/artifacts/{id}/provenance", tag = "vault", operation_id = "artifact_provenance",
    params(("id" = String, Path), OfVersion), responses((status = 200, body = ArtifactProvenance)),
)]
pub(in crate::http) async fn provenance(
    State(web): State<Web>,
    Id(id): Id<ArtifactId>,
    Query(OfVersion { version: wanted }): Query<OfVersion>,
) -> Result<Answer<ArtifactProvenance>, Problem> {
    let number = match wanted {
        Some(text) => Some(version(&web, id, "?version", Some(&text)).await?.number),
        None => None,
    };
    let found = crate::service::provenance::of_version(&web.app, id, number).await?;
    let crate::service::provenance::ProvenanceView { version, digest, agent, identity_key, envelope } = found;
    Ok(Answer(ArtifactProvenance {
        version_id: version.to_string(),
        digest: digest.to_string(),
        agent: agent.to_string(),
        identity_key: identity_key.to_string(),
        envelope,
    }))
}

/// A judgement of one version.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewArtifactReview {
    verdict: ArtifactVerdict,
    comment: Option<String>,
    /// Number or id; the newest if absent.
    version: Option<String>,
}

#[derive(Debug, Clone, Copy, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum ArtifactVerdict {
    Accept,
    Reject,
    Comment,
}

/// Add a judgement to the review trail
#[utoipa::path(
    post, path = "/v1/vault/artifacts/{id}/reviews", tag = "vault", operation_id = "artifact_review", params(("id" = String, Path)),
    request_body = NewArtifactReview,
    responses((status = 201, body = ArtifactDetail)),
)]
pub(in crate::http) async fn review(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<ArtifactId>,
    Json(NewArtifactReview { verdict, comment, version: text }): Json<NewArtifactReview>,
) -> Result<(StatusCode, Answer<ArtifactDetail>), Problem> {
    let number = match text {
        Some(text) => Some(version(&web, id, "/version", Some(&text)).await?.number),
        None => None,
    };
    let verdict = match verdict {
        ArtifactVerdict::Accept => service::ArtifactVerdict::Accept,
        ArtifactVerdict::Reject => service::ArtifactVerdict::Reject,
        ArtifactVerdict::Comment => service::ArtifactVerdict::Comment,
    };
    let detail = service::review(&web.app, &caller, id, number, verdict, comment).await?;
    Ok((StatusCode::CREATED, Answer(detail.into())))
}
