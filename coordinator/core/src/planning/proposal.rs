//! What a planner outside may answer: a plan in a narrower language than people have, or what it lacks.
//!
//! The answer is data: nothing in it names secrets, ranks, budgets, approvals or machines, and whatever it plans is ranked
//! and gated as any other plan.

use nexusmon_shared::plan::TaskDraft;
use serde_json::{Map, Value, json};

use super::{Invalid, parse_tasks};

/// Tasks a planner may plan; people may plan more.
const MOST_TASKS: usize = 50;
const MOST_LACKING: usize = 10;
const LONGEST_TEXT: usize = 600;

/// Of a task; what is left out here is for people.
const TASK_FIELDS: [&str; 13] = [
    "id",
    "uses",
    "with",
    "needs",
    "if",
    "for_each",
    "timeout",
    "retry",
    "sandbox",
    "inputs",
    "artifacts",
    "verify",
    "effects",
];

/// A capability that is really advertised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub name: String,
    pub description: String,
    /// JSON Schema of its parameters, where it has one.
    pub params: Option<Value>,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Proposal {
    Plan {
        summary: String,
        tasks: Vec<TaskDraft>,
    },
    /// One of the playbooks there are, with its inputs.
    Playbook {
        name: String,
        inputs: Map<String, Value>,
        summary: String,
    },
    /// No plan, and why.
    Lacking(Vec<Lacking>),
}

/// Something without which there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// `capability`, `input` or `unclear`.
    pub kind: String,
    pub name: String,
    pub why: String,
}

/// JSON Schema of an answer, with the capabilities that may be used.
pub fn answer_schema(offers: &[Offer], playbooks: &[&str]) -> Value {
    let names: Vec<&str> = offers.iter().map(|offer| offer.name.as_str()).collect();
    let text = |description: &str| json!({"type": "string", "description": description});
    let mut schema = json!({
        "type": "object", "additionalProperties": false, "required": ["answer", "summary"],
        "properties": {
            "answer": {"enum": ["plan", "lacking"]},
            "summary": text("One sentence for the operator."),
            "tasks": {"type": "array", "minItems": 1, "maxItems": MOST_TASKS, "items": task(&names)},
            "lacking": {"type": "array", "maxItems": MOST_LACKING, "items": {
                "type": "object", "additionalProperties": false, "required": ["kind", "name", "why"],
                "properties": {"kind": {"enum": ["capability", "input", "unclear"]},
                    "name": {"type": "string"}, "why": {"type": "string"}},
            }},
        },
    });
    if !playbooks.is_empty() {
        schema["properties"]["answer"] = json!({"enum": ["plan", "playbook", "lacking"]});
        schema["properties"]["playbook"] = json!({"enum": playbooks});
        schema["properties"]["inputs"] =
            json!({"type": "object", "description": "As the playbook's schema wants them."});
    }
    schema
}

fn task(names: &[&str]) -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let list =
        |description: &str| json!({"type": "array", "items": {"type": "string"}, "description": description});
    let sandbox = json!({"type": "object", "additionalProperties": false, "required": ["profile"],
        "properties": {"profile": {"enum": ["strict", "network", "user", "none"]},
            "network": list("Hosts, for profile network."),
            "paths": {"type": "array", "items": {"type": "object", "additionalProperties": false,
                "required": ["path"],
                "properties": {"path": {"type": "string"}, "write": {"type": "boolean"}}}}}});
    let for_each = json!({"type": "object", "additionalProperties": false, "required": ["in", "max"],
        "properties": {"in": text("CEL that gives a list."),
            "max": {"type": "integer", "minimum": 1, "maximum": 1000},
            "concurrency": {"type": "integer", "minimum": 1}}});
    let inputs = json!({"type": "array", "items": {"type": "object", "additionalProperties": false,
        "required": ["task", "artifact"],
        "properties": {"task": {"type": "string"}, "artifact": {"type": "string"}}}});
    let retry = json!({"type": "object", "additionalProperties": false,
        "properties": {"max": {"type": "integer", "minimum": 0, "maximum": 5}}});
    let properties = json!({
        "id": text("Unique in the plan: letters, digits, _ . -"),
        "uses": {"enum": names},
        "with": {"type": "object", "description": "Parameters as the capability's schema wants them."},
        "needs": list("Ids of tasks that come before."),
        "if": text("CEL over tasks.<id>.outputs and tasks.<id>.state; false skips the task."),
        "for_each": for_each,
        "timeout": text("Such as 90s or 10m."),
        "retry": retry,
        "sandbox": sandbox,
        "inputs": inputs,
        "artifacts": list("Globs beneath the workspace to keep."),
        "verify": text("CEL over outputs and exit_code; must be true."),
        "effects": {"type": "object", "additionalProperties": {"type": "boolean"}},
    });
    json!({"type": "object", "additionalProperties": false, "required": ["id", "uses"], "properties": properties})
}

