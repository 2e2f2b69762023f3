//! The vault: artifacts as series of immutable versions, with producer, inputs and a review trail.

mod diff;
mod erase;
mod outputs;
mod read;
mod transfer;
mod write;

use bytes::Bytes;
use futures::stream::BoxStream;
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, ArtifactId, MissionId, PrincipalId, TaskId, VersionId};
use nexusmon_shared::message::{Offer, OfferAnswer, UploadStart};
use nexusmon_shared::time::Timestamp;

use super::{Caller, Page, PageRequest};
use crate::app::App;
use crate::error::Result;
pub(super) use outputs::{ProducedBy, record_outputs};

/// Bytes that arrive or leave.
pub(in crate::service) use diff::unified;

pub type Body = BoxStream<'static, Result<Bytes>>;

#[derive(Debug, Clone)]
pub struct ArtifactView {
    pub id: ArtifactId,
    pub mission: Option<MissionId>,
    /// Id in the plan of the task that makes it.
    pub task: Option<String>,
    pub name: String,
    /// `output`, `log`, `upload`.
    pub kind: String,
    pub created_at: Timestamp,
    pub latest: VersionView,
    pub versions: u32,
}

#[derive(Debug, Clone)]
pub struct VersionView {
    pub id: VersionId,
    pub number: u32,
    pub digest: Digest,
    pub size: u64,
    pub media_type: String,
    /// `active`, `rejected`, `purged`.
    pub status: String,
    pub producer: Producer,
    /// Digests of what went in.
    pub inputs: Vec<Digest>,
    pub created_at: Timestamp,
    pub reviews: u32,
}

#[derive(Debug, Clone, Default)]
pub struct Producer {
    pub mission: Option<MissionId>,
    pub task: Option<TaskId>,
    pub attempt: Option<u32>,
    pub fence: Option<String>,
    pub agent: Option<AgentId>,
    /// Of an upload.
    pub principal: Option<PrincipalId>,
}

#[derive(Debug, Clone)]
pub struct ArtifactReviewView {
    pub version: VersionId,
    pub verdict: ArtifactVerdict,
    pub comment: Option<String>,
    pub by: PrincipalId,
    pub by_name: String,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactVerdict {
    Accept,
    Reject,
    Comment,
}

impl ArtifactVerdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Reject => "reject",
            Self::Comment => "comment",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Accept, Self::Reject, Self::Comment].into_iter().find(|v| v.as_str() == text)
    }
}

#[derive(Debug, Clone)]
pub struct ArtifactDetail {
    pub artifact: ArtifactView,
    pub reviews: Vec<ArtifactReviewView>,
}

#[derive(Debug, Clone, Default)]
pub struct ArtifactFilter {
    pub mission: Option<MissionId>,
    pub name: Option<String>,
    pub kind: Option<String>,
    pub status: Option<String>,
    /// Full-text: names and text of text artifacts.
    pub q: Option<String>,
}

/// A version's bytes.
pub struct Content {
    pub version: VersionView,
    pub name: String,
    pub start: u64,
    /// Exclusive.
    pub end: u64,
    pub body: Body,
}

/// The difference of two versions.
#[derive(Debug, Clone)]
pub enum Difference {
    /// Unified diff.
    Text(String),
    /// Changes by JSON pointer: `(pointer, before, after)`.
    Json(Vec<(String, Option<serde_json::Value>, Option<serde_json::Value>)>),
    /// Neither text nor JSON, or too large: what is known of both.
    Metadata { before: Box<VersionView>, after: Box<VersionView> },
}

#[derive(Debug, Clone)]
pub struct NewUpload {
    pub name: String,
    pub media_type: String,
    /// Groups versions: an upload of the same name in the same mission (or none) is its next version.
    pub mission: Option<MissionId>,
    /// Refused if the bytes differ.
    pub digest: Option<Digest>,
}

/// One blob on its way in from an agent.
pub struct Receiving {
    app: App,
    writer: crate::blobs::BlobWriter,
}

pub async fn list(app: &App, filter: ArtifactFilter, page: PageRequest) -> Result<Page<ArtifactView>> {
    read::list(app, filter, page).await
}

pub async fn get(app: &App, id: ArtifactId) -> Result<ArtifactDetail> {
    read::get(app, id).await
}

pub async fn versions(app: &App, id: ArtifactId, page: PageRequest) -> Result<Page<VersionView>> {
    read::versions(app, id, page).await
}

/// The bytes of a version, the newest if `version` is absent; `range`: `(start, end exclusive)`.
pub async fn content(
    app: &App,
    id: ArtifactId,
    version: Option<u32>,
    range: Option<(u64, Option<u64>)>,
) -> Result<Content> {
    read::content(app, id, version, range).await
}

/// One version's row, the newest if `number` is absent.
pub(super) async fn version_row(
    read: &mut nexusmon_store::Connection,
    id: ArtifactId,
    number: Option<u32>,
) -> Result<nexusmon_store::VersionRow> {
    read::version(read, id, number).await
}

/// What changed from version `with` to version `version` (the newest if absent).
pub async fn diff(app: &App, id: ArtifactId, version: Option<u32>, with: u32) -> Result<Difference> {
    diff::diff(app, id, version, with).await
}

pub async fn review(
    app: &App,
    caller: &Caller,
    id: ArtifactId,
    version: Option<u32>,
    verdict: ArtifactVerdict,
    comment: Option<String>,
) -> Result<ArtifactDetail> {
    write::review(app, caller, id, version, verdict, comment).await
}

/// Erases the bytes of a version, the newest if `version` is absent; a tombstone stays.
pub async fn erase(
    app: &App,
    caller: &Caller,
    id: ArtifactId,
    version: Option<u32>,
    reason: String,
) -> Result<ArtifactDetail> {
    erase::erase(app, caller, id, version, reason).await
}

/// Stores bytes of a person as a new version.
pub async fn upload(app: &App, caller: &Caller, upload: NewUpload, body: Body) -> Result<ArtifactDetail> {
    write::upload(app, caller, upload, body).await
}

/// Which blobs of an attempt are there already, and where interrupted uploads stopped.
pub async fn offer(app: &App, agent: AgentId, offer: Offer) -> Result<Vec<OfferAnswer>> {
    transfer::offer(app, agent, offer).await
}

/// Begins, or goes on with, one blob from an agent that holds the attempt's lease.
pub async fn receive(app: &App, agent: AgentId, start: UploadStart) -> Result<Receiving> {
    transfer::receive(app, agent, start).await
}

/// Size and bytes of a blob for an attempt of this agent that holds a lease naming it.
pub async fn download(
    app: &App,
    agent: AgentId,
    attempt: AttemptRef,
    digest: Digest,
    offset: u64,
) -> Result<(u64, Body)> {
    transfer::download(app, agent, attempt, digest, offset).await
}
