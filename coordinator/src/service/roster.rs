//! Rosters: who may approve, as the owner signed it. The coordinator keeps and delivers them; it can make none.

use std::path::PathBuf;

use bytes::Bytes;
use nexusmon_shared::message::CoordinatorMessage;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::key::{KeyId, PersonKey};
use nexusmon_shared::trust::roster::{InForce, InvalidRoster, RosterError, SignedRoster};
use nexusmon_shared::trust::signable::Signable as _;
use nexusmon_store::{Connection, RosterRow, StoreError, Topic};
use serde_json::json;

use super::unit::{Actor, Unit};
use super::{Caller, Role};
use crate::app::App;
use crate::app::roster::KnownRoster;
use crate::app::sessions::AgentLive;
use crate::error::{Error, Result};

/// Bytes of a roster that an audit entry takes.
const MOST_AUDITED: usize = 256 * 1024;

/// A roster as people see it.
#[derive(Debug, Clone)]
pub struct RosterView {
    pub signed: SignedRoster,
    pub digest: nexusmon_shared::digest::Digest,
    pub owner_key: KeyId,
    /// A successor that is not in force yet: its number, and when it will be.
    pub pending: Option<(u64, Timestamp)>,
    /// The owner's key file lies on the coordinator's own host, so that signatures add nothing against that host.
    pub key_shares_host: bool,
}

/// What to do where there is no roster.
pub(crate) const NO_ROSTER: &str = "rank A and S need signatures, and nobody can sign yet: make a key with \
`nexusmon key make` on a device of yours, best not on the coordinator's host";

/// Fills the cache: at start, and when another node took a roster. Sessions get what is news to them.
pub(crate) async fn refresh(app: &App) -> Result<()> {
    let known = {
        let mut read = app.store.read().await?;
        read.roster(app.clock.now()).await?.and_then(|row| KnownRoster::read(&row.signed))
    };
    if app.roster.put(known) {
        for live in app.sessions.all() {
            deliver_newest(app, &live);
        }
    }
    Ok(())
}

fn deliver_newest(app: &App, live: &AgentLive) {
    if let Some(known) = app.roster.get() {
        live.offer(CoordinatorMessage::Roster(known.signed.clone()));
    }
}

/// What an agent lacks that says it has roster `number`: all that follow, or, where it has none, the one in force.
pub(super) async fn lacking(app: &App, read: &mut Connection, number: u64) -> Result<Vec<Bytes>> {
    let rows = if number == 0 {
        read.roster(app.clock.now()).await?.into_iter().collect()
    } else {
        read.rosters_after(number).await?
    };
    Ok(rows.into_iter().map(|row| Bytes::from(row.signed)).collect())
}

/// The roster in force.
pub async fn get(app: &App) -> Result<RosterView> {
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let row =
        read.roster(now).await?.ok_or_else(|| Error::NotFound { kind: "roster", id: "1".to_owned() })?;
    let later = read.rosters_after(row.number).await?;
    drop(read);
    let pending = later.iter().find(|later| later.in_force_at > now).map(|row| (row.number, row.in_force_at));
    let signed = SignedRoster::read(row.signed.as_bytes()).map_err(Error::internal)?;
    let known = KnownRoster::read(&row.signed).ok_or_else(|| Error::internal("the roster names no owner"))?;
    Ok(RosterView {
        signed,
        digest: row.digest,
        owner_key: known.pin,
        pending,
        key_shares_host: key_shares_host(),
    })
}

