//! Passkeys: made by who is logged in, used to log in. Signing with one is `approvals`' business; this only keeps what
//! the roster will list.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::key::{KeyId, PersonKey};
use nexusmon_shared::trust::passkey::{Assertion, MAX_CREDENTIAL_ID, Passkey, Registration};
use nexusmon_store::{PasskeyRow, PrincipalKind, StoreError};
use serde_json::json;

use super::challenge::{self, Challenge, Purpose};
use super::{LoggedIn, Opening, SessionKind};
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::unit::{Actor, Unit};
use crate::service::{Caller, consent};

/// Of one person.
const MOST: usize = 10;
/// Characters of a passkey's name.
const NAME: usize = 60;

/// Where a passkey is made and used. It answers there and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The domain.
    pub rp_id: String,
    /// Scheme, host and port, as browsers write it.
    pub origin: String,
}

/// A person's passkey, without what only its owner's authenticator holds.
#[derive(Debug, Clone)]
pub struct PasskeyView {
    /// As rosters name it.
    pub key: KeyId,
    pub name: String,
    pub passkey: Passkey,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
    /// The roster in force lists it as this person's.
    pub in_roster: bool,
}

fn read(row: &PasskeyRow) -> Result<Passkey> {
    serde_json::from_str(&row.passkey).map_err(Error::internal)
}

/// What a browser needs to make one.
#[derive(Debug, Clone)]
pub struct Options {
    pub challenge: Challenge,
    pub place: Place,
    /// Already there: an authenticator that holds one of them makes no second.
    pub known: Vec<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub struct NewPasskey {
    pub name: String,
    pub ticket: String,
    pub registration: Registration,
    pub place: Place,
}

#[derive(Debug, Clone)]
pub struct PasskeyLogin {
    pub credential: Vec<u8>,
    pub ticket: String,
    pub assertion: Assertion,
    pub place: Place,
    pub kind: SessionKind,
    /// The cookie the browser has now; its session ends with the log-in.
    pub replaces: Option<String>,
    /// For back-off.
    pub network: IpAddr,
}

/// What is written down with the session it opened.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    credential: String,
    counter: u64,
    challenge: Digest,
    until: Timestamp,
}

/// Those of a person, oldest first.
pub async fn of(app: &App, principal: PrincipalId) -> Result<Vec<PasskeyView>> {
    let mut connection = app.store.read().await?;
    let rows = connection.passkeys_of(principal).await?;
    let roster =
        if rows.is_empty() { None } else { consent::roster(&mut connection, app.clock.now()).await? };
    drop(connection);
    let listed = |key: &KeyId| {
        let holder = roster.as_ref().and_then(|roster| roster.holder(key));
        holder.is_some_and(|holder| holder.id == principal)
    };
    let view = |row: PasskeyRow| {
        let passkey = read(&row)?;
        let PasskeyRow { key, name, created_at, last_used_at, .. } = row;
        let key = KeyId(key);
        Ok(PasskeyView { key, name, passkey, created_at, last_used_at, in_roster: listed(&key) })
    };
    rows.into_iter().map(view).collect()
}

pub async fn options(app: &App, caller: &Caller, place: Place) -> Result<Options> {
    only_people(app, caller).await?;
    let known = of(app, caller.principal).await?;
    Ok(Options {
        challenge: challenge::make(app, Purpose::Register(caller.principal), &place),
        known: known.into_iter().map(|view| view.passkey.credential_id).collect(),
        place,
    })
}

/// Somebody who never logs in has nothing to log in with.
async fn only_people(app: &App, caller: &Caller) -> Result<()> {
    super::require_fresh(app, caller).await?;
    let row = app.store.read().await?.principal(caller.principal).await?;
    if row.is_some_and(|row| row.kind == PrincipalKind::Person) {
        return Ok(());
    }
    Err(Error::Forbidden { code: "people_only", detail: "only a person has passkeys".to_owned() })
}

