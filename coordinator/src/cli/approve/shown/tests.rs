use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, MissionId, PrincipalId, VersionId};
use nexusmon_shared::plan::{Author, Budget};
use serde::de::DeserializeOwned;

use super::*;

fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Every field holds something. Written out, so that a field added later has to be filled here.
fn leaf() -> TaskSpec {
    let machines: Vec<AgentId> = (1..=12).map(AgentId::from_bits).collect();
    TaskSpec {
        id: of(json!("do")),
        uses: of(json!("shell.run")),
        with: of(json!({"script": "set -e\n\techo $CMD\n", "env": {"CMD": "${{ tasks.a.outputs.cmd }}"},
            "args": [1, "x", {"y": null}, []], "keep": false, "cwd": ""})),
        needs: of(json!(["a"])),
        condition: Some("inputs.go".to_owned()),
        for_each: of(json!({"in": "tasks.a.outputs.list", "max": 3, "concurrency": 2})),
        on: of(json!({"labels": {"region": "home"}, "agent": "nas", "same_as": "a", "agents": machines})),
        timeout: of(json!(20)),
        retry: of(json!({"max": 1, "backoff": 1, "jitter": 0.5, "on": ["timeout"]})),
        idempotent: true,
        offline: of(json!(5)),
        sandbox: of(json!({"profile": "network", "network": ["example.org:443"],
            "paths": [{"path": "/srv/data", "write": true}]})),
        secrets: of(json!([{"name": "token", "env": "TOKEN"}])),
        inputs: of(
            json!([{"task": "a", "artifact": "o.csv"}, {"version": VersionId::from_bits(1), "as": "in.csv"}]),
        ),
        artifacts: of(json!(["**/*.txt"])),
        verify: Some("exit_code == 0".to_owned()),
        effects: of(
            json!({"reads": true, "writes": true, "network": true, "spends": true, "irreversible": true}),
        ),
        limits: of(json!({"db": 2})),
        accept: of(json!({"with": {"env": true}, "inputs": {"o.csv": Digest::of(b"o")}})),
        spawn: of(json!({"capabilities": ["shell.run"], "max": 3, "rank": "B"})),
    }
}

fn heading() -> PlanHeader {
    PlanHeader {
        mission: MissionId::from_bits(1),
        goal: "clean up".to_owned(),
        author: Author::Person(PrincipalId::from_bits(1)),
        input_digests: vec![Digest::of(b"in")],
        playbook: Some("clean@3".to_owned()),
        policy_digest: Digest::of(b"policy"),
        plugins: [("files".to_owned(), "1.0.0".to_owned())].into(),
        budget: Budget::default(),
    }
}

/// The value with one thing in it another, for each thing in it and many ways of being another.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => vec![json!(false), json!("null"), json!([])],
        Value::Bool(is) => vec![json!(!is), Value::Null, json!(is.to_string())],
        Value::Number(number) => {
            vec![json!(number.as_f64().unwrap_or_default() + 1.0), json!(number.to_string()), Value::Null]
        }
        Value::String(text) => {
            let mut others: Vec<Value> = ["\u{200b}", "\n", " ", "\u{1b}[2K", "\r", "x"]
                .map(|more| json!(format!("{text}{more}")))
                .into();
            others.extend([json!(format!(" {text}")), json!([text]), Value::Null]);
            others
        }
        Value::Array(items) => {
            let mut all: Vec<Value> = (0..items.len())
                .flat_map(|place| {
                    others(&items[place]).into_iter().map(move |other| {
                        let mut items = items.clone();
                        items[place] = other;
                        Value::Array(items)
                    })
                })
                .collect();
            for place in 0..items.len() {
                let mut fewer = items.clone();
                fewer.remove(place);
                all.push(Value::Array(fewer));
            }
            all.push(Value::Array(items.iter().cloned().chain([json!("more")]).collect()));
            all
        }
        Value::Object(fields) => {
            let mut all = Vec::new();
            for (name, value) in fields {
                for other in others(value) {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), other);
                    all.push(Value::Object(fields));
                }
                let mut renamed = fields.clone();
                renamed.remove(name);
                all.push(Value::Object(renamed.clone()));
                renamed.insert(format!("{name}\u{202e}"), value.clone());
                all.push(Value::Object(renamed));
            }
            all
        }
    }
}

fn every_change_is_seen(value: &Value, text: fn(&Value) -> String) {
    let shown = text(value);
    let others = others(value);
    assert!(others.len() > 20, "{value}");
    for other in others {
        assert_ne!(text(&other), shown, "{other} reads as {value}");
    }
}

#[test]
fn whatever_is_changed_in_a_leaf_or_a_header_is_seen() {
    every_change_is_seen(&whole(leaf()), task_of);
    every_change_is_seen(&whole(heading()), header_of);
}

/// What is left out stands for one value each, so a field that differs from it is seen.
#[test]
fn each_field_alone_is_seen_against_the_usual() {
    let full = whole(leaf());
    let mut plain = full.clone();
    for (name, value) in usual().as_object().unwrap() {
        plain[name] = value.clone();
    }
    let shown = task_of(&plain);
    for name in usual().as_object().unwrap().keys() {
        let mut one = plain.clone();
        one[name] = full[name].clone();
        assert_ne!(one, plain, "`{name}` is filled above");
        assert_ne!(task_of(&one), shown, "{name}");
        for other in others(&plain[name]) {
            one[name] = other;
            assert_ne!(task_of(&one), shown, "{one}");
        }
    }
}

#[test]
fn a_person_reads_what_they_sign() {
    let text = task(&leaf());
    for line in [
        "  id: do",
        "  sandbox:",
        "    network: [example.org:443]",
        "  secrets:",
        "  verify: exit_code == 0",
        "      CMD: ${{ tasks.a.outputs.cmd }}",
        "    script:",
        "      | set -e",
        "      | ‹U+0009›echo $CMD",
        "  retry:",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    let accept = text.split("  accept:\n").nth(1).unwrap_or_default();
    assert!(accept.contains("with: {env true}"), "{text}");
    for machine in leaf().on.agents {
        assert!(text.contains(&machine.to_string()), "{machine}\n{text}");
    }
    assert!(header(&heading()).contains("  goal: clean up\n"), "{}", header(&heading()));
}

#[test]
fn outside_text_is_inert_and_names_no_field() {
    let evil = "a\u{1b}[2J\r\u{202e}b\u{e0041}\u{2028}c";
    let text = document(
        "subject",
        &json!({(evil): evil, "block": format!("x\n{evil}"), "list": [evil], "a: b": "c"}),
    );
    assert!(text.chars().all(|letter| letter == '\n' || !is_unseen(letter)), "{text:?}");
    assert!(text.contains("a‹U+001B›[2J‹U+000D›‹U+202E›b‹U+E0041›‹U+2028›c"), "{text}");
    assert!(text.contains("  \"a: b\": c\n"), "{text}");
    // Text that looks like something else is quoted.
    let text = document("subject", &json!({"a": "true", "b": true, "c": "[]", "d": [], "e": "", "f": " x"}));
    assert_eq!(text, "subject\n  a: \"true\"\n  b: true\n  c: \"[]\"\n  d: []\n  e: \"\"\n  f: \" x\"\n");
}
