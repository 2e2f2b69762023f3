//! Playbooks: a mission with its inputs left open, and how values are put in.

use std::collections::BTreeSet;

use nexusmon_shared::name::Name;
use nexusmon_shared::plan::{TaskDraft, TaskSpec};
use nexusmon_shared::schema::Schema;
use nexusmon_shared::trust::approval::{OpenLeafError, close_draft, close_line};
use serde_json::{Map, Value, json};

use super::follow_up::{self, FollowUp};
use super::mission_body::parse_mission;
use super::{BoundPlan, Invalid, MissionDraft};

const MAX_DESCRIPTION_BYTES: usize = 4096;
/// Beside those of a mission's body.
const OWN: [&str; 4] = ["name", "description", "input_schema", "then"];

/// A playbook as people write it, every field read.
#[derive(Debug, Clone, PartialEq)]
pub struct Playbook {
    pub name: Name,
    pub description: Option<String>,
    /// JSON Schema of the inputs; an object's, without more fields than it names.
    pub input_schema: Value,
    /// The mission it makes, its inputs open.
    pub mission: MissionDraft,
    /// What should follow a mission made from it.
    pub then: Vec<FollowUp>,
}

/// `name` or `name@version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaybookRef {
    pub name: Name,
    pub version: Option<u32>,
}

impl std::str::FromStr for PlaybookRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected the name of a playbook, or name@version".to_owned();
        let (name, version) = match text.split_once('@') {
            None => (text, None),
            Some((name, version)) => {
                (name, Some(version.parse().ok().filter(|v| *v > 0).ok_or_else(expected)?))
            }
        };
        Ok(Self { name: name.parse().map_err(|_| expected())?, version })
    }
}

/// Reads a playbook's body: `name`, `description`, `input_schema`, `then`, and what a mission has.
pub fn parse_playbook(body: &Value) -> Result<Playbook, Vec<Invalid>> {
    let Some(fields) = body.as_object() else {
        return Err(vec![Invalid::new("", "wrong_type", "a playbook is a JSON object")]);
    };
    let mut errors = Vec::new();
    let mut mission = fields.clone();
    for own in OWN {
        mission.remove(own);
    }
    for refused in ["playbook", "inputs", "start"] {
        if mission.remove(refused).is_some() {
            let message = format!("a playbook has no `{refused}`: a mission made from it does");
            errors.push(Invalid::new(format!("/{refused}"), "unknown_field", message));
        }
    }
    let name = match fields.get("name").and_then(Value::as_str).map(str::parse::<Name>) {
        Some(Ok(name)) => Some(name),
        Some(Err(error)) => {
            errors.push(Invalid::new("/name", "wrong_value", error.to_string()));
            None
        }
        None => {
            errors.push(Invalid::new("/name", "missing_field", "a playbook needs a `name`"));
            None
        }
    };
    let description = match fields.get("description") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.len() <= MAX_DESCRIPTION_BYTES => Some(text.clone()),
        Some(_) => {
            let message = format!("`description` is text of at most {MAX_DESCRIPTION_BYTES} bytes");
            errors.push(Invalid::new("/description", "wrong_value", message));
            None
        }
    };
    let input_schema = schema(fields.get("input_schema"), &mut errors);
    if mission.get("tasks").is_none_or(Value::is_null) {
        errors.push(Invalid::new("", "missing_field", "a playbook needs `tasks`"));
    }
    let then = follow_up::parse(fields.get("then"), &mut errors);
    let mission = match parse_mission(&Value::Object(mission)) {
        Ok(mission) => Some(mission),
        Err(more) => {
            errors.extend(more);
            None
        }
    };
    if let (Some(mission), Some(schema)) = (&mission, &input_schema) {
        check_names(mission, schema, &mut errors);
    }
    match (name, input_schema, mission) {
        (Some(name), Some(input_schema), Some(mission)) if errors.is_empty() => {
            Ok(Playbook { name, description, input_schema, mission, then })
        }
        _ => {
            errors.truncate(super::task_body::MAX_READ_ERRORS);
            Err(errors)
        }
    }
}

