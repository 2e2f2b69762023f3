//! One's own password: changed by who knows the one before. The owner's is the operator key, which the host changes.

use std::net::IpAddr;

use nexusmon_shared::id::PrincipalId;
use nexusmon_store::{PrincipalKind, PrincipalRow, Role};
use serde_json::json;

use super::secret;
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::Caller;
use crate::service::unit::{Actor, Unit};

/// Characters.
const SHORTEST: usize = 16;
const LONGEST: usize = 256;

pub struct PasswordChange {
    pub current: String,
    pub new: String,
    /// For back-off.
    pub network: IpAddr,
}

/// Every other session of the person ends with it.
pub async fn change(app: &App, caller: &Caller, change: PasswordChange) -> Result<()> {
    let PasswordChange { current, new, network } = change;
    let length = new.chars().count();
    if !(SHORTEST..=LONGEST).contains(&length) || new.chars().any(char::is_control) {
        let message =
            format!("must be {SHORTEST} to {LONGEST} characters: a few words that do not belong together");
        return Err(Error::field("/new", "invalid_value", message));
    }
    if new == current {
        return Err(Error::field("/new", "unchanged", "is the password you have"));
    }
    let row = app.store.read().await?.principal(caller.principal).await?;
    let row = row.ok_or_else(|| Error::not_found("principal", caller.principal))?;
    let hash = allowed(&row)?;
    app.auth.check(&row.name, network, app.clock.boot())?;
    if !secret::verify(app, (&row.name, network), current, Some(hash.clone())).await? {
        return Err(Error::field("/current", "wrong", "is not your password"));
    }
    let next = secret::hash(app, new).await?;
    put(app, caller, row.id, (hash, next)).await
}

/// The hash of a person who has a password to change.
fn allowed(row: &PrincipalRow) -> Result<String> {
    if row.role == Role::Owner {
        let detail = "the operator key is changed on the coordinator's host: `nexusmon operator-key rotate`";
        return Err(Error::conflict("not_to_be_changed", detail));
    }
    if row.kind != PrincipalKind::Person {
        return Err(Error::Forbidden {
            code: "people_only",
            detail: "only a person has a password".to_owned(),
        });
    }
    row.secret_hash.clone().ok_or_else(|| {
        Error::conflict("no_password", "you have no password here: you log in at your OpenID provider")
    })
}

async fn put(app: &App, caller: &Caller, id: PrincipalId, hashes: (String, String)) -> Result<()> {
    let (unit_app, session) = (app.clone(), caller.session);
    let after = app
        .store
        .write_with("auth.password", (hashes, Actor::from(caller)), move |tx, ((before, next), actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let found = unit.tx.principal(id).await?;
                let mut row = found.ok_or_else(|| Error::not_found("principal", id))?;
                if row.secret_hash.as_ref() != Some(before) {
                    let detail = "the password was changed meanwhile: log in with the new one";
                    return Err(Error::conflict("changed_since", detail));
                }
                row.secret_hash = Some(next.clone());
                unit.tx.update_principal(&row).await?;
                let now = unit.now;
                let ended = unit.tx.revoke_other_login_sessions(id, session, now).await?;
                let body = json!({"sessions_ended": ended});
                unit.audit(
                    actor.0.clone(),
                    "principal.password_changed",
                    ("principal", id.to_string()),
                    None,
                    body,
                );
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}
