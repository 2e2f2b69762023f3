use proptest::prelude::*;
use serde_json::json;

use super::*;

fn context() -> Context {
    let inputs =
        json!({"name": "x", "list": [1, 2, 3], "deep": {"a": {"b": null}}, "big": 9_007_199_254_740_993_i64});
    let Value::Object(inputs) = inputs else { unreachable!() };
    let mut context = Context::new(inputs, Map::new());
    context.task("fetch", TaskStatus::Succeeded, Some(json!({"lines": 1000, "ok": true})));
    context.task("lost", TaskStatus::Failed, None);
    context
}

fn value(source: &str) -> Value {
    Expression::parse(source)
        .and_then(|parsed| parsed.evaluate(&context()))
        .unwrap_or_else(|e| panic!("{source}: {e}"))
}

fn error(source: &str) -> ExpressionError {
    match Expression::parse(source).and_then(|parsed| parsed.evaluate(&context())) {
        Ok(value) => panic!("{source} gave {value}"),
        Err(error) => error,
    }
}

#[test]
fn the_language_is_cel() {
    for (source, wanted) in [
        ("1 + 2 * 3", json!(7)),
        ("7 / 2", json!(3)),
        ("-7 % 3", json!(-1)),
        ("1.5 + 1.0", json!(2.5)),
        ("inputs.big", json!(9_007_199_254_740_993_i64)),
        ("'a' + \"b\"", json!("ab")),
        ("[1] + [2]", json!([1, 2])),
        ("{'a': [1, null]}", json!({"a": [1, null]})),
        ("1 == 1.0", json!(true)),
        ("tasks.fetch.outputs.lines > 0 && tasks['fetch'].state == 'succeeded'", json!(true)),
        ("tasks.lost.state", json!("failed")),
        ("has(tasks.fetch.outputs.lines)", json!(true)),
        ("has(tasks.fetch.outputs.nothing)", json!(false)),
        ("inputs.list.map(x, x * 2)", json!([2, 4, 6])),
        ("inputs.list.map(x, x > 1, string(x))", json!(["2", "3"])),
        ("inputs.list.filter(x, x != 2)", json!([1, 3])),
        ("inputs.list.all(x, x > 0)", json!(true)),
        ("inputs.list.exists(x, x > 2)", json!(true)),
        ("inputs.list.exists_one(x, x > 2)", json!(true)),
        ("inputs.deep.map(k, k)", json!(["a"])),
        ("[[1, 2], [3]].map(l, l.map(x, x + l[0]))", json!([[2, 3], [6]])),
        ("2 in inputs.list && !('z' in inputs.deep)", json!(true)),
        ("false && (1 / 0 == 1)", json!(false)),
        ("(1 / 0 == 1) || true", json!(true)),
        ("[1, 0].exists(x, 1 / x == 1)", json!(true)),
        ("true ? 'yes' : 1 / 0", json!("yes")),
        ("size('äöü') + size(inputs.list)", json!(6)),
        ("'abc'.startsWith('a') && 'abc'.endsWith('c') && 'abc'.contains('b')", json!(true)),
        ("'abc123'.matches('^[a-z]+[0-9]+$')", json!(true)),
        ("int('42') + int(1.9)", json!(43)),
        ("double(1) / 2.0", json!(0.5)),
        ("string(inputs.big)", json!("9007199254740993")),
    ] {
        assert_eq!(value(source), wanted, "{source}");
    }
}

#[test]
fn mistakes_are_said_in_words() {
    for (source, wanted) in [
        ("nothing", "there is no `nothing`"),
        ("inputs.nothing", "no field `nothing`"),
        ("inputs.list[3]", "outside the list"),
        ("1 + 1.0", "do not mix"),
        ("1 / 0", "division by zero"),
        ("9223372036854775807 * 9223372036854775807", "64 bits"),
        ("foo(1)", "there is no `foo`"),
        ("1 < 'a'", "have no order"),
        ("[1].map(1, 2)", "must be a simple name"),
        ("b'abc'", "byte literals"),
        ("Some{a: 1}", "not supported"),
    ] {
        let found = error(source).to_string();
        assert!(found.contains(wanted), "{source}: {found}");
    }
}

#[test]
fn no_expression_runs_away() {
    let long = "[0,1,2,3,4,5,6,7,8,9]";
    let mut nested = "0".to_owned();
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        nested = format!("{long}.map({name}, {nested})");
    }
    assert!(matches!(error(&nested), ExpressionError::TooManySteps | ExpressionError::TooBig));
    let doubling = format!("['aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa']{}", ".map(x, x + x)".repeat(40));
    assert!(matches!(error(&doubling), ExpressionError::TooBig), "{:?}", error(&doubling));
    let absorbed = format!("({doubling} == []) || true");
    assert!(matches!(error(&absorbed), ExpressionError::TooBig), "a limit is never absorbed");
}

