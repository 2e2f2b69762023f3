//! Learned playbooks: what several plans have in common, with what differs between them left open.

use std::collections::BTreeMap;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::trust::canonical;
use serde_json::{Map, Value, json};

/// Verified missions of one plan shape that make a playbook worth offering.
pub const RUNS: usize = 3;

/// Parameters that take no expressions: where they differ the plans are different work.
const FIXED: [&str; 3] = ["script", "source", "interpreter"];

/// Inputs of one playbook; plans that differ in more are not one thing done three times.
const MOST_INPUTS: usize = 12;

/// What plans of one kind have in common: the leaves with plain values of their parameters blanked. `None` for a plan
/// without tasks, or one that cannot be written down.
pub fn skeleton(tasks: &[TaskSpec]) -> Option<Digest> {
    if tasks.is_empty() {
        return None;
    }
    let mut leaves = serde_json::to_value(tasks).ok()?;
    for leaf in leaves.as_array_mut()? {
        if let Some(parameters) = leaf.get_mut("with").and_then(Value::as_object_mut) {
            for (_, value) in parameters.iter_mut().filter(|(key, _)| !FIXED.contains(&key.as_str())) {
                blank(value);
            }
        }
    }
    canonical::digest(&leaves).ok()
}

fn blank(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("${{") => {}
        Value::String(_) | Value::Number(_) => *value = Value::Null,
        Value::Array(items) => items.iter_mut().for_each(blank),
        Value::Object(fields) => fields.values_mut().for_each(blank),
        Value::Null | Value::Bool(_) => {}
    }
}

/// A mission as it was written: goal, and its tasks as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub goal: String,
    pub tasks: Value,
}

/// A playbook's body but for its name and description.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub goal: String,
    pub tasks: Value,
    pub input_schema: Value,
}

/// What the runs have in common, written after the first; `None` where they differ in what cannot be left open.
pub fn draft(runs: &[Run]) -> Option<Draft> {
    let (first, others) = runs.split_first()?;
    let mut inputs = Inputs::default();
    let tasks = merge(&first.tasks, &others.iter().map(|run| &run.tasks).collect::<Vec<_>>(), &mut inputs)?;
    if inputs.found.len() > MOST_INPUTS {
        return None;
    }
    let goal = inputs.goal(runs);
    Some(Draft { goal, tasks, input_schema: inputs.schema() })
}

/// Inputs met so far, by the values they had in each run: what is always the same in two places is one input.
#[derive(Default)]
struct Inputs {
    found: Vec<(String, Vec<Value>)>,
}

impl Inputs {
    fn placeholder(&mut self, hint: &str, values: Vec<Value>) -> Value {
        let known = self.found.iter().find(|(_, seen)| *seen == values).map(|(name, _)| name.clone());
        let name = known.unwrap_or_else(|| {
            let base = plain(hint);
            let taken = |name: &str| self.found.iter().any(|(known, _)| known == name);
            let name = (1..10_000_u32)
                .map(|number| if number == 1 { base.clone() } else { format!("{base}_{number}") })
                .find(|name| !taken(name))
                .unwrap_or(base);
            self.found.push((name.clone(), values));
            name
        });
        Value::String(format!("${{{{ inputs.{name} }}}}"))
    }

    /// A goal that fits every run, or the first one's, which is then only an example.
    fn goal(&self, runs: &[Run]) -> String {
        let Some(first) = runs.first() else { return String::new() };
        if runs.iter().all(|run| run.goal == first.goal) {
            return first.goal.clone();
        }
        let fill = |template: &str, run: usize| {
            self.found.iter().fold(template.to_owned(), |text, (name, values)| {
                let value = values[run].as_str().map_or_else(|| values[run].to_string(), str::to_owned);
                text.replace(&format!("${{{{ inputs.{name} }}}}"), &value)
            })
        };
        // The longest value first: one may be part of another.
        let mut named: Vec<(&str, String)> = self
            .found
            .iter()
            .filter_map(|(name, values)| Some((name.as_str(), values[0].as_str()?.to_owned())))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        named.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        let template = named.iter().fold(first.goal.clone(), |text, (name, value)| {
            // Within a placeholder that is there already nothing is replaced.
            if text.contains("${{") {
                text
            } else {
                text.replace(value, &format!("${{{{ inputs.{name} }}}}"))
            }
        });
        let fits = runs.iter().enumerate().all(|(place, run)| fill(&template, place) == run.goal);
        if fits { template } else { format!("As learned from: {}", first.goal.replace("${{", "$ {{")) }
    }

    fn schema(&self) -> Value {
        let properties: Map<String, Value> = self
            .found
            .iter()
            .map(|(name, values)| {
                let kind = match &values[0] {
                    Value::Number(number) if number.is_f64() => "number",
                    Value::Number(_) if values.iter().all(Value::is_i64) => "integer",
                    Value::Number(_) => "number",
                    _ => "string",
                };
                (name.clone(), json!({"type": kind}))
            })
            .collect();
        let required: Vec<_> = properties.keys().cloned().collect();
        json!({"type": "object", "properties": properties, "required": required})
    }
}

/// A name an input may have.
fn plain(hint: &str) -> String {
    let name: String =
        hint.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    let name = name.trim_matches('_').to_owned();
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("value_{name}") }
}

