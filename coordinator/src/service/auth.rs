//! Who somebody is: the operator key, short-lived tokens, browser sessions.

use std::net::IpAddr;
use std::time::Duration;

use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::time::Timestamp;

use super::{Caller, Origin, Role};
use crate::app::App;
use crate::error::Result;

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
    /// For back-off.
    pub network: IpAddr,
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

pub async fn login(app: &App, login: Login) -> Result<LoggedIn> {
    let _ = (app, login);
    todo!()
}

/// Who a bearer token belongs to; every request asks.
pub async fn bearer(app: &App, token: &str, origin: Origin) -> Result<Caller> {
    let _ = (app, token, origin);
    todo!()
}

/// Who a cookie belongs to; moves its idle limit.
pub async fn cookie(app: &App, value: &str) -> Result<Caller> {
    let _ = (app, value);
    todo!()
}

pub async fn logout(app: &App, caller: &Caller) -> Result<()> {
    let _ = (app, caller);
    todo!()
}

/// A fresh token for a live session. A bearer token whose `exp` has passed will do, as long as its signature, type,
/// issuer and audience are right and its session lives.
pub async fn refresh(app: &App, token: &str) -> Result<LoggedIn> {
    let _ = (app, token);
    todo!()
}

pub async fn me(app: &App, caller: &Caller) -> Result<Me> {
    let _ = (app, caller);
    todo!()
}

/// Whether the caller may do this: `action` is one of the policy's, for example `mission.create`, `agent.revoke`.
pub fn authorize(app: &App, caller: &Caller, action: &'static str) -> Result<()> {
    let _ = (app, caller, action);
    todo!()
}
