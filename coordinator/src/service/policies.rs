//! Policies as code: what is in force, its history, a change, and what a proposed set would have decided.
//!
//! A change is a rank A act, with a reason that is written down: where people sign it waits for their approval, else it is
//! the owner's after a fresh log-in. Every set has the guardrails under it, whatever it says.

mod replay;

use nexusmon_core::policy::{PolicyError, PolicySet};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ApprovalId, PrincipalId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval::Act;
use nexusmon_store::{ApprovalSubject, Connection, PolicySetRow, Topic};
use serde_json::json;

use super::unit::{Actor, Unit};
use super::{Caller, approvals, auth, consent};
use crate::app::App;
use crate::app::policies::Active;
use crate::error::{Error, Result};

pub use replay::{Difference, Proposed, Replay, ReplayVerdict, Skipped, replay};

/// Longest comment that is kept.
const MAX_COMMENT_BYTES: usize = 1000;
/// Versions that a view lists.
const LISTED: u32 = 50;

/// A set of policies.
#[derive(Debug, Clone)]
pub struct PolicyView {
    /// 0 is what is shipped.
    pub version: i64,
    pub digest: Digest,
    /// As it was written, without the guardrails.
    pub text: String,
    pub guardrails: &'static str,
    pub comment: Option<String>,
    pub by: Option<PrincipalId>,
    pub at: Option<Timestamp>,
    /// The approval that a proposed set waits for, of the newest one.
    pub pending: Option<ApprovalId>,
    /// The newest versions, newest first; without what is shipped.
    pub versions: Vec<VersionView>,
}

#[derive(Debug, Clone)]
pub struct VersionView {
    pub version: i64,
    pub digest: Digest,
    pub comment: String,
    pub by: PrincipalId,
    pub at: Timestamp,
}

/// Reads what is in force; at start, before any listener opens, and when another node changed it.
pub(super) async fn load(app: &App) -> Result<()> {
    let newest = app.store.read().await?.newest_policies().await?;
    let Some(row) = newest.filter(|row| row.version > app.policy.get().version) else { return Ok(()) };
    let set = PolicySet::parse(&row.text).map_err(|error| {
        let version = row.version;
        Error::internal(format!("version {version} of the policies does not fit this build: {error}"))
    })?;
    app.policy.learn(Active { version: row.version, set });
    Ok(())
}

/// As a person is told: which policy, where, and what is wrong.
fn refused(error: &PolicyError) -> Error {
    Error::field("/text", "invalid_policies", error.to_string())
}

/// A version, or what is in force.
pub async fn view(app: &App, version: Option<i64>) -> Result<PolicyView> {
    let mut read = app.store.read().await?;
    let page = nexusmon_store::PageRequest::first(LISTED);
    let versions = read.policy_sets(&page).await?.items;
    let row = match version {
        None => versions.first().cloned(),
        Some(0) => None,
        Some(version) => {
            let row = read.policies(version).await?;
            Some(row.ok_or_else(|| Error::not_found("version of the policies", version))?)
        }
    };
    let pending = read.pending_approvals_about(ApprovalSubject::PolicyChange).await?;
    drop(read);
    let shipped = PolicySet::shipped();
    let listed = versions.into_iter().map(|row| {
        let PolicySetRow { version, digest, text: _, comment, by_principal, at } = row;
        VersionView { version, digest, comment, by: by_principal, at }
    });
    Ok(PolicyView {
        version: row.as_ref().map_or(0, |row| row.version),
        digest: row.as_ref().map_or_else(|| shipped.digest(), |row| row.digest),
        guardrails: PolicySet::guardrails(),
        comment: row.as_ref().map(|row| row.comment.clone()),
        by: row.as_ref().map(|row| row.by_principal),
        at: row.as_ref().map(|row| row.at),
        text: row.map_or_else(|| shipped.text().to_owned(), |row| row.text),
        pending: pending.last().map(|row| row.id),
        versions: listed.collect(),
    })
}

