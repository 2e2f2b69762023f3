//! Storing what has grown: a segment's bytes first, then its row; with the last one the log becomes a version in the
//! vault.

use std::sync::Arc;

use futures::TryStreamExt as _;
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ArtifactId, VersionId};
use nexusmon_shared::selector::Labels;
use nexusmon_store::{
    ArtifactKind, ArtifactRow, Json, LogRow, NewVersion, SegmentRow, Tx, VersionRow, VersionStatus,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::open::{Cut, Growing, OpenLog, Storing};
use super::segment::{self, LineIndex};
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::unit::{Actor, Unit};

/// Waits for the segment under way, if there is one. An error means that the log has to be opened anew.
pub(super) async fn settle(growing: &mut Growing) -> Result<()> {
    let Some(storing) = &mut growing.storing else { return Ok(()) };
    let done = storing.done.wait_for(Option::is_some).await.ok().and_then(|done| done.clone());
    growing.storing = None;
    match done {
        Some(Ok(hasher)) => {
            growing.hasher = hasher;
            Ok(())
        }
        Some(Err(error)) if matches!(*error, Error::StorageFull) => Err(Error::StorageFull),
        Some(Err(_)) | None => {
            Err(Error::unavailable("the log could not be stored; connect again and go on"))
        }
    }
}

/// Begins to store `cut`; the one before is settled.
pub(super) fn begin(app: &App, log: &Arc<OpenLog>, growing: &mut Growing, cut: Cut) {
    let (done, receiver) = watch::channel(None);
    let cut = Arc::new(cut);
    growing.storing = Some(Storing { cut: Arc::clone(&cut), done: receiver });
    let hasher = growing.hasher.take();
    let (app, log) = (app.clone(), Arc::clone(log));
    app.clone().lifecycle.spawn_quiet("log segment", async move {
        let size = cut.bytes.len();
        let stored = store(&app, &log, cut, hasher).await;
        log.release(size);
        match stored {
            Ok(hasher) => {
                done.send_replace(Some(Ok(hasher)));
                let stored = log.stored();
                app.logs.tell(log.row.agent, log.ack(stored.bytes));
                log.grown.send_modify(|turn| *turn += 1);
                if stored.sealed {
                    app.logs.drop_log(&log);
                }
                Ok(())
            }
            Err(error) => {
                // What is in memory is dropped; the agent has it and sends it again from where the rows end.
                app.logs.drop_log(&log);
                let error = Arc::new(error);
                done.send_replace(Some(Err(Arc::clone(&error))));
                Err(error)
            }
        }
    });
}

async fn store(
    app: &App,
    log: &Arc<OpenLog>,
    cut: Arc<Cut>,
    hasher: Option<Sha256>,
) -> Result<Option<Sha256>> {
    let content = Arc::clone(&cut);
    let (blob, hasher) = tokio::task::spawn_blocking(move || {
        let hasher = hasher.map(|mut hasher| {
            hasher.update(&content.bytes);
            hasher
        });
        (segment::encode(&content.bytes, &content.marks), hasher)
    })
    .await
    .map_err(Error::internal)?;
    let row = segment_row(&log.row, &cut)?;
    if let Some(row) = &row {
        app.blobs.put_segment(&row.blob, blob.into()).await?;
    }
    let size = cut.start + cut.bytes.len() as u64;
    let whole = match (&hasher, cut.last && size > 0) {
        (_, false) => None,
        (Some(hasher), true) => Some(Digest::from_bytes(hasher.clone().finalize().into())),
        (None, true) => Some(hash_all(app, &log.row, &cut).await?),
    };
    if row.is_some() || size > 0 {
        let unit_app = app.clone();
        let work = Arc::new(Work { log: Arc::clone(log), row, last: cut.last, size, whole });
        app.store
            .write("storing a log segment", move |tx| {
                let (app, work) = (unit_app.clone(), Arc::clone(&work));
                Box::pin(async move { write(&app, tx, &work).await })
            })
            .await?;
    }
    let mut stored = log.stored.lock().expect("no holder panics");
    stored.bytes = size;
    stored.lines = cut.first_line + cut.ends.len() as u64;
    stored.segments = cut.number + i64::from(!cut.bytes.is_empty());
    stored.sealed = cut.last;
    Ok(hasher)
}

struct Work {
    log: Arc<OpenLog>,
    row: Option<SegmentRow>,
    last: bool,
    size: u64,
    whole: Option<Digest>,
}

async fn write(app: &App, tx: &mut Tx, work: &Work) -> Result<()> {
    let now = tx.now();
    let log = &work.log;
    tx.open_logs(std::slice::from_ref(&log.row)).await?;
    if let Some(row) = &work.row
        && !tx.append_segment(row, now).await?
    {
        return Err(Error::unavailable("another stream writes this log"));
    }
    if work.last && tx.seal_log(log.attempt(), now).await? {
        add_version(app, tx, log, work).await?;
    }
    Ok(())
}

async fn add_version(app: &App, tx: &mut Tx, log: &OpenLog, work: &Work) -> Result<()> {
    let Some(digest) = work.whole else { return Ok(()) };
    let now = tx.now();
    let (artifact, id) = app.rng.with(|rng| (ArtifactId::new(now, rng), VersionId::new(now, rng)));
    let row = &log.row;
    let series = ArtifactRow {
        id: artifact,
        scope: row.mission.to_string(),
        mission: Some(row.mission),
        task_key: log.task_key.clone(),
        name: log.name.clone(),
        kind: ArtifactKind::Log,
        labels: Json(Labels::default()),
        latest: 0,
        created_at: now,
        updated_at: now,
    };
    let version = VersionRow {
        id,
        artifact,
        number: 0,
        digest,
        size: i64::try_from(work.size).unwrap_or(i64::MAX),
        media_type: "text/plain; charset=utf-8".to_owned(),
        kind: ArtifactKind::Log,
        mission: Some(row.mission),
        task: Some(row.task),
        attempt: Some(row.attempt),
        fence_epoch: Some(row.fence_epoch),
        fence_number: Some(row.fence_number),
        agent: Some(row.agent),
        plugin: None,
        principal: None,
        inputs: Json(Vec::new()),
        status: VersionStatus::Active,
        purged_by: None,
        created_at: now,
        version: 1,
    };
    tx.add_versions(&[NewVersion { series, version }]).await?;
    tx.set_log_version(log.attempt(), id).await?;
    let mut unit = Unit::new(app, tx);
    let body = json!({"version": id, "digest": digest, "size": work.size, "attempt": row.attempt});
    unit.audit(
        Actor::agent(row.agent).0,
        "task.log_sealed",
        ("task", row.task.to_string()),
        Some(row.mission),
        body,
    );
    unit.finish().await?;
    Ok(())
}

fn segment_row(log: &LogRow, cut: &Cut) -> Result<Option<SegmentRow>> {
    if cut.bytes.is_empty() {
        return Ok(None);
    }
    let length = cut.bytes.len();
    let index = LineIndex::new(&cut.ends, cut.marks.len(), cut.continues);
    let number = |value: u64| i64::try_from(value).map_err(Error::internal);
    Ok(Some(SegmentRow {
        task: log.task,
        fence_epoch: log.fence_epoch,
        fence_number: log.fence_number,
        number: cut.number,
        start_byte: number(cut.start)?,
        length: number(length as u64)?,
        first_line: number(cut.first_line)?,
        lines: number(cut.ends.len() as u64)?,
        blob: format!("{}/{}.{}/{}-{length}", log.task, log.fence_epoch, log.fence_number, cut.start),
        line_index: serde_json::to_string(&index).map_err(Error::internal)?,
    }))
}

/// After a restart in the middle of a log: over what is stored, then over the last segment.
async fn hash_all(app: &App, log: &LogRow, cut: &Cut) -> Result<Digest> {
    let key = super::attempt_of(log);
    let mut stored = super::reader::stored_bytes(app, key, 0, cut.start);
    let mut hasher = Sha256::new();
    while let Some(piece) = stored.try_next().await? {
        hasher.update(&piece);
    }
    hasher.update(&cut.bytes);
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

/// Seals a log nobody writes any more, with what there is of it.
pub(super) async fn seal_abandoned(app: &App, log: Arc<OpenLog>) -> Result<()> {
    let mut growing = log.growing.lock().await;
    settle(&mut growing).await?;
    growing.ended = true;
    if let Some(cut) = growing.cut(true) {
        begin(app, &log, &mut growing, cut);
        settle(&mut growing).await?;
    }
    Ok(())
}

/// Forgets a log: rows, then bytes.
pub(super) async fn purge(app: &App, key: AttemptRef) -> Result<()> {
    let blobs = app.store.write("forgetting a log", move |tx| {
        Box::pin(async move { Ok::<_, Error>(tx.delete_segments(key).await?) })
    });
    for blob in blobs.await? {
        app.blobs.delete_segment(&blob).await?;
    }
    Ok(())
}
