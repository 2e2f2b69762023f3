//! The body of `POST /v1/engine/webhooks`: whose calls are listened to, and what is made of them.

use nexusmon_shared::name::Name;
use serde_json::Value;

use super::schedule_body::{Values, Work};
use crate::planning::Invalid;
use crate::planning::fields::Fields;

/// What the inputs of a webhook's playbook may ask for.
pub const WORK_OF_WEBHOOKS: [&str; 4] = ["body", "event", "delivery", "name"];
const MAX_EVENTS: usize = 64;
const MAX_EVENT_BYTES: usize = 100;

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
}

impl HookRule {
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
    match (name, format, work) {
        (Some(name), Some(format), Some(work)) if errors.is_empty() => {
            Ok(NewWebhook { name, rule: HookRule { format, events }, work, paused })
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
        assert_eq!(codes(|b| b["secret"] = json!("mine")), one("/secret", "unknown_field"));
        assert_eq!(codes(|b| *b = json!(3)), one("", "wrong_type"));
    }

    #[test]
    fn only_wanted_events_are_taken() {
        let rule = |format, events: &[&str]| HookRule {
            format,
            events: events.iter().map(|&e| e.to_owned()).collect(),
        };
        assert!(
            rule(Format::Github, &[]).takes(Some("push")) && !rule(Format::Github, &[]).takes(Some("ping"))
        );
        assert!(!rule(Format::Gitlab, &["Push Hook"]).takes(Some("Tag Push Hook")));
        assert!(!rule(Format::Gitlab, &["Push Hook"]).takes(None) && rule(Format::Generic, &[]).takes(None));
    }
}