/// Reads an answer; every mistake is named, so that it can be mended.
pub fn parse_answer(answer: &Value) -> Result<Proposal, Vec<Invalid>> {
    let Some(fields) = answer.as_object() else {
        return Err(vec![Invalid::new("", "wrong_type", "the answer is a JSON object")]);
    };
    let known = ["answer", "summary", "tasks", "playbook", "inputs", "lacking"];
    let mut errors: Vec<Invalid> = unknown(fields, &known, "");
    let summary = short(fields.get("summary").and_then(Value::as_str).unwrap_or_default());
    match fields.get("answer").and_then(Value::as_str) {
        Some("lacking") => {
            let lacking = lacking(fields.get("lacking"));
            if lacking.is_empty() {
                errors.push(Invalid::new("/lacking", "missing_field", "say what is lacking, and why"));
            }
            if errors.is_empty() { Ok(Proposal::Lacking(lacking)) } else { Err(errors) }
        }
        Some("playbook") => {
            let name = fields.get("playbook").and_then(Value::as_str).map(short).unwrap_or_default();
            let inputs = match fields.get("inputs") {
                None | Some(Value::Null) => Map::new(),
                Some(Value::Object(inputs)) => inputs.clone(),
                Some(_) => {
                    errors.push(Invalid::new("/inputs", "wrong_type", "`inputs` is an object"));
                    Map::new()
                }
            };
            if errors.is_empty() { Ok(Proposal::Playbook { name, inputs, summary }) } else { Err(errors) }
        }
        Some("plan") => {
            let tasks = fields.get("tasks").unwrap_or(&Value::Null);
            errors.extend(narrow(tasks));
            match parse_tasks(&json!({"tasks": tasks})) {
                Ok(tasks) if errors.is_empty() => Ok(Proposal::Plan { summary, tasks }),
                Ok(_) => Err(errors),
                Err(more) => {
                    errors.extend(more);
                    errors.truncate(super::task_body::MAX_READ_ERRORS);
                    Err(errors)
                }
            }
        }
        _ => {
            errors.push(Invalid::new(
                "/answer",
                "wrong_value",
                "`answer` is `plan`, `playbook` or `lacking`",
            ));
            Err(errors)
        }
    }
}

/// What people may write into a task and a planner may not.
fn narrow(tasks: &Value) -> Vec<Invalid> {
    let Some(tasks) = tasks.as_array() else { return Vec::new() };
    let mut errors = Vec::new();
    if tasks.len() > MOST_TASKS {
        let message = format!("{} tasks are more than {MOST_TASKS}", tasks.len());
        errors.push(Invalid::new("/tasks", "too_many_tasks", message));
    }
    for (index, task) in tasks.iter().enumerate() {
        if errors.len() >= super::task_body::MAX_READ_ERRORS {
            break;
        }
        let Some(fields) = task.as_object() else { continue };
        errors.extend(unknown(fields, &TASK_FIELDS, &format!("/tasks/{index}")));
        let pinned = fields.get("inputs").and_then(Value::as_array).into_iter().flatten();
        if pinned.into_iter().any(|input| input.get("version").is_some()) {
            let message = "a planner names inputs by `task` and `artifact`";
            errors.push(Invalid::new(format!("/tasks/{index}/inputs"), "not_for_planners", message));
        }
    }
    errors
}

fn unknown(fields: &Map<String, Value>, known: &[&str], pointer: &str) -> Vec<Invalid> {
    let wrong = fields.iter().filter(|(name, value)| !known.contains(&name.as_str()) && !value.is_null());
    wrong
        .take(20)
        .map(|(name, _)| {
            let name = short(name);
            let message = format!("a planner's answer has no `{name}` here; known are {}", known.join(", "));
            let escaped = crate::expression::template::escape(&name);
            Invalid::new(format!("{pointer}/{escaped}"), "not_for_planners", message)
        })
        .collect()
}

