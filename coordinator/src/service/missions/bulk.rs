//! One act on many missions: tried first, without doing anything, then done to exactly those, as they were seen. Deciding
//! approvals is no such act, and neither is anything above rank C.

use std::fmt::Write as _;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use nexusmon_core::mission::{self, MissionCommand};
use nexusmon_shared::id::MissionId;
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::MissionRow;
use serde_json::json;
use sha2::Sha256;

use super::{actions, read, rerun};
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::{Caller, auth};

/// Of one act.
pub const MOST: usize = 200;
/// From the trial to the act.
const LIFE: Duration = Duration::from_mins(15);
/// The gravest missions that may be handled by the dozen.
const HIGHEST: Rank = Rank::C;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkAct {
    Run,
    Pause,
    Resume,
    Cancel,
    Rerun,
}

impl BulkAct {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Rerun => "rerun",
        }
    }

    /// What the policy calls doing it once.
    const fn action(self) -> &'static str {
        match self {
            Self::Run => "mission.run",
            Self::Pause => "mission.pause",
            Self::Resume => "mission.resume",
            Self::Cancel => "mission.cancel",
            Self::Rerun => "mission.rerun",
        }
    }

    /// What happens to the mission itself, and how that is written down; a rerun leaves it as it is.
    fn command(self, caller: &Caller) -> Option<(MissionCommand, &'static str)> {
        let by = caller.principal;
        match self {
            Self::Run => Some((MissionCommand::Run, "mission.started")),
            Self::Pause => Some((MissionCommand::Pause { by }, "mission.paused")),
            Self::Resume => Some((MissionCommand::Resume, "mission.resumed")),
            Self::Cancel => Some((MissionCommand::Cancel { by }, "mission.cancelled")),
            Self::Rerun => None,
        }
    }
}

/// A mission and what it was when it was looked at; `None` where there was none.
pub type Seen = (MissionId, Option<MissionStatus>);

/// What came of the act for one mission, or would.
#[derive(Debug, Clone)]
pub struct BulkOutcome {
    pub mission: MissionId,
    pub goal: Option<String>,
    pub rank: Option<Rank>,
    /// Before the act.
    pub status: Option<MissionStatus>,
    /// After it; before it where it was refused.
    pub after: Option<MissionStatus>,
    /// Tasks that were running, and tasks that were not over.
    pub running: u64,
    pub open: u64,
    /// What a rerun made.
    pub made: Option<MissionId>,
    /// Stable code and what to do.
    pub refused: Option<(&'static str, String)>,
}

/// A trial: what would happen, and the word that stands for exactly that list.
#[derive(Debug, Clone)]
pub struct Tried {
    pub outcomes: Vec<BulkOutcome>,
    pub frozen: String,
    pub valid_until: Timestamp,
}

fn listed(app: &App, caller: &Caller, act: BulkAct, missions: &[MissionId]) -> Result<()> {
    auth::authorize(app, caller, act.action())?;
    if missions.is_empty() || missions.len() > MOST {
        return Err(Error::field("/missions", "out_of_range", format!("must be 1 to {MOST} missions")));
    }
    let mut ids = missions.to_vec();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::field("/missions", "repeated", "names a mission twice"));
    }
    Ok(())
}

/// What the act would do now. Nothing is changed.
pub async fn dry_run(app: &App, caller: &Caller, act: BulkAct, missions: &[MissionId]) -> Result<Tried> {
    listed(app, caller, act, missions)?;
    let mut read = app.store.read().await?;
    let mut outcomes = Vec::with_capacity(missions.len());
    for id in missions {
        outcomes.push(match read.mission(*id).await? {
            Some(row) => tried(&row, act, caller, app.clock.now()),
            None => absent(*id),
        });
    }
    drop(read);
    let valid_until = app.expiry_clock.now() + LIFE;
    let seen: Vec<Seen> = outcomes.iter().map(|outcome| (outcome.mission, outcome.status)).collect();
    let mac = mac(app, caller, act, &seen, valid_until);
    let frozen = format!("{}.{}", valid_until.as_micros(), hex::encode(mac.finalize().into_bytes()));
    Ok(Tried { outcomes, frozen, valid_until })
}

/// Does what was tried, to exactly those missions. One that is something else by now is left alone.
pub async fn act(
    app: &App,
    caller: &Caller,
    act: BulkAct,
    seen: Vec<Seen>,
    frozen: &str,
) -> Result<Vec<BulkOutcome>> {
    let ids: Vec<MissionId> = seen.iter().map(|(id, _)| *id).collect();
    listed(app, caller, act, &ids)?;
    check(app, caller, act, &seen, frozen)?;
    // One after the other: the request's idempotency key rides along with the first of these units.
    let mut outcomes = Vec::with_capacity(seen.len());
    for (id, status) in seen {
        outcomes.push(one(app, caller, act, id, status).await?);
    }
    Ok(outcomes)
}

