use serde_json::{Map, Value, json};

use super::*;
use crate::id::AgentId;
use crate::plan::TaskSpec;
use crate::schema::Violation;
use crate::selector::{Labels, Selector};

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(fields) = value else { panic!("an object") };
    fields
}

fn leaf(with: Value) -> TaskSpec {
    serde_json::from_value(json!({
        "id": "build", "uses": "shell.run", "with": with, "needs": [], "if": null, "for_each": null, "on": {},
        "timeout": 60, "retry": {"max": 0, "backoff": 1, "jitter": 0.0, "on": []}, "idempotent": false, "offline": 0,
        "sandbox": {"profile": "strict"}, "inputs": [], "artifacts": [], "verify": null,
        "effects": crate::effects::Effects::default(), "limits": {}
    }))
    .unwrap()
}

fn open_leaf() -> TaskSpec {
    leaf(json!({
        "script": "make", "env": {"TARGET": "${{ inputs.target }}", "NAME": "app-${{ inputs.target }}-${{ inputs.number }}"},
        "list": ["${{ inputs.number }}", "${{ tasks.a.outputs.b }}"]
    }))
}

fn standing() -> StandingApproval {
    StandingApproval {
        organism: ORGANISM,
        author: Author::Person(principal(1)),
        shape: shape([&open_leaf()]).unwrap().root(),
        input_schema: json!({
            "type": "object", "required": ["target"], "additionalProperties": false,
            "properties": {"target": {"enum": ["staging", "production"]}, "number": {"type": "integer", "maximum": 9}}
        }),
        selector: Selector {
            labels: Labels::from([("region".to_owned(), "home".to_owned())]),
            agent: None,
            agents: None,
        },
        max_rank: Rank::A,
        expires_at: NOW + HOUR * 24 * 90,
        uses: 100,
    }
}

fn home() -> Labels {
    Labels::from([("region".to_owned(), "home".to_owned())])
}

#[test]
fn a_near_miss_names_the_bound() {
    let (standing, home, inputs) = (standing(), home(), object(json!({"target": "staging", "number": 3})));
    let good = Use {
        organism: ORGANISM,
        shape: standing.shape,
        inputs: &inputs,
        agent: AgentId::from_bits(1),
        labels: &home,
        rank: Rank::A,
        at: NOW,
        used: 99,
    };
    assert_eq!(standing.covers(&good), Ok(()));
    let misses = |wish: Use<'_>| standing.covers(&wish).unwrap_err();
    assert_eq!(misses(Use { organism: OrganismId::from_bits(9), ..good }), NearMiss::Organism);
    assert_eq!(misses(Use { shape: Digest::of(b"other"), ..good }), NearMiss::Shape);
    assert_eq!(misses(Use { at: standing.expires_at, ..good }), NearMiss::Expired(standing.expires_at));
    assert_eq!(misses(Use { used: 100, ..good }), NearMiss::UsesSpent(100));
    assert_eq!(misses(Use { labels: &Labels::new(), ..good }), NearMiss::Selector);
    assert_eq!(misses(Use { rank: Rank::S, ..good }), NearMiss::Rank { rank: Rank::S, most: Rank::A });
    let wrong = object(json!({"target": "staging", "number": 30}));
    let NearMiss::Inputs(violations) = misses(Use { inputs: &wrong, ..good }) else { panic!("the inputs") };
    let pointers: Vec<_> = violations.iter().map(|Violation { pointer, .. }| pointer.as_str()).collect();
    assert_eq!(pointers, ["/number"]);
    // Whatever a text claims, S is never covered.
    let s = StandingApproval { max_rank: Rank::S, ..standing.clone() };
    assert_eq!(
        s.covers(&Use { rank: Rank::S, ..good }),
        Err(NearMiss::Rank { rank: Rank::S, most: Rank::A })
    );
}

