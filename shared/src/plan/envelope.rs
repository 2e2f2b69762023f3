//! What a running task may add to its mission: the envelope its leaf declares, and whether a task lies within.
//!
//! Asked by the agent that signs, by the coordinator that takes the task in, and by the agent that runs it.

use std::collections::BTreeSet;

use super::{Input, TaskSpec};
use crate::capability::Capability;
use crate::expression;
use crate::rank::Rank;

/// Tasks one attempt may add.
pub const MAX_SPAWNED: u32 = 256;
/// The most a task that was added may rank: A and S work is approved before it is there.
pub const MAX_SPAWNED_RANK: Rank = Rank::B;
const MAX_CAPABILITIES: usize = 64;

/// The `spawn` of a task.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// What the added tasks may use; each by its name.
    pub capabilities: BTreeSet<Capability>,
    /// How many one attempt may add.
    pub max: u32,
    /// How much each may rank.
    pub rank: Rank,
}

/// Why an envelope cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("name 1 to {MAX_CAPABILITIES} capabilities; there are {0}")]
    Capabilities(usize),
    #[error("`{0}` starts no process, and cannot be added by a running task")]
    Core(Capability),
    #[error("{0} is not between 1 and {MAX_SPAWNED}")]
    Max(u32),
    #[error("tasks of rank {0} are never added by a running task: {MAX_SPAWNED_RANK} is the most")]
    Rank(Rank),
}

impl EnvelopeError {
    /// The field it is about.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Capabilities(_) | Self::Core(_) => "capabilities",
            Self::Max(_) => "max",
            Self::Rank(_) => "rank",
        }
    }
}

impl Envelope {
    pub fn validate(&self) -> Result<(), EnvelopeError> {
        if self.capabilities.is_empty() || self.capabilities.len() > MAX_CAPABILITIES {
            return Err(EnvelopeError::Capabilities(self.capabilities.len()));
        }
        if let Some(core) = self.capabilities.iter().find(|uses| uses.plugin() == "core") {
            return Err(EnvelopeError::Core(core.clone()));
        }
        if !(1..=MAX_SPAWNED).contains(&self.max) {
            return Err(EnvelopeError::Max(self.max));
        }
        if self.rank > MAX_SPAWNED_RANK { Err(EnvelopeError::Rank(self.rank)) } else { Ok(()) }
    }
}

/// Why a task does not lie within the envelope of the one that would add it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWithin {
    #[error("the leaf of `{0}` has no `spawn`: it may add no tasks")]
    NoEnvelope(String),
    #[error("`spawn`: {0}")]
    Envelope(EnvelopeError),
    #[error("`spawn.max` is {0}: this attempt has added as many")]
    Number(u32),
    #[error("`uses`: `spawn.capabilities` does not name `{0}`")]
    Capability(Capability),
    #[error("`{0}`: {1}")]
    Field(&'static str, &'static str),
    #[error("it ranks {rank}; `spawn.rank` allows up to {most}")]
    Rank { rank: Rank, most: Rank },
}

impl TaskSpec {
    /// Whether this task may add `leaf` as its `number`th, counted from 0. What the leaf ranks is asked by
    /// [`Self::may_spawn_rank`], once that is known.
    pub fn may_spawn(&self, leaf: &Self, number: u32) -> Result<(), NotWithin> {
        let envelope = self.spawn.as_ref().ok_or_else(|| NotWithin::NoEnvelope(self.id.to_string()))?;
        envelope.validate().map_err(NotWithin::Envelope)?;
        if number >= envelope.max {
            return Err(NotWithin::Number(envelope.max));
        }
        if !envelope.capabilities.contains(&leaf.uses) {
            return Err(NotWithin::Capability(leaf.uses.clone()));
        }
        self.is_plain(leaf)
    }

    /// Whether this task may add one of that rank.
    pub fn may_spawn_rank(&self, rank: Rank) -> Result<(), NotWithin> {
        let most = self.spawn.as_ref().map_or(Rank::E, |envelope| envelope.rank.min(MAX_SPAWNED_RANK));
        if rank > most { Err(NotWithin::Rank { rank, most }) } else { Ok(()) }
    }

