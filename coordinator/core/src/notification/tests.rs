//! Rules of notifications: what they want, and that nothing is said in quiet hours, clock changes included.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn rule(text: Value) -> Rule {
    let rule: Rule = serde_json::from_value(text).unwrap();
    rule.check().unwrap();
    rule
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_rule_wants_its_kinds_from_its_rank_on_and_with_its_labels() {
    let rule = rule(json!({"kinds": ["approval", "agent_lost"], "rank": "B", "labels": {"team": "web"}}));
    let labels = |team: &str| Some(BTreeMap::from([("team".to_owned(), team.to_owned())]));
    let happening = |kind, rank, labels| Happening { kind, rank, labels };
    assert!(rule.wants(&happening(Kind::Approval, Some(Rank::A), labels("web"))));
    assert!(!rule.wants(&happening(Kind::Approval, Some(Rank::C), labels("web"))), "below the rank");
    assert!(!rule.wants(&happening(Kind::Approval, Some(Rank::A), labels("ops"))), "another label");
    assert!(!rule.wants(&happening(Kind::Failure, Some(Rank::A), labels("web"))), "another kind");
    assert!(
        !rule.wants(&happening(Kind::AgentLost, None, None)),
        "labels are asked for, and there is no mission"
    );
    let open = Rule { labels: BTreeMap::new(), ..rule };
    assert!(open.wants(&happening(Kind::AgentLost, None, None)), "an agent has no rank");
}

#[test]
fn machines_that_are_not_what_they_say_raise_an_alert() {
    for action in ["alert.raised", "agent.cloned", "agent.words_differ"] {
        assert_eq!(Kind::of(action, "nexusmon", &json!({})), Some(Kind::Alert), "{action}");
    }
    assert_eq!(Kind::of("agent.renewed", "nexusmon", &json!({})), None);
}

#[test]
fn every_mistake_has_its_place() {
    let codes = |text: Value| -> Vec<String> {
        let rule: Rule = serde_json::from_value(text).unwrap();
        rule.check().err().into_iter().flatten().map(|one| one.pointer).collect()
    };
    let quiet = json!({"from": "24:00", "to": "7:00", "time_zone": "Berlin"});
    assert_eq!(
        codes(json!({"kinds": [], "quiet": quiet})),
        ["/kinds", "/quiet/from", "/quiet/to", "/quiet/time_zone"]
    );
    let channel = "chn_00000000000000000000000000";
    let escalate = json!({"after": "1s", "channel": channel});
    assert_eq!(
        codes(json!({"kinds": ["halt"], "digest": "1s", "escalate": escalate})),
        ["/digest", "/escalate/after", "/escalate"]
    );
    assert_eq!(codes(json!({"kinds": ["halt"], "quiet": {"from": "07:00", "to": "07:00"}})), ["/quiet/to"]);
    assert!(serde_json::from_value::<Rule>(json!({"kinds": ["everything"]})).is_err());
    assert!(serde_json::from_value::<Rule>(json!({"kinds": ["halt"], "loud": true})).is_err());
}

#[test]
fn quiet_hours_end_by_the_clock_on_the_wall_when_clocks_are_changed_too() {
    let rule = rule(json!({"kinds": ["failure"],
        "quiet": {"from": "22:00", "to": "07:00", "time_zone": "Europe/Berlin"}}));
    // Winter: the wall is an hour ahead of UTC.
    assert_eq!(rule.due(at("2031-01-10T20:59:00Z")), Due { at: at("2031-01-10T20:59:00Z"), together: false });
    assert_eq!(rule.due(at("2031-01-10T21:00:00Z")), Due { at: at("2031-01-11T06:00:00Z"), together: true });
    // The night clocks are set forward is an hour shorter, the night they are set back an hour longer.
    assert_eq!(rule.due(at("2031-03-29T22:00:00Z")).at, at("2031-03-30T05:00:00Z"));
    assert_eq!(rule.due(at("2031-10-25T21:00:00Z")).at, at("2031-10-26T06:00:00Z"));
    // An end that the clock jumps over comes right after.
    let gap = Rule {
        quiet: Some(Quiet { from: "22:00".into(), to: "02:30".into(), time_zone: "Europe/Berlin".into() }),
        ..rule
    };
    assert_eq!(gap.due(at("2031-03-29T23:00:00Z")).at, at("2031-03-30T01:30:00Z"));
}

#[test]
fn a_digest_gathers_until_the_end_of_its_window() {
    let rule = rule(json!({"kinds": ["failure"], "digest": "30m"}));
    let due = rule.due(at("2031-01-10T10:01:00Z"));
    assert_eq!(due, Due { at: at("2031-01-10T10:30:00Z"), together: true });
    assert_eq!(rule.due(at("2031-01-10T10:29:59Z")), due);
    assert_eq!(rule.due(at("2031-01-10T10:30:00Z")).at, at("2031-01-10T11:00:00Z"));
}

#[test]
fn entries_are_what_they_are() {
    let of = |action: &str, body: Value| Kind::of(action, "nexusmon", &body);
    assert_eq!(of("mission.completed", json!({"status": "succeeded"})), None);
    assert_eq!(of("mission.completed", json!({"status": "failed"})), Some(Kind::Failure));
    assert_eq!(of("mission.paused", json!({"reason": "budget"})), Some(Kind::Budget));
    assert_eq!(of("mission.paused", json!({})), None);
    assert_eq!(Kind::of("capability.disabled", "prn_1", &json!({})), None);
    assert_eq!(of("capability.disabled", json!({})), Some(Kind::Suspension));
    for kind in Kind::ALL {
        assert_eq!(Kind::parse(kind.as_str()), Some(kind));
    }
}

proptest! {
    #[test]
    fn nothing_is_said_in_quiet_hours_nor_before_it_happened(
        micros in 0_i64..4_000_000_000_000_000,
        (from, to) in (0_u8..24, 0_u8..24),
        minute in 0_u8..60,
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
        digest in prop::option::of(60_u64..100_000),
    ) {
        prop_assume!(from != to);
        let quiet = Quiet { from: format!("{from:02}:{minute:02}"), to: format!("{to:02}:{minute:02}"), time_zone: zone.to_owned() };
        let rule = Rule { quiet: Some(quiet.clone()), digest: digest.map(Span::from_secs), ..rule(json!({"kinds": ["halt"]})) };
        let at = Timestamp::from_micros(micros);
        let due = rule.due(at);
        prop_assert!(due.at >= at);
        prop_assert_eq!(quiet.end(due.at), None, "{:?}", due);
    }

    #[test]
    fn any_text_is_a_time_of_day_or_none(text in ".{0,12}") {
        let _ = clock(&text);
    }
}