#[test]
fn it_is_approved_like_anything_else_and_lasts_longer() {
    let (roster, standing) = (roster(), standing());
    let claim = Claim {
        organism: ORGANISM,
        subject: SubjectKind::StandingApproval,
        digest: standing.digest(),
        mission: None,
        rank: standing.max_rank,
        author: &standing.author,
    };
    let statement = Statement {
        subject: SubjectKind::StandingApproval,
        digest: standing.digest(),
        mission: None,
        valid_until: standing.expires_at,
        ..statement(2)
    };
    assert!(enough(&roster, &[statement.sign(&signing(2))], &claim, NOW).is_ok());
    let refusal = enough(&roster, &[statement.sign(&signing(1))], &claim, NOW).unwrap_err();
    assert!(refusal.to_string().contains("author"), "{refusal}");
    let endless = Statement { valid_until: NOW + HOUR * 24 * 400, ..statement };
    let refusal = enough(&roster, &[endless.sign(&signing(2))], &claim, NOW).unwrap_err();
    assert!(matches!(refusal, Refusal::NotEnough { faults, .. } if faults[0].reason == Reason::ValidTooLong));
}

#[test]
fn texts_that_cannot_be_one_are_refused() {
    let read = |standing: &StandingApproval| {
        StandingApproval::read(&crate::trust::canonical::to_bytes(standing).unwrap())
    };
    assert_eq!(read(&standing()).unwrap(), standing());
    let refused = |standing: StandingApproval| read(&standing).unwrap_err();
    assert!(matches!(refused(StandingApproval { max_rank: Rank::S, ..standing() }), InvalidStanding::RankS));
    assert!(matches!(refused(StandingApproval { uses: 0, ..standing() }), InvalidStanding::Uses));
    let bad = StandingApproval { input_schema: json!({"type": "strnig"}), ..standing() };
    assert!(matches!(refused(bad), InvalidStanding::Schema(_)));
    // A number that canonical JSON cannot carry must not stand for another one.
    let text = String::from_utf8(crate::trust::canonical::to_bytes(&standing()).unwrap()).unwrap();
    let inexact = text.replace("\"maximum\":9", "\"maximum\":9007199254740993");
    assert!(matches!(
        StandingApproval::read(inexact.as_bytes()),
        Err(InvalidStanding::Unreadable(ReadError::NotCanonical))
    ));
}

#[test]
fn an_open_leaf_is_closed_with_the_inputs_alone() {
    let inputs = object(json!({"target": "staging", "number": 3}));
    let closed = close(&open_leaf(), &inputs).unwrap();
    let expected = leaf(json!({
        "script": "make", "env": {"TARGET": "staging", "NAME": "app-staging-3"},
        "list": [3, "${{ tasks.a.outputs.b }}"]
    }));
    assert_eq!(closed, expected);
    let with = |value: Value, inputs: Value| close(&leaf(json!({"x": value})), &object(inputs)).unwrap_err();
    let input = json!({"a": 1});
    assert_eq!(with(json!("${{ inputs.b }}"), input.clone()), OpenLeafError::Missing("inputs.b".to_owned()));
    for complex in ["inputs.a + 1", "inputs['a']", "size(inputs)", "inputs.a.b", "inputs."] {
        let error = with(json!(format!("${{{{ {complex} }}}}")), input.clone());
        assert_eq!(error, OpenLeafError::Complex(complex.to_owned()));
    }
    assert_eq!(with(json!("${{ inputs.a }} ${{ tasks.b.outputs.c }}"), input.clone()), OpenLeafError::Mixed);
    assert!(matches!(with(json!("${{ inputs.a"), input), OpenLeafError::Unclosed(_)));
    // An input must not bring an expression with it, nor make one together with its surroundings.
    for bad in [json!("${{ tasks.a.outputs.b }}"), json!(["${{ x }}"]), json!({"${{ x }}": 1})] {
        let error = with(json!("${{ inputs.a }}"), json!({"a": bad}));
        assert_eq!(error, OpenLeafError::Expression("inputs.a".to_owned()));
    }
    assert_eq!(with(json!("${{ inputs.a }}{{ x }}"), json!({"a": "$"})), OpenLeafError::Mixed);
}

