//! Retention: what is old enough goes, and a tombstone stays.

use std::time::Duration;

use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{ArtifactKind, VersionRow};
use serde_json::json;

use super::logs;
use super::unit::{SYSTEM, Unit};
use crate::app::App;
use crate::error::{Error, Result};

/// Rows looked at in one unit of work.
const BATCH: u32 = 500;
/// Missions forgotten in one unit of work: each is some ten rows, and others want to write meanwhile.
const MISSIONS: u32 = 100;
/// A blob nothing refers to is kept this long: an upload may be about to name it.
const IDLE_BLOB: Duration = Duration::from_hours(24);
/// Ended login sessions are kept this long, to be looked at.
const ENDED_SESSION: Duration = Duration::from_hours(7 * 24);
/// What was left for an agent that has not come back since; it hears of it with its next Hello.
const OLD_NOTICE: Duration = Duration::from_hours(1);
/// What people were told is kept this long, to be looked at.
const TOLD: Duration = Duration::from_hours(30 * 24);
const DAY: Duration = Duration::from_hours(24);

#[derive(Debug, Clone, Copy, Default)]
pub struct Swept {
    pub versions_purged: usize,
    pub blobs_deleted: usize,
    pub sessions_deleted: usize,
    pub keys_deleted: usize,
    pub missions_forgotten: usize,
}

/// One activation; idempotent. Logs and outputs older than the configured days become tombstones; uploads stay. Missions
/// that ended longer ago, and that nothing refers to, are forgotten; the audit trail keeps what happened.
pub async fn sweep(app: &App) -> Result<Swept> {
    let now = app.clock.now();
    let before = now - DAY * app.config.retention_days;
    let mut swept = Swept::default();
    for kind in [ArtifactKind::Log, ArtifactKind::Output] {
        loop {
            let old = app.store.read().await?.retention_candidates(kind, before, BATCH).await?;
            if old.is_empty() {
                break;
            }
            swept.versions_purged += purge(app, old).await?;
        }
    }
    logs::purge_rest(app).await?;
    swept.missions_forgotten = forget_missions(app, now - DAY * app.config.history_days).await?;
    forget_firings(app, now - DAY * app.config.history_days).await?;
    swept.blobs_deleted = delete_idle_blobs(app).await?;
    app.blobs.sweep(now - IDLE_BLOB).await?;
    super::audit::thin(app).await?;
    let (sessions, keys) = app
        .store
        .write("forgetting what has expired", move |tx| {
            Box::pin(async move {
                let sessions = tx.delete_login_sessions(now - ENDED_SESSION).await?;
                tx.delete_answered_challenges(now).await?;
                tx.delete_old_notices(now - OLD_NOTICE, now).await?;
                tx.forget_notifications(now - TOLD).await?;
                Ok::<_, Error>((sessions, tx.delete_expired_idempotency(now).await?))
            })
        })
        .await?;
    swept.sessions_deleted = usize::try_from(sessions).unwrap_or(usize::MAX);
    swept.keys_deleted = usize::try_from(keys).unwrap_or(usize::MAX);
    Ok(swept)
}

/// What fired so long ago cannot be due again: nobody's clock is that wrong.
async fn forget_firings(app: &App, before: Timestamp) -> Result<()> {
    loop {
        let gone = app
            .store
            .write("retention.firings", move |tx| {
                Box::pin(async move { Ok::<_, Error>(tx.forget_firings(before, BATCH).await?) })
            })
            .await?;
        if gone < u64::from(BATCH) {
            return Ok(());
        }
    }
}

async fn forget_missions(app: &App, before: Timestamp) -> Result<usize> {
    let mut after = None;
    let mut forgotten = 0;
    loop {
        let ids = app.store.read().await?.forgettable_missions(before, after, MISSIONS).await?;
        let Some(last) = ids.last() else { return Ok(forgotten) };
        after = Some(*last);
        let unit_app = app.clone();
        let rule = format!("history_days={}", app.config.history_days);
        forgotten += app
            .store
            .write_with("retention.missions", (ids, rule), move |tx, (ids, rule)| {
                let app = unit_app.clone();
                Box::pin(async move {
                    let mut unit = Unit::new(&app, tx);
                    let gone = unit.tx.forget_missions(ids).await?;
                    let count = gone.len();
                    if count > 0 {
                        // What people said about them goes, too; the entries that it stood beside stay.
                        let words = unit.tx.erase_openings_of(&gone).await?;
                        let body = json!({"missions": gone, "rule": rule, "words_erased": words});
                        let subject = ("organism", app.organism.to_string());
                        unit.audit(SYSTEM, "missions.forgotten", subject, None, body);
                    }
                    unit.finish().await?;
                    Ok::<_, Error>(count)
                })
            })
            .await?;
    }
}

async fn purge(app: &App, old: Vec<VersionRow>) -> Result<usize> {
    let unit_app = app.clone();
    let ids: Vec<_> = old.iter().map(|version| version.id).collect();
    let rule = format!("retention_days={}", app.config.retention_days);
    let purged = app
        .store
        .write("retention", move |tx| {
            let (app, ids, rule) = (unit_app.clone(), ids.clone(), rule.clone());
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let purged = unit.tx.purge_versions(&ids, &rule, unit.now).await?;
                let digests: Vec<_> = purged.iter().map(|version| version.digest).collect();
                unit.tx.forget_bytes(&digests).await?;
                for version in &purged {
                    unit.audit(
                        SYSTEM,
                        "artifact.purged",
                        ("version", version.id.to_string()),
                        version.mission,
                        json!({"artifact": version.artifact, "digest": version.digest, "size": version.size,
                               "rule": rule}),
                    );
                }
                unit.finish().await?;
                Ok::<_, Error>(purged)
            })
        })
        .await?;
    for version in &purged {
        // A log's bytes lie in segments of its own, which no other version shares.
        if let (ArtifactKind::Log, Some(task), Some(epoch), Some(number)) =
            (version.kind, version.task, version.fence_epoch, version.fence_number)
        {
            logs::purge(app, AttemptRef { task, fence: Fence { epoch, number } }).await?;
        }
    }
    Ok(purged.len())
}

/// Rows first, bytes after: a blob without a row is litter, a row without its blob would be a loss.
async fn delete_idle_blobs(app: &App) -> Result<usize> {
    let before = app.clock.now() - IDLE_BLOB;
    let mut deleted = 0;
    loop {
        let idle = app.store.read().await?.idle_blobs(before, BATCH).await?;
        if idle.is_empty() {
            return Ok(deleted);
        }
        let digests: Vec<_> = idle.into_iter().map(|blob| blob.digest).collect();
        let gone = app
            .store
            .write("forgetting idle blobs", move |tx| {
                let digests = digests.clone();
                Box::pin(async move { Ok::<_, Error>(tx.forget_blobs(&digests, before).await?) })
            })
            .await?;
        if gone.is_empty() {
            return Ok(deleted);
        }
        for digest in gone {
            app.blobs.delete(&digest).await?;
            deleted += 1;
        }
    }
}
