//! What people do in the vault: upload, judge.

use futures::StreamExt as _;
use nexusmon_shared::id::{ArtifactId, ReviewId, VersionId};
use nexusmon_store::{
    ArtifactKind, ArtifactReviewRow, ArtifactRow, DocumentRow, Json, NewVersion, Verdict, VersionRow,
    VersionStatus,
};
use serde_json::json;

use super::{ArtifactDetail, ArtifactVerdict, Body, NewUpload, read};
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::Caller;
use crate::service::missions::no_nul;
use crate::service::unit::{Actor, Unit};

/// Text of an artifact that is searched: its beginning.
const INDEXED: u64 = 64 * 1024;

pub(super) async fn upload(
    app: &App,
    caller: &Caller,
    upload: NewUpload,
    body: Body,
) -> Result<ArtifactDetail> {
    check_name(&upload.name)?;
    if let Some(mission) = upload.mission {
        let known = app.store.read().await?.mission(mission).await?;
        known.ok_or_else(|| Error::not_found("mission", mission))?;
    }
    let stored =
        app.blobs.put_stream::<_, Error>(app.config.max_artifact_bytes, body.map(|piece| piece)).await?;
    if upload.digest.is_some_and(|declared| declared != stored.digest) {
        return Err(Error::field(
            "digest",
            "digest_mismatch",
            format!("the bytes hash to {}, not to what was declared", stored.digest),
        ));
    }
    let text = indexed_text(app, &upload.media_type, stored.digest, stored.size).await?;
    let now = app.clock.now();
    let (series, id) = app.rng.with(|rng| (ArtifactId::new(now, rng), VersionId::new(now, rng)));
    let new = NewVersion {
        series: ArtifactRow {
            id: series,
            scope: upload.mission.map_or_else(|| "organism".to_owned(), |mission| mission.to_string()),
            mission: upload.mission,
            task_key: String::new(),
            name: upload.name.clone(),
            kind: ArtifactKind::Upload,
            labels: Json(nexusmon_shared::selector::Labels::new()),
            latest: 0,
            created_at: now,
            updated_at: now,
        },
        version: VersionRow {
            id,
            artifact: series,
            number: 0,
            digest: stored.digest,
            size: i64::try_from(stored.size).unwrap_or(i64::MAX),
            media_type: upload.media_type.clone(),
            kind: ArtifactKind::Upload,
            mission: upload.mission,
            task: None,
            attempt: None,
            fence_epoch: None,
            fence_number: None,
            agent: None,
            plugin: None,
            principal: Some(caller.principal),
            inputs: Json(Vec::new()),
            status: VersionStatus::Active,
            purged_by: None,
            created_at: now,
            version: 1,
        },
    };
    let unit_app = app.clone();
    let input = (new, text, Actor::from(caller));
    let (artifact, after) = app
        .store
        .write_with("vault.upload", input, move |tx, (new, text, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let stored = unit.tx.add_versions(std::slice::from_ref(new)).await?;
                let row =
                    stored.into_iter().next().ok_or_else(|| Error::internal("no version was stored"))?;
                let document = DocumentRow {
                    kind: "artifact".to_owned(),
                    subject: row.artifact.to_string(),
                    mission: row.mission,
                    title: new.series.name.clone(),
                    body: text.clone(),
                    at: unit.now,
                };
                unit.tx.index_documents(&[document]).await?;
                let body = json!({"name": new.series.name, "digest": row.digest, "size": row.size,
                    "version": row.number, "media_type": row.media_type});
                let subject = ("artifact", row.artifact.to_string());
                unit.audit(actor.0.clone(), "artifact.uploaded", subject, row.mission, body);
                unit.tx.wake(nexusmon_store::Topic::Vault);
                Ok::<_, Error>((row.artifact, unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    read::get(app, artifact).await
}

fn check_name(name: &str) -> Result<()> {
    let good = (1..=255).contains(&name.len())
        && !name.chars().any(char::is_control)
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if good {
        return Ok(());
    }
    Err(Error::field(
        "?name",
        "invalid",
        "1 to 255 bytes, a file name or a relative path without `.` and `..`",
    ))
}

/// The text that can be searched, where it is text.
async fn indexed_text(
    app: &App,
    media_type: &str,
    digest: nexusmon_shared::digest::Digest,
    size: u64,
) -> Result<String> {
    let textual =
        media_type.starts_with("text/") || media_type.contains("json") || media_type.contains("xml");
    if !textual || size == 0 {
        return Ok(String::new());
    }
    let bytes = app.blobs.read(&digest, Some(0..size.min(INDEXED))).await?;
    Ok(String::from_utf8_lossy(&bytes).replace('\0', " "))
}

pub(super) async fn review(
    app: &App,
    caller: &Caller,
    id: ArtifactId,
    number: Option<u32>,
    verdict: ArtifactVerdict,
    comment: Option<String>,
) -> Result<ArtifactDetail> {
    if let Some(comment) = &comment {
        no_nul(comment, "/comment")?;
    }
    let said = comment.as_deref().is_some_and(|comment| !comment.trim().is_empty());
    if verdict == ArtifactVerdict::Comment && !said {
        return Err(Error::field("/comment", "required", "a comment without text says nothing"));
    }
    let row = read::version(&mut app.store.read().await?, id, number).await?;
    read::not_purged(&row)?;
    let now = app.clock.now();
    let review = ArtifactReviewRow {
        id: app.rng.with(|rng| ReviewId::new(now, rng)),
        artifact: id,
        version: row.id,
        principal: caller.principal,
        verdict: match verdict {
            ArtifactVerdict::Accept => Verdict::Accept,
            ArtifactVerdict::Reject => Verdict::Reject,
            ArtifactVerdict::Comment => Verdict::Comment,
        },
        comment,
        at: now,
    };
    let status = match verdict {
        ArtifactVerdict::Accept => Some(VersionStatus::Active),
        ArtifactVerdict::Reject => Some(VersionStatus::Rejected),
        ArtifactVerdict::Comment => None,
    };
    let unit_app = app.clone();
    let input = (row, review, Actor::from(caller));
    let after = app
        .store
        .write_with("vault.review", input, move |tx, (row, review, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                unit.tx.insert_artifact_review(review).await?;
                if let Some(status) = status.filter(|status| *status != row.status) {
                    unit.tx.set_version_status(row, status).await?;
                }
                let body = json!({"verdict": verdict.as_str(), "comment": review.comment, "version": row.number,
                    "digest": row.digest});
                let subject = ("artifact", row.artifact.to_string());
                unit.audit(actor.0.clone(), "artifact.reviewed", subject, row.mission, body);
                unit.after.judge = true;
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    read::get(app, id).await
}
