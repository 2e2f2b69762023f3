//! Which values of run time a leaf admits, so that whoever approves the plan has approved them: coordinator and agent ask
//! the same function.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Input, TaskSpec};
use crate::digest::Digest;
use crate::expression;
use crate::message::OrderInput;
use crate::schema::{Schema, SchemaError};

/// Bounds for what is known only at run time. A parameter that holds an expression and is not named here, or a fetched
/// file whose digest is not, wants an approval of its own.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// JSON Schema of the evaluated value, by parameter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<String, Value>,
    /// The bytes of each fetched file, by its name in the inputs folder.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Digest>,
}

/// Why values of run time are not covered by the leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    #[error("its values of run time have no `accept`")]
    Nothing,
    #[error("`accept` names no schema for the parameter `{0}`, whose value is known only at run time")]
    Parameter(String),
    #[error("the schema for `{0}` cannot be used: {1}")]
    Schema(String, SchemaError),
    #[error("the value of `{name}` is not what `accept` allows: {reason}")]
    Value { name: String, reason: String },
    #[error("the file `{0}` is not the one that `accept` pins")]
    Input(String),
}

impl Accept {
    /// Compiles every schema: what is wrong, by parameter.
    pub fn validate(&self) -> Result<(), (String, SchemaError)> {
        for (name, schema) in &self.with {
            Schema::compile(schema).map_err(|error| (name.clone(), error))?;
        }
        Ok(())
    }
}

impl TaskSpec {
    /// Whether every value of run time is one that the leaf admits. A leaf without any is admitted as it is.
    pub fn admits(&self, parameters: &Map<String, Value>, inputs: &[OrderInput]) -> Result<(), NotAdmitted> {
        if !self.is_open() {
            return Ok(());
        }
        let Some(accept) = &self.accept else { return Err(NotAdmitted::Nothing) };
        for (name, _) in self.with.iter().filter(|(_, planned)| expression::is_open(planned)) {
            let schema = accept.with.get(name).ok_or_else(|| NotAdmitted::Parameter(name.clone()))?;
            let schema = Schema::compile(schema).map_err(|error| NotAdmitted::Schema(name.clone(), error))?;
            let value = parameters.get(name).unwrap_or(&Value::Null);
            if let Err(violations) = schema.check(value) {
                let reason = violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                return Err(NotAdmitted::Value { name: name.clone(), reason });
            }
        }
        if inputs.len() != self.inputs.len() {
            return Err(NotAdmitted::Input("inputs".to_owned()));
        }
        for (wanted, found) in self.inputs.iter().zip(inputs) {
            let name = wanted.name();
            if found.name != name || accept.inputs.get(name) != Some(&found.digest) {
                return Err(NotAdmitted::Input(name.to_owned()));
            }
        }
        Ok(())
    }
}

impl Input {
    /// Its name in the inputs folder.
    pub fn name(&self) -> &str {
        match self {
            Self::FromTask(from) => &from.artifact,
            Self::FromVault(from) => &from.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(change: impl FnOnce(&mut Value)) -> TaskSpec {
        let mut value = json!({
            "id": "t", "uses": "shell.run", "with": {"script": "x", "env": {"N": "${{ tasks.a.outputs.n }}"}},
            "needs": [], "if": null, "for_each": null, "on": {}, "timeout": 60,
            "retry": {"max": 0, "backoff": 1, "jitter": 0.0, "on": []}, "idempotent": false, "offline": 0,
            "sandbox": {"profile": "none"}, "inputs": [], "artifacts": [], "verify": null,
            "effects": crate::effects::Effects::default(), "limits": {},
            "accept": {"with": {"env": {"type": "object", "properties": {"N": {"type": "integer", "maximum": 9}},
                "additionalProperties": false}}}
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn with(n: Value) -> Map<String, Value> {
        let Value::Object(fields) = json!({"script": "x", "env": {"N": n}}) else { unreachable!() };
        fields
    }

    #[test]
    fn what_is_open_must_be_admitted_value_by_value() {
        assert_eq!(spec(|_| {}).admits(&with(json!(9)), &[]), Ok(()));
        let NotAdmitted::Value { name, reason } = spec(|_| {}).admits(&with(json!(10)), &[]).unwrap_err()
        else {
            panic!("the value")
        };
        assert!(name == "env" && reason.contains("/N"), "{reason}");
        let bare = spec(|value| drop(value.as_object_mut().unwrap().remove("accept")));
        assert_eq!(bare.admits(&with(json!(1)), &[]), Err(NotAdmitted::Nothing));
        let other = spec(|value| value["accept"] = json!({"with": {"script": true}}));
        assert_eq!(other.admits(&with(json!(1)), &[]), Err(NotAdmitted::Parameter("env".to_owned())));
        // A leaf without an `accept` has the canonical form it always had.
        assert!(!crate::trust::canonical::of(&bare).unwrap().contains("accept"));
    }

    #[test]
    fn files_are_admitted_by_their_bytes() {
        let digest = Digest::of(b"good");
        let file = |name: &str, digest| OrderInput { name: name.to_owned(), digest, size: 4 };
        let fetches = spec(|value| {
            value["with"] = json!({"script": "x"});
            value["inputs"] = json!([{"task": "a", "artifact": "o.csv"}]);
            value["accept"] = json!({"inputs": {"o.csv": digest}});
        });
        let none = Map::new();
        assert_eq!(fetches.admits(&none, &[file("o.csv", digest)]), Ok(()));
        let refused = Err(NotAdmitted::Input("o.csv".to_owned()));
        assert_eq!(fetches.admits(&none, &[file("o.csv", Digest::of(b"bad"))]), refused);
        assert_eq!(fetches.admits(&none, &[file("p.csv", digest)]), refused);
        assert!(fetches.admits(&none, &[]).is_err());
    }
}