/// Tasks side by side; only parameters may differ.
fn merge(first: &Value, others: &[&Value], inputs: &mut Inputs) -> Option<Value> {
    let first = first.as_array()?;
    let mut tasks = Vec::with_capacity(first.len());
    for (place, task) in first.iter().enumerate() {
        let mut task = task.as_object()?.clone();
        let mut beside = Vec::new();
        for other in others {
            let other = other.as_array().filter(|list| list.len() == first.len())?;
            beside.push(other.get(place)?.as_object()?);
        }
        let parameters = task.get("with").cloned().unwrap_or_else(|| json!({}));
        let given: Vec<_> =
            beside.iter().map(|other| other.get("with").cloned().unwrap_or_else(|| json!({}))).collect();
        let merged = open("", &parameters, &given.iter().collect::<Vec<_>>(), inputs)?;
        for other in beside.iter().copied() {
            let same = |left: &Map<String, Value>, right: &Map<String, Value>| {
                left.iter()
                    .filter(|(key, _)| *key != "with")
                    .eq(right.iter().filter(|(key, _)| *key != "with"))
            };
            if !same(&task, other) {
                return None;
            }
        }
        if merged.as_object().is_some_and(|fields| !fields.is_empty()) {
            task.insert("with".to_owned(), merged);
        }
        tasks.push(Value::Object(task));
    }
    Some(Value::Array(tasks))
}

fn open(key: &str, first: &Value, others: &[&Value], inputs: &mut Inputs) -> Option<Value> {
    if others.iter().all(|other| *other == first) {
        return Some(first.clone());
    }
    if FIXED.contains(&key) {
        return None;
    }
    match first {
        Value::Object(fields) => {
            let mut merged = Map::new();
            let mut beside: Vec<BTreeMap<&String, &Value>> = Vec::new();
            for other in others {
                let other = other.as_object().filter(|other| other.len() == fields.len())?;
                beside.push(other.iter().collect());
            }
            for (name, value) in fields {
                let values: Option<Vec<&Value>> =
                    beside.iter().map(|other| other.get(name).copied()).collect();
                merged.insert(name.clone(), open(name, value, &values?, inputs)?);
            }
            Some(Value::Object(merged))
        }
        Value::Array(items) => {
            let mut merged = Vec::new();
            for (place, item) in items.iter().enumerate() {
                let values: Option<Vec<&Value>> = others
                    .iter()
                    .map(|other| other.as_array().filter(|list| list.len() == items.len())?.get(place))
                    .collect();
                merged.push(open(key, item, &values?, inputs)?);
            }
            Some(Value::Array(merged))
        }
        Value::String(_) | Value::Number(_) => {
            let all: Vec<Value> = std::iter::once(first).chain(others.iter().copied()).cloned().collect();
            let texts = all.iter().all(|value| value.as_str().is_some_and(|text| !text.contains("${{")));
            (texts || all.iter().all(Value::is_number)).then(|| inputs.placeholder(key, all))
        }
        Value::Null | Value::Bool(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(goal: &str, path: &str, count: u32) -> Run {
        let tasks = json!([
            {"id": "fetch", "uses": "http.request", "with": {"url": path, "headers": {"a": "b"}, "script": "x"}},
            {"id": "count", "uses": "shell.run", "needs": ["fetch"], "with": {"script": "wc", "env": {"FROM": path, "MOST": count}}},
        ]);
        Run { goal: goal.to_owned(), tasks }
    }

    #[test]
    fn what_differs_becomes_an_input() {
        let runs =
            [run("count a.csv", "a.csv", 1), run("count b.csv", "b.csv", 2), run("count c.csv", "c.csv", 3)];
        let draft = draft(&runs).unwrap();
        assert_eq!(draft.goal, "count ${{ inputs.url }}");
        assert_eq!(draft.tasks[0]["with"]["url"], "${{ inputs.url }}");
        assert_eq!(
            draft.tasks[1]["with"]["env"],
            json!({"FROM": "${{ inputs.url }}", "MOST": "${{ inputs.most }}"})
        );
        assert_eq!(draft.tasks[1]["with"]["script"], "wc");
        let properties = json!({"url": {"type": "string"}, "most": {"type": "integer"}});
        assert_eq!(draft.input_schema["properties"], properties);
    }

    #[test]
    fn the_same_thrice_has_no_inputs_and_other_work_makes_no_playbook() {
        let same = draft(&[run("count", "a", 1), run("count", "a", 1)]).unwrap();
        assert_eq!((same.goal.as_str(), &same.input_schema["properties"]), ("count", &json!({})));
        let mut other = run("count", "a", 1);
        other.tasks[1]["with"]["script"] = json!("rm");
        assert_eq!(draft(&[run("count", "a", 1), other]), None, "a script is not left open");
        let mut other = run("count", "a", 1);
        other.tasks[1]["uses"] = json!("core.sleep");
        assert_eq!(draft(&[run("count", "a", 1), other]), None);
        assert_eq!(draft(&[]), None);
    }

    #[test]
    fn a_goal_that_fits_no_pattern_is_an_example() {
        let draft = draft(&[run("the first", "a", 1), run("the second", "b", 1)]).unwrap();
        assert_eq!(draft.goal, "As learned from: the first");
    }
}
