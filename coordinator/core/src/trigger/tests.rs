//! Zones and their odd days; steps of schedules over outages, jumps and jitter.

use std::collections::BTreeSet;
use std::time::Duration;

use nexusmon_shared::id::TriggerId;
use nexusmon_shared::time::{Span, Timestamp};
use proptest::prelude::*;

use super::timetable::zones;
use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn moments(cron: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
    let timetable = Timetable::parse(cron, zone).unwrap();
    timetable
        .between(at(from), at(until), 10_000)
        .into_iter()
        .map(|moment| moment.to_string().replace(":00.000000Z", "Z"))
        .collect()
}

#[test]
fn a_time_of_day_in_the_gap_runs_after_it_and_in_the_repeated_hour_once() {
    // Berlin: 02:00 becomes 03:00 at 01:00Z on 2031-03-30; 03:00 becomes 02:00 at 01:00Z on 2031-10-26.
    let spring = moments("30 2 * * *", "Europe/Berlin", "2031-03-29T00:00:00Z", "2031-04-01T00:00:00Z");
    assert_eq!(spring, ["2031-03-29T01:30Z", "2031-03-30T01:00Z", "2031-03-31T00:30Z"]);
    let autumn = moments("30 2 * * *", "Europe/Berlin", "2031-10-25T00:00:00Z", "2031-10-28T00:00:00Z");
    assert_eq!(autumn, ["2031-10-25T00:30Z", "2031-10-26T00:30Z", "2031-10-27T01:30Z"]);
    // New York: 07:00Z on 2031-03-09, 06:00Z on 2031-11-02.
    let spring = moments("30 2 * * *", "America/New_York", "2031-03-09T00:00:00Z", "2031-03-11T00:00:00Z");
    assert_eq!(spring, ["2031-03-09T07:00Z", "2031-03-10T06:30Z"]);
    let autumn = moments("30 1 * * *", "America/New_York", "2031-11-02T00:00:00Z", "2031-11-04T00:00:00Z");
    assert_eq!(autumn, ["2031-11-02T05:30Z", "2031-11-03T06:30Z"]);
    // Lord Howe moves by half an hour: 2:00 becomes 2:30 on 2031-10-05 (15:30Z the day before).
    let half = moments("15 2 * * *", "Australia/Lord_Howe", "2031-10-03T16:00:00Z", "2031-10-06T00:00:00Z");
    assert_eq!(half, ["2031-10-04T15:30Z", "2031-10-05T15:15Z"]);
    // Where midnight itself was skipped.
    let midnight = moments("0 0 * * *", "America/Sao_Paulo", "2018-11-03T00:00:00Z", "2018-11-06T00:00:00Z");
    assert_eq!(midnight, ["2018-11-03T03:00Z", "2018-11-04T03:00Z", "2018-11-05T02:00Z"]);
    // No saving anywhere.
    let plain = moments("30 2 * * *", "Asia/Kolkata", "2031-03-29T00:00:00Z", "2031-04-01T00:00:00Z");
    assert_eq!(plain, ["2031-03-29T21:00Z", "2031-03-30T21:00Z", "2031-03-31T21:00Z"]);
}

#[test]
fn a_line_with_a_wildcard_goes_on_with_the_clock() {
    let spring = moments("*/30 * * * *", "Europe/Berlin", "2031-03-30T00:00:00Z", "2031-03-30T02:00:00Z");
    assert_eq!(spring, ["2031-03-30T00:30Z", "2031-03-30T01:00Z", "2031-03-30T01:30Z", "2031-03-30T02:00Z"]);
    let autumn = moments("0 * * * *", "Europe/Berlin", "2031-10-25T23:00:00Z", "2031-10-26T03:00:00Z");
    assert_eq!(autumn, ["2031-10-26T00:00Z", "2031-10-26T01:00Z", "2031-10-26T02:00Z", "2031-10-26T03:00Z"]);
}