fn lacking(given: Option<&Value>) -> Vec<Lacking> {
    let given = given.and_then(Value::as_array).into_iter().flatten().take(MOST_LACKING);
    given
        .filter_map(|one| {
            let text = |name: &str| one.get(name).and_then(Value::as_str).map(short);
            let kind = text("kind").filter(|kind| matches!(kind.as_str(), "capability" | "input"));
            Some(Lacking {
                kind: kind.unwrap_or_else(|| "unclear".to_owned()),
                name: text("name").unwrap_or_default(),
                why: text("why").filter(|why| !why.is_empty())?,
            })
        })
        .collect()
}

/// Printable, one line, bounded: it is shown to people.
fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use nexusmon_shared::schema::Schema;
    use proptest::prelude::*;

    use super::*;

    fn codes(answer: &Value) -> Vec<(String, &'static str)> {
        parse_answer(answer).unwrap_err().into_iter().map(|one| (one.pointer, one.code)).collect()
    }

    #[test]
    fn a_plan_is_read_and_what_only_people_may_write_is_refused() {
        let plan = |task: Value| json!({"answer": "plan", "summary": "It counts.", "tasks": [task]});
        let good = plan(json!({"id": "count", "uses": "shell.run", "with": {"script": "wc -l x"}}));
        let Proposal::Plan { tasks, summary } = parse_answer(&good).unwrap() else { panic!("{good}") };
        assert_eq!((tasks.len(), summary.as_str()), (1, "It counts."));
        for field in ["secrets", "accept", "on", "limits", "spawn", "rank", "approved", "idempotent"] {
            let mut task = json!({"id": "t", "uses": "shell.run", "with": {"script": "x"}});
            task[field] = json!(["x"]);
            let found = codes(&plan(task));
            assert!(found.contains(&(format!("/tasks/0/{field}"), "not_for_planners")), "{field}: {found:?}");
        }
        let mut raised = good.clone();
        raised["budget"] = json!({"attempts": 1_000_000});
        assert_eq!(codes(&raised), [("/budget".to_owned(), "not_for_planners")]);
    }

    #[test]
    fn lacking_says_what() {
        let answer = json!({"answer": "lacking", "summary": "", "lacking": [
            {"kind": "capability", "name": "mail.send", "why": "no agent sends\nmail"},
            {"kind": "approval", "name": "x", "why": "odd"}]});
        let Proposal::Lacking(found) = parse_answer(&answer).unwrap() else { panic!("{answer}") };
        assert_eq!((found[0].name.as_str(), found[0].why.as_str()), ("mail.send", "no agent sends mail"));
        assert_eq!(found[1].kind, "unclear");
        assert_eq!(codes(&json!({"answer": "lacking"})), [("/lacking".to_owned(), "missing_field")]);
        assert_eq!(codes(&json!([])), [(String::new(), "wrong_type")]);
        assert_eq!(codes(&json!({"answer": "yes"})), [("/answer".to_owned(), "wrong_value")]);
    }

    #[test]
    fn the_schema_takes_what_is_read_and_nothing_else() {
        let offer = Offer { name: "shell.run".into(), description: String::new(), params: None };
        let schema = Schema::compile(&answer_schema(&[offer], &[])).unwrap();
        let mut answer = json!({"answer": "plan", "summary": "s",
            "tasks": [{"id": "t", "uses": "shell.run", "with": {"script": "x"}, "sandbox": {"profile": "strict"}}]});
        assert!(schema.check(&answer).is_ok());
        assert!(parse_answer(&answer).is_ok());
        answer["tasks"][0]["uses"] = json!("mail.send");
        assert!(schema.check(&answer).is_err(), "only what is advertised");
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(text in "\\PC{0,200}", field in "[a-z]{1,8}") {
            let odd = json!({"answer": "plan", "tasks": [{"id": text, "uses": text, field: text}], "summary": text});
            prop_assert!(parse_answer(&odd).is_err());
            let lacking = json!({"answer": "lacking", "lacking": [{"kind": text, "why": text, "name": text}]});
            let _ = parse_answer(&lacking);
        }
    }
}