/// Puts a set in force, or, where there is a roster, asks those who sign for it. `if_match` guards against a change in
/// between. The second part says that it waits.
pub async fn change(
    app: &App,
    caller: &Caller,
    text: String,
    comment: String,
    if_match: Option<u64>,
) -> Result<(PolicyView, bool)> {
    if comment.trim().is_empty() {
        return Err(Error::field("/comment", "required", "say why the policies change"));
    }
    if comment.len() > MAX_COMMENT_BYTES {
        let message = format!("must be at most {MAX_COMMENT_BYTES} bytes");
        return Err(Error::field("/comment", "too_long", message));
    }
    let set = PolicySet::parse(&text).map_err(|error| refused(&error))?;
    if consent::roster(&mut app.store.read().await?, app.clock.now()).await?.is_some() {
        let (version, from) = current(&mut app.store.read().await?).await?;
        check(version, from, if_match, set.digest())?;
        let act = Act::PolicyChange { from, to: set.digest(), text };
        approvals::propose(app, caller, act, Rank::A, comment).await?;
        return Ok((view(app, None).await?, true));
    }
    auth::require_fresh(app, caller).await?;
    let unit_app = app.clone();
    let input = (Actor::from(caller), caller.principal, text, comment, set.digest());
    let (version, after) = app
        .store
        .write_with("policies.change", input, move |tx, (actor, by, text, comment, digest)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                // One change after the other.
                unit.tx.lock_organism().await?;
                let (version, from) = current(unit.tx).await?;
                check(version, from, if_match, *digest)?;
                let row = PolicySetRow {
                    version: 0,
                    digest: *digest,
                    text: text.clone(),
                    comment: comment.clone(),
                    by_principal: *by,
                    at: unit.now,
                };
                let version = put(&mut unit, actor, &row, from, None).await?;
                Ok::<_, Error>((version, unit.finish().await?))
            })
        })
        .await?;
    app.policy.learn(Active { version, set });
    after.run(app);
    Ok((view(app, None).await?, false))
}

/// Version and digest of what is in force.
async fn current(read: &mut Connection) -> Result<(i64, Digest)> {
    let row = read.newest_policies().await?;
    Ok(row.map_or_else(|| (0, PolicySet::shipped().digest()), |row| (row.version, row.digest)))
}

fn check(version: i64, from: Digest, if_match: Option<u64>, to: Digest) -> Result<()> {
    if if_match.is_some_and(|wanted| i64::try_from(wanted) != Ok(version)) {
        return Err(Error::PreconditionFailed { current: version.to_string() });
    }
    if from == to {
        let detail = "these policies mean what those in force mean; nothing was changed";
        return Err(Error::conflict("unchanged", detail));
    }
    Ok(())
}

async fn put(
    unit: &mut Unit<'_>,
    actor: &Actor,
    row: &PolicySetRow,
    from: Digest,
    approval: Option<ApprovalId>,
) -> Result<i64> {
    let version = unit.tx.insert_policies(row).await?;
    // Whatever else was proposed was proposed in place of another set.
    unit.tx.void_pending(ApprovalSubject::PolicyChange, None, unit.now).await?;
    let body = json!({"version": version, "digest": row.digest, "from": from, "comment": row.comment,
        "approval": approval});
    unit.audit(actor.0.clone(), "policy.changed", ("policies", version.to_string()), None, body);
    unit.tx.wake(Topic::Governance);
    Ok(version)
}

/// A set that enough people signed for.
pub(super) struct Approved {
    pub from: Digest,
    pub text: String,
    pub comment: String,
    pub by: PrincipalId,
    pub approval: ApprovalId,
}

/// Puts it in force, in the unit of the last decision.
pub(super) async fn carry_out(unit: &mut Unit<'_>, actor: &Actor, approved: Approved) -> Result<()> {
    let Approved { from, text, comment, by, approval } = approved;
    unit.tx.lock_organism().await?;
    let (_, now) = current(unit.tx).await?;
    if now != from {
        let detail = "another set came into force since this one was proposed: propose it again";
        return Err(Error::conflict("digest_changed", detail));
    }
    let set = PolicySet::parse(&text).map_err(|error| refused(&error))?;
    let row =
        PolicySetRow { version: 0, digest: set.digest(), text, comment, by_principal: by, at: unit.now };
    put(unit, actor, &row, from, Some(approval)).await.map(drop)
}
