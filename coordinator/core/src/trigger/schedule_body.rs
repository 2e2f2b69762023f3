//! The body of `POST /v1/engine/schedules`, and what a trigger makes missions of.

use nexusmon_shared::name::Name;
use nexusmon_shared::time::Span;
use serde_json::{Map, Value, json};

use super::step::{CatchUp, Overlap, Rule};
use super::timetable::Timetable;
use super::{event_mapping, mapping};
use crate::planning::fields::Fields;
use crate::planning::{Invalid, MissionDraft, parse_mission};

const MAX_WORK_BYTES: usize = 1024 * 1024;
/// What the inputs of a schedule's playbook may ask for.
pub const WORK_OF_SCHEDULES: [&str; 4] = ["due", "local", "date", "name"];

/// What the inputs of a trigger's playbook may ask for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Values<'a> {
    /// `${{ trigger.… }}` of these names, as whole values.
    LookedUp(&'a [&'a str]),
    /// CEL over `event`.
    OfEvent,
}

/// The body of a mission with the values of a firing left open.
#[derive(Debug, Clone, PartialEq)]
pub struct Work(pub Map<String, Value>);

impl Work {
    /// From `playbook` and `inputs`, or from `mission`; `values` is what a firing has.
    pub(crate) fn read(
        fields: &mut Fields<'_, '_>,
        values: Values<'_>,
        errors: &mut Vec<Invalid>,
    ) -> Option<Self> {
        let (playbook, inputs, mission) =
            (fields.raw("playbook"), fields.raw("inputs"), fields.raw("mission"));
        let (body, prefix) = match (playbook, mission) {
            (Some(playbook), None) => {
                let inputs = inputs.cloned().unwrap_or_else(|| json!({}));
                let body = json!({"playbook": playbook, "inputs": inputs});
                (body.as_object().cloned().unwrap_or_default(), "")
            }
            (None, Some(Value::Object(mission))) if inputs.is_none() => (mission.clone(), "/mission"),
            (None, Some(Value::Object(_))) => {
                let message = "`inputs` belong to a `playbook`: name one beside them";
                errors.push(Invalid::new("/inputs", "unexpected", message));
                return None;
            }
            (None, Some(_)) => {
                errors.push(Invalid::new(
                    "/mission",
                    "wrong_type",
                    "`mission` is a mission's body, an object",
                ));
                return None;
            }
            (Some(_), Some(_)) => {
                let message = "it makes missions of a `playbook` or of a `mission`, not of both";
                errors.push(Invalid::new("/mission", "unexpected", message));
                return None;
            }
            (None, None) => {
                let message = "say what is to be done: a `playbook` with its `inputs`, or a `mission`";
                errors.push(Invalid::new("", "missing_field", message));
                return None;
            }
        };
        let before = errors.len();
        if body.get("start").is_some_and(|start| !start.is_null()) {
            let message = "the trigger says when its missions start";
            errors.push(Invalid::new(format!("{prefix}/start"), "unexpected", message));
        }
        if Value::Object(body.clone()).to_string().len() > MAX_WORK_BYTES {
            let message = format!("more than {MAX_WORK_BYTES} bytes");
            errors.push(Invalid::new(prefix, "too_large", message));
        }
        let open = body.get("inputs").and_then(Value::as_object).cloned().unwrap_or_default();
        let wrong = match values {
            Values::LookedUp(known) => mapping::check(&open, known),
            Values::OfEvent => event_mapping::check(&open),
        };
        let wrong = wrong.err().into_iter().flatten();
        let wrong = wrong.chain(parse_mission(&Value::Object(body.clone())).err().into_iter().flatten());
        errors.extend(wrong.map(|one| Invalid { pointer: format!("{prefix}{}", one.pointer), ..one }));
        (errors.len() == before).then_some(Self(body))
    }

    /// The mission of one firing: its values put into the inputs.
    pub fn filled(&self, context: &Value) -> Result<MissionDraft, Vec<Invalid>> {
        self.with_inputs(|inputs| Ok(mapping::fill(inputs, context)))
    }

    /// The mission that an event makes: expressions of its inputs evaluated over it.
    pub fn filled_from(&self, event: &Value) -> Result<MissionDraft, Vec<Invalid>> {
        self.with_inputs(|inputs| event_mapping::fill(inputs, event))
    }

    fn with_inputs(
        &self,
        fill: impl FnOnce(&Map<String, Value>) -> Result<Map<String, Value>, Vec<Invalid>>,
    ) -> Result<MissionDraft, Vec<Invalid>> {
        let mut body = self.0.clone();
        if let Some(Value::Object(inputs)) = body.get("inputs") {
            let filled = fill(inputs)?;
            body.insert("inputs".to_owned(), Value::Object(filled));
        }
        parse_mission(&Value::Object(body))
    }
}