fn mac(app: &App, caller: &Caller, act: BulkAct, seen: &[Seen], until: Timestamp) -> Hmac<Sha256> {
    let mut text =
        format!("nexusmon/bulk/v1\n{}\n{}\n{}\n", caller.principal, act.as_str(), until.as_micros());
    for (id, status) in seen {
        let _ = writeln!(text, "{id} {}", status.map_or("-", MissionStatus::as_str));
    }
    let mut hmac =
        Hmac::<Sha256>::new_from_slice(&app.keyring.token_key).expect("HMAC takes keys of any length");
    hmac.update(text.as_bytes());
    hmac
}

fn check(app: &App, caller: &Caller, act: BulkAct, seen: &[Seen], frozen: &str) -> Result<()> {
    let other = || {
        Error::conflict(
            "not_frozen",
            "this is not the list that was tried, or it was tried too long ago: try it again (`dry_run`), then send \
             the missions with the status it answered, in the same order, and its `frozen`",
        )
    };
    let (until, sum) = frozen.split_once('.').ok_or_else(other)?;
    let until = Timestamp::from_micros(until.parse().map_err(|_| other())?);
    let sum = hex::decode(sum).map_err(|_| other())?;
    mac(app, caller, act, seen, until).verify_slice(&sum).map_err(|_| other())?;
    if until <= app.expiry_clock.now() { Err(other()) } else { Ok(()) }
}

fn outcome(row: &MissionRow) -> BulkOutcome {
    BulkOutcome {
        mission: row.id,
        goal: Some(row.goal.clone()),
        rank: Some(row.rank),
        status: Some(row.status),
        after: Some(row.status),
        running: u64::try_from(row.tasks_leased).unwrap_or(0),
        open: u64::try_from(row.tasks_open).unwrap_or(0),
        made: None,
        refused: None,
    }
}

fn absent(id: MissionId) -> BulkOutcome {
    let refused = Some(said(&Error::not_found("mission", id)));
    let (goal, rank, status, after, made) = (None, None, None, None, None);
    BulkOutcome { mission: id, goal, rank, status, after, running: 0, open: 0, made, refused }
}

fn said(error: &Error) -> (&'static str, String) {
    (error.code(), error.to_string())
}

fn tried(row: &MissionRow, act: BulkAct, caller: &Caller, now: Timestamp) -> BulkOutcome {
    let fits = low(row).and_then(|()| match act.command(caller) {
        Some((command, _)) => Ok(mission::apply(&row.state.0, command, now)?.state.status()),
        None => rerun::may_run_again(row).map(|()| row.status),
    });
    let found = outcome(row);
    match fits {
        Ok(after) => BulkOutcome { after: Some(after), ..found },
        Err(error) => BulkOutcome { refused: Some(said(&error)), ..found },
    }
}

fn low(row: &MissionRow) -> Result<()> {
    if row.rank <= HIGHEST {
        return Ok(());
    }
    let detail = format!("rank {} is handled one by one: open the mission", row.rank);
    Err(Error::conflict("rank_above_bulk", detail))
}

/// Whether a mission still is what it was when the act was tried.
pub(super) fn as_seen(row: &MissionRow, seen: MissionStatus) -> Result<()> {
    low(row)?;
    if row.status == seen {
        return Ok(());
    }
    let detail = format!(
        "it was {} when you looked and is {} now; nothing was done to it, look again",
        seen.as_str(),
        row.status.as_str()
    );
    Err(Error::conflict("changed_since", detail))
}

async fn one(
    app: &App,
    caller: &Caller,
    act: BulkAct,
    id: MissionId,
    seen: Option<MissionStatus>,
) -> Result<BulkOutcome> {
    let mut read = app.store.read().await?;
    let row = read.mission(id).await?;
    drop(read);
    let (Some(row), Some(seen)) = (row, seen) else { return Ok(absent(id)) };
    let found = outcome(&row);
    let done = match act.command(caller) {
        Some((command, action)) => {
            let why = json!({"bulk": true});
            actions::act(app, caller, id, command, (action, why), Some(seen))
                .await
                .map(|(row, _)| (row, None))
        }
        None => match as_seen(&row, seen) {
            Ok(()) => rerun::rerun(app, caller, id, false).await.map(|made| (row, Some(made.summary.id))),
            Err(error) => Err(error),
        },
    };
    match done {
        Ok((row, made)) => Ok(BulkOutcome { after: Some(row.status), made, ..found }),
        // What is wrong with us is wrong with the whole request.
        Err(error) if error.status() >= 500 => Err(error),
        Err(error) => {
            let now = read::mission(&mut app.store.read().await?, id).await?;
            Ok(BulkOutcome { refused: Some(said(&error)), ..outcome(&now) })
        }
    }
}
