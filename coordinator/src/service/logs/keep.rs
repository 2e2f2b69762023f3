//! Storing what has grown: a segment's bytes first, then its row; with the last one the log becomes a version in the
//! vault.

use std::sync::Arc;

use bytes::Bytes;
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
use tokio::sync::{oneshot, watch};

use super::open::{Cut, Done, Growing, Hashing, OpenLog, Storing};
use super::segment::{self, LineIndex};
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::unit::{Actor, Unit};

/// Waits until at most `most` segments are under way. An error means that the log has to be opened anew.
pub(super) async fn settle(growing: &mut Growing, most: usize) -> Result<()> {
    while let Some(oldest) = growing.storing.front_mut() {
        let over = oldest.done.borrow().is_some();
        if !over && growing.storing.len() <= most {
            return Ok(());
        }
        let Some(mut oldest) = growing.storing.pop_front() else { return Ok(()) };
        let done = oldest.done.wait_for(Option::is_some).await.ok().and_then(|done| done.clone());
        match done {
            Some(Ok(())) => {}
            Some(Err(error)) if matches!(*error, Error::StorageFull) => return Err(Error::StorageFull),
            Some(Err(_)) | None => {
                return Err(Error::unavailable("the log could not be stored; connect again and go on"));
            }
        }
    }
    Ok(())
}

/// Begins to store `cut`. Hashes are made one after another and rows are written one after another; what takes longest,
/// writing bytes, goes on for several segments at once.
pub(super) fn begin(app: &App, log: &Arc<OpenLog>, growing: &mut Growing, cut: Cut) {
    let (done, receiver) = watch::channel(None);
    let (hashed, coming) = oneshot::channel();
    let cut = Arc::new(cut);
    let turn = Turn {
        cut: Arc::clone(&cut),
        before: growing.storing.back().map(|before| before.done.clone()),
        hashing: std::mem::replace(&mut growing.hasher, Hashing::Coming(coming)),
        hashed,
    };
    growing.storing.push_back(Storing { cut, done: receiver });
    let (app, log) = (app.clone(), Arc::clone(log));
    app.clone().lifecycle.spawn_quiet("log segment", async move {
        let size = turn.cut.bytes.len();
        let stored = store(&app, &log, turn).await;
        log.release(size);
        match stored {
            Ok(()) => {
                done.send_replace(Some(Ok(())));
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

/// One segment among those of its log.
struct Turn {
    cut: Arc<Cut>,
    /// Its row comes before this one's.
    before: Option<watch::Receiver<Option<Done>>>,
    hashing: Hashing,
    hashed: oneshot::Sender<Box<Sha256>>,
}

async fn store(app: &App, log: &Arc<OpenLog>, turn: Turn) -> Result<()> {
    let Turn { cut, before, hashing, hashed } = turn;
    let row = segment_row(&log.row, &cut)?;
    let written = async {
        if let Some(row) = &row {
            let marks = Bytes::from(segment::encode(&cut.marks));
            app.blobs.put_segment(&row.blob, vec![cut.bytes.clone(), marks]).await?;
        }
        Ok::<_, Error>(())
    };
    let size = cut.start + cut.bytes.len() as u64;
    let (whole, ()) = tokio::try_join!(hash(&cut, hashing, hashed), written)?;
    if let Some(mut before) = before
        && !before.wait_for(Option::is_some).await.is_ok_and(|done| matches!(*done, Some(Ok(()))))
    {
        return Err(Error::unavailable("an earlier part of this log could not be stored"));
    }
    let whole = match (whole, cut.last && size > 0) {
        (_, false) => None,
        (Some(whole), true) => Some(whole),
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
    Ok(())
}

/// Hashes a segment after those before it and passes the hasher on; gives the hash of the whole log with the last.
async fn hash(
    cut: &Arc<Cut>,
    hashing: Hashing,
    hashed: oneshot::Sender<Box<Sha256>>,
) -> Result<Option<Digest>> {
    let mut hasher = match hashing {
        Hashing::Known(hasher) => hasher,
        // Without an answer the segment before has failed, or nothing is known: either is noticed elsewhere.
        Hashing::Coming(coming) => match coming.await {
            Ok(hasher) => hasher,
            Err(_) => return Ok(None),
        },
        Hashing::Unknown => return Ok(None),
    };
    let content = Arc::clone(cut);
    let hashing = tokio::task::spawn_blocking(move || {
        hasher.update(&content.bytes);
        if content.last {
            return Some(Digest::from_bytes(hasher.finalize_reset().into()));
        }
        let _ = hashed.send(hasher);
        None
    });
    hashing.await.map_err(Error::internal)
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
    settle(&mut growing, 0).await?;
    growing.ended = true;
    if let Some(cut) = growing.cut(true) {
        begin(app, &log, &mut growing, cut);
        settle(&mut growing, 0).await?;
    }
    Ok(())
}

/// Segments whose bytes are forgotten before the next are read.
const PURGED_AT_ONCE: u32 = 500;

/// Forgets a log: bytes, then rows. Without its row nobody would know of a segment's bytes any more.
pub(super) async fn purge(app: &App, key: AttemptRef) -> Result<bool> {
    let mut from = 0;
    loop {
        let some = app.store.read().await?.segments_from_byte(key, from, PURGED_AT_ONCE).await?;
        let Some(last) = some.last() else { break };
        from = last.start_byte + last.length;
        for segment in &some {
            app.blobs.delete_segment(&segment.blob).await?;
        }
    }
    if from == 0 {
        return Ok(false);
    }
    app.store
        .write("forgetting a log", move |tx| {
            Box::pin(async move { Ok::<_, Error>(tx.delete_segments(key).await?) })
        })
        .await?;
    Ok(true)
}