/// Takes a roster that the owner, or the recovery key, signed.
pub async fn put(app: &App, caller: &Caller, signed: SignedRoster) -> Result<RosterView> {
    let text = canonical::to_bytes(&signed).map_err(Error::internal)?;
    let text = String::from_utf8(text).map_err(Error::internal)?;
    let unit_app = app.clone();
    let input = (signed, text.clone(), caller.clone());
    let after = app
        .store
        .write_with("roster.put", input, move |tx, (signed, text, caller)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                keep(&mut unit, caller, signed, text).await?;
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    // One that comes into force later is told to agents at once: they alert, and wait by their own clocks.
    for live in app.sessions.all() {
        live.offer(CoordinatorMessage::Roster(Bytes::copy_from_slice(text.as_bytes())));
    }
    let mut read = app.store.read().await?;
    let row = read.roster(app.clock.now()).await?;
    drop(read);
    app.roster.put(row.and_then(|row| KnownRoster::read(&row.signed)));
    get(app).await
}

async fn keep(unit: &mut Unit<'_>, caller: &Caller, signed: &SignedRoster, text: &str) -> Result<()> {
    // Two at once would both follow the same one.
    unit.tx.one_node_at_a_time().await?;
    let now = unit.now;
    let organism = unit.app.organism;
    let roster = &signed.roster;
    let current = unit.tx.roster(now).await?;
    let in_force_at = match &current {
        None => {
            if roster.number != 1 {
                return Err(refused(&RosterError::Number { wanted: 1, offered: roster.number }));
            }
            // The owner key is what the first roster says; what agents pinned decides for them.
            let (_, owner) = roster.owner().ok_or_else(|| refused(&InvalidRoster::Owners(0).into()))?;
            let keys: Vec<KeyId> = owner.keys.iter().map(PersonKey::id).collect();
            if !keys.iter().any(|key| signed.verify_first(organism, *key).is_ok()) {
                // The first one says why; an owner without keys is refused for that.
                let first = keys.first().copied().unwrap_or(KeyId(roster.digest()));
                signed.verify_first(organism, first).map_err(|error| refused(&error))?;
            }
            now
        }
        Some(row) => {
            let before = SignedRoster::read(row.signed.as_bytes()).map_err(Error::internal)?;
            match signed.verify_successor(&before.roster).map_err(|error| refused(&error))? {
                InForce::AtOnce => now,
                InForce::After(delay) => now + delay,
            }
        }
    };
    let owner = roster.owner().map(|(id, _)| id);
    if owner != Some(caller.principal) && caller.role != Role::Owner {
        let detail = "only the owner changes the roster".to_owned();
        return Err(Error::Forbidden { code: "not_the_owner", detail });
    }
    for (id, person) in &roster.persons {
        if unit.tx.principal(*id).await?.is_none() {
            let detail = format!(
                "{id} (`{}`) is nobody known here; `nexusmon key show` says who you are",
                person.name
            );
            return Err(Error::field(format!("/roster/persons/{id}"), "unknown_principal", detail));
        }
    }
    let row = RosterRow {
        digest: roster.digest(),
        number: roster.number,
        signed: text.to_owned(),
        in_force_at,
        posted_by: caller.principal,
        at: now,
    };
    unit.tx.insert_roster(&row).await.map_err(|error| match error {
        StoreError::Unique { .. } => Error::conflict("known", "this roster is kept already"),
        other => other.into(),
    })?;
    // In full, for whoever verifies signatures by the log alone; a fleet's keys would make it too large.
    let kept = (text.len() <= MOST_AUDITED).then_some(signed);
    let body = json!({"number": row.number, "digest": row.digest, "in_force_at": row.in_force_at,
        "persons": roster.persons.len(), "agents": roster.agents.len(), "recovered": in_force_at > now, "signed": kept});
    let actor = Actor::from(caller);
    unit.audit(actor.0, "roster.changed", ("roster", row.number.to_string()), None, body);
    unit.tx.wake(Topic::Governance);
    unit.tx.wake(Topic::Fleet);
    Ok(())
}

fn refused(error: &RosterError) -> Error {
    match error {
        RosterError::Number { .. } | RosterError::Predecessor => Error::conflict(
            "roster_changed",
            format!("{error}; read the roster again and sign its successor"),
        ),
        other => Error::field("", "bad_roster", nexusmon_shared::lifecycle::chain(other)),
    }
}

/// Where the command line keeps a person's key unless told otherwise.
pub fn usual_key_file() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(config.join("nexusmon").join("owner.key"))
}

/// Whether a key file lies where this process could read it.
pub fn key_shares_host() -> bool {
    usual_key_file().is_some_and(|path| path.exists())
}
