//! Idempotency keys of POST requests: the same key and body give the same answer for a day.

use nexusmon_shared::digest::Digest;

use super::Caller;
use crate::app::App;
use crate::error::Result;

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

/// The right to execute under a key; other requests with it wait as `409 in_progress`.
pub struct Reserved {
    key: Key,
}

/// Looks the key up and reserves it. Another body under the same key is [`crate::error::Error::IdempotencyMismatch`].
pub async fn begin(app: &App, caller: &Caller, key: Key) -> Result<Begun> {
    let _ = (app, caller, key);
    todo!()
}

/// Keeps the answer for a day.
pub async fn finish(app: &App, caller: &Caller, reserved: Reserved, answer: Remembered) -> Result<()> {
    let _ = (app, caller, reserved.key, answer);
    todo!()
}
