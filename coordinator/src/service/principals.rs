//! Who may act: persons with a role and a key of their own, tokens with a role and a rank ceiling. Changing them is the
//! owner's, after a fresh log-in. The owner is made once, at first start; nobody is made owner here.

use std::time::Duration;

use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::name::Name;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{PrincipalKind, PrincipalRow, pressing};
use serde_json::{Value, json};

use super::unit::{Actor, Unit};
use super::{Caller, Page, PageRequest, Role, auth};
use crate::app::App;
use crate::error::{Error, Result};

/// Longest life of a token.
const LONGEST: Duration = Duration::from_hours(24 * 365);

#[derive(Debug, Clone)]
pub struct PrincipalView {
    pub id: PrincipalId,
    /// `person`, `token`, `system`.
    pub kind: &'static str,
    pub name: String,
    pub role: Role,
    /// Work above it waits for approval; `None` for people.
    pub rank_ceiling: Option<Rank>,
    pub created_by: Option<PrincipalId>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub version: u64,
}

/// Shown once.
pub struct Made {
    pub principal: PrincipalView,
    /// A person's key to log in with, or the token itself.
    pub secret: String,
}

#[derive(Debug, Clone)]
pub struct NewToken {
    pub name: Name,
    pub role: Role,
    pub rank_ceiling: Rank,
    pub ttl: Duration,
}

impl From<PrincipalRow> for PrincipalView {
    fn from(row: PrincipalRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind.as_str(),
            role: Role::parse(row.role.as_str()).unwrap_or(Role::Viewer),
            name: row.name,
            rank_ceiling: row.rank_ceiling,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            version: u64::try_from(row.version).unwrap_or(0),
        }
    }
}

/// Persons and tokens, newest first; or only one of the two.
pub async fn list(app: &App, tokens: Option<bool>, page: PageRequest) -> Result<Page<PrincipalView>> {
    let request = page.store()?;
    let found = app.store.read().await?.principal_list(&request).await?;
    let wanted = |row: &PrincipalRow| match tokens {
        Some(true) => row.kind == PrincipalKind::Token,
        Some(false) => row.kind != PrincipalKind::Token,
        None => true,
    };
    let items = found.items.into_iter().filter(wanted).map(Into::into).collect();
    Ok(Page { items, next_cursor: found.next_cursor })
}

fn check_role(role: Role) -> Result<()> {
    match role {
        Role::Owner => {
            let message =
                "there is one owner, made at first start: `operator`, `approver`, `viewer`, `service`";
            Err(Error::field("/role", "invalid_value", message))
        }
        _ => Ok(()),
    }
}

fn stored(role: Role) -> nexusmon_store::Role {
    nexusmon_store::Role::parse(role.as_str()).expect("both lists of roles have the same words")
}

/// A person who logs in with a key of their own; it is made here and shown once.
pub async fn create_person(app: &App, caller: &Caller, name: Name, role: Role) -> Result<Made> {
    check_role(role)?;
    auth::require_fresh(app, caller).await?;
    let key = auth::random_key(app);
    let hash = auth::hash(app, key.clone()).await?;
    let row = row(app, caller, PrincipalKind::Person, &name, role);
    let row = PrincipalRow { secret_hash: Some(hash), ..row };
    let principal = insert(app, caller, row).await?;
    Ok(Made { principal, secret: key })
}

/// A token: a program's, up to a rank.
pub async fn create_token(app: &App, caller: &Caller, token: NewToken) -> Result<Made> {
    check_role(token.role)?;
    if token.role == Role::Approver {
        let message = "people approve; a token may be `operator`, `viewer` or `service`";
        return Err(Error::field("/role", "invalid_value", message));
    }
    if token.ttl.is_zero() || token.ttl > LONGEST {
        return Err(Error::field("/ttl", "out_of_range", "must be from 1s to 365 days"));
    }
    auth::require_fresh(app, caller).await?;
    let row = row(app, caller, PrincipalKind::Token, &token.name, token.role);
    let (secret, hash) = auth::make_token(app, row.id);
    let row = PrincipalRow {
        secret_hash: Some(hash),
        rank_ceiling: Some(token.rank_ceiling),
        expires_at: Some(row.created_at + token.ttl),
        ..row
    };
    let principal = insert(app, caller, row).await?;
    Ok(Made { principal, secret })
}

