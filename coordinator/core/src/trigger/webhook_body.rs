//! The body of `POST /v1/engine/webhooks`: whose calls are listened to, and what is made of them.

use nexusmon_shared::name::Name;
use serde_json::Value;

use super::repeats;
use super::schedule_body::{Values, Work};
use crate::planning::Invalid;
use crate::planning::fields::Fields;

/// What the inputs of a webhook's playbook may ask for.
pub const WORK_OF_WEBHOOKS: [&str; 4] = ["body", "event", "delivery", "name"];
const MAX_EVENTS: usize = 64;
const MAX_EVENT_BYTES: usize = 100;
/// Missions within an hour unless somebody says otherwise.
const PER_HOUR: u32 = 1_000;
const MAX_PER_HOUR: u32 = 100_000;

const fn per_hour() -> u32 {
    PER_HOUR
}

const fn depth() -> u32 {
    super::event_body::DEPTH
}

const fn most() -> u32 {
    repeats::MOST
}

/// How a call is signed, and where its event and its delivery are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Github,
    Gitlab,
    /// As Standard Webhooks have it: id, time and body are signed.
    Generic,
}

/// Which calls a webhook takes, as people write it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookRule {
    pub format: Format,
    /// None means all.
    #[serde(default)]
    pub events: Vec<String>,
    /// How many missions within an hour.
    #[serde(default = "per_hour")]
    pub per_hour: u32,
    /// Of calls by our own notifications: how deep in a chain their missions may be.
    #[serde(default = "depth")]
    pub max_depth: u32,
    /// Of the same: how many missions of the same shape, inputs and outcome within an hour.
    #[serde(default = "most")]
    pub max_repeats: u32,
}

impl HookRule {
    /// Takes every call, within the bounds that hold where nobody says otherwise.
    pub const fn of(format: Format) -> Self {
        Self { format, events: Vec::new(), per_hour: PER_HOUR, max_depth: depth(), max_repeats: most() }
    }

    fn check(&self, errors: &mut Vec<Invalid>) {
        for (pointer, value, most) in [
            ("/per_hour", self.per_hour, MAX_PER_HOUR),
            ("/max_depth", self.max_depth, super::event_body::MAX_DEPTH),
            ("/max_repeats", self.max_repeats, repeats::MAX),
        ] {
            if !(1..=most).contains(&value) {
                errors.push(Invalid::new(pointer, "out_of_range", format!("from 1 to {most}")));
            }
        }
    }

    /// Whether a call with this event is one of those.
    pub fn takes(&self, event: Option<&str>) -> bool {
        // Sent once when the webhook is set up there; nothing has happened.
        if self.format == Format::Github && event == Some("ping") {
            return false;
        }
        self.events.is_empty() || event.is_some_and(|event| self.events.iter().any(|one| one == event))
    }
}

/// A webhook as people write it, every field read.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    pub name: Name,
    pub rule: HookRule,
    pub work: Work,
    pub paused: bool,
}

/// Reads a webhook's body; every mistake is named with its place.
pub fn parse_webhook(body: &Value) -> Result<NewWebhook, Vec<Invalid>> {
    let Some(object) = body.as_object() else {
        return Err(vec![Invalid::new("", "wrong_type", "a webhook is a JSON object")]);
    };
    let (mut errors, mut of_work) = (Vec::new(), Vec::new());
    let mut fields = Fields::new(object, String::new(), &mut errors);
    let name: Option<Name> = fields.require("name");
    let format: Option<Format> = fields.require("format");
    let events: Vec<String> = fields.read("events").unwrap_or_default();
    let bounds = HookRule {
        per_hour: fields.read("per_hour").unwrap_or(PER_HOUR),
        max_depth: fields.read("max_depth").unwrap_or(depth()),
        max_repeats: fields.read("max_repeats").unwrap_or(most()),
        ..HookRule::of(Format::Generic)
    };
    let paused = fields.read("paused").unwrap_or(false);
    let work = Work::read(&mut fields, Values::LookedUp(&WORK_OF_WEBHOOKS), &mut of_work);
    fields.finish(&[]);
    errors.append(&mut of_work);
    let plain =
        |event: &String| (1..=MAX_EVENT_BYTES).contains(&event.len()) && !event.chars().any(char::is_control);
    if events.len() > MAX_EVENTS || !events.iter().all(plain) {
        let message =
            format!("at most {MAX_EVENTS} names of events, each of at most {MAX_EVENT_BYTES} bytes");
        errors.push(Invalid::new("/events", "invalid_value", message));
    }
    if format == Some(Format::Generic) && !events.is_empty() {
        let message = "calls of the format `generic` name no event: leave `events` out";
        errors.push(Invalid::new("/events", "unexpected", message));
    }
    bounds.check(&mut errors);
    match (name, format, work) {
        (Some(name), Some(format), Some(work)) if errors.is_empty() => {
            Ok(NewWebhook { name, rule: HookRule { format, events, ..bounds }, work, paused })
        }
        _ => Err(errors),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_webhook_is_read_and_every_mistake_has_its_place() {
        let codes = |change: fn(&mut Value)| {
            let mut body = json!({"name": "push", "format": "github", "events": ["push"], "playbook": "build",
                "inputs": {"ref": "${{ trigger.body.ref }}", "event": "${{ trigger.event }}"}});
            change(&mut body);
            let errors = parse_webhook(&body).err().into_iter().flatten();
            errors.map(|one| (one.pointer, one.code)).collect::<Vec<_>>()
        };
        let one = |pointer: &str, code| vec![(pointer.to_owned(), code)];
        assert_eq!(codes(|_| {}), []);
        assert_eq!(codes(|b| b["format"] = json!("gitea")), one("/format", "wrong_value"));
        assert_eq!(codes(|b| b["format"] = json!("generic")), one("/events", "unexpected"));
        assert_eq!(codes(|b| b["events"] = json!([""])), one("/events", "invalid_value"));
        assert_eq!(
            codes(|b| b["inputs"]["x"] = json!("${{ trigger.due }}")),
            one("/inputs/x", "unknown_value")
        );
        assert_eq!(codes(|b| b["per_hour"] = json!(0)), one("/per_hour", "out_of_range"));
        assert_eq!(codes(|b| b["max_depth"] = json!(17)), one("/max_depth", "out_of_range"));
        assert_eq!(codes(|b| b["max_repeats"] = json!("many")), one("/max_repeats", "wrong_value"));
        assert_eq!(codes(|b| b["secret"] = json!("mine")), one("/secret", "unknown_field"));
        assert_eq!(codes(|b| *b = json!(3)), one("", "wrong_type"));
    }

    #[test]
    fn one_that_was_kept_before_there_were_bounds_has_the_usual_ones() {
        let rule: HookRule = serde_json::from_value(json!({"format": "generic", "events": []})).unwrap();
        assert_eq!(rule, HookRule::of(Format::Generic));
    }

    #[test]
    fn only_wanted_events_are_taken() {
        let rule = |format, events: &[&str]| HookRule {
            format,
            events: events.iter().map(|&e| e.to_owned()).collect(),
            ..HookRule::of(format)
        };
        assert!(
            rule(Format::Github, &[]).takes(Some("push")) && !rule(Format::Github, &[]).takes(Some("ping"))
        );
        assert!(!rule(Format::Gitlab, &["Push Hook"]).takes(Some("Tag Push Hook")));
        assert!(!rule(Format::Gitlab, &["Push Hook"]).takes(None) && rule(Format::Generic, &[]).takes(None));
    }
}