pub async fn register(app: &App, caller: &Caller, new: NewPasskey) -> Result<PasskeyView> {
    let NewPasskey { name, ticket, registration, place } = new;
    let name = name.trim().to_owned();
    if name.is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
        let message = format!("must be 1 to {NAME} characters of plain text");
        return Err(Error::field("/name", "invalid_value", message));
    }
    only_people(app, caller).await?;
    let (wanted, until) = challenge::read(app, Purpose::Register(caller.principal), &place, &ticket)?;
    let (passkey, verified) = registration
        .accept(&place.rp_id, &place.origin, &wanted)
        .map_err(|error| Error::field("", "passkey_refused", format!("the passkey is not taken: {error}")))?;
    let text = canonical::to_bytes(&passkey).map_err(Error::internal)?;
    let key = PersonKey::Passkey(passkey.clone()).id();
    let row = PasskeyRow {
        credential: URL_SAFE_NO_PAD.encode(&passkey.credential_id),
        key: key.0,
        principal: caller.principal,
        name: name.clone(),
        passkey: String::from_utf8(text).map_err(Error::internal)?,
        counter: verified.counter.into(),
        created_at: app.expiry_clock.now(),
        last_used_at: None,
    };
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("auth.passkey", (row, Actor::from(caller)), move |tx, (row, actor)| {
            let (app, origin) = (unit_app.clone(), passkey.origin.clone());
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                if unit.tx.passkeys_of(row.principal).await?.len() >= MOST {
                    let detail = format!("you have {MOST} passkeys; remove one first");
                    return Err(Error::conflict("too_many_passkeys", detail));
                }
                let known = |error| match error {
                    StoreError::Unique { .. } => {
                        Error::conflict("known", "this passkey is registered already, or was just now")
                    }
                    other => other.into(),
                };
                unit.tx.answer_challenge(wanted, until).await.map_err(known)?;
                unit.tx.insert_passkey(row).await.map_err(known)?;
                let body = json!({"key": row.key, "name": row.name, "origin": origin});
                let subject = ("principal", row.principal.to_string());
                unit.audit(actor.0.clone(), "passkey.added", subject, None, body);
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    let row = of(app, caller.principal).await?.into_iter().find(|view| view.key == key);
    row.ok_or_else(|| Error::not_found("passkey", key))
}

/// Logs nobody in any more. What it signed before stays signed; the roster lists it until the owner signs another.
pub async fn remove(app: &App, caller: &Caller, key: Digest) -> Result<()> {
    super::require_fresh(app, caller).await?;
    let principal = caller.principal;
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("auth.passkey", Actor::from(caller), move |tx, actor| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                if !unit.tx.delete_passkey(principal, key).await? {
                    return Err(Error::not_found("passkey", key));
                }
                let subject = ("principal", principal.to_string());
                unit.audit(actor.0.clone(), "passkey.removed", subject, None, json!({"key": key}));
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

/// A challenge to log in with; for anybody, and telling nothing about anybody.
pub fn challenge(app: &App, place: &Place) -> Challenge {
    challenge::make(app, Purpose::LogIn, place)
}

pub async fn login(app: &App, login: PasskeyLogin) -> Result<LoggedIn> {
    let PasskeyLogin { credential, ticket, assertion, place, kind, replaces, network } = login;
    let refused = || Error::Unauthenticated {
        code: "wrong_credentials",
        detail: "this passkey is not known here, or its answer does not hold".to_owned(),
    };
    if !(1..=MAX_CREDENTIAL_ID).contains(&credential.len()) {
        return Err(refused());
    }
    let credential = URL_SAFE_NO_PAD.encode(&credential);
    let name = format!("passkey {credential}");
    app.auth.check(&name, network, app.clock.boot())?;
    let (wanted, until) = challenge::read(app, Purpose::LogIn, &place, &ticket)?;
    let mut read = app.store.read().await?;
    let row = read.passkey(&credential).await?;
    let person = match &row {
        Some(row) => read.principal(row.principal).await?,
        None => None,
    };
    drop(read);
    let now = app.expiry_clock.now();
    let person = person.filter(|row| row.revoked_at.is_none() && row.expires_at.is_none_or(|at| at > now));
    let passkey = row.as_ref().map(self::read).transpose()?;
    let verified = passkey.and_then(|passkey| {
        let here = passkey.origin == place.origin && passkey.rp_id == place.rp_id;
        passkey.verify(&wanted, &assertion).ok().filter(|_| here)
    });
    let (Some(person), Some(verified)) = (person, verified) else {
        app.auth.failed(&name, network, app.clock.boot());
        return Err(refused());
    };
    let answered = Answered { credential, counter: verified.counter.into(), challenge: wanted, until };
    let opening = Opening { kind, method: "passkey", replaces, answered: Some(answered), proved_at: None };
    let logged_in = super::open_session(app, &person, opening).await?;
    app.auth.succeeded(&name, network);
    Ok(logged_in)
}

/// Counts the answer once. One seen before, or with a counter that went back, opens nothing.
pub(super) async fn count(unit: &mut Unit<'_>, answered: &Answered) -> Result<()> {
    let Answered { credential, counter, challenge, until } = answered;
    let refused =
        |detail: &str| Error::Unauthenticated { code: "wrong_credentials", detail: detail.to_owned() };
    unit.tx.answer_challenge(*challenge, *until).await.map_err(|error| match error {
        StoreError::Unique { .. } => refused("this answer was given before; ask for another challenge"),
        other => other.into(),
    })?;
    if unit.tx.use_passkey(credential, *counter, unit.now).await? {
        return Ok(());
    }
    tracing::warn!(credential, counter, "a passkey's counter went back: there may be two of it");
    Err(refused("this passkey's counter went back: there may be a copy of it; remove it and make another"))
}
