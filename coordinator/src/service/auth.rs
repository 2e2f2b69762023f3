//! Who somebody is: the operator key, passwords, passkeys; short-lived tokens and browser sessions.

mod challenge;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
pub mod link;
pub mod outside;
pub mod passkeys;
pub mod password;
mod secret;
mod token;

use std::net::IpAddr;
use std::time::Duration;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{PrincipalId, SessionId};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{LoginKind, LoginSessionRow, PrincipalKind, PrincipalRow, pressing_if};
use rand::Rng as _;
use serde_json::json;

use super::unit::{Actor, Unit};
use super::{Caller, Origin, Role};
use crate::app::App;
use crate::config::Secret;
use crate::error::{Error, Result};
pub use challenge::Challenge;
pub(crate) use guard::Guard;
pub(super) use secret::{hash, random_key};

/// A session nobody uses ends after this.
const IDLE: Duration = Duration::from_mins(30);
/// Every session ends after this.
const ABSOLUTE: Duration = Duration::from_hours(12);
/// A log-in counts as fresh for this long.
const FRESH: Duration = Duration::from_mins(5);
/// Uses within this need no write.
const TOUCH: Duration = Duration::from_mins(1);

/// How the caller will prove who it is from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// A JWT for programs.
    Bearer,
    /// An opaque id in a cookie for same-origin browsers.
    Cookie,
}

pub struct Login {
    /// Empty gives the owner.
    pub name: Option<String>,
    pub secret: String,
    pub kind: SessionKind,
    /// The cookie the browser has now; its session ends with the log-in.
    pub replaces: Option<String>,
    /// For back-off.
    pub network: IpAddr,
}

/// How a session is opened.
struct Opening {
    kind: SessionKind,
    /// `key`, `password`, `passkey`, `oidc`, `link`: for the audit log.
    method: &'static str,
    replaces: Option<String>,
    answered: Option<passkeys::Answered>,
    /// When the person proved who they are, if not now.
    proved_at: Option<Timestamp>,
}

/// Secret; shown once.
pub struct LoggedIn {
    /// JWT, or the cookie's value.
    pub token: String,
    pub kind: SessionKind,
    /// Of the JWT, or of the session while idle.
    pub expires_in: Duration,
    pub caller: Caller,
}

#[derive(Debug, Clone)]
pub struct Me {
    pub principal: PrincipalId,
    pub name: String,
    pub role: Role,
    pub session_expires_at: Option<Timestamp>,
}

/// Makes sure that there is an owner. Answers the operator key where it was made up here, to be shown once.
pub async fn prepare(app: &App) -> Result<Option<Secret>> {
    secret::prepare(app).await
}

/// A new operator key and what is kept of it: for whoever has the host (`nexusmon operator-key rotate`).
pub async fn another_operator_key(rng: rand::rngs::StdRng) -> Result<(Secret, String)> {
    secret::another(rng).await
}

pub async fn login(app: &App, login: Login) -> Result<LoggedIn> {
    let name = login.name.as_deref().unwrap_or("owner");
    app.auth.check(name, login.network, app.clock.boot())?;
    let mut read = app.store.read().await?;
    let known = match &login.name {
        None => read.owner().await?,
        Some(name) => read.principal_named(name).await?,
    };
    drop(read);
    let now = app.expiry_clock.now();
    let live = known.filter(|row| row.revoked_at.is_none() && row.expires_at.is_none_or(|at| at > now));
    // Unknown names cost as much as known ones.
    // A token's digest is no password hash: it verifies nothing.
    let hash = live.as_ref().and_then(|row| row.secret_hash.clone());
    let good = secret::verify(app, (name, login.network), login.secret, hash).await?;
    let Some(row) = live.filter(|_| good) else {
        return Err(Error::Unauthenticated {
            code: "wrong_credentials",
            detail: "name or key is wrong".to_owned(),
        });
    };
    app.auth.succeeded(name, login.network);
    let method = if login.name.is_some() { "password" } else { "key" };
    let opening =
        Opening { kind: login.kind, method, replaces: login.replaces, answered: None, proved_at: None };
    open_session(app, &row, opening).await
}

/// The session a cookie names, whoever's it is.
async fn session_of(app: &App, cookie: Option<String>) -> Result<Option<SessionId>> {
    let Some(value) = cookie.filter(|value| value.len() == 64) else { return Ok(None) };
    let hash = Digest::of(value.as_bytes()).to_string();
    let session = app.store.read().await?.login_session_with(&hash).await?;
    Ok(session.filter(|session| session.revoked_at.is_none()).map(|session| session.id))
}

