//! Restores there were, and the owner's signature over each: without it, agents that have seen more of the log than came
//! back take no work.

use bytes::Bytes;
use nexusmon_shared::lifecycle::chain;
use nexusmon_shared::message::MAX_RESTORES;
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::checkpoint::{Restore, RestoreError, SignedRestore};
use nexusmon_store::Connection;
use serde_json::json;

use super::super::roster::NO_ROSTER;
use super::super::unit::{Actor, Unit};
use super::super::{Caller, consent};
use crate::app::App;
use crate::error::{Error, Result};

/// The oldest first.
pub async fn restores(app: &App) -> Result<Vec<Restore>> {
    read(&mut app.store.read().await?).await
}

async fn read(read: &mut Connection) -> Result<Vec<Restore>> {
    let list = read.restores().await?;
    let list = list.as_deref().map(serde_json::from_str).transpose().map_err(Error::internal)?;
    Ok(list.unwrap_or_default())
}

/// What agents are shown: the signed ones, the newest of them with the entries it begins with.
pub(super) async fn shown(connection: &mut Connection) -> Result<Option<(Vec<Bytes>, u64)>> {
    let signed: Vec<SignedRestore> = read(connection).await?.iter().filter_map(Restore::signed).collect();
    let Some(size) = signed.last().map(|last| last.record.size) else { return Ok(None) };
    let newest = &signed[signed.len().saturating_sub(MAX_RESTORES)..];
    let texts = newest.iter().map(|one| Ok(canonical::to_bytes(one).map_err(Error::internal)?.into()));
    Ok(Some((texts.collect::<Result<_>>()?, size)))
}

/// Takes the owner's signature over a restore; agents that raised an alarm because of it are shown it at once.
pub async fn sign_restore(app: &App, caller: &Caller, signed: SignedRestore) -> Result<Vec<Restore>> {
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("audit.restore", (caller.clone(), signed), move |tx, (caller, signed)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                keep(&mut unit, caller, signed).await?;
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    app.log.ask_alarmed();
    restores(app).await
}

async fn keep(unit: &mut Unit<'_>, caller: &Caller, signed: &SignedRestore) -> Result<()> {
    // Of two at once the second finds the first.
    unit.tx.one_node_at_a_time().await?;
    let record = signed.record;
    let mut list = read(unit.tx).await?;
    let restore = list.iter_mut().find(|restore| restore.record == record).ok_or_else(|| {
        let detail =
            "no restore of this organism was like that: sign what `GET /v1/governance/audit/restores` lists";
        Error::field("/record", "unknown_restore", detail)
    })?;
    if restore.signature.is_some() {
        return Err(Error::conflict("known", "the owner has signed for this restore already"));
    }
    let roster = consent::roster(unit.tx, unit.now).await?;
    let roster = roster.ok_or_else(|| Error::conflict("no_roster", NO_ROSTER))?;
    signed.verify(&roster, record.old_epoch).map_err(|error| match error {
        RestoreError::NotTheOwner => Error::Forbidden {
            code: "not_the_owner",
            detail: "only a key of the owner, as the roster lists it, signs for a restore".to_owned(),
        },
        other => Error::field("/signature", "bad_signature", chain(&other)),
    })?;
    restore.signature = Some(signed.signature.clone());
    let text = serde_json::to_string(&list).map_err(Error::internal)?;
    let now = unit.now;
    unit.tx.put_restores(&text, now).await?;
    let actor = Actor::from(caller);
    let subject = ("organism", unit.app.organism.to_string());
    unit.audit(actor.0, "restore.signed", subject, None, json!({"signed": signed}));
    Ok(())
}
