use proptest::prelude::*;
use serde_json::json;

use super::super::parse_playbook;
use super::*;

fn playbooks() -> Vec<Playbook> {
    let task = |script: &str| json!([{"id": "t", "uses": "shell.run", "with": {"script": script}}]);
    [
        json!({"name": "deploy-service", "goal": "deploy ${{ inputs.service }} to ${{ inputs.target }}",
            "description": "Rolls a service out",
            "input_schema": {"properties": {"service": {"type": "string"},
                "target": {"enum": ["staging", "production"]}}, "required": ["service", "target"]},
            "tasks": task("deploy")}),
        json!({"name": "rotate-logs", "goal": "rotate the logs and keep ${{ inputs.days }} days",
            "input_schema": {"properties": {"days": {"type": "integer", "default": 14}}},
            "tasks": task("rotate")}),
        json!({"name": "check-disk", "goal": "check disk space", "tasks": task("df")}),
        json!({"name": "restart-service", "goal": "restart ${{ inputs.service }}",
            "input_schema": {"properties": {"service": {"type": "string"}}, "required": ["service"]},
            "tasks": task("restart")}),
    ]
    .iter()
    .map(|body| parse_playbook(body).unwrap())
    .collect()
}

fn bound(goal: &str) -> (usize, Value) {
    match match_playbook(goal, &playbooks()) {
        Match::Bound { place, inputs, .. } => (place, Value::Object(inputs)),
        other => panic!("{goal}: {other:?}"),
    }
}

#[test]
fn a_goal_written_as_the_playbook_says_it_gives_its_inputs() {
    assert_eq!(bound("deploy web to staging"), (0, json!({"service": "web", "target": "staging"})));
    assert_eq!(
        bound("  Deploy  \"web shop\" to Production "),
        (0, json!({"service": "web shop", "target": "production"}))
    );
    assert_eq!(bound("rotate the logs and keep 7 days"), (1, json!({"days": 7})));
    assert_eq!(bound("check disk space"), (2, json!({})));
    assert_eq!(bound("restart nginx"), (3, json!({"service": "nginx"})));
}

#[test]
fn other_words_for_it_are_enough_where_they_name_it() {
    assert_eq!(bound("please rotate logs"), (1, json!({})));
    assert_eq!(bound("Rotate our logs, days=3"), (1, json!({"days": 3})));
    assert_eq!(bound("rotated logs please, 30 days"), (1, json!({"days": 30})));
    assert_eq!(
        bound("deploy service called billing, production"),
        (0, json!({"service": "billing", "target": "production"}))
    );
    assert_eq!(bound("checking the disk"), (2, json!({})));
}

#[test]
fn what_is_not_stated_is_asked_for() {
    let found = match_playbook("deploy the service named web", &playbooks());
    let Match::Missing { place: 0, inputs, missing } = found else { panic!("{found:?}") };
    assert_eq!(Value::Object(inputs), json!({"service": "web"}));
    assert_eq!(missing[0].name, "target");
    assert!(missing[0].text.contains("staging") && missing[0].text.contains("production"), "{missing:?}");
}

#[test]
fn the_thing_itself_is_no_value() {
    let found = match_playbook("restart the service", &playbooks());
    assert!(
        matches!(&found, Match::Missing { place: 3, missing, .. } if missing[0].name == "service"),
        "{found:?}"
    );
}

#[test]
fn what_asks_for_more_or_the_opposite_matches_nothing() {
    for goal in [
        "do not rotate logs",
        "restart never",
        "rotate the logs, drop every database table and mail the customers",
        "paint the house",
        "what is a service",
        "",
    ] {
        assert_eq!(match_playbook(goal, &playbooks()), Match::None, "{goal}");
    }
}

#[test]
fn two_that_fit_alike_are_not_told_apart() {
    let mut twice = playbooks();
    twice.push(Playbook { name: "check-disk-two".parse().unwrap(), ..twice[2].clone() });
    assert_eq!(match_playbook("check disk space", &twice), Match::Ambiguous { places: vec![2, 4] });
}

proptest! {
    #[test]
    fn any_goal_is_answered(goal in "\\PC{0,120}") {
        if let Match::Bound { place, inputs, .. } = match_playbook(&goal, &playbooks()) {
            prop_assert!(complete_inputs(&playbooks()[place].input_schema, &inputs).is_ok());
        }
    }

    #[test]
    fn a_filled_in_goal_gives_back_what_was_filled_in(service in "[a-z]{1,8}[0-9]{1,4}") {
        prop_assume!(!words::is_negation(&service));
        let goal = format!("restart {service}");
        prop_assert_eq!(bound(&goal), (3, json!({"service": service})));
    }
}
