//! Erasing on demand, before retention would: the bytes go, and a tombstone says what there was, who erased it and why.

use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::ArtifactId;
use nexusmon_store::{ArtifactKind, Topic, VersionRow, VersionStatus};
use serde_json::json;

use super::{ArtifactDetail, read};
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::missions::no_nul;
use crate::service::unit::{Actor, Unit};
use crate::service::{Caller, audit, auth, logs};

/// The rule by which bytes went that no retention reached.
const RULE: &str = "erased";
const MAX_REASON: usize = 1000;

pub(super) async fn erase(
    app: &App,
    caller: &Caller,
    id: ArtifactId,
    number: Option<u32>,
    reason: String,
) -> Result<ArtifactDetail> {
    auth::require_fresh(app, caller).await?;
    if reason.trim().is_empty() || reason.len() > MAX_REASON {
        let message = format!("say why, in 1 to {MAX_REASON} bytes; the audit log keeps it");
        return Err(Error::field("/reason", "out_of_range", message));
    }
    no_nul(&reason, "/reason")?;
    let row = read::version(&mut app.store.read().await?, id, number).await?;
    if row.status == VersionStatus::Purged && purge_log(app, &row).await? {
        // What a crash had left of it; the tombstone is there already.
        return read::get(app, id).await;
    }
    read::not_purged(&row)?;
    let unit_app = app.clone();
    let input = (row.clone(), reason, Actor::from(caller));
    let after = app
        .store
        .write_with("vault.erase", input, move |tx, (row, reason, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                write(&mut unit, row, reason, actor).await?;
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    purge_log(app, &row).await?;
    read::get(app, id).await
}

/// A log's bytes lie in segments of its own. True where there were any.
async fn purge_log(app: &App, row: &VersionRow) -> Result<bool> {
    match (row.kind, row.task, row.fence_epoch, row.fence_number) {
        (ArtifactKind::Log, Some(task), Some(epoch), Some(number)) => {
            logs::purge(app, AttemptRef { task, fence: Fence { epoch, number } }).await
        }
        _ => Ok(false),
    }
}

async fn write(unit: &mut Unit<'_>, row: &VersionRow, reason: &str, actor: &Actor) -> Result<()> {
    let now = unit.now;
    if unit.tx.purge_versions(&[row.id], RULE, now).await?.is_empty() {
        return Err(Error::conflict("purged", "somebody else has erased it meanwhile"));
    }
    // Nor is it remembered; whoever learns at this moment looks at the versions again.
    unit.tx.forget_bytes(&[row.digest]).await?;
    // Words are searched of the newest version; what it said is not to be found any more either.
    let newest = unit.tx.version_of(row.artifact, None).await?;
    if newest.is_some_and(|newest| newest.id == row.id) {
        unit.tx.delete_document("artifact", &row.artifact.to_string()).await?;
    }
    let words = erase_words(unit, row).await?;
    let body = json!({"artifact": row.artifact, "digest": row.digest, "size": row.size, "rule": RULE, "reason": reason,
        "words_erased": words});
    unit.audit(actor.0.clone(), "artifact.purged", ("version", row.id.to_string()), row.mission, body);
    unit.tx.wake(Topic::Vault);
    Ok(())
}

/// What the audit trail says of this version: its name where it was left or uploaded, and what reviewers wrote.
async fn erase_words(unit: &mut Unit<'_>, row: &VersionRow) -> Result<u64> {
    let version = u64::try_from(row.number).unwrap_or_default();
    let about = audit::version_of(&row.artifact.to_string(), version);
    let mut words = unit.tx.openings_about(&about).await?;
    if let (Some(task), Some(series)) = (row.task, unit.tx.artifact(row.artifact).await?) {
        let left = unit.tx.openings_about(&task.to_string()).await?;
        words.extend(audit::among(left, &[series.name.as_str()]));
    }
    Ok(unit.tx.erase_openings(&words).await?)
}
