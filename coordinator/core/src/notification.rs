//! Who is told of what, and when: what an entry of the audit log means to somebody who is away, which rules it meets, and
//! the moment at which it may be said. Time zones come from the data built into the program.

use std::collections::BTreeMap;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use nexusmon_shared::id::ChannelId;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::{Span, Timestamp};
use serde_json::Value;

use crate::planning::Invalid;
use crate::trigger::timetable::read_zone;

#[cfg(test)]
mod tests;

/// The shortest and longest time over which a digest gathers.
const DIGEST: (u64, u64) = (60, 7 * 24 * 3600);
/// How long an approval may go unseen before somebody else is told.
const ESCALATION: (u64, u64) = (60, 7 * 24 * 3600);
const MOST_LABELS: usize = 16;

/// What somebody may want to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An approval waits.
    Approval,
    /// Flagged work waits for a judgement.
    Review,
    /// A mission failed, or its approval came too late.
    Failure,
    /// The system may not do something any more that it did by itself.
    Suspension,
    /// A mission is paused because it has used up what it was given.
    Budget,
    /// An agent has been away for a while.
    AgentLost,
    /// Something is not as it should be: a signature, a proof, a duplicate.
    Alert,
    /// Somebody pulled the kill switch.
    Halt,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Approval,
        Self::Review,
        Self::Failure,
        Self::Suspension,
        Self::Budget,
        Self::AgentLost,
        Self::Alert,
        Self::Halt,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Review => "review",
            Self::Failure => "failure",
            Self::Suspension => "suspension",
            Self::Budget => "budget",
            Self::AgentLost => "agent_lost",
            Self::Alert => "alert",
            Self::Halt => "halt",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// What an entry of the audit log is to somebody who is away; nothing, mostly.
    pub fn of(action: &str, actor: &str, body: &Value) -> Option<Self> {
        Some(match action {
            "approval.requested" => Self::Approval,
            "review.opened" => Self::Review,
            "mission.completed" if body["status"] == "failed" => Self::Failure,
            "mission.expired" => Self::Failure,
            "mission.paused" if body["reason"] == "budget" => Self::Budget,
            "trait.suspended" | "trigger.paused" => Self::Suspension,
            // Where a person switched it off, that person knows.
            "capability.disabled" if !actor.starts_with("prn_") => Self::Suspension,
            "agent.lost" => Self::AgentLost,
            "alert.raised" | "agent.cloned" | "agent.words_differ" => Self::Alert,
            "halt.pulled" => Self::Halt,
            _ => return None,
        })
    }

    /// The sentence that leaves; it holds no word that anybody wrote.
    pub fn sentence(self, rank: Option<Rank>) -> String {
        let of = rank.map(|rank| format!(" of rank {rank}")).unwrap_or_default();
        match self {
            Self::Approval => format!("An approval{of} waits"),
            Self::Review => format!("A review of work{of} waits"),
            Self::Failure => format!("A mission{of} failed"),
            Self::Suspension => "The system suspended something it did by itself".to_owned(),
            Self::Budget => format!("A mission{of} is paused: its budget is used up"),
            Self::AgentLost => "An agent is lost".to_owned(),
            Self::Alert => format!(
                "An alert was raised{}",
                if of.is_empty() { String::new() } else { format!(" about work{of}") }
            ),
            Self::Halt => "The kill switch was pulled".to_owned(),
        }
    }
}

/// What happened, as far as rules look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    pub kind: Kind,
    pub rank: Option<Rank>,
    /// Of the mission; none where it is about none.
    pub labels: Option<BTreeMap<String, String>>,
}

/// Hours of a time zone in which nothing is said; what comes meanwhile is said together at their end.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quiet {
    /// `22:00`
    pub from: String,
    /// `07:00`; earlier than `from` is the next morning.
    pub to: String,
    /// IANA name, such as `Europe/Berlin`; `UTC` if absent.
    #[serde(default = "utc")]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Somebody else who is told of an approval that nobody has looked at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    pub after: Span,
    pub channel: ChannelId,
}

/// What is told where.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub kinds: Vec<Kind>,
    /// Nothing about work below it.
    #[serde(default)]
    pub rank: Option<Rank>,
    /// Only about missions with these labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub quiet: Option<Quiet>,
    /// Gathered over this time and said together.
    #[serde(default)]
    pub digest: Option<Span>,
    #[serde(default)]
    pub escalate: Option<Escalation>,
}

/// When something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub at: Timestamp,
    /// Together with what else is due then.
    pub together: bool,
}

