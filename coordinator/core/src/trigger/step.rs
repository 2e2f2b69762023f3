//! What a schedule does next: fire for one due time, pass some over, or wait.
//!
//! A due time is decided once `through` has passed it. Whoever carries a step out stores the `through` it gives along
//! with the firing, which is unique by (schedule, due time): a look that is repeated, here or elsewhere, changes nothing.

use std::time::Duration;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::TriggerId;
use nexusmon_shared::time::{Span, Timestamp};

use super::timetable::Timetable;
use crate::planning::Invalid;

/// A due time is late once this has passed since: what is late is for `catch_up` to decide.
pub const LATE: Duration = Duration::from_mins(1);
/// `all` reaches back no further.
pub const REACH: Duration = Duration::from_hours(7 * 24);
const MAX_JITTER: Duration = Duration::from_hours(1);
/// As long as an approval of rank A waits.
const MAX_AHEAD: Duration = Duration::from_hours(24);
/// How many are counted that were passed over.
const MOST_COUNTED: usize = 1_000;

/// What happens while the mission of an earlier due time still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The due time is skipped, and that is written down.
    #[default]
    Skip,
    Allow,
}

/// What happens to due times that nobody looked at in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    #[default]
    None,
    /// Only the newest.
    Last,
    /// Each, a week back at most.
    All,
}

/// When a schedule fires, as people write it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub cron: String,
    #[serde(default = "utc")]
    pub time_zone: String,
    #[serde(default)]
    pub overlap: Overlap,
    #[serde(default)]
    pub catch_up: CatchUp,
    /// Each firing comes later by up to this, always by the same for the same due time.
    #[serde(default)]
    pub jitter: Span,
    /// The mission is made so long before it is due, to be approved meanwhile, and starts when it is.
    #[serde(default)]
    pub ahead: Span,
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Rule {
    /// The timetable, if all of the rule makes sense.
    pub fn check(&self) -> Result<Timetable, Vec<Invalid>> {
        let mut errors = Vec::new();
        if self.jitter.0 > MAX_JITTER {
            errors.push(Invalid::new("/jitter", "out_of_range", "at most 1h"));
        }
        if self.ahead.0 > MAX_AHEAD {
            errors.push(Invalid::new("/ahead", "out_of_range", "at most 24h: no approval waits longer"));
        }
        if self.catch_up == CatchUp::All && self.overlap == Overlap::Skip {
            let message = "`all` makes several missions at once, all but the first of which overlap `skip` would \
                           skip: say `overlap: allow`, or `catch_up: last`";
            errors.push(Invalid::new("/catch_up", "contradiction", message));
        }
        match Timetable::parse(&self.cron, &self.time_zone) {
            Ok(timetable) if errors.is_empty() => return Ok(timetable),
            Ok(_) => {}
            Err(more) => errors.extend(more),
        }
        Err(errors)
    }
}

/// A schedule at work.
#[derive(Debug, Clone, Copy)]
pub struct Clockwork<'a> {
    pub id: TriggerId,
    pub rule: &'a Rule,
    pub timetable: &'a Timetable,
    /// Every due time up to here is decided.
    pub through: Timestamp,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Fire {
        due: Timestamp,
        /// Due times before it that `catch_up` lets go.
        passed_over: usize,
    },
    Wait {
        /// When the next one fires; `None`: never.
        until: Option<Timestamp>,
        through: Timestamp,
        passed_over: usize,
    },
}

impl Clockwork<'_> {
    /// When the mission of a due time is made.
    pub fn fires_at(&self, due: Timestamp) -> Timestamp {
        due + self.delay(due) - self.rule.ahead.0
    }

    /// When the mission of a due time starts.
    pub fn starts_at(&self, due: Timestamp) -> Timestamp {
        due + self.delay(due)
    }

    /// Drawn from the schedule and the due time, so that every coordinator draws the same.
    fn delay(&self, due: Timestamp) -> Duration {
        let most = u64::try_from(self.rule.jitter.0.as_micros()).unwrap_or(0);
        if most == 0 {
            return Duration::ZERO;
        }
        let drawn = Digest::of(format!("{} {}", self.id, due.as_micros()).as_bytes());
        let mut first = [0_u8; 8];
        first.copy_from_slice(&drawn.as_bytes()[..8]);
        Duration::from_micros(u64::from_be_bytes(first) % (most + 1))
    }

    /// The due times to come with the moments their missions start, for people.
    pub fn coming(&self, now: Timestamp, most: usize) -> Vec<(Timestamp, Timestamp)> {
        let mut at = self.through.min(now + self.rule.ahead.0).max(now - self.rule.jitter.0);
        let mut found = Vec::new();
        while found.len() < most {
            let Some(due) = self.timetable.next_after(at) else { break };
            if self.starts_at(due) > now {
                found.push((due, self.starts_at(due)));
            }
            at = due;
        }
        found
    }
}

/// One step. A wall clock that was set back makes no due time come twice: those that fired are known by their due times,
/// and `through` never lies further ahead than a mission may be made.
pub fn next_step(schedule: &Clockwork<'_>, now: Timestamp) -> Step {
    let Clockwork { rule, timetable, .. } = *schedule;
    let newest = now + rule.ahead.0;
    let through = schedule.through.min(newest);
    // What lies before is late by any jitter, or out of reach.
    let back = if rule.catch_up == CatchUp::All { REACH } else { LATE + rule.jitter.0 };
    let from = through.max(now - back);
    let fire = |due: Timestamp| {
        let passed_over = timetable.between(through, just_before(due), MOST_COUNTED).len();
        Step::Fire { due, passed_over }
    };
    let mut missed = None;
    let mut next = timetable.next_after(from);
    while let Some(due) = next.filter(|due| schedule.fires_at(*due) <= now) {
        if rule.catch_up == CatchUp::All || schedule.starts_at(due) + LATE >= now {
            return fire(due);
        }
        missed = Some(due);
        next = timetable.next_after(due);
    }
    if rule.catch_up == CatchUp::Last {
        let missed = missed.or_else(|| timetable.last_until(from).filter(|due| *due > through));
        if let Some(due) = missed {
            return fire(due);
        }
    }
    let decided = next.map_or(newest, just_before).clamp(through, newest);
    let passed_over = timetable.between(through, decided, MOST_COUNTED).len();
    Step::Wait { until: next.map(|due| schedule.fires_at(due)), through: decided, passed_over }
}

fn just_before(due: Timestamp) -> Timestamp {
    Timestamp::from_micros(due.as_micros() - 1)
}
