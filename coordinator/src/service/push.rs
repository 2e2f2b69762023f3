//! Browsers that are told, while nobody looks, that an approval waits or an alert was raised. They are told the id and the
//! rank and nothing else: what it is about is read in the console, with a session.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nexusmon_shared::id::PushId;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::PushRow;
use serde_json::json;

use super::unit::{Actor, SYSTEM, Unit};
use super::{Caller, notifications};
use crate::app::App;
use crate::error::{Error, Result};
use crate::push::{Keys, Sender, Sent, To};

/// Of one person.
const MOST: usize = 10;
/// Characters of a name.
const NAME: usize = 60;
/// A subscription where as many messages in a row were given up is forgotten: its browser turns it on again when it is opened.
const HOPELESS: i64 = 50;

#[derive(Debug, Clone)]
pub struct PushView {
    pub id: PushId,
    pub name: String,
    /// Of the push service.
    pub service: String,
    pub created_at: Timestamp,
    pub last_sent_at: Option<Timestamp>,
    /// In a row.
    pub failures: u64,
}

/// As `PushSubscription.toJSON()` gives it, with a name.
#[derive(Debug, Clone)]
pub struct NewPush {
    pub name: String,
    pub endpoint: String,
    pub p256dh: String,
    pub auth: String,
}

fn service_of(endpoint: &str) -> String {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default().to_owned()
}

impl From<PushRow> for PushView {
    fn from(row: PushRow) -> Self {
        Self {
            id: row.id,
            service: service_of(&row.endpoint),
            name: row.name,
            created_at: row.created_at,
            last_sent_at: row.last_sent_at,
            failures: u64::try_from(row.failures).unwrap_or(0),
        }
    }
}

pub(super) fn sender(app: &App) -> Result<&Sender> {
    app.push.as_ref().ok_or_else(|| {
        let detail = "push services want to know who sends: set `push_contact` (NEXUSMON_PUSH_CONTACT) to an address \
                      such as mailto:you@example.org, or an https `public_url`, and start again";
        Error::conflict("push_off", detail)
    })
}

/// What a browser subscribes with; `None` where nobody sends.
pub fn public_key(app: &App) -> Option<String> {
    app.push.as_ref().map(|_| URL_SAFE_NO_PAD.encode(app.keyring.vapid.public()))
}