/// A schedule as people write it, every field read.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    pub name: Name,
    pub rule: Rule,
    pub timetable: Timetable,
    pub work: Work,
    pub paused: bool,
}

/// Reads a schedule's body; every mistake is named with its place.
pub fn parse_schedule(body: &Value) -> Result<NewSchedule, Vec<Invalid>> {
    let Some(object) = body.as_object() else {
        return Err(vec![Invalid::new("", "wrong_type", "a schedule is a JSON object")]);
    };
    let (mut errors, mut of_work) = (Vec::new(), Vec::new());
    let mut fields = Fields::new(object, String::new(), &mut errors);
    let name: Option<Name> = fields.require("name");
    let cron: Option<String> = fields.require("cron");
    let rule = Rule {
        cron: cron.unwrap_or_default(),
        time_zone: fields.read("time_zone").unwrap_or_else(|| "UTC".to_owned()),
        overlap: fields.read::<Overlap>("overlap").unwrap_or_default(),
        catch_up: fields.read::<CatchUp>("catch_up").unwrap_or_default(),
        jitter: fields.read::<Span>("jitter").unwrap_or_default(),
        ahead: fields.read::<Span>("ahead").unwrap_or_default(),
    };
    let paused = fields.read("paused").unwrap_or(false);
    let work = Work::read(&mut fields, Values::LookedUp(&WORK_OF_SCHEDULES), &mut of_work);
    fields.finish(&[]);
    errors.append(&mut of_work);
    let timetable = match rule.check() {
        Ok(timetable) => Some(timetable),
        // The absence of a line was noted already.
        Err(more) => {
            let known = errors.iter().any(|one| one.code == "missing_field" && rule.cron.is_empty());
            errors.extend(more.into_iter().filter(|one| !(known && one.pointer == "/cron")));
            None
        }
    };
    match (name, timetable, work) {
        (Some(name), Some(timetable), Some(work)) if errors.is_empty() => {
            Ok(NewSchedule { name, rule, timetable, work, paused })
        }
        _ => Err(errors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(change: fn(&mut Value)) -> Vec<(String, &'static str)> {
        let mut body = json!({"name": "nightly", "cron": "30 3 * * *", "playbook": "backup@2", "inputs": {"day": "${{ trigger.date }}"}});
        change(&mut body);
        match parse_schedule(&body) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.into_iter().map(|one| (one.pointer, one.code)).collect(),
        }
    }

    #[test]
    fn a_schedule_is_read_and_every_mistake_has_its_place() {
        let one = |pointer: &str, code| vec![(pointer.to_owned(), code)];
        assert_eq!(codes(|_| {}), []);
        assert_eq!(codes(|b| b["overlap"] = json!("queue")), one("/overlap", "wrong_value"));
        assert_eq!(codes(|b| b["catch_up"] = json!("all")), one("/catch_up", "contradiction"));
        assert_eq!(codes(|b| b["jitter"] = json!("2h")), one("/jitter", "out_of_range"));
        assert_eq!(codes(|b| b["cron"] = json!("never")), one("/cron", "bad_cron"));
        assert_eq!(codes(|b| drop(b.as_object_mut().unwrap().remove("cron"))), one("", "missing_field"));
        assert_eq!(codes(|b| b["time_zone"] = json!("Nowhere")), one("/time_zone", "unknown_zone"));
        assert_eq!(
            codes(|b| b["inputs"]["x"] = json!("${{ trigger.body }}")),
            one("/inputs/x", "unknown_value")
        );
        assert_eq!(codes(|b| b["mission"] = json!({"goal": "x"})), one("/mission", "unexpected"));
        assert_eq!(codes(|b| b["playbook"] = json!("no name")), one("/playbook", "wrong_value"));
        assert_eq!(codes(|b| b["colour"] = json!(1)), one("/colour", "unknown_field"));
        assert_eq!(
            codes(|b| *b = json!({"name": "a", "cron": "@daily", "mission": {"tasks": 3, "start": "manual"}})),
            [("/mission/start".to_owned(), "unexpected"), ("/mission/tasks".to_owned(), "wrong_type")]
        );
        assert_eq!(codes(|b| *b = json!([])), one("", "wrong_type"));
    }

    #[test]
    fn the_values_of_a_firing_are_put_in() {
        let body =
            json!({"name": "a", "cron": "@daily", "playbook": "p", "inputs": {"day": "${{ trigger.date }}"}});
        let draft = parse_schedule(&body).unwrap().work.filled(&json!({"date": "2031-05-01"})).unwrap();
        assert_eq!(Value::Object(draft.inputs), json!({"day": "2031-05-01"}));
    }
}