async fn open_session(app: &App, row: &PrincipalRow, opening: Opening) -> Result<LoggedIn> {
    let Opening { kind, method, replaces, answered, proved_at } = opening;
    let replaced = session_of(app, replaces).await?;
    let now = app.expiry_clock.now();
    let (id, value) = app.rng.with(|rng| {
        let mut bytes = [0_u8; 32];
        rng.fill_bytes(&mut bytes);
        (SessionId::new(now, rng), hex::encode(bytes))
    });
    let session = LoginSessionRow {
        id,
        principal: row.id,
        kind: match kind {
            SessionKind::Bearer => LoginKind::Bearer,
            SessionKind::Cookie => LoginKind::Browser,
        },
        hash: (kind == SessionKind::Cookie).then(|| Digest::of(value.as_bytes()).to_string()),
        client: None,
        created_at: now,
        last_seen_at: now,
        expires_at: now + ABSOLUTE,
        revoked_at: None,
        proved_at,
    };
    let origin = match kind {
        SessionKind::Bearer => Origin::Api,
        SessionKind::Cookie => Origin::Cockpit,
    };
    let caller = caller_of(row, Some(id), origin);
    let unit_app = app.clone();
    let actor = Actor::from(&caller);
    // Who could pull the switch gets in on a full disk, too.
    let may_halt = matches!(row.role, nexusmon_store::Role::Owner | nexusmon_store::Role::Operator);
    let opened = app.store.write_with(
        "auth.login",
        (session, actor, answered),
        move |tx, (session, actor, answered)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                if let Some(answered) = answered {
                    passkeys::count(&mut unit, answered).await?;
                }
                unit.tx.insert_login_session(session).await?;
                // A browser has one session: nobody goes on with the one before, however they came by its cookie.
                if let Some(before) = replaced {
                    let now = unit.now;
                    unit.tx.revoke_login_session(before, now).await?;
                }
                let subject = ("session", session.id.to_string());
                let body = json!({"kind": session.kind.as_str(), "method": method, "replaces": replaced});
                unit.audit(actor.0.clone(), "session.opened", subject, None, body);
                unit.finish().await
            })
        },
    );
    pressing_if(may_halt, opened).await?.run(app);
    let (token, expires_in) = match kind {
        SessionKind::Cookie => (value, IDLE),
        SessionKind::Bearer => {
            let life = u64::try_from(token::LIFE).unwrap_or(600);
            (issue(app, row.id, id)?, Duration::from_secs(life))
        }
    };
    Ok(LoggedIn { token, kind, expires_in, caller })
}

fn issue(app: &App, principal: PrincipalId, session: SessionId) -> Result<String> {
    token::issue(
        &app.keyring.token_key,
        &app.organism.to_string(),
        principal,
        session,
        app.expiry_clock.now(),
    )
}

fn caller_of(row: &PrincipalRow, session: Option<SessionId>, origin: Origin) -> Caller {
    Caller {
        principal: row.id,
        name: row.name.clone(),
        role: Role::parse(row.role.as_str()).unwrap_or(Role::Viewer),
        session,
        rank_ceiling: row.rank_ceiling,
        origin,
    }
}

fn over() -> Error {
    Error::Unauthenticated { code: "session_over", detail: "the session is over; log in again".to_owned() }
}

/// The session and its principal, if both live; moves the idle limit.
async fn live_session(
    app: &App,
    session: Option<LoginSessionRow>,
    origin: Origin,
) -> Result<(LoginSessionRow, Caller)> {
    let now = app.expiry_clock.now();
    let session = session
        .filter(|session| {
            session.revoked_at.is_none() && session.expires_at > now && now.since(session.last_seen_at) < IDLE
        })
        .ok_or_else(over)?;
    let row = app.store.read().await?.principal(session.principal).await?;
    let row = row
        .filter(|row| row.revoked_at.is_none() && row.expires_at.is_none_or(|at| at > now))
        .ok_or_else(over)?;
    if now.since(session.last_seen_at) > TOUCH {
        let id = session.id;
        let touched = app
            .store
            .write("auth.touch", move |tx| {
                Box::pin(async move { Ok::<_, Error>(tx.touch_login_sessions(&[id], now).await?) })
            })
            .await;
        match touched {
            // Nobody is kept from stopping things by a full disk; the session is as idle as it was.
            Ok(()) | Err(Error::StorageFull) => {}
            Err(error) => return Err(error),
        }
    }
    let caller = caller_of(&row, Some(session.id), origin);
    Ok((session, caller))
}

/// What a scoped token begins with; behind it stand the principal's id and the secret.
const TOKEN: &str = "nxt_";

/// A scoped token and what is kept of it.
pub(super) fn make_token(app: &App, principal: PrincipalId) -> (String, String) {
    let mut bytes = [0_u8; 32];
    app.rng.with(|rng| rng.fill_bytes(&mut bytes));
    let secret = hex::encode(bytes);
    let id = principal.to_string();
    let id = id.strip_prefix(PrincipalId::PREFIX).unwrap_or(&id).trim_start_matches('_');
    (format!("{TOKEN}{id}_{secret}"), Digest::of(secret.as_bytes()).to_string())
}

