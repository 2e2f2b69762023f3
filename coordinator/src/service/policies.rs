//! Policies as code: what is in force, its history, a change, and what a proposed set would have decided.
//!
//! A change is a rank A act: the owner's, after a fresh log-in, with a reason that is written down. Every set has the
//! guardrails under it, whatever it says.

mod replay;

use nexusmon_core::policy::{PolicyError, PolicySet};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{PolicySetRow, Topic};
use serde_json::json;

use super::unit::{Actor, Unit};
use super::{Caller, auth};
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
        versions: listed.collect(),
    })
}

/// Puts a set in force. `if_match` guards against a change in between.
pub async fn change(
    app: &App,
    caller: &Caller,
    text: String,
    comment: String,
    if_match: Option<u64>,
) -> Result<PolicyView> {
    if comment.trim().is_empty() {
        return Err(Error::field("/comment", "required", "say why the policies change"));
    }
    if comment.len() > MAX_COMMENT_BYTES {
        let message = format!("must be at most {MAX_COMMENT_BYTES} bytes");
        return Err(Error::field("/comment", "too_long", message));
    }
    let set = PolicySet::parse(&text).map_err(|error| refused(&error))?;
    auth::require_fresh(app, caller).await?;
    let row = PolicySetRow {
        version: 0,
        digest: set.digest(),
        text,
        comment,
        by_principal: caller.principal,
        at: app.clock.now(),
    };
    let unit_app = app.clone();
    let (version, after) = app
        .store
        .write_with("policies.change", (row, Actor::from(caller)), move |tx, (row, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                // One change after the other.
                unit.tx.lock_organism().await?;
                let before = unit.tx.newest_policies().await?;
                let current = before.as_ref().map_or(0, |row| row.version);
                if if_match.is_some_and(|wanted| i64::try_from(wanted) != Ok(current)) {
                    return Err(Error::PreconditionFailed { current: current.to_string() });
                }
                let was = before.map_or_else(|| PolicySet::shipped().digest(), |row| row.digest);
                if was == row.digest {
                    let detail = "these policies mean what those in force mean; nothing was changed";
                    return Err(Error::conflict("unchanged", detail));
                }
                let version = unit.tx.insert_policies(row).await?;
                let body = json!({"version": version, "digest": row.digest, "from": was,
                    "comment": row.comment});
                unit.audit(actor.0.clone(), "policy.changed", ("policies", version.to_string()), None, body);
                unit.tx.wake(Topic::Governance);
                Ok((version, unit.finish().await?))
            })
        })
        .await?;
    app.policy.learn(Active { version, set });
    after.run(app);
    view(app, None).await
}
