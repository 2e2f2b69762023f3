use std::collections::BTreeMap;

use nexusmon_shared::effects::Effects;
use nexusmon_shared::plan::Budget;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Span;
use proptest::prelude::*;

use super::*;
use crate::risk::{Assessment, BlastRadius};

fn assessment(rank: Rank, requires_approval: bool) -> Assessment {
    Assessment {
        rank,
        requested: Rank::E,
        requires_approval,
        effects: Effects::default(),
        tasks: vec![],
        reasons: vec![],
        blast_radius: BlastRadius::default(),
        capabilities: BTreeMap::from([("shell.run".parse().unwrap(), 1)]),
    }
}

fn person() -> PolicyContext {
    PolicyContext::of_person(&"prn_x")
}

fn verdict(rank: Rank, context: &PolicyContext) -> Verdict {
    PolicySet::shipped().evaluate(&assessment(rank, false), context).verdict
}

#[test]
fn the_rank_table_holds() {
    let hold = |needed| Verdict::Hold { needed };
    for (rank, wanted) in [
        (Rank::E, Verdict::Allow),
        (Rank::D, Verdict::Allow),
        (Rank::C, Verdict::Flag),
        (Rank::B, Verdict::Flag),
        (Rank::A, hold(1)),
        (Rank::S, hold(1)),
    ] {
        assert_eq!(verdict(rank, &person()), wanted, "{rank}");
    }
    assert_eq!(verdict(Rank::S, &PolicyContext { eligible: 2, ..person() }), hold(2));
    assert_eq!(verdict(Rank::A, &PolicyContext { eligible: 5, ..person() }), hold(1));
}

#[test]
fn guardrails_hold_and_are_named() {
    let held = PolicySet::shipped().evaluate(&assessment(Rank::E, true), &person());
    assert_eq!(held.verdict, Verdict::Hold { needed: 1 });
    assert_eq!(held.policies, ["guard-capability-demands-approval", "rank-table-held"]);
    let token = PolicyContext { author: AuthorKind::Token, ceiling: Some(Rank::D), ..person() };
    assert_eq!(verdict(Rank::D, &token), Verdict::Allow);
    assert_eq!(verdict(Rank::C, &token), Verdict::Hold { needed: 1 });
    let planner = |verified_runs| PolicyContext { author: AuthorKind::Planner, verified_runs, ..person() };
    assert_eq!(verdict(Rank::D, &planner(0)), Verdict::Allow);
    assert_eq!(verdict(Rank::C, &planner(2)), Verdict::Hold { needed: 1 });
    assert_eq!(verdict(Rank::B, &planner(3)), Verdict::Flag);
    assert_eq!(
        verdict(Rank::C, &PolicyContext { author: AuthorKind::Mcp, ..person() }),
        Verdict::Hold { needed: 1 }
    );
}

#[test]
fn an_added_permit_does_not_open_the_guardrails() {
    let text =
        format!("{}\n@id(\"everything\") permit(principal, action, resource);", PolicySet::shipped().text());
    let opened = PolicySet::parse(&text).unwrap();
    for rank in Rank::ALL {
        let (shipped, opened) =
            (verdict(rank, &person()), opened.evaluate(&assessment(rank, false), &person()).verdict);
        assert_eq!(shipped, opened, "{rank}");
    }
}

#[test]
fn an_added_forbid_denies() {
    let text = format!(
        "{}\n@id(\"no-shell\") forbid(principal, action, resource) when {{ context.capabilities.contains(\"shell.run\") }};",
        PolicySet::shipped().text()
    );
    let decision = PolicySet::parse(&text).unwrap().evaluate(&assessment(Rank::E, false), &person());
    assert_eq!((decision.verdict, decision.policies), (Verdict::Deny, vec!["no-shell".to_owned()]));
}