fn row(app: &App, caller: &Caller, kind: PrincipalKind, name: &Name, role: Role) -> PrincipalRow {
    let now = app.expiry_clock.now();
    PrincipalRow {
        id: app.rng.with(|rng| PrincipalId::new(now, rng)),
        kind,
        name: name.to_string(),
        role: stored(role),
        secret_hash: None,
        rank_ceiling: None,
        created_by: Some(caller.principal),
        created_at: now,
        expires_at: None,
        revoked_at: None,
        version: 1,
    }
}

async fn insert(app: &App, caller: &Caller, row: PrincipalRow) -> Result<PrincipalView> {
    let unit_app = app.clone();
    let (row, after) = app
        .store
        .write_with("principals.create", (row, Actor::from(caller)), move |tx, (row, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                if unit.tx.principal_named(&row.name).await?.is_some() {
                    let detail =
                        format!("somebody is called `{}` already; names are never used again", row.name);
                    return Err(Error::conflict("name_taken", detail));
                }
                unit.tx.insert_principal(row).await?;
                let body = json!({"name": row.name, "kind": row.kind.as_str(), "role": row.role.as_str(),
                    "rank_ceiling": row.rank_ceiling, "expires_at": row.expires_at});
                let subject = ("principal", row.id.to_string());
                unit.audit(actor.0.clone(), "principal.created", subject, None, body);
                Ok((row.clone(), unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    Ok(row.into())
}

/// Gives a person or token another role. Sessions go on with it at once: it is looked up at every request.
pub async fn set_role(
    app: &App,
    caller: &Caller,
    id: PrincipalId,
    role: Role,
    if_match: Option<u64>,
) -> Result<PrincipalView> {
    check_role(role)?;
    auth::require_fresh(app, caller).await?;
    change(app, caller, id, "principal.changed", if_match, move |row| {
        if row.kind == PrincipalKind::Token && role == Role::Approver {
            return Err(Error::field("/role", "invalid_value", "people approve, tokens do not"));
        }
        let body = json!({"from": row.role.as_str(), "to": role.as_str()});
        row.role = stored(role);
        Ok(body)
    })
    .await
}

/// Takes a person's or token's authority away for good. Every open session ends with it.
pub async fn revoke(app: &App, caller: &Caller, id: PrincipalId, token: bool) -> Result<PrincipalView> {
    let now = app.clock.now();
    let revoked = change(app, caller, id, "principal.revoked", None, move |row| {
        if (row.kind == PrincipalKind::Token) != token {
            return Err(Error::not_found(if token { "token" } else { "person" }, id));
        }
        row.revoked_at = Some(now);
        Ok(json!({"name": row.name}))
    });
    pressing(revoked).await
}

async fn change(
    app: &App,
    caller: &Caller,
    id: PrincipalId,
    action: &'static str,
    if_match: Option<u64>,
    edit: impl Fn(&mut PrincipalRow) -> Result<Value> + Send + Sync + 'static,
) -> Result<PrincipalView> {
    let unit_app = app.clone();
    let (row, after) = app
        .store
        .write_with("principals.change", (Actor::from(caller), edit), move |tx, (actor, edit)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let found = unit.tx.principal(id).await?;
                let mut row = found.ok_or_else(|| Error::not_found("principal", id))?;
                if matches!(row.role, nexusmon_store::Role::Owner) || row.kind == PrincipalKind::System {
                    let detail = "the owner and the system itself stay as they are";
                    return Err(Error::conflict("not_to_be_changed", detail));
                }
                if row.revoked_at.is_some() {
                    return Err(Error::conflict("revoked", "it is revoked for good; make another"));
                }
                let current = u64::try_from(row.version).unwrap_or(0);
                if if_match.is_some_and(|wanted| wanted != current) {
                    return Err(Error::PreconditionFailed { current: current.to_string() });
                }
                let body = edit(&mut row)?;
                unit.tx.update_principal(&row).await?;
                row.version += 1;
                unit.audit(actor.0.clone(), action, ("principal", id.to_string()), None, body);
                Ok((row, unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    Ok(row.into())
}