#[test]
fn expressions_take_inputs_as_literals() {
    let inputs = object(
        json!({"hosts": ["a", "b"], "deep": true, "text": "it's \"x\" \\ inputs.deep", "bad": "${{ x }}"}),
    );
    let close = |change: fn(&mut TaskSpec)| {
        let mut open = leaf(json!({}));
        change(&mut open);
        close(&open, &inputs)
    };
    let condition = |text: &'static str| {
        let mut open = leaf(json!({}));
        open.condition = Some(text.to_owned());
        super::super::close(&open, &inputs).map(|closed| closed.condition.unwrap())
    };
    assert_eq!(condition("inputs.deep && 1 < 2").unwrap(), "(true) && 1 < 2");
    assert_eq!(condition("'inputs.deep' == x.inputs.y").unwrap(), "'inputs.deep' == x.inputs.y");
    assert_eq!(
        condition("inputs.text == \"a\\\"b\"").unwrap(),
        "(\"it's \\\"x\\\" \\\\ inputs.deep\") == \"a\\\"b\""
    );
    assert_eq!(condition("my_inputs.deep").unwrap(), "my_inputs.deep");
    for refused in [
        "inputs",
        "inputs['deep']",
        "inputs.deep()",
        "r'inputs.deep'",
        "\"\"\"inputs\"\"\"",
        "inputs.1",
        "inputs.deep // x",
        "'inputs",
        "inputs . deep",
    ] {
        assert!(matches!(condition(refused), Err(OpenLeafError::Complex(_))), "{refused}");
    }
    assert_eq!(condition("inputs.nothing"), Err(OpenLeafError::Missing("inputs.nothing".to_owned())));
    assert_eq!(condition("inputs.bad"), Err(OpenLeafError::Expression("inputs.bad".to_owned())));
    let each = close(|open| {
        open.for_each = Some(serde_json::from_value(json!({"in": "inputs.hosts", "max": 3})).unwrap());
        open.verify = Some("outputs.ok == inputs.deep".to_owned());
    })
    .unwrap();
    assert_eq!(each.for_each.unwrap().list, "([\"a\",\"b\"])");
    assert_eq!(each.verify.unwrap(), "outputs.ok == (true)");
}

#[test]
fn a_leaf_is_covered_wherever_it_runs_and_only_with_these_inputs() {
    let inputs = object(json!({"target": "staging", "number": 3}));
    let mut planned = close(&open_leaf(), &inputs).unwrap();
    planned.on.agents.insert(AgentId::from_bits(7));
    assert_eq!(is_closed(&open_leaf(), &inputs, &planned), Ok(true));
    assert_eq!(shape([&open_leaf()]).unwrap().root(), {
        let mut named = open_leaf();
        named.on.agents.insert(AgentId::from_bits(8));
        shape([&named]).unwrap().root()
    });
    let other = object(json!({"target": "production", "number": 3}));
    assert_eq!(is_closed(&open_leaf(), &other, &planned), Ok(false));
    planned.retry.max = 5;
    assert_eq!(is_closed(&open_leaf(), &inputs, &planned), Ok(false));
}

proptest! {
    #[test]
    fn any_changed_field_is_another_standing_approval(pick in 0_usize..8) {
        let mut changed = standing();
        match pick {
            0 => changed.organism = OrganismId::from_bits(2),
            1 => changed.author = planner(),
            2 => changed.shape = Digest::of(b"other"),
            3 => changed.input_schema = json!(true),
            4 => changed.selector.agent = Some(AgentId::from_bits(1)),
            5 => changed.max_rank = Rank::B,
            6 => changed.expires_at = changed.expires_at + HOUR,
            _ => changed.uses += 1,
        }
        prop_assert_ne!(changed.digest(), standing().digest());
    }

    #[test]
    fn outside_expressions_never_panic(text in "[a-z.'\"\\\\/() é0-9]{0,60}") {
        let mut open = leaf(json!({}));
        open.condition = Some(format!("inputs.a {text}"));
        let inputs = object(json!({"a": 1}));
        if let Ok(closed) = close(&open, &inputs) {
            prop_assert!(closed.condition.unwrap().starts_with("(1) "));
        }
    }

    #[test]
    fn outside_templates_never_panic(text in "[${} a-z.]{0,60}", value in "[${} a-z.]{0,20}") {
        if let Ok(closed) = close(&leaf(json!({"x": text})), &object(json!({"a": value}))) {
            prop_assert!(closed.with.contains_key("x"));
        }
    }
}