#[test]
fn policies_see_how_and_when_a_mission_came_and_its_ceilings() {
    let text = format!(
        "{}\n@id(\"calls-by-day\") forbid(principal, action == Action::\"run_unattended\", resource) \
         when {{ context.origin == \"webhook\" && (context.hour < 8 || context.hour >= 18 || context.weekday > 5) }};\n\
         @id(\"costly\") forbid(principal, action == Action::\"run_unattended\", resource) \
         when {{ context.budget_attempts > 1000 || context.budget_seconds > 3600 || context.budget_artifact_bytes > 1000 \
         || context.budget_tasks > 100 }};",
        PolicySet::shipped().text()
    );
    let set = PolicySet::parse(&text).unwrap();
    let small = Budget {
        tasks: 100,
        attempts: 1000,
        duration: Span::from_secs(3600),
        artifact_bytes: 1000,
        ..Budget::default()
    };
    let asked = |origin: &str, at: &str, budget: &Budget| {
        let circumstances = Circumstances::of(origin, at.parse().unwrap(), budget);
        set.evaluate(&assessment(Rank::E, false), &PolicyContext { circumstances, ..person() })
    };
    let (noon, night, sunday) = ("2026-11-23T12:00:00Z", "2026-11-23T03:00:00Z", "2026-11-22T12:00:00Z");
    assert_eq!(asked("webhook", noon, &small).verdict, Verdict::Allow);
    assert_eq!(asked("cli", night, &small).verdict, Verdict::Allow);
    for at in [night, sunday] {
        let held = asked("webhook", at, &small);
        assert_eq!(held.verdict, Verdict::Flag, "{at}");
        assert!(held.policies.contains(&"calls-by-day".to_owned()), "{:?}", held.policies);
    }
    for larger in [
        Budget { tasks: 101, ..small },
        Budget { attempts: 1001, ..small },
        Budget { duration: Span::from_secs(3601), ..small },
        Budget { artifact_bytes: 1001, ..small },
    ] {
        let held = asked("cli", noon, &larger);
        assert!(held.policies.contains(&"costly".to_owned()), "{larger:?}: {:?}", held.policies);
    }
}

/// Logs of before there was any still answer as they did.
#[test]
fn a_question_without_circumstances_is_read_and_written_as_it_was() {
    let question = Question::of(&assessment(Rank::E, false), &person());
    let text = serde_json::to_value(&question).unwrap();
    assert!(text.get("circumstances").is_none() && text.get("foresight").is_none(), "{text}");
    assert_eq!(serde_json::from_value::<Question>(text).unwrap(), question);
    let about = PolicyContext {
        circumstances: Circumstances::of("cli", "2026-11-23T12:00:00Z".parse().unwrap(), &Budget::default()),
        ..person()
    };
    let question = Question::of(&assessment(Rank::E, false), &about);
    let text = serde_json::to_value(&question).unwrap();
    assert_eq!(text["circumstances"]["weekday"], 1, "{text}");
    assert_eq!(serde_json::from_value::<Question>(text).unwrap(), question);
}

#[test]
fn the_digest_is_of_meaning_not_of_layout() {
    let shipped = PolicySet::shipped();
    let spaced = PolicySet::parse(&shipped.text().replace("\n\n", "\n\n\n// a comment\n")).unwrap();
    assert_eq!(shipped.digest(), spaced.digest());
    let changed =
        PolicySet::parse(&shipped.text().replace("context.rank <= 1", "context.rank <= 2")).unwrap();
    assert_ne!(shipped.digest(), changed.digest());
}