/// The schema of the inputs: an object's, which takes nothing that it does not name.
fn schema(given: Option<&Value>, errors: &mut Vec<Invalid>) -> Option<Value> {
    let mut schema = match given {
        None | Some(Value::Null) => json!({}),
        Some(schema @ Value::Object(_)) => schema.clone(),
        Some(_) => {
            let message = "`input_schema` is a JSON Schema of an object";
            errors.push(Invalid::new("/input_schema", "wrong_type", message));
            return None;
        }
    };
    let fields = schema.as_object_mut()?;
    if fields.get("type").is_some_and(|kind| kind != "object") {
        let message = "inputs are an object: say `type: object`, or leave it out";
        errors.push(Invalid::new("/input_schema/type", "wrong_value", message));
        return None;
    }
    fields.insert("type".to_owned(), json!("object"));
    fields.entry("properties").or_insert_with(|| json!({}));
    fields.entry("additionalProperties").or_insert_with(|| json!(false));
    match Schema::compile(&schema) {
        Ok(_) => Some(schema),
        Err(error) => {
            errors.push(Invalid::new("/input_schema", "bad_schema", error.to_string()));
            None
        }
    }
}

/// Every input that is named is one that is always there.
fn check_names(mission: &MissionDraft, schema: &Value, errors: &mut Vec<Invalid>) {
    let required: BTreeSet<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object();
    let always: Map<String, Value> = properties
        .into_iter()
        .flatten()
        .filter(|(name, of)| required.contains(name.as_str()) || of.get("default").is_some())
        .map(|(name, _)| (name.clone(), json!(0)))
        .collect();
    let mut refuse = |pointer: String, error: OpenLeafError| {
        let message = match error {
            OpenLeafError::Missing(name) => format!(
                "`{name}` is not always given: list it under `properties` of `input_schema`, and make it `required` or \
                 give it a `default`"
            ),
            other => other.to_string(),
        };
        errors.push(Invalid::new(pointer, "bad_input", message));
    };
    if let Err(error) = close_line(&mission.goal, &always) {
        refuse("/goal".to_owned(), error);
    }
    for (index, task) in mission.tasks.iter().flatten().enumerate() {
        if let Err(error) = close_draft(task, &always) {
            refuse(format!("/tasks/{index}"), error);
        }
    }
}

/// Defaults put in, then held against the schema.
pub fn complete_inputs(
    schema: &Value,
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<Invalid>> {
    let mut inputs = given.clone();
    for (name, of) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(default) = of.get("default").filter(|_| !inputs.contains_key(name)) {
            inputs.insert(name.clone(), default.clone());
        }
    }
    let compiled = Schema::compile(schema)
        .map_err(|error| vec![Invalid::new("/inputs", "bad_schema", error.to_string())])?;
    match compiled.check(&Value::Object(inputs.clone())) {
        Ok(()) => Ok(inputs),
        Err(violations) => Err(violations
            .into_iter()
            .map(|violation| {
                Invalid::new(format!("/inputs{}", violation.pointer), "bad_input", violation.message)
            })
            .collect()),
    }
}

/// The goal and the tasks with the inputs put in.
pub fn fill(
    mission: &MissionDraft,
    inputs: &Map<String, Value>,
) -> Result<(String, Vec<TaskDraft>), Vec<Invalid>> {
    let wrong =
        |pointer: String, error: OpenLeafError| vec![Invalid::new(pointer, "bad_input", error.to_string())];
    let goal = close_line(&mission.goal, inputs).map_err(|error| wrong("/goal".to_owned(), error))?;
    let mut tasks = Vec::new();
    for (index, task) in mission.tasks.iter().flatten().enumerate() {
        tasks.push(close_draft(task, inputs).map_err(|error| wrong(format!("/tasks/{index}"), error))?);
    }
    Ok((goal, tasks))
}

/// Tasks that can be bound without any inputs, to learn the shape: what else than `with` names one says nothing yet.
pub fn unfilled(mission: &MissionDraft) -> Vec<TaskDraft> {
    let names_inputs = |text: &String| text.contains("inputs");
    let mut tasks = mission.tasks.clone().unwrap_or_default();
    for task in &mut tasks {
        task.condition = task.condition.take().filter(|text| !names_inputs(text));
        task.verify = task.verify.take().filter(|text| !names_inputs(text));
        if let Some(each) = task.for_each.as_mut().filter(|each| names_inputs(&each.list)) {
            "[]".clone_into(&mut each.list);
        }
    }
    tasks
}