#[test]
fn every_hour_is_every_hour_in_every_zone_and_every_day_every_day() {
    let (from, until) = (at("2031-01-01T00:00:00Z"), at("2032-01-01T00:00:00Z"));
    let mut seen = 0;
    for zone in zones().filter(|zone| zone.contains('/')) {
        seen += 1;
        let daily = Timetable::parse("30 2 * * *", zone).unwrap().between(from, until, 1_000);
        assert!((364..=366).contains(&daily.len()), "{zone}: {}", daily.len());
        let unique: BTreeSet<_> = daily.iter().collect();
        assert_eq!(unique.len(), daily.len(), "{zone}");
    }
    assert!(seen > 300, "{seen} zones");
    for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"] {
        let quarter = Timetable::parse("*/15 * * * *", zone).unwrap().between(from, until, 100_000);
        // Half an hour of Lord Howe's year is repeated, another is skipped: quarters fit both.
        assert_eq!(quarter.len(), 365 * 96, "{zone}");
    }
}

#[test]
fn what_is_no_timetable_is_refused_by_place() {
    let refused = |cron: &str, zone: &str| {
        let errors = Timetable::parse(cron, zone).map(drop).unwrap_err();
        errors.into_iter().map(|one| (one.pointer, one.code)).collect::<Vec<_>>()
    };
    let one = |pointer: &str, code| vec![(pointer.to_owned(), code)];
    for wrong in [
        "",
        "soon",
        "60 * * * *",
        "* * * *",
        "0 0 3 * * *",
        "* * * * * * 2031",
        ", 1-3 LW * 5#2",
        "1,,2 * * * *",
        &"1,".repeat(400),
    ] {
        assert_eq!(refused(wrong, "UTC"), one("/cron", "bad_cron"), "{wrong}");
    }
    assert_eq!(refused("0 0 31 2 *", "UTC"), one("/cron", "never"));
    for wrong in ["", "Mars/Olympus", "../etc/passwd", "CET+1", &"x".repeat(500)] {
        assert_eq!(refused("0 0 * * *", wrong), one("/time_zone", "unknown_zone"), "{wrong}");
    }
    assert!(Timetable::parse("0 0 29 2 *", "utc").is_ok(), "leap days come");
    assert!(Timetable::parse("@daily", "Europe/Berlin").is_ok());
}

fn rule(cron: &str, catch_up: CatchUp, jitter: u64) -> Rule {
    Rule {
        cron: cron.to_owned(),
        time_zone: "UTC".to_owned(),
        overlap: Overlap::Allow,
        catch_up,
        jitter: Span::from_secs(jitter),
        ahead: Span::default(),
    }
}

/// Looks once and carries out every step; what fired.
fn look(rule: &Rule, through: &mut Timestamp, now: Timestamp, fired: &mut Vec<Timestamp>) -> usize {
    let timetable = rule.check().unwrap();
    let mut over = 0;
    loop {
        let schedule =
            Clockwork { id: TriggerId::from_bits(7), rule, timetable: &timetable, through: *through };
        match next_step(&schedule, now) {
            Step::Fire { due, passed_over } => {
                assert!(due > (*through).min(now + rule.ahead.0), "steps go forward");
                over += passed_over;
                *through = due;
                if !fired.contains(&due) {
                    fired.push(due);
                }
            }
            Step::Wait { until, through: decided, passed_over } => {
                assert!(until.is_none_or(|until| until > now), "what is to come lies ahead");
                *through = decided;
                return over + passed_over;
            }
        }
    }
}