/// Whatever is written, the guardrails are under it: an empty set denies, and one that permits all still waits for people.
#[test]
fn no_edit_removes_the_guardrails() {
    let empty = PolicySet::parse("").unwrap();
    assert_eq!(empty.evaluate(&assessment(Rank::E, false), &person()).verdict, Verdict::Deny);
    let open = PolicySet::parse("@id(\"all\") permit(principal, action, resource);").unwrap();
    for rank in [Rank::A, Rank::S] {
        let decision = open.evaluate(&assessment(rank, false), &person());
        assert!(matches!(decision.verdict, Verdict::Hold { .. }), "{rank}");
        assert!(decision.policies.contains(&"guard-a-s-need-approval".to_owned()), "{:?}", decision.policies);
    }
    let stolen = "@id(\"guard-a-s-need-approval\") permit(principal, action, resource);";
    let refused = PolicySet::parse(stolen).unwrap_err();
    assert_eq!(refused.policy.as_deref(), Some("guard-a-s-need-approval"));
    assert_eq!(
        PolicySet::parse(PolicySet::guardrails()).unwrap_err().policy.as_deref(),
        Some("guard-a-s-need-approval")
    );
}

#[test]
fn a_refusal_names_the_policy_and_the_place() {
    let told = |text: &str| PolicySet::parse(text).unwrap_err();
    let wrong = told(
        "@id(\"good\")\npermit (principal, action, resource);\n\n@id(\"bad\")\nforbid (principal, action, resource)\nwhen { context.colour == 1 };",
    );
    assert_eq!((wrong.policy.as_deref(), wrong.place), (Some("bad"), Some((6, 8))), "{wrong}");
    assert!(wrong.to_string().starts_with("policy `bad`, line 6, column 8: "), "{wrong}");
    let torn = told("@id(\"x\")\npermit (principal, action resource);");
    assert_eq!((torn.policy.as_deref(), torn.place.map(|(line, _)| line)), (None, Some(2)), "{torn}");
    assert!(
        told("@id(\"a\") permit(principal, action, resource); permit(principal, action, resource);")
            .reason
            .contains("number 2")
    );
}

#[test]
fn sets_that_mean_nothing_are_refused() {
    for wrong in [
        "permit(principal, action, resource) when { context.colour == 1 };",
        "permit(principal, action, resource);",
        "@id(\"a\") permit(principal, action, resource); @id(\"a\") permit(principal, action, resource);",
        "@id(\"a\") permit(principal, action, resource) when { context.rank < \"x\" };",
        "@id(\"a\") permit(principal == ?principal, action, resource);",
        "nonsense",
    ] {
        assert!(PolicySet::parse(wrong).is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn more_risk_is_never_waved_through_further(low in 0_u8..6, high in 0_u8..6, approval: bool, author in 0_usize..5, ceiling in prop::option::of(0_u8..6), runs in 0_u32..5) {
        let authors = [AuthorKind::Person, AuthorKind::Token, AuthorKind::Planner, AuthorKind::Trigger, AuthorKind::Mcp];
        let context = PolicyContext {
            author: authors[author],
            ceiling: ceiling.and_then(Rank::from_level),
            verified_runs: runs,
            ..person()
        };
        let strictness = |rank: u8| {
            let rank = Rank::from_level(rank).unwrap();
            match PolicySet::shipped().evaluate(&assessment(rank, approval), &context).verdict {
                Verdict::Allow => 0,
                Verdict::Flag => 1,
                Verdict::Hold { .. } => 2,
                Verdict::Deny => 3,
            }
        };
        prop_assert!(strictness(low.min(high)) <= strictness(low.max(high)));
    }

    #[test]
    fn reading_policies_never_panics(text in ".{0,200}") {
        let _ = PolicySet::parse(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// A remembered answer is the answer.
    #[test]
    fn asking_again_gives_the_same(asked in prop::collection::vec((0_u8..6, any::<bool>(), 0_u32..5), 1..8)) {
        let remembering = PolicySet::shipped();
        for (rank, approval, verified_runs) in asked {
            let about = PolicyContext { author: AuthorKind::Mcp, verified_runs, ..person() };
            let assessment = assessment(Rank::from_level(rank).unwrap(), approval);
            let fresh = PolicySet::parse(remembering.text()).unwrap();
            prop_assert_eq!(remembering.evaluate(&assessment, &about), fresh.evaluate(&assessment, &about));
        }
    }
}
