//! The agent's own manifests, indexed by capability, with their parameter schemas compiled once.

use std::collections::HashMap;

use nexusmon_shared::capability::Capability;
use nexusmon_shared::manifest::{CapabilitySpec, Manifest};
use nexusmon_shared::name::Name;
use nexusmon_shared::schema::Schema;
use serde_json::{Map, Value};

/// Everything this agent provides.
#[derive(Debug, Default)]
pub struct Catalogue(HashMap<Capability, Offered>);

/// One capability, by whom, and what it takes.
#[derive(Debug)]
pub struct Offered {
    pub plugin: Name,
    pub version: String,
    pub spec: CapabilitySpec,
    schema: Option<Schema>,
}

impl Catalogue {
    /// Of two manifests that name the same capability the first one counts. A capability whose schema cannot be used is
    /// left out; the second part says why.
    pub fn new(manifests: &[Manifest]) -> (Self, Vec<String>) {
        let mut offers = HashMap::new();
        let mut problems = Vec::new();
        for manifest in manifests {
            for spec in &manifest.capabilities {
                let schema = match spec.params.as_ref().map(Schema::compile).transpose() {
                    Ok(schema) => schema,
                    Err(error) => {
                        problems.push(format!("{} of plugin {}: {error}", spec.name, manifest.name));
                        continue;
                    }
                };
                offers.entry(spec.name.clone()).or_insert_with(|| Offered {
                    plugin: manifest.name.clone(),
                    version: manifest.version.clone(),
                    spec: spec.clone(),
                    schema,
                });
            }
        }
        (Self(offers), problems)
    }

    pub fn get(&self, capability: &Capability) -> Option<&Offered> {
        self.0.get(capability)
    }
}

impl Offered {
    /// Gives the parameters back if the schema takes them.
    pub(super) fn accepts(&self, parameters: Map<String, Value>) -> Result<Map<String, Value>, String> {
        let Some(schema) = &self.schema else { return Ok(parameters) };
        let value = Value::Object(parameters);
        match schema.check(&value) {
            Ok(()) => match value {
                Value::Object(parameters) => Ok(parameters),
                _ => unreachable!("made from a map above"),
            },
            Err(violations) => {
                let listed: Vec<String> = violations.iter().map(ToString::to_string).collect();
                Err(listed.join("; "))
            }
        }
    }
}
