//! Artifacts as people see them.

use futures::StreamExt as _;
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::ArtifactId;
use nexusmon_store::{ArtifactKind, ArtifactRow, Connection, VersionRow, VersionStatus};

use super::{
    ArtifactDetail, ArtifactFilter, ArtifactReviewView, ArtifactVerdict, ArtifactView, Content, Producer,
    VersionView,
};
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::{Page, PageRequest};

pub(super) fn version_view(row: &VersionRow, reviews: u32) -> VersionView {
    let fence =
        row.fence_epoch.zip(row.fence_number).map(|(epoch, number)| Fence { epoch, number }.to_string());
    VersionView {
        id: row.id,
        number: u32::try_from(row.number).unwrap_or(0),
        digest: row.digest,
        size: u64::try_from(row.size).unwrap_or(0),
        media_type: row.media_type.clone(),
        status: row.status.as_str().to_owned(),
        producer: Producer {
            mission: row.mission,
            task: row.task,
            attempt: row.attempt,
            fence,
            agent: row.agent,
            principal: row.principal,
        },
        inputs: row.inputs.0.clone(),
        created_at: row.created_at,
        reviews,
    }
}

fn artifact_view(row: ArtifactRow, latest: VersionView) -> ArtifactView {
    ArtifactView {
        id: row.id,
        mission: row.mission,
        task: (!row.task_key.is_empty()).then_some(row.task_key),
        name: row.name,
        kind: row.kind.as_str().to_owned(),
        created_at: row.created_at,
        latest,
        versions: u32::try_from(row.latest).unwrap_or(0),
    }
}

pub(super) async fn list(app: &App, filter: ArtifactFilter, page: PageRequest) -> Result<Page<ArtifactView>> {
    let kinds = match &filter.kind {
        None => Vec::new(),
        Some(text) => vec![ArtifactKind::parse(text).ok_or_else(|| {
            Error::field("?kind", "unknown_value", "expected output, log, upload, snapshot, report or bundle")
        })?],
    };
    let status = match &filter.status {
        None => None,
        Some(text) => Some(VersionStatus::parse(text).ok_or_else(|| {
            Error::field("?status", "unknown_value", "expected active, rejected, withheld or purged")
        })?),
    };
    let wanted = nexusmon_store::ArtifactFilter {
        mission: filter.mission,
        name: filter.name,
        kinds,
        status,
        q: filter.q.filter(|q| !q.trim().is_empty()),
    };
    let mut read = app.store.read().await?;
    let found = read.artifact_list(&wanted, &page.store()?).await?;
    let ids: Vec<_> = found.items.iter().map(|row| row.id).collect();
    let latest: std::collections::HashMap<_, _> =
        read.latest_versions(&ids).await?.into_iter().map(|row| (row.artifact, row)).collect();
    let items = found
        .items
        .into_iter()
        .filter_map(|row| latest.get(&row.id).map(|version| artifact_view(row, version_view(version, 0))))
        .collect();
    Ok(Page { items, next_cursor: found.next_cursor })
}

pub(super) async fn artifact(read: &mut Connection, id: ArtifactId) -> Result<ArtifactRow> {
    read.artifact(id).await?.ok_or_else(|| Error::not_found("artifact", id))
}

pub(super) async fn version(
    read: &mut Connection,
    id: ArtifactId,
    number: Option<u32>,
) -> Result<VersionRow> {
    let found = read.version_of(id, number.map(i64::from)).await?;
    found.ok_or_else(|| match number {
        Some(number) => Error::not_found("artifact version", format!("{id} version {number}")),
        None => Error::not_found("artifact", id),
    })
}

pub(super) async fn get(app: &App, id: ArtifactId) -> Result<ArtifactDetail> {
    let mut read = app.store.read().await?;
    let row = artifact(&mut read, id).await?;
    let latest = version(&mut read, id, None).await?;
    let trail = read.artifact_reviews(id, &nexusmon_store::PageRequest::first(200)).await?.items;
    let mut reviews = Vec::with_capacity(trail.len());
    for one in trail {
        let by_name = read.principal(one.principal).await?.map(|row| row.name).unwrap_or_default();
        reviews.push(ArtifactReviewView {
            version: one.version,
            verdict: ArtifactVerdict::parse(one.verdict.as_str()).unwrap_or(ArtifactVerdict::Comment),
            comment: one.comment,
            by: one.principal,
            by_name,
            at: one.at,
        });
    }
    let count = reviews.iter().filter(|review| review.version == latest.id).count();
    let latest = version_view(&latest, u32::try_from(count).unwrap_or(u32::MAX));
    Ok(ArtifactDetail { artifact: artifact_view(row, latest), reviews })
}

pub(super) async fn versions(app: &App, id: ArtifactId, page: PageRequest) -> Result<Page<VersionView>> {
    let mut read = app.store.read().await?;
    artifact(&mut read, id).await?;
    let found = read.version_list(id, &page.store()?).await?;
    Ok(Page {
        items: found.items.iter().map(|row| version_view(row, 0)).collect(),
        next_cursor: found.next_cursor,
    })
}

pub(super) fn not_purged(row: &VersionRow) -> Result<()> {
    if row.status == VersionStatus::Purged {
        return Err(Error::conflict(
            "purged",
            format!(
                "the bytes of this version are gone, by retention or because somebody erased them ({} bytes, digest {})",
                row.size, row.digest
            ),
        ));
    }
    Ok(())
}

pub(super) async fn content(
    app: &App,
    id: ArtifactId,
    number: Option<u32>,
    range: Option<(u64, Option<u64>)>,
) -> Result<Content> {
    let mut read = app.store.read().await?;
    let row = artifact(&mut read, id).await?;
    let version = version(&mut read, id, number).await?;
    drop(read);
    not_purged(&version)?;
    let size = u64::try_from(version.size).unwrap_or(0);
    let (start, end) = range.map_or((0, size), |(start, end)| (start, end.unwrap_or(size).min(size)));
    if start > size || (start == size && size > 0) || start > end {
        return Err(Error::RangeNotSatisfiable { start, size });
    }
    if row.kind == ArtifactKind::Log
        && let (Some(task), Some(epoch), Some(number)) =
            (version.task, version.fence_epoch, version.fence_number)
    {
        let attempt = AttemptRef { task, fence: Fence { epoch, number } };
        let body = crate::service::logs::version_body(app, attempt, start, end);
        return Ok(Content { version: version_view(&version, 0), name: row.name, start, end, body });
    }
    let (_, stream) = app.blobs.stream(&version.digest, Some(start..end)).await?;
    Ok(Content {
        version: version_view(&version, 0),
        name: row.name,
        start,
        end,
        body: stream.map(|piece| piece.map_err(Error::from)).boxed(),
    })
}
