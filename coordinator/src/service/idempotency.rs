//! Idempotency keys of POST requests: the same key and body give the same answer for a day.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::PrincipalId;
use nexusmon_store::{IdempotencyRow, riding};
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
    /// It was carried out, and its answer was lost with the coordinator that gave it: kind and id of what it was about.
    Done { subject_kind: String, subject: String },
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
        Some(row) => match row.unanswered() {
            Some((subject_kind, subject)) => Ok(Begun::Done { subject_kind, subject }),
            None => Ok(Begun::Seen(remembered(&row)?)),
        },
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

/// Runs what the request asks for; the key commits with its result, and refuses it if another node was faster.
pub async fn carry_out<T>(
    app: &App,
    caller: &Caller,
    reserved: &Reserved,
    work: impl Future<Output = T>,
) -> T {
    riding(row(app, caller, &reserved.key), work).await
}

fn row(app: &App, caller: &Caller, key: &Key) -> IdempotencyRow {
    let now = app.clock.now();
    IdempotencyRow {
        principal: caller.principal,
        route: key.route.clone(),
        key: key.key.clone(),
        body_digest: key.body,
        status: 0,
        response: String::new(),
        created_at: now,
        expires_at: now + KEPT,
    }
}

/// Keeps the answer beside the key, for a day.
pub async fn finish(app: &App, caller: &Caller, reserved: Reserved, answer: Remembered) -> Result<()> {
    let body = String::from_utf8(answer.body).map_err(Error::internal)?;
    let row = IdempotencyRow {
        status: u32::from(answer.status),
        response: json!({"location": answer.location, "body": body}).to_string(),
        ..row(app, caller, &reserved.key)
    };
    let kept = app
        .store
        .write_with("idempotency.finish", row, |tx, row| {
            Box::pin(async move { Ok::<_, Error>(tx.answer(row).await?) })
        })
        .await;
    match kept {
        // The key was committed with what was done; a repetition learns what that was about.
        Err(Error::StorageFull) => Ok(()),
        kept => kept,
    }
}
