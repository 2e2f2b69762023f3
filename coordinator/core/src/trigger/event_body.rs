//! The body of `POST /v1/engine/event-triggers`: what has to happen, and what is made of it.

use nexusmon_shared::name::Name;
use serde_json::Value;

use super::event_mapping::check_condition;
use super::repeats;
use super::schedule_body::{Values, Work};
use crate::planning::Invalid;
use crate::planning::fields::Fields;

/// Links of a chain unless somebody says otherwise: a mission that an event of a mission started is one deeper than that.
pub(super) const DEPTH: u32 = 3;
pub(super) const MAX_DEPTH: u32 = 16;
/// Missions within 24 hours unless somebody says otherwise.
const PER_DAY: u32 = 100;
const MAX_PER_DAY: u32 = 10_000;

/// What can be listened to. Each is told by one entry of the audit log, which is what makes it happen once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum EventKind {
    #[serde(rename = "mission.succeeded")]
    MissionSucceeded,
    #[serde(rename = "mission.failed")]
    MissionFailed,
    #[serde(rename = "mission.cancelled")]
    MissionCancelled,
    /// Nobody decided in time.
    #[serde(rename = "mission.expired")]
    MissionExpired,
    #[serde(rename = "mission.rejected")]
    MissionRejected,
    /// A task left one, or a person uploaded one.
    #[serde(rename = "artifact.version")]
    ArtifactVersion,
    #[serde(rename = "agent.joined")]
    AgentJoined,
    #[serde(rename = "agent.lost")]
    AgentLost,
    #[serde(rename = "agent.drained")]
    AgentDrained,
    #[serde(rename = "agent.quarantined")]
    AgentQuarantined,
    #[serde(rename = "agent.revoked")]
    AgentRevoked,
}

impl EventKind {
    pub const ALL: [Self; 11] = [
        Self::MissionSucceeded,
        Self::MissionFailed,
        Self::MissionCancelled,
        Self::MissionExpired,
        Self::MissionRejected,
        Self::ArtifactVersion,
        Self::AgentJoined,
        Self::AgentLost,
        Self::AgentDrained,
        Self::AgentQuarantined,
        Self::AgentRevoked,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissionSucceeded => "mission.succeeded",
            Self::MissionFailed => "mission.failed",
            Self::MissionCancelled => "mission.cancelled",
            Self::MissionExpired => "mission.expired",
            Self::MissionRejected => "mission.rejected",
            Self::ArtifactVersion => "artifact.version",
            Self::AgentJoined => "agent.joined",
            Self::AgentLost => "agent.lost",
            Self::AgentDrained => "agent.drained",
            Self::AgentQuarantined => "agent.quarantined",
            Self::AgentRevoked => "agent.revoked",
        }
    }

    /// The actions of the audit log that may tell of it.
    pub const fn actions(self) -> &'static [&'static str] {
        match self {
            Self::MissionSucceeded | Self::MissionFailed => &["mission.completed"],
            // At once where nothing ran, else when the last attempt has ended.
            Self::MissionCancelled => &["mission.cancelled", "mission.completed"],
            Self::MissionExpired => &["mission.expired"],
            Self::MissionRejected => &["mission.rejected"],
            Self::ArtifactVersion => &["task.settled", "artifact.uploaded"],
            Self::AgentJoined => &["agent.enrolled"],
            Self::AgentLost => &["agent.lost"],
            Self::AgentDrained => &["agent.drained"],
            Self::AgentQuarantined => &["agent.quarantined"],
            Self::AgentRevoked => &["agent.revoked"],
        }
    }
}

const fn depth() -> u32 {
    DEPTH
}

const fn per_day() -> u32 {
    PER_DAY
}

const fn most() -> u32 {
    repeats::MOST
}

/// What an event trigger listens to, and how far it goes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventRule {
    pub on: Vec<EventKind>,
    /// CEL over `event`; none means every event.
    #[serde(rename = "if", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// How deep in a chain its missions may be.
    #[serde(default = "depth")]
    pub max_depth: u32,
    /// How many missions within 24 hours.
    #[serde(default = "per_day")]
    pub per_day: u32,
    /// How many missions of the same shape, inputs and outcome within an hour.
    #[serde(default = "most")]
    pub max_repeats: u32,
}