/// The caller's, oldest first.
pub async fn list(app: &App, caller: &Caller) -> Result<Vec<PushView>> {
    let rows = app.store.read().await?.push_of(caller.principal).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

fn keys(p256dh: &str, auth: &str) -> Option<Keys> {
    // Browsers give no padding, some libraries do.
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    Keys::read(&bytes(p256dh)?, &bytes(auth)?)
}

pub async fn create(app: &App, caller: &Caller, new: NewPush) -> Result<PushView> {
    let NewPush { name, endpoint, p256dh, auth } = new;
    let name = name.trim().to_owned();
    if name.is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
        let message = format!("must be 1 to {NAME} characters of plain text");
        return Err(Error::field("/name", "invalid_value", message));
    }
    let refused = |why: crate::push::Refused| Error::field("/endpoint", "not_allowed", why.to_string());
    sender(app)?.check(&endpoint).map_err(refused)?;
    if keys(&p256dh, &auth).is_none() {
        let message = "must be a point of P-256 (65 bytes) and a secret of 16 bytes, base64url, as the browser gives them";
        return Err(Error::field("/keys", "invalid_value", message));
    }
    let now = app.clock.now();
    let row = PushRow {
        id: app.rng.with(|rng| PushId::new(now, rng)),
        principal: caller.principal,
        name,
        endpoint,
        p256dh,
        auth,
        created_at: now,
        last_sent_at: None,
        failures: 0,
    };
    let unit_app = app.clone();
    let (row, after) = app
        .store
        .write_with("push.create", (row, Actor::from(caller)), move |tx, (row, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let mine = unit.tx.push_of(row.principal).await?;
                if mine.len() >= MOST && !mine.iter().any(|one| one.endpoint == row.endpoint) {
                    let detail = format!("you have {MOST} browsers; take one away first");
                    return Err(Error::conflict("too_many_subscriptions", detail));
                }
                unit.tx.put_push(row).await?;
                notifications::begin(&mut unit).await?;
                let body = json!({"subscription": row.id, "service": service_of(&row.endpoint)});
                let subject = ("principal", row.principal.to_string());
                unit.audit(actor.0.clone(), "push.added", subject, None, body);
                Ok::<_, Error>((row.clone(), unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    Ok(row.into())
}

pub async fn remove(app: &App, caller: &Caller, id: PushId) -> Result<()> {
    let (principal, unit_app) = (caller.principal, app.clone());
    let after = app
        .store
        .write_with("push.remove", Actor::from(caller), move |tx, actor| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                if !unit.tx.delete_push(principal, id).await? {
                    return Err(Error::not_found("push subscription", id));
                }
                let subject = ("principal", principal.to_string());
                unit.audit(actor.0.clone(), "push.removed", subject, None, json!({"subscription": id}));
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

/// Sends something to try it, and says what the push service answered.
pub async fn test(app: &App, caller: &Caller, id: PushId) -> Result<()> {
    let sender = sender(app)?;
    let rows = app.store.read().await?.push_of(caller.principal).await?;
    let row = rows.into_iter().find(|row| row.id == id);
    let row = row.ok_or_else(|| Error::not_found("push subscription", id))?;
    let sent = match to(&row) {
        Some(to) => {
            sender
                .send(&app.keyring.vapid, &to, &message(&id.to_string(), None, 0), "test", app.clock.now())
                .await
        }
        None => Sent::Refused,
    };
    match sent {
        Sent::Taken => Ok(()),
        Sent::Gone => Err(Error::conflict(
            "push_gone",
            "the browser took its subscription back: turn it on there again",
        )),
        Sent::Later(_) | Sent::Refused => {
            let detail = "the push service did not take the message; the coordinator needs a way to it";
            Err(Error::conflict("push_failed", detail))
        }
    }
}

/// One attempt to tell one browser of something, and of `more` other things.
pub(super) async fn send(app: &App, row: &PushRow, subject: &str, rank: Option<Rank>, more: usize) -> Sent {
    let (Some(sender), Some(to)) = (&app.push, to(row)) else { return Sent::Gone };
    sender.send(&app.keyring.vapid, &to, &message(subject, rank, more), subject, app.clock.now()).await
}

/// Whether a browser could not be told for so long that it is forgotten.
pub(super) async fn hopeless(app: &App, id: PushId) -> Result<bool> {
    let row = app.store.read().await?.push_subscription(id).await?;
    Ok(row.is_some_and(|row| row.failures >= HOPELESS))
}

/// These browsers are told nothing more.
pub(super) async fn forget(app: &App, ids: Vec<PushId>, why: &'static str) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("push.forget", ids, move |tx, ids| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                unit.tx.forget_push(ids).await?;
                for id in ids {
                    let subject = ("push_subscription", id.to_string());
                    unit.audit(
                        SYSTEM,
                        "push.removed",
                        subject,
                        None,
                        json!({"subscription": id, "why": why}),
                    );
                }
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

fn to(row: &PushRow) -> Option<To> {
    Some(To { endpoint: row.endpoint.clone(), keys: keys(&row.p256dh, &row.auth)? })
}

/// All that leaves.
fn message(id: &str, rank: Option<Rank>, more: usize) -> Vec<u8> {
    let mut message = json!({"id": id, "rank": rank});
    if more > 0 {
        message["more"] = more.into();
    }
    message.to_string().into_bytes()
}

/// Reads what a browser sent as its address and keys: nothing but a public address over TLS is taken.
#[cfg(feature = "fuzzing")]
pub fn fuzz(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    let address = crate::push::judge(first, &[]);
    if let Ok(url) = &address {
        assert_eq!(url.scheme(), "https", "an address that is not over TLS is taken");
    }
    address.is_ok() || keys(first, second).is_some()
}
