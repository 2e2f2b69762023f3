//! Idempotency keys of POST requests: the same key and body give the same answer for a day.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::PrincipalId;
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
    let reserved = Reserved { key, name, within: app.idempotency.clone() };
    let key = &reserved.key;
    let now = app.clock.now();
    let known = app.store.read().await?.idempotent(caller.principal, &key.route, &key.key, now).await?;
    match known {
        None => Ok(Begun::New(reserved)),
        Some(row) if row.body_digest != key.body => Err(Error::IdempotencyMismatch),
        Some(row) => Ok(Begun::Seen(remembered(&row)?)),
    }
}

fn remembered(row: &IdempotencyRow) -> Result<Remembered> {
    let kept: serde_json::Value = serde_json::from_str(&row.response).map_err(Error::internal)?;
    Ok(Remembered {
        status: u16::try_from(row.status).unwrap_or(500),
        location: kept["location"].as_str().map(str::to_owned),
        body: kept["body"].as_str().unwrap_or_default().as_bytes().to_vec(),
    })
}

/// Keeps the answer for a day.
pub async fn finish(app: &App, caller: &Caller, reserved: Reserved, answer: Remembered) -> Result<()> {
    let now = app.clock.now();
    let body = String::from_utf8(answer.body).map_err(Error::internal)?;
    let row = IdempotencyRow {
        principal: caller.principal,
        route: reserved.key.route.clone(),
        key: reserved.key.key.clone(),
        body_digest: reserved.key.body,
        status: u32::from(answer.status),
        response: json!({"location": answer.location, "body": body}).to_string(),
        created_at: now,
        expires_at: now + KEPT,
    };
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