#[test]
fn references_are_found_without_evaluating() {
    let of = |source: &str| Expression::parse(source).unwrap().references();
    let found = of("tasks.a.outputs.n > 1 && tasks['b'].state == 'failed' && inputs.x");
    assert_eq!(found.tasks.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(found.states.iter().map(String::as_str).collect::<Vec<_>>(), ["b"]);
    assert!(!found.any_task && found.names_states() && found.variables.contains("inputs"));
    assert!(of("tasks.map(t, t)").any_task);
    assert!(of("tasks[inputs.which].state == 'failed'").any_task);
    let bound = of("inputs.list.map(item, item + 1)");
    assert!(!bound.variables.contains("item"), "{bound:?}");
    assert!(of("item.name").variables.contains("item"));
    assert!(of("has(tasks.a.outputs.x)").tasks.contains("a"));
}

#[test]
fn parameters_are_filled() {
    let with = json!({
        "whole": "${{ tasks.fetch.outputs }}", "text": "n=${{ tasks.fetch.outputs.lines }}, ${{ inputs.list }}",
        "plain": [1, "x"], "deep": {"a": ["${{ inputs.name }}"]}
    });
    let Value::Object(with) = with else { unreachable!() };
    let filled = evaluate_with(&with, &context()).unwrap();
    assert_eq!(
        Value::Object(filled.clone()),
        json!({"whole": {"lines": 1000, "ok": true}, "text": "n=1000, [1,2,3]", "plain": [1, "x"], "deep": {"a": ["x"]}})
    );
    assert!(nexusmon_shared::expression::agrees(&Value::Object(with.clone()), &Value::Object(filled)));
    let errors = Templates::parse(json!({"a/b": ["${{ 1 + }}", "${{ 1"]}).as_object().unwrap()).unwrap_err();
    assert_eq!(errors[0].0, "/a~1b/0");
    assert_eq!(errors[1], ("/a~1b/1".to_owned(), ExpressionError::Unclosed));
}

#[test]
fn too_large_parameters_are_refused() {
    let mut context = context();
    context.item(Value::String("x".repeat(300_000)), 0);
    let with = json!({"a": "${{ item }}", "b": "${{ item }}"});
    let found = evaluate_with(with.as_object().unwrap(), &context);
    assert!(matches!(found, Err(ExpressionError::ParametersTooLarge { .. })), "{found:?}");
}

fn source() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "1",
        "0",
        "2.5",
        "'a'",
        "true",
        "false",
        "null",
        "[]",
        "[1, 2, 3]",
        "{'k': 1}",
        "inputs.list",
        "inputs.name",
        "inputs.deep",
        "tasks.fetch.outputs.lines",
        "x",
        "9223372036854775807",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (
                inner.clone(),
                prop::sample::select(vec!["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "in"]),
                inner.clone()
            )
                .prop_map(|(l, op, r)| format!("({l} {op} {r})")),
            (
                inner.clone(),
                prop::sample::select(vec!["map", "filter", "all", "exists", "exists_one"]),
                inner.clone()
            )
                .prop_map(|(l, f, body)| format!("{l}.{f}(x, {body})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
            inner.clone().prop_map(|l| format!("size({l})")),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("{l}[{r}]")),
            inner.prop_map(|l| format!("!({l})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Where both give a value, ours and the `cel` crate's own interpreter give the same.
    #[test]
    fn we_agree_with_the_reference_interpreter(source in source()) {
        let context = context();
        let Ok(parsed) = Expression::parse(&source) else { return Ok(()) };
        let Ok(ours) = parsed.evaluate(&context) else { return Ok(()) };
        let mut theirs = cel::Context::default();
        for (name, value) in &context.variables {
            theirs.add_variable(name.clone(), value.clone()).unwrap();
        }
        let program = cel::Program::compile(&source).unwrap();
        if let Ok(value) = program.execute(&theirs) {
            let reference = value.json().unwrap();
            let mut steps = 0;
            prop_assert!(value::equal(&ours, &reference, &mut steps), "{source}: {ours} and {reference}");
        }
    }

    #[test]
    fn evaluating_never_panics(source in ".{0,80}") {
        if let Ok(parsed) = Expression::parse(&source) {
            let _ = parsed.evaluate(&context());
            let _ = parsed.references();
        }
    }
}
