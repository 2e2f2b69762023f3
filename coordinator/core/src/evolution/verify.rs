//! Whether a finished mission counts.

use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;

/// What is known of a mission when it is asked whether it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    pub status: MissionStatus,
    /// As assessed.
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

/// Decides whether a finished mission is a verified completion.
pub fn award(completion: &Completion, now: Timestamp) -> Award {
    let _ = (completion, now);
    todo!()
}