/// The leaves of a bound plan with the inputs open again, as they are written in the playbook.
pub fn open_leaves(bound: &BoundPlan, mission: &MissionDraft) -> Vec<TaskSpec> {
    let drafts = mission.tasks.as_deref().unwrap_or_default();
    let open = bound.tasks.iter().zip(drafts).map(|(task, draft)| {
        let mut spec = task.spec.clone();
        spec.with.clone_from(&draft.with);
        spec.condition.clone_from(&draft.condition);
        spec.for_each.clone_from(&draft.for_each);
        spec.verify.clone_from(&draft.verify);
        spec.on.agents.clear();
        spec
    });
    open.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> Value {
        json!({
            "name": "deploy", "goal": "deploy ${{ inputs.target }}",
            "input_schema": {"properties": {"target": {"enum": ["a", "b"]}, "deep": {"type": "boolean", "default": false}},
                "required": ["target"]},
            "tasks": [{"id": "t", "uses": "shell.run", "if": "inputs.deep",
                "with": {"script": "x", "env": {"T": "${{ inputs.target }}"}}}]
        })
    }

    #[test]
    fn inputs_are_completed_checked_and_put_in() {
        let playbook = parse_playbook(&body()).unwrap();
        let given = |value: Value| value.as_object().unwrap().clone();
        let inputs = complete_inputs(&playbook.input_schema, &given(json!({"target": "a"}))).unwrap();
        assert_eq!(Value::Object(inputs.clone()), json!({"target": "a", "deep": false}));
        let (goal, tasks) = fill(&playbook.mission, &inputs).unwrap();
        assert_eq!((goal.as_str(), tasks[0].condition.as_deref()), ("deploy a", Some("(false)")));
        assert_eq!(tasks[0].with["env"]["T"], "a");
        let wrong =
            complete_inputs(&playbook.input_schema, &given(json!({"target": "c", "more": 1}))).unwrap_err();
        assert!(wrong.iter().any(|one| one.pointer == "/inputs/target"), "{wrong:?}");
        assert!(wrong.iter().any(|one| one.pointer == "/inputs"), "{wrong:?}");
        assert_eq!(unfilled(&playbook.mission)[0].condition, None);
    }

    #[test]
    fn what_cannot_be_a_playbook_is_refused_by_place() {
        let codes = |change: fn(&mut Value)| {
            let mut wrong = body();
            change(&mut wrong);
            let errors = parse_playbook(&wrong).unwrap_err();
            errors.into_iter().map(|one| (one.pointer, one.code)).collect::<Vec<_>>()
        };
        let one = |pointer: &str, code| vec![(pointer.to_owned(), code)];
        assert_eq!(codes(|b| b["name"] = json!("No Name")), one("/name", "wrong_value"));
        assert_eq!(
            codes(|b| b["tasks"][0]["with"]["env"]["T"] = json!("${{ inputs.other }}")),
            one("/tasks/0", "bad_input")
        );
        assert_eq!(codes(|b| b["tasks"][0]["if"] = json!("size(inputs) > 1")), one("/tasks/0", "bad_input"));
        assert_eq!(
            codes(|b| b["input_schema"]["type"] = json!("array")),
            one("/input_schema/type", "wrong_value")
        );
        assert_eq!(
            codes(|b| b["input_schema"]["properties"]["target"] = json!({"type": "no"})),
            one("/input_schema", "bad_schema")
        );
        assert_eq!(codes(|b| b["inputs"] = json!({})), one("/inputs", "unknown_field"));
        assert_eq!(codes(|b| b["colour"] = json!(1)), one("/colour", "unknown_field"));
        assert!(
            codes(|b| drop(b.as_object_mut().unwrap().remove("tasks")))
                .contains(&(String::new(), "missing_field"))
        );
        assert_eq!("a@3".parse::<PlaybookRef>().unwrap().version, Some(3));
        for wrong in ["a@0", "a@x", "@1", "a@1@2", ""] {
            assert!(wrong.parse::<PlaybookRef>().is_err(), "{wrong}");
        }
    }
}