#[test]
fn an_outage_is_caught_up_as_the_schedule_says() {
    let outage = |catch_up| {
        let rule = rule("0 * * * *", catch_up, 0);
        let (mut through, mut fired) = (at("2031-05-01T00:30:00Z"), Vec::new());
        look(&rule, &mut through, at("2031-05-01T01:00:01Z"), &mut fired);
        let over = look(&rule, &mut through, at("2031-05-01T06:20:00Z"), &mut fired);
        let hours: Vec<String> = fired.iter().map(|due| due.to_string()[11..13].to_owned()).collect();
        (hours.join(" "), over)
    };
    assert_eq!(outage(CatchUp::None), ("01".to_owned(), 5));
    assert_eq!(outage(CatchUp::Last), ("01 06".to_owned(), 4));
    assert_eq!(outage(CatchUp::All), ("01 02 03 04 05 06".to_owned(), 0));
    // A short one is none.
    let (mut through, mut fired) = (at("2031-05-01T00:30:00Z"), Vec::new());
    look(&rule("0 * * * *", CatchUp::None, 0), &mut through, at("2031-05-01T01:00:59Z"), &mut fired);
    assert_eq!(fired.len(), 1);
    // A week is the furthest.
    let (mut through, mut fired) = (at("2031-05-01T00:30:00Z"), Vec::new());
    let over =
        look(&rule("0 * * * *", CatchUp::All, 0), &mut through, at("2031-05-10T00:30:00Z"), &mut fired);
    assert_eq!((fired.len(), over), (7 * 24, 2 * 24));
}

#[test]
fn a_mission_that_is_made_ahead_is_made_once_and_starts_when_due() {
    let mut ahead = rule("0 12 * * *", CatchUp::None, 0);
    ahead.ahead = Span::from_secs(6 * 3600);
    let (mut through, mut fired) = (at("2031-05-01T00:00:00Z"), Vec::new());
    look(&ahead, &mut through, at("2031-05-01T05:59:59Z"), &mut fired);
    assert_eq!(fired, []);
    look(&ahead, &mut through, at("2031-05-01T06:00:00Z"), &mut fired);
    look(&ahead, &mut through, at("2031-05-01T12:00:00Z"), &mut fired);
    assert_eq!(fired, [at("2031-05-01T12:00:00Z")]);
}

proptest! {
    /// However often and whenever it is looked, with a clock that jumps: nothing fires before its time, and with `all`
    /// and short jumps nothing is left out.
    #[test]
    fn looks_at_any_time_fire_each_due_time_once(
        jumps in proptest::collection::vec(-1800_i64..5400, 1..60),
        jitter in prop_oneof![Just(0_u64), 1_u64..3600],
        catch_up in prop_oneof![Just(CatchUp::None), Just(CatchUp::Last), Just(CatchUp::All)],
    ) {
        let rule = rule("*/10 * * * *", catch_up, jitter);
        let start = at("2031-05-01T00:05:00Z");
        let (mut through, mut fired, mut now, mut latest) = (start, Vec::new(), start, start);
        for jump in jumps {
            now = Timestamp::from_micros((now.as_micros() + jump * 1_000_000).max(start.as_micros()));
            latest = latest.max(now);
            look(&rule, &mut through, now, &mut fired);
            prop_assert!(fired.iter().all(|due| *due <= latest));
        }
        let timetable = rule.check().unwrap();
        let certain = latest - Duration::from_secs(jitter);
        if catch_up == CatchUp::All && now == latest {
            for due in timetable.between(start, certain, 10_000) {
                prop_assert!(fired.contains(&due), "{due} is missing");
            }
        }
    }

    #[test]
    fn any_text_is_answered(cron in "[-0-9*/,LW#@a-zA-Z+? ]{0,40}", any in ".{0,40}", zone in "[A-Za-z/_+-]{0,30}") {
        for text in [cron, any] {
            if let Ok(timetable) = Timetable::parse(&text, "UTC") {
                let now = at("2031-05-01T00:05:00Z");
                prop_assert!(timetable.next_after(now).is_none_or(|next| next > now));
                prop_assert!(timetable.last_until(now).is_none_or(|last| last <= now));
                let _ = timetable.describe();
            }
        }
        let _ = Timetable::parse("@daily", &zone);
    }
}
