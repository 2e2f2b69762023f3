//! One task of a mission's body.

use nexusmon_shared::effects::Effects;
use nexusmon_shared::plan::{Envelope, ForEach, MAX_TASKS, RetryDraft, TaskDraft};
use nexusmon_shared::selector::On;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Invalid;
use super::fields::Fields;

/// Mistakes in reading that are reported at once.
pub(super) const MAX_READ_ERRORS: usize = 100;

/// Reads `tasks`; what cannot be read is noted and left out.
pub(super) fn read_all(tasks: &Value, errors: &mut Vec<Invalid>) -> Vec<TaskDraft> {
    let Some(tasks) = tasks.as_array() else {
        errors.push(Invalid::new("/tasks", "wrong_type", "`tasks` is a list of objects"));
        return Vec::new();
    };
    if tasks.is_empty() || tasks.len() > MAX_TASKS {
        let (code, message) = match tasks.len() {
            0 => ("no_tasks", "a plan needs at least one task".to_owned()),
            found => ("too_many_tasks", format!("{found} tasks are more than {MAX_TASKS}")),
        };
        errors.push(Invalid::new("/tasks", code, message));
        return Vec::new();
    }
    let mut drafts = Vec::with_capacity(tasks.len());
    for (index, task) in tasks.iter().enumerate() {
        if errors.len() >= MAX_READ_ERRORS {
            break;
        }
        let pointer = format!("/tasks/{index}");
        match task.as_object() {
            Some(fields) => drafts.extend(read(fields, pointer, errors)),
            None => errors.push(Invalid::new(pointer, "wrong_type", "a task is an object")),
        }
    }
    drafts
}

fn read(object: &Map<String, Value>, pointer: String, errors: &mut Vec<Invalid>) -> Option<TaskDraft> {
    let retry = nested(object, "retry", &pointer, errors, |fields| {
        Some(RetryDraft {
            max: fields.read("max"),
            backoff: fields.read("backoff"),
            jitter: fields.read("jitter"),
            on: fields.read("on"),
        })
    });
    let for_each = nested(object, "for_each", &pointer, errors, |fields| {
        let (list, max, concurrency) =
            (fields.require("in"), fields.require("max"), fields.read("concurrency"));
        Some(ForEach { list: list?, max: max?, concurrency })
    });
    let on = nested(object, "on", &pointer, errors, |fields| {
        Some(On {
            labels: fields.read("labels").unwrap_or_default(),
            agent: fields.read("agent"),
            same_as: fields.read("same_as"),
            agents: std::collections::BTreeSet::new(),
        })
    });
    let effects = nested(object, "effects", &pointer, errors, |fields| {
        let mut flag = |name| fields.read(name).unwrap_or(false);
        Some(Effects {
            reads: flag("reads"),
            writes: flag("writes"),
            network: flag("network"),
            spends: flag("spends"),
            irreversible: flag("irreversible"),
        })
    });
    let spawn = nested(object, "spawn", &pointer, errors, |fields| {
        let (capabilities, max, rank) =
            (fields.require("capabilities"), fields.require("max"), fields.require("rank"));
        Some(Envelope { capabilities: capabilities?, max: max?, rank: rank? })
    });
    let inputs = elements(object, "inputs", &pointer, errors, "expected {task, artifact} or {version, as}");
    let secrets = elements(object, "secrets", &pointer, errors, "expected a secret's name, or {name, env}");
    let mut fields = Fields::new(object, pointer, errors);
    let (id, uses) = (fields.require("id"), fields.require("uses"));
    let draft = TaskDraft {
        with: fields.read("with").unwrap_or_default(),
        needs: fields.read("needs").unwrap_or_default(),
        condition: fields.read("if"),
        for_each,
        on: on.unwrap_or_default(),
        timeout: fields.read("timeout"),
        retry,
        idempotent: fields.read("idempotent"),
        offline: fields.read("offline"),
        sandbox: fields.read("sandbox"),
        secrets: secrets.unwrap_or_default(),
        inputs: inputs.unwrap_or_default(),
        artifacts: fields.read("artifacts").unwrap_or_default(),
        verify: fields.read("verify"),
        effects: effects.unwrap_or_default(),
        limits: fields.read("limits").unwrap_or_default(),
        accept: fields.read("accept"),
        spawn,
        id: id?,
        uses: uses?,
    };
    for name in ["for_each", "on", "retry", "secrets", "inputs", "effects", "spawn"] {
        fields.raw(name);
    }
    fields.finish(&[]);
    Some(draft)
}

/// A field that is an object of its own.
fn nested<T>(
    object: &Map<String, Value>,
    name: &str,
    pointer: &str,
    errors: &mut Vec<Invalid>,
    read: impl FnOnce(&mut Fields<'_, '_>) -> Option<T>,
) -> Option<T> {
    let value = object.get(name).filter(|value| !value.is_null())?;
    let pointer = format!("{pointer}/{name}");
    let Some(inner) = value.as_object() else {
        errors.push(Invalid::new(pointer, "wrong_type", format!("`{name}` is an object")));
        return None;
    };
    let mut fields = Fields::new(inner, pointer, errors);
    let answer = read(&mut fields);
    fields.finish(&[]);
    answer
}

/// A field that is a list whose elements are read alone, so that the wrong one is named.
fn elements<T: DeserializeOwned>(
    object: &Map<String, Value>,
    name: &str,
    pointer: &str,
    errors: &mut Vec<Invalid>,
    expected: &str,
) -> Option<Vec<T>> {
    let value = object.get(name).filter(|value| !value.is_null())?;
    let Some(items) = value.as_array() else {
        errors.push(Invalid::new(format!("{pointer}/{name}"), "wrong_type", format!("`{name}` is a list")));
        return None;
    };
    let mut read = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        match T::deserialize(item) {
            Ok(item) => read.push(item),
            Err(error) => {
                let place = format!("{pointer}/{name}/{index}");
                let detail: String = error.to_string().chars().take(200).collect();
                errors.push(Invalid::new(place, "wrong_value", format!("{expected}: {detail}")));
            }
        }
    }
    Some(read)
}
