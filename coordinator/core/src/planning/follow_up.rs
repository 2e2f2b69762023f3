//! `then` of a playbook: what should follow a mission made from it, by how that mission ended. It is the playbook's author
//! who says so; whether the system may begin it by itself is another question, and not asked here.

use nexusmon_shared::mission::MissionStatus;
use serde_json::{Map, Value};

use super::Invalid;
use super::fields::Fields;
use super::playbook::PlaybookRef;
use crate::trigger::event_mapping;

/// Follow-ups of one playbook.
pub const MAX_FOLLOW_UPS: usize = 8;
const MAX_WHY_BYTES: usize = 500;

/// The end that a follow-up is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowsOn {
    Succeeded,
    Failed,
}

/// What should follow.
#[derive(Debug, Clone, PartialEq)]
pub struct FollowUp {
    pub on: FollowsOn,
    /// CEL over `event`.
    pub condition: Option<String>,
    /// `name` or `name@version`, as it was written.
    pub playbook: String,
    /// May ask for `${{ event.… }}`.
    pub inputs: Map<String, Value>,
    pub why: Option<String>,
}

impl FollowUp {
    /// Whether it is for a mission that ended like this.
    pub fn is_for(&self, status: MissionStatus) -> bool {
        match self.on {
            FollowsOn::Succeeded => status == MissionStatus::Succeeded,
            FollowsOn::Failed => status == MissionStatus::Failed,
        }
    }
}

/// Reads the list; every mistake is named with its place.
pub(super) fn parse(given: Option<&Value>, errors: &mut Vec<Invalid>) -> Vec<FollowUp> {
    let items = match given {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(items)) if items.len() <= MAX_FOLLOW_UPS => items,
        Some(_) => {
            let message = format!("`then` is a list of at most {MAX_FOLLOW_UPS} follow-ups");
            errors.push(Invalid::new("/then", "wrong_value", message));
            return Vec::new();
        }
    };
    items
        .iter()
        .enumerate()
        .filter_map(|(place, item)| one(item, &format!("/then/{place}"), errors))
        .collect()
}

fn one(item: &Value, pointer: &str, errors: &mut Vec<Invalid>) -> Option<FollowUp> {
    let Some(object) = item.as_object() else {
        errors.push(Invalid::new(pointer, "wrong_type", "a follow-up is an object"));
        return None;
    };
    let before = errors.len();
    let mut fields = Fields::new(object, pointer.to_owned(), errors);
    let on: Option<FollowsOn> = fields.require("on");
    let condition: Option<String> = fields.read("if");
    let playbook: Option<String> = fields.require("playbook");
    let inputs: Map<String, Value> = fields.read("inputs").unwrap_or_default();
    let why: Option<String> = fields.read("why");
    fields.finish(&[]);
    if let Some(Err(message)) = playbook.as_ref().map(|text| text.parse::<PlaybookRef>()) {
        errors.push(Invalid::new(format!("{pointer}/playbook"), "wrong_value", message));
    }
    if let Some(source) = &condition
        && let Err(error) = event_mapping::check_condition(source, &format!("{pointer}/if"))
    {
        errors.push(error);
    }
    let wrong = event_mapping::check(&inputs).err().into_iter().flatten();
    errors.extend(wrong.map(|one| Invalid { pointer: format!("{pointer}{}", one.pointer), ..one }));
    if why.as_ref().is_some_and(|why| why.len() > MAX_WHY_BYTES) {
        let message = format!("at most {MAX_WHY_BYTES} bytes");
        errors.push(Invalid::new(format!("{pointer}/why"), "too_large", message));
    }
    match (on, playbook) {
        (Some(on), Some(playbook)) if errors.len() == before => {
            Some(FollowUp { on, condition, playbook, inputs, why })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn follow_ups_are_read_and_every_mistake_has_its_place() {
        let codes = |then: Value| {
            let mut errors = Vec::new();
            parse(Some(&then), &mut errors);
            errors.into_iter().map(|one| (one.pointer, one.code)).collect::<Vec<_>>()
        };
        let one = |pointer: &str, code| vec![(pointer.to_owned(), code)];
        let good = json!({"on": "failed", "if": "event.mission.rank == 'E'", "playbook": "repair@2",
            "inputs": {"goal": "${{ event.mission.goal }}"}, "why": "it often helps"});
        assert_eq!(codes(json!([good])), []);
        assert_eq!(codes(json!([good, {"on": "failed"}])), one("/then/1", "missing_field"));
        assert_eq!(codes(json!([{"on": "later", "playbook": "a"}])), one("/then/0/on", "wrong_value"));
        assert_eq!(
            codes(json!([{"on": "failed", "playbook": "no/way"}])),
            one("/then/0/playbook", "wrong_value")
        );
        assert_eq!(
            codes(json!([{"on": "failed", "playbook": "a", "if": "x"}])),
            one("/then/0/if", "unknown_value")
        );
        assert_eq!(
            codes(json!([{"on": "failed", "playbook": "a", "inputs": {"b": "${{ tasks.c }}"}}])),
            one("/then/0/inputs/b", "unknown_value")
        );
        assert_eq!(
            codes(json!([{"on": "failed", "playbook": "a", "colour": 1}])),
            one("/then/0/colour", "unknown_field")
        );
        assert_eq!(codes(json!({})), one("/then", "wrong_value"));
    }
}