    /// It hangs on this task alone, and all of it is known when it is signed.
    fn is_plain(&self, leaf: &Self) -> Result<(), NotWithin> {
        let refuse = |field, why| Err(NotWithin::Field(field, why));
        if leaf.id == self.id {
            return refuse("id", "it is the id of the task that adds it");
        }
        if leaf.needs != [self.id.clone()] {
            return refuse("needs", "an added task waits for the one that adds it, and for nothing else");
        }
        if leaf.condition.is_some() {
            return refuse("if", "whoever adds a task knows already whether it is wanted");
        }
        if leaf.for_each.is_some() {
            return refuse("for_each", "add a task for each element instead");
        }
        if leaf.spawn.is_some() {
            return refuse("spawn", "an added task adds no further ones");
        }
        if !leaf.secrets.is_empty() {
            return refuse("secrets", "an added task is handed no secrets");
        }
        if leaf.accept.is_some() {
            return refuse("accept", "it bounds what is approved, which an added task never is");
        }
        if leaf.with.values().any(expression::is_open) {
            return refuse("with", "an added task holds values, not expressions");
        }
        if leaf.on.agent.is_some() || !leaf.on.agents.is_empty() {
            return refuse("on", "an added task names labels, or `same_as` the task that adds it");
        }
        if leaf.on.same_as.as_ref().is_some_and(|other| *other != self.id) {
            return refuse("on", "`same_as` can only name the task that adds it");
        }
        let own = |input: &Input| matches!(input, Input::FromTask(from) if from.task == self.id);
        if !leaf.inputs.iter().all(own) {
            return refuse("inputs", "an added task fetches only what the one that adds it left");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(fields: &Value) -> TaskSpec {
        let mut leaf = json!({
            "id": "child", "uses": "shell.run", "with": {"script": "true"}, "needs": ["parent"], "if": null,
            "for_each": null, "on": {}, "timeout": "60s", "idempotent": true, "offline": "0s",
            "retry": {"max": 0, "backoff": "5s", "jitter": 0.2, "on": []}, "sandbox": {"profile": "strict"},
            "inputs": [], "artifacts": [], "verify": null, "effects": {}, "limits": {},
        });
        leaf.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(leaf).unwrap()
    }

    fn parent() -> TaskSpec {
        spec(&json!({"id": "parent", "needs": [],
            "spawn": {"capabilities": ["shell.run", "demo.echo"], "max": 2, "rank": "C"}}))
    }

    #[test]
    fn what_lies_within_is_named_counted_and_known_in_full() {
        let parent = parent();
        assert_eq!(parent.may_spawn(&spec(&json!({})), 1), Ok(()));
        assert_eq!(parent.may_spawn(&spec(&json!({})), 2), Err(NotWithin::Number(2)));
        let allowed = [
            json!({"on": {"labels": {"gpu": "*"}}}),
            json!({"on": {"same_as": "parent"}}),
            json!({"inputs": [{"task": "parent", "artifact": "a.csv"}]}),
            json!({"verify": "outputs.n > 0", "limits": {"db": 1}, "artifacts": ["*.csv"]}),
        ];
        for fields in allowed {
            assert_eq!(parent.may_spawn(&spec(&fields), 0), Ok(()), "{fields}");
        }
        let refused = [
            json!({"uses": "mail.send"}),
            json!({"id": "parent"}),
            json!({"needs": []}),
            json!({"needs": ["parent", "other"]}),
            json!({"if": "true"}),
            json!({"for_each": {"in": "[1]", "max": 1}}),
            json!({"spawn": {"capabilities": ["shell.run"], "max": 1, "rank": "E"}}),
            json!({"secrets": [{"name": "key"}]}),
            json!({"accept": {}}),
            json!({"with": {"script": "x", "env": {"A": "${{ mission.id }}"}}}),
            json!({"on": {"agent": "nas"}}),
            json!({"on": {"same_as": "other"}}),
            json!({"inputs": [{"task": "other", "artifact": "a.csv"}]}),
            json!({"inputs": [{"version": "ver_00000000000000000000000000", "as": "a"}]}),
        ];
        for fields in refused {
            assert!(parent.may_spawn(&spec(&fields), 0).is_err(), "{fields}");
        }
        assert!(spec(&json!({"id": "parent"})).may_spawn(&spec(&json!({})), 0).is_err(), "no envelope");
    }

    #[test]
    fn no_envelope_reaches_beyond_b() {
        let with = |rank: &str, max: u32, capabilities: Value| -> Envelope {
            serde_json::from_value(json!({"capabilities": capabilities, "max": max, "rank": rank})).unwrap()
        };
        assert_eq!(with("B", 256, json!(["shell.run"])).validate(), Ok(()));
        for (envelope, field) in [
            (with("A", 1, json!(["shell.run"])), "rank"),
            (with("S", 1, json!(["shell.run"])), "rank"),
            (with("E", 0, json!(["shell.run"])), "max"),
            (with("E", 257, json!(["shell.run"])), "max"),
            (with("E", 1, json!([])), "capabilities"),
            (with("E", 1, json!(["core.mission"])), "capabilities"),
        ] {
            assert_eq!(envelope.validate().unwrap_err().field(), field);
        }
        let mut parent = parent();
        assert_eq!(parent.may_spawn_rank(Rank::C), Ok(()));
        assert!(parent.may_spawn_rank(Rank::B).is_err());
        // One that a coordinator let through all the same.
        parent.spawn.as_mut().unwrap().rank = Rank::S;
        assert!(parent.may_spawn_rank(Rank::A).is_err());
        assert!(parent.may_spawn(&spec(&json!({})), 0).is_err());
    }
}