/// The principal of a scoped token. It has no session: what needs a fresh log-in is not for it.
async fn scoped(app: &App, text: &str, origin: Origin) -> Result<Caller> {
    let refused = || Error::Unauthenticated {
        code: "token_refused",
        detail: "the token is wrong, expired or revoked".to_owned(),
    };
    let (id, secret) = text.split_once('_').ok_or_else(refused)?;
    let id: PrincipalId = format!("{}_{id}", PrincipalId::PREFIX).parse().map_err(|_| refused())?;
    let now = app.expiry_clock.now();
    let row = app.store.read().await?.principal(id).await?;
    // The digest of 256 random bits is compared: what its timing tells is of no use.
    let hash = Digest::of(secret.as_bytes()).to_string();
    let row = row
        .filter(|row| row.kind == PrincipalKind::Token && row.secret_hash.as_ref() == Some(&hash))
        .filter(|row| row.revoked_at.is_none() && row.expires_at.is_some_and(|at| at > now))
        .ok_or_else(refused)?;
    Ok(caller_of(&row, None, origin))
}

/// Who a bearer token belongs to; every request asks.
pub async fn bearer(app: &App, token: &str, origin: Origin) -> Result<Caller> {
    if let Some(scoped_token) = token.strip_prefix(TOKEN) {
        return scoped(app, scoped_token, origin).await;
    }
    let issuer = app.organism.to_string();
    let claims = token::read(&app.keyring.token_key, &issuer, token, app.expiry_clock.now(), false)?;
    let session = app.store.read().await?.login_session(claims.sid).await?;
    let session =
        session.filter(|session| session.kind == LoginKind::Bearer && session.principal == claims.sub);
    Ok(live_session(app, session, origin).await?.1)
}

/// Who a cookie belongs to; moves its idle limit.
pub async fn cookie(app: &App, value: &str) -> Result<Caller> {
    if value.len() != 64 {
        return Err(over());
    }
    let hash = Digest::of(value.as_bytes()).to_string();
    let session = app.store.read().await?.login_session_with(&hash).await?;
    let session = session.filter(|session| session.kind == LoginKind::Browser);
    Ok(live_session(app, session, Origin::Cockpit).await?.1)
}

/// The caller has logged in a moment ago: for acts that a stolen or forgotten session must not do. A token that never
/// logs in cannot do them at all.
pub async fn require_fresh(app: &App, caller: &Caller) -> Result<()> {
    let session = match caller.session {
        Some(id) => app.store.read().await?.login_session(id).await?,
        None => None,
    };
    let now = app.expiry_clock.now();
    if session.is_some_and(|session| now.since(session.proved_at.unwrap_or(session.created_at)) < FRESH) {
        return Ok(());
    }
    let detail = format!(
        "this needs a log-in of the last {} minutes: log in again (`nexusmon login`), then repeat it",
        FRESH.as_secs() / 60
    );
    Err(Error::Forbidden { code: "log_in_again", detail })
}

pub async fn logout(app: &App, caller: &Caller) -> Result<()> {
    let Some(session) = caller.session else { return Ok(()) };
    let unit_app = app.clone();
    let actor = Actor::from(caller);
    let after = app
        .store
        .write_with("auth.logout", actor, move |tx, actor| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let now = unit.now;
                if unit.tx.revoke_login_session(session, now).await? {
                    unit.audit(
                        actor.0.clone(),
                        "session.closed",
                        ("session", session.to_string()),
                        None,
                        json!({}),
                    );
                }
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

/// A fresh token for a live session. A bearer token whose `exp` has passed will do, as long as its signature, type,
/// issuer and audience are right and its session lives.
pub async fn refresh(app: &App, token: &str) -> Result<LoggedIn> {
    let issuer = app.organism.to_string();
    let claims = token::read(&app.keyring.token_key, &issuer, token, app.expiry_clock.now(), true)?;
    let session = app.store.read().await?.login_session(claims.sid).await?;
    let session =
        session.filter(|session| session.kind == LoginKind::Bearer && session.principal == claims.sub);
    let (session, caller) = live_session(app, session, Origin::Api).await?;
    let life = u64::try_from(token::LIFE).unwrap_or(600);
    Ok(LoggedIn {
        token: issue(app, caller.principal, session.id)?,
        kind: SessionKind::Bearer,
        expires_in: Duration::from_secs(life),
        caller,
    })
}

pub async fn me(app: &App, caller: &Caller) -> Result<Me> {
    let session = match caller.session {
        None => None,
        Some(id) => {
            let session = app.store.read().await?.login_session(id).await?;
            Some(live_session(app, session, caller.origin).await?.0)
        }
    };
    Ok(Me {
        principal: caller.principal,
        name: caller.name.clone(),
        role: caller.role,
        session_expires_at: session.map(|session| session.expires_at),
    })
}

/// Whether the caller may do this: `action` is `thing.verb`, for example `mission.create`, `agent.revoke`.
pub fn authorize(app: &App, caller: &Caller, action: &'static str) -> Result<()> {
    let _ = app;
    if nexusmon_core::policy::access::permits(caller.role.as_str(), action) {
        return Ok(());
    }
    Err(Error::Forbidden {
        code: "forbidden",
        detail: format!("the role `{}` may not do this ({action})", caller.role.as_str()),
    })
}
