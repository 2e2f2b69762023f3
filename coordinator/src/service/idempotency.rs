//! Idempotency keys of POST requests: the same key and body give the same answer for a day.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, PrincipalId};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{IdempotencyRow, StoreError};
use serde_json::json;

use super::Caller;
use crate::app::App;
use crate::error::{Error, Result};

const KEPT: Duration = Duration::from_hours(24);

/// A request that may be a repetition.
#[derive(Debug, Clone)]
pub struct Key {
    /// The template, for example `/v1/engine/missions`, with the ids of this request filled in.
    pub route: String,
    /// As sent, at most 128 characters.
    pub key: String,
    pub body: Digest,
}

/// A key while its request is executed.
#[derive(Debug)]
pub struct Under {
    principal: PrincipalId,
    key: Key,
    committed: AtomicBool,
}

impl Under {
    /// The key's row for a mission that is created under it, to be committed with the mission: a crash between two
    /// commits would let the repeated request create another.
    pub(super) fn row(&self, mission: MissionId, now: Timestamp) -> IdempotencyRow {
        row(self.principal, &self.key, 201, json!({"mission": mission}), now)
    }

    pub(super) fn set_committed(&self) {
        self.committed.store(true, Ordering::Release);
    }
}

/// An answer as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    pub status: u16,
    pub location: Option<String>,
    pub body: Vec<u8>,
}

/// What [`begin`] found.
pub enum Begun {
    /// Give this answer again.
    Seen(Remembered),
    /// This mission was created.
    Created(MissionId),
    /// Do it, then [`finish`] (or drop it, to let the key be used again).
    New(Reserved),
}

/// Principal, route, key.
type Name = (PrincipalId, String, String);

/// Keys whose requests are under way on this node.
#[derive(Debug, Default, Clone)]
pub(crate) struct InFlight(Arc<Mutex<HashSet<Name>>>);

/// The right to execute under a key; other requests with it are refused as `in_progress` meanwhile.
pub struct Reserved {
    key: Key,
    name: Name,
    within: InFlight,
    under: Arc<Under>,
}

impl Reserved {
    /// For the [`Caller`] of what is executed.
    pub fn under(&self) -> Arc<Under> {
        Arc::clone(&self.under)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.within.0.lock().expect("no holder panics").remove(&self.name);
    }
}

/// Looks the key up and reserves it. Another body under the same key is [`crate::error::Error::IdempotencyMismatch`].
pub async fn begin(app: &App, caller: &Caller, key: Key) -> Result<Begun> {
    if key.key.is_empty() || key.key.len() > 128 || !key.key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::field(
            "Idempotency-Key",
            "invalid",
            "must be 1 to 128 visible ASCII characters without spaces",
        ));
    }
    let name = (caller.principal, key.route.clone(), key.key.clone());
    if !app.idempotency.0.lock().expect("no holder panics").insert(name.clone()) {
        return Err(Error::conflict("in_progress", "a request with this Idempotency-Key is being executed"));
    }
    let under = Under { principal: caller.principal, key: key.clone(), committed: AtomicBool::new(false) };
    let reserved = Reserved { key, name, within: app.idempotency.clone(), under: Arc::new(under) };
    let key = &reserved.key;
    let now = app.clock.now();
    let known = app.store.read().await?.idempotent(caller.principal, &key.route, &key.key, now).await?;
    match known {
        _ if nexusmon_shared::planted::planted("key-forgotten") => Ok(Begun::New(reserved)),
        None => Ok(Begun::New(reserved)),
        Some(row) if row.body_digest != key.body => Err(Error::IdempotencyMismatch),
        Some(row) => remembered(&row),
    }
}

fn remembered(row: &IdempotencyRow) -> Result<Begun> {
    let kept: serde_json::Value = serde_json::from_str(&row.response).map_err(Error::internal)?;
    if let Some(mission) = kept["mission"].as_str() {
        return Ok(Begun::Created(mission.parse().map_err(Error::internal)?));
    }
    Ok(Begun::Seen(Remembered {
        status: u16::try_from(row.status).unwrap_or(500),
        location: kept["location"].as_str().map(str::to_owned),
        body: kept["body"].as_str().unwrap_or_default().as_bytes().to_vec(),
    }))
}

fn row(
    principal: PrincipalId,
    key: &Key,
    status: u32,
    response: serde_json::Value,
    now: Timestamp,
) -> IdempotencyRow {
    IdempotencyRow {
        principal,
        route: key.route.clone(),
        key: key.key.clone(),
        body_digest: key.body,
        status,
        response: response.to_string(),
        created_at: now,
        expires_at: now + KEPT,
    }
}

/// Keeps the answer for a day, unless the key was committed with what it created.
pub async fn finish(app: &App, caller: &Caller, reserved: Reserved, answer: Remembered) -> Result<()> {
    if reserved.under.committed.load(Ordering::Acquire) {
        return Ok(());
    }
    let now = app.clock.now();
    let body = String::from_utf8(answer.body).map_err(Error::internal)?;
    let response = json!({"location": answer.location, "body": body});
    let row = row(caller.principal, &reserved.key, u32::from(answer.status), response, now);
    let kept = app
        .store
        .write_with("idempotency.finish", row, |tx, row| {
            Box::pin(async move { tx.remember(std::slice::from_ref(row)).await })
        })
        .await;
    match kept {
        // Another node answered the same request at the same time; its answer is kept.
        Ok(()) | Err(StoreError::Unique { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
