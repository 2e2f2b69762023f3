//! The operator's word on traits: switched off and on again at once, granted before they are earned as a rank A act.

use std::time::Duration;

use nexusmon_core::evolution::{Entry, Trait};
use nexusmon_shared::id::{ApprovalId, PrincipalId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval::Act;
use nexusmon_shared::trust::canonical;
use nexusmon_store::{ApprovalSubject, Connection, NewLedgerRow, Topic};
use serde_json::json;

use super::super::unit::{Actor, Unit};
use super::super::{Caller, approvals, auth, consent};
use super::{TraitView, organism, traits, uses};
use crate::app::App;
use crate::error::{Error, Result};

/// The furthest ahead a grant may end.
const LONGEST: Duration = Duration::from_hours(366 * 24);
const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

/// What an operator wants of a trait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraitChange {
    Disable,
    /// Undoes `Disable`.
    Reinstate,
    Grant {
        until: Timestamp,
    },
}

/// Whether the system may use a trait now.
pub(in crate::service) async fn may(
    app: &App,
    read: &mut Connection,
    wanted: Trait,
    now: Timestamp,
) -> Result<bool> {
    Ok(organism(app, read, now).await?.may(wanted))
}

/// Changes a trait; with the approval that a grant waits for, where people sign.
pub async fn change_trait(
    app: &App,
    caller: &Caller,
    name: &str,
    change: TraitChange,
    comment: String,
) -> Result<(TraitView, Option<ApprovalId>)> {
    let wanted = Trait::parse(name).ok_or_else(|| Error::not_found("trait", name.escape_default()))?;
    let now = app.clock.now();
    let mut waits = None;
    match change {
        TraitChange::Grant { until } => {
            if until <= now || until.since(now) > LONGEST {
                let message = "a grant ends within the next 366 days";
                return Err(Error::field("/until", "out_of_range", message));
            }
            if comment.trim().is_empty() {
                return Err(Error::field("/comment", "required", "say why"));
            }
            if consent::roster(&mut app.store.read().await?, now).await?.is_some() {
                let act = Act::TraitGrant { r#trait: wanted.name().to_owned(), until };
                waits = Some(approvals::propose(app, caller, act, Rank::A, comment).await?);
            } else {
                auth::require_fresh(app, caller).await?;
                let entry = Entry::Granted { r#trait: wanted, by: caller.principal, until };
                write(app, caller, entry, comment).await?;
            }
        }
        TraitChange::Disable => {
            let entry = Entry::Disabled { r#trait: wanted, by: caller.principal };
            write(app, caller, entry, comment).await?;
        }
        TraitChange::Reinstate => {
            let entry = Entry::Enabled { r#trait: wanted, by: caller.principal };
            write(app, caller, entry, comment).await?;
        }
    }
    let organism = organism(app, &mut app.store.read().await?, app.clock.now()).await?;
    let found = traits(&organism).into_iter().find(|held| held.name == wanted.name());
    Ok((found.ok_or_else(|| Error::not_found("trait", wanted.name()))?, waits))
}

async fn write(app: &App, caller: &Caller, entry: Entry, comment: String) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("traits.change", (Actor::from(caller), entry, comment), move |tx, input| {
            let app = unit_app.clone();
            Box::pin(async move {
                let (actor, entry, comment) = input;
                let mut unit = Unit::new(&app, tx);
                unit.tx.lock_organism().await?;
                keep(&mut unit, actor, entry, comment, None).await?;
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

async fn keep(
    unit: &mut Unit<'_>,
    actor: &Actor,
    entry: &Entry,
    comment: &str,
    approval: Option<ApprovalId>,
) -> Result<()> {
    let (kind, action, wanted, until) = match entry {
        Entry::Disabled { r#trait, .. } => ("disabled", "trait.disabled", *r#trait, None),
        Entry::Enabled { r#trait, .. } => ("reinstated", "trait.reinstated", *r#trait, None),
        Entry::Granted { r#trait, until, .. } => ("granted", "trait.granted", *r#trait, Some(*until)),
        _ => return Err(Error::internal("not an entry about a trait that people make")),
    };
    append(unit, kind, wanted, entry).await?;
    if kind == "disabled" {
        unit.tx.void_pending(ApprovalSubject::TraitGrant, Some(wanted.name()), unit.now).await?;
    }
    let body = json!({"until": until, "comment": comment, "approval": approval});
    unit.audit(actor.0.clone(), action, ("trait", wanted.name().to_owned()), None, body);
    unit.tx.wake(Topic::Governance);
    uses::hold_lost(unit).await
}

/// An entry of the ledger about a trait.
pub(super) async fn append(
    unit: &mut Unit<'_>,
    kind: &'static str,
    wanted: Trait,
    entry: &Entry,
) -> Result<()> {
    let row = NewLedgerRow {
        kind: kind.to_owned(),
        subject: wanted.name().to_owned(),
        mission: None,
        rank: None,
        xp: 0,
        fingerprint: None,
        day: unit.now.as_micros() / DAY_MICROS,
        at: unit.now,
        body: canonical::of(entry).map_err(Error::internal)?,
    };
    unit.tx.append_ledger(&[row]).await?;
    Ok(())
}

/// Grants it, in the unit of the last decision.
pub(in crate::service) async fn carry_out(
    unit: &mut Unit<'_>,
    actor: &Actor,
    by: PrincipalId,
    name: &str,
    until: Timestamp,
    approval: ApprovalId,
) -> Result<()> {
    let wanted = Trait::parse(name).ok_or_else(|| Error::internal("an approved grant names no trait"))?;
    let entry = Entry::Granted { r#trait: wanted, by, until };
    keep(unit, actor, &entry, "", Some(approval)).await
}
