//! Whether a finished mission counts.

use std::time::Duration;

use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;

use super::xp;

/// How long A and S work must stand unrejected before it counts.
pub const UNREJECTED: Duration = Duration::from_hours(24);

/// What is known of a mission when it is asked whether it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    pub status: MissionStatus,
    /// As assessed from its tasks, never as requested.
    pub rank: Rank,
    pub finished_at: Timestamp,
    /// Tasks other than `core.*` that an agent executed and that succeeded.
    pub executed: u32,
    /// An artifact other than a log, an output, or a held `verify`.
    pub left_something: bool,
    pub rejected: bool,
    /// Its review was accepted, or it is covered by an accepted one.
    pub reviewed: bool,
    pub rerun: bool,
    /// Authored or accepted by a person.
    pub by_person: bool,
    /// A mission of the same shape with the same inputs was counted on the same UTC day.
    pub counted_today: bool,
}

/// What has to happen before a completion can count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingOn {
    Review,
    /// A and S count when nobody rejected them until then.
    Time(Timestamp),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Award {
    Verified {
        xp: u64,
    },
    Pending(PendingOn),
    /// Never counts, and why.
    Nothing {
        reason: &'static str,
    },
}

/// Decides whether a finished mission is a verified completion. Ask again when what it is pending on has happened.
pub fn award(completion: &Completion, now: Timestamp) -> Award {
    let nothing = |reason| Award::Nothing { reason };
    if completion.status != MissionStatus::Succeeded {
        return nothing("it did not succeed");
    }
    if completion.rejected {
        return nothing("its work was rejected");
    }
    if completion.rerun {
        return nothing("a rerun repeats what was counted");
    }
    if !completion.by_person {
        return nothing("no person authored or accepted it");
    }
    if completion.executed == 0 {
        return nothing("no agent executed anything but core work");
    }
    if !completion.left_something {
        return nothing("it left no artifact, output or held verification");
    }
    if completion.counted_today {
        return nothing("the same work with the same inputs counted today");
    }
    let due = completion.finished_at + UNREJECTED;
    match completion.rank {
        Rank::C | Rank::B if !completion.reviewed => Award::Pending(PendingOn::Review),
        Rank::A | Rank::S if now < due => Award::Pending(PendingOn::Time(due)),
        rank => Award::Verified { xp: xp(rank) },
    }
}
