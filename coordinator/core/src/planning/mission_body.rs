//! The body of `POST /v1/engine/missions` and of `mission.yaml`.

use std::collections::BTreeMap;

use nexusmon_shared::name::Name;
use nexusmon_shared::plan::{Budget, TaskDraft};
use nexusmon_shared::rank::Rank;
use serde_json::{Map, Value};

use super::fields::Fields;
use super::task_body::{self, MAX_READ_ERRORS};
use super::{Invalid, PlaybookRef};
use crate::mission::Start;

const MAX_GOAL_BYTES: usize = 16 * 1024;
const MAX_METADATA_BYTES: usize = 64 * 1024;
const MAX_LABELS: usize = 64;

/// A mission as people write it, every field read.
#[derive(Debug, Clone, PartialEq)]
pub struct MissionDraft {
    /// Where only tasks are given, a summary of them.
    pub goal: String,
    /// `None`: a goal alone, for the planners.
    pub tasks: Option<Vec<TaskDraft>>,
    pub rank: Rank,
    pub start: Start,
    /// −100 to 100.
    pub priority: i32,
    pub budget: Budget,
    pub labels: BTreeMap<String, String>,
    pub metadata: Map<String, Value>,
    /// Instead of tasks.
    pub playbook: Option<PlaybookRef>,
    /// Of the playbook.
    pub inputs: Map<String, Value>,
}

/// Reads a mission's body. Unknown fields are refused by name, wrong types with their place.
pub fn parse_mission(body: &Value) -> Result<MissionDraft, Vec<Invalid>> {
    let Some(fields) = body.as_object() else {
        return Err(vec![Invalid::new("", "wrong_type", "a mission is a JSON object")]);
    };
    let mut errors = Vec::new();
    let mut fields = Fields::new(fields, String::new(), &mut errors);
    let goal: Option<String> = fields.read("goal");
    let tasks = fields.raw("tasks");
    let rank = fields.read("rank").unwrap_or_default();
    let start = fields.read("start").unwrap_or_default();
    let priority: i64 = fields.read("priority").unwrap_or(0);
    let budget: Budget = fields.read("budget").unwrap_or_default();
    let labels: BTreeMap<String, String> = fields.read("labels").unwrap_or_default();
    let metadata: Map<String, Value> = fields.read("metadata").unwrap_or_default();
    let playbook: Option<String> = fields.read("playbook");
    let inputs: Option<Map<String, Value>> = fields.read("inputs");
    fields.finish(&[]);
    let playbook = playbook.and_then(|text| match text.parse::<PlaybookRef>() {
        Ok(playbook) => Some(playbook),
        Err(message) => {
            errors.push(Invalid::new("/playbook", "wrong_value", message));
            None
        }
    });
    if playbook.is_some() && tasks.is_some() {
        let message = "a mission is made of `tasks` or of a `playbook`, not of both";
        errors.push(Invalid::new("/playbook", "unexpected", message));
    }
    if inputs.is_some() && playbook.is_none() && errors.is_empty() {
        let message = "`inputs` belong to a `playbook`: name one, or write the values into the tasks";
        errors.push(Invalid::new("/inputs", "unexpected", message));
    }
    let tasks = tasks.map(|tasks| task_body::read_all(tasks, &mut errors));
    check_goal(goal.as_deref(), tasks.is_some(), body, &mut errors);
    check_labels(&labels, &mut errors);
    let size = serde_json::to_vec(&metadata).map_or(usize::MAX, |bytes| bytes.len());
    if size > MAX_METADATA_BYTES {
        let message = format!("{size} bytes of metadata are more than {MAX_METADATA_BYTES}");
        errors.push(Invalid::new("/metadata", "too_large", message));
    }
    let priority = i32::try_from(priority).ok().filter(|priority| (-100..=100).contains(priority));
    if priority.is_none() {
        errors.push(Invalid::new("/priority", "out_of_range", "a priority lies between -100 and 100"));
    }
    check_budget(&budget, &mut errors);
    if !errors.is_empty() {
        errors.truncate(MAX_READ_ERRORS);
        return Err(errors);
    }
    let goal = goal.unwrap_or_else(|| match (&tasks, &playbook) {
        (None, Some(playbook)) => playbook.name.to_string(),
        (tasks, _) => summary(tasks.as_deref().unwrap_or_default()),
    });
    let priority = priority.unwrap_or(0);
    let inputs = inputs.unwrap_or_default();
    Ok(MissionDraft { goal, tasks, rank, start, priority, budget, labels, metadata, playbook, inputs })
}

/// Reads the body of `PUT …/plan`: `{"tasks": […]}`.
pub fn parse_tasks(body: &Value) -> Result<Vec<TaskDraft>, Vec<Invalid>> {
    let Some(fields) = body.as_object() else {
        return Err(vec![Invalid::new("", "wrong_type", "a plan is a JSON object with `tasks`")]);
    };
    let mut errors = Vec::new();
    let mut fields = Fields::new(fields, String::new(), &mut errors);
    let tasks = fields.raw("tasks");
    fields.finish(&[]);
    let tasks = if let Some(tasks) = tasks {
        task_body::read_all(tasks, &mut errors)
    } else {
        errors.push(Invalid::new("", "missing_field", "a plan needs `tasks`"));
        Vec::new()
    };
    errors.truncate(MAX_READ_ERRORS);
    if errors.is_empty() { Ok(tasks) } else { Err(errors) }
}

fn check_goal(goal: Option<&str>, has_tasks: bool, body: &Value, errors: &mut Vec<Invalid>) {
    match goal {
        None if body.get("goal").is_none_or(Value::is_null)
            && !has_tasks
            && body.get("playbook").is_none() =>
        {
            errors.push(Invalid::new("", "missing_field", "a mission needs a `goal`, `tasks`, or both"));
        }
        Some(goal) if goal.trim().is_empty() => {
            errors.push(Invalid::new(
                "/goal",
                "empty",
                "the goal is empty: leave it out or say what is wanted",
            ));
        }
        Some(goal) if goal.len() > MAX_GOAL_BYTES => {
            let message = format!("{} bytes are more than {MAX_GOAL_BYTES}", goal.len());
            errors.push(Invalid::new("/goal", "too_large", message));
        }
        _ => {}
    }
}

fn check_labels(labels: &BTreeMap<String, String>, errors: &mut Vec<Invalid>) {
    if labels.len() > MAX_LABELS {
        let message = format!("{} labels are more than {MAX_LABELS}", labels.len());
        errors.push(Invalid::new("/labels", "too_many", message));
    }
    for (key, value) in labels {
        let pointer = || format!("/labels/{}", crate::expression::template::escape(key));
        if let Err(error) = key.parse::<Name>() {
            errors.push(Invalid::new(pointer(), "bad_label", error.to_string()));
        } else if value.len() > 256 || value.chars().any(char::is_control) {
            errors.push(Invalid::new(
                pointer(),
                "bad_label",
                "a label's value has at most 256 printable bytes",
            ));
        }
    }
}

fn check_budget(budget: &Budget, errors: &mut Vec<Invalid>) {
    for (field, zero) in [
        ("tasks", budget.tasks == 0),
        ("attempts", budget.attempts == 0),
        ("duration", budget.duration.0.is_zero()),
    ] {
        if zero {
            let message = format!("a budget of no `{field}` lets nothing run");
            errors.push(Invalid::new(format!("/budget/{field}"), "out_of_range", message));
        }
    }
}

fn summary(tasks: &[TaskDraft]) -> String {
    let names: Vec<&str> = tasks.iter().take(5).map(|task| task.id.as_str()).collect();
    let more = if tasks.len() > names.len() { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}