impl EventRule {
    fn check(&self, errors: &mut Vec<Invalid>) {
        if self.on.is_empty() {
            let known = EventKind::ALL.map(EventKind::as_str).join(", ");
            errors.push(Invalid::new("/on", "invalid_value", format!("name at least one of {known}")));
        }
        if let Some(source) = &self.condition
            && let Err(error) = check_condition(source, "/if")
        {
            errors.push(error);
        }
        for (pointer, value, most) in [
            ("/max_depth", self.max_depth, MAX_DEPTH),
            ("/per_day", self.per_day, MAX_PER_DAY),
            ("/max_repeats", self.max_repeats, repeats::MAX),
        ] {
            if !(1..=most).contains(&value) {
                errors.push(Invalid::new(pointer, "out_of_range", format!("from 1 to {most}")));
            }
        }
    }
}

/// An event trigger as people write it, every field read.
#[derive(Debug, Clone)]
pub struct NewEventTrigger {
    pub name: Name,
    pub rule: EventRule,
    pub work: Work,
    pub paused: bool,
}

/// Reads an event trigger's body; every mistake is named with its place.
pub fn parse_event_trigger(body: &Value) -> Result<NewEventTrigger, Vec<Invalid>> {
    let Some(object) = body.as_object() else {
        return Err(vec![Invalid::new("", "wrong_type", "an event trigger is a JSON object")]);
    };
    let (mut errors, mut more) = (Vec::new(), Vec::new());
    let mut fields = Fields::new(object, String::new(), &mut errors);
    let name: Option<Name> = fields.require("name");
    let on: Option<Vec<EventKind>> = fields.require("on");
    let rule = EventRule {
        on: on.clone().unwrap_or_default(),
        condition: fields.read("if"),
        max_depth: fields.read("max_depth").unwrap_or(DEPTH),
        per_day: fields.read("per_day").unwrap_or(PER_DAY),
        max_repeats: fields.read("max_repeats").unwrap_or(repeats::MOST),
    };
    let paused = fields.read("paused").unwrap_or(false);
    let work = Work::read(&mut fields, Values::OfEvent, &mut more);
    fields.finish(&[]);
    errors.append(&mut more);
    // Its absence was noted already.
    if on.is_some() {
        rule.check(&mut errors);
    }
    match (name, work) {
        (Some(name), Some(work)) if errors.is_empty() => Ok(NewEventTrigger { name, rule, work, paused }),
        _ => Err(errors),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_trigger_is_read_and_every_mistake_has_its_place() {
        let codes = |change: fn(&mut Value)| {
            let mut body = json!({"name": "repair", "on": ["mission.failed"], "if": "event.mission.rank == 'E'",
                "playbook": "repair", "inputs": {"goal": "${{ event.mission.goal }}"}});
            change(&mut body);
            let errors = parse_event_trigger(&body).err().into_iter().flatten();
            errors.map(|one| (one.pointer, one.code)).collect::<Vec<_>>()
        };
        let one = |pointer: &str, code| vec![(pointer.to_owned(), code)];
        assert_eq!(codes(|_| {}), []);
        assert_eq!(codes(|b| b["on"] = json!(["mission.melted"])), one("/on", "wrong_value"));
        assert_eq!(codes(|b| b["on"] = json!([])), one("/on", "invalid_value"));
        assert_eq!(codes(|b| drop(b.as_object_mut().unwrap().remove("on"))), one("", "missing_field"));
        assert_eq!(codes(|b| b["if"] = json!("event.")), one("/if", "bad_expression"));
        assert_eq!(codes(|b| b["if"] = json!("inputs.x")), one("/if", "unknown_value"));
        assert_eq!(codes(|b| b["max_depth"] = json!(0)), one("/max_depth", "out_of_range"));
        assert_eq!(codes(|b| b["per_day"] = json!(1_000_000)), one("/per_day", "out_of_range"));
        assert_eq!(
            codes(|b| b["inputs"]["x"] = json!("${{ trigger.body }}")),
            one("/inputs/x", "unknown_value")
        );
        assert_eq!(codes(|b| b["colour"] = json!(1)), one("/colour", "unknown_field"));
        assert_eq!(codes(|b| *b = json!(3)), one("", "wrong_type"));
    }

    #[test]
    fn kinds_are_written_as_they_are_named() {
        for kind in EventKind::ALL {
            assert_eq!(json!(kind), json!(kind.as_str()));
        }
    }
}