impl Rule {
    /// Whether it can be followed; every mistake with its place.
    pub fn check(&self) -> Result<(), Vec<Invalid>> {
        let mut errors = Vec::new();
        let mut wrong =
            |pointer: &str, code, message: &str| errors.push(Invalid::new(pointer, code, message));
        if self.kinds.is_empty() {
            let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
            wrong("/kinds", "required", &format!("name what to be told of: {}", known.join(", ")));
        }
        let sane =
            |text: &String| !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control);
        if self.labels.len() > MOST_LABELS || !self.labels.iter().all(|(key, value)| sane(key) && sane(value))
        {
            wrong(
                "/labels",
                "invalid_value",
                "at most 16, each with a key and a value of up to 256 bytes of plain text",
            );
        }
        let within = |span: Span, (least, most): (u64, u64)| (least..=most).contains(&span.0.as_secs());
        if self.digest.is_some_and(|digest| !within(digest, DIGEST)) {
            wrong("/digest", "out_of_range", "gather over 1m to 7d");
        }
        if let Some(escalate) = &self.escalate {
            if !within(escalate.after, ESCALATION) {
                wrong("/escalate/after", "out_of_range", "wait 1m to 7d");
            }
            if !self.kinds.contains(&Kind::Approval) {
                wrong("/escalate", "unexpected", "only approvals escalate: add `approval` to `kinds`");
            }
        }
        if let Some(quiet) = &self.quiet {
            for (pointer, text) in [("/quiet/from", &quiet.from), ("/quiet/to", &quiet.to)] {
                if clock(text).is_none() {
                    wrong(pointer, "invalid_value", "is no time of day such as 22:00");
                }
            }
            if quiet.from == quiet.to {
                wrong(
                    "/quiet/to",
                    "invalid_value",
                    "must differ from `from`; pause the rule to hear nothing at all",
                );
            }
            if read_zone(&quiet.time_zone).is_none() {
                wrong(
                    "/quiet/time_zone",
                    "unknown_zone",
                    "is no time zone: write a name such as `Europe/Berlin`, or `UTC`",
                );
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    pub fn wants(&self, what: &Happening) -> bool {
        // What has no rank is about the system itself, and concerns whoever asked for its kind.
        let grave = match (self.rank, what.rank) {
            (Some(least), Some(rank)) => rank >= least,
            _ => true,
        };
        let labelled = self.labels.is_empty()
            || what
                .labels
                .as_ref()
                .is_some_and(|labels| self.labels.iter().all(|(key, value)| labels.get(key) == Some(value)));
        self.kinds.contains(&what.kind) && grave && labelled
    }

    /// When something that happened `at` is said.
    pub fn due(&self, at: Timestamp) -> Due {
        let mut due = Due { at, together: false };
        if let Some(digest) = self.digest {
            let window = i64::try_from(digest.0.as_micros()).unwrap_or(i64::MAX).max(1);
            let end = at.as_micros().div_euclid(window).saturating_add(1).saturating_mul(window);
            due = Due { at: Timestamp::from_micros(end), together: true };
        }
        match self.quiet.as_ref().and_then(|quiet| quiet.end(due.at)) {
            Some(end) => Due { at: end, together: true },
            None => due,
        }
    }
}

fn clock(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

impl Quiet {
    /// When it ends, if it is quiet `at` that moment.
    fn end(&self, at: Timestamp) -> Option<Timestamp> {
        let (from, to) = (clock(&self.from)?, clock(&self.to)?);
        let (_, zone) = read_zone(&self.time_zone)?;
        let local = jiff::Timestamp::from_microsecond(at.as_micros()).ok()?.to_zoned(zone.clone());
        let now = local.time();
        let quiet = if from < to { from <= now && now < to } else { now >= from || now < to };
        if !quiet {
            return None;
        }
        let today = local.date();
        // Where clocks are set back over it, it comes twice.
        let twice = moments(today, to, &zone).into_iter().chain(moments(today.tomorrow().ok()?, to, &zone));
        twice.flatten().find(|end| *end > at)
    }
}

/// The moments at which clocks show this. Where they are set forward over it, the moment after.
fn moments(date: Date, time: Time, zone: &TimeZone) -> [Option<Timestamp>; 2] {
    let moment = |zoned: Result<jiff::Zoned, jiff::Error>| {
        zoned.ok().map(|zoned| Timestamp::from_micros(zoned.timestamp().as_microsecond()))
    };
    let ambiguous = || zone.to_ambiguous_zoned(date.to_datetime(time));
    [moment(ambiguous().compatible()), moment(ambiguous().later())]
}
