//! The capabilities a plan may use: the built-in ones and what agents advertise.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use nexusmon_shared::capability::Capability;
use nexusmon_shared::manifest::{CapabilitySpec, Manifest};
use nexusmon_shared::schema::Schema;
use serde_json::{Value, json};

use crate::sub_mission;

/// Capabilities every agent brings, and the one the coordinator has; no plan is pinned to their version.
pub(super) const BUILT_IN: [&str; 4] = ["shell.run", "script.run", "core.noop", sub_mission::CAPABILITY];

/// A capability with who provides it.
#[derive(Clone)]
pub struct Known {
    pub spec: CapabilitySpec,
    /// Name and version of its plugin; `None` for built-in ones.
    pub plugin: Option<(String, String)>,
    /// `spec.params`, compiled; `None` accepts any object.
    pub(super) params: Option<Arc<Schema>>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known")
            .field("spec", &self.spec)
            .field("plugin", &self.plugin)
            .finish_non_exhaustive()
    }
}

/// Every capability known to the fleet. Building compiles schemas: keep it until a manifest changes.
#[derive(Debug, Clone)]
pub struct Catalog {
    known: BTreeMap<Capability, Known>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self::new([])
    }
}

impl Catalog {
    /// The built-in capabilities and those of `manifests`; where versions of a plugin differ the newest is taken, and
    /// plans are pinned to it. A manifest cannot redefine a built-in capability, and a schema that does not compile is
    /// left out (agents' manifests are checked when they are advertised).
    pub fn new<'a>(manifests: impl IntoIterator<Item = &'a Manifest>) -> Self {
        let mut known = BTreeMap::new();
        for manifest in manifests {
            for spec in &manifest.capabilities {
                let newer = |held: &Known| match &held.plugin {
                    Some((_, version)) => compare_versions(&manifest.version, version) == Ordering::Greater,
                    None => false,
                };
                if known.get(&spec.name).is_none_or(newer) {
                    let plugin = Some((manifest.name.to_string(), manifest.version.clone()));
                    known.insert(spec.name.clone(), compiled(spec.clone(), plugin));
                }
            }
        }
        for spec in built_in() {
            known.insert(spec.name.clone(), compiled(spec, None));
        }
        Self { known }
    }

    pub fn get(&self, capability: &Capability) -> Option<&Known> {
        self.known.get(capability)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Capability, &Known)> {
        self.known.iter()
    }

    /// Up to three known names most like `wanted`, for error messages.
    pub(super) fn close_to(&self, wanted: &str) -> Vec<&str> {
        let plugin = wanted.split('.').next().unwrap_or(wanted);
        let mut scored: Vec<(usize, &str)> = self
            .known
            .keys()
            .map(|known| {
                let same_plugin = usize::from(known.plugin() != plugin);
                (edit_distance(known.as_str(), wanted) + same_plugin, known.as_str())
            })
            .collect();
        scored.sort_unstable();
        scored.into_iter().take(3).map(|(_, name)| name).collect()
    }
}

fn compiled(spec: CapabilitySpec, plugin: Option<(String, String)>) -> Known {
    let params = spec.params.as_ref().and_then(|schema| Schema::compile(schema).ok()).map(Arc::new);
    Known { spec, plugin, params }
}

/// Dotted versions by their numbers, then as text: `1.10.0` is newer than `1.9.2`.
pub(super) fn compare_versions(left: &str, right: &str) -> Ordering {
    let numbers = |text: &str| -> Vec<u64> {
        text.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0)).collect()
    };
    numbers(left).cmp(&numbers(right)).then_with(|| left.cmp(right))
}

fn built_in() -> Vec<CapabilitySpec> {
    // A whole-string expression may give a number; the agent writes it as text.
    let env = json!({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}});
    let shell = json!({
        "type": "object", "additionalProperties": false, "required": ["script"],
        "properties": {
            "script": {"type": "string", "minLength": 1}, "shell": {"type": "string", "minLength": 1},
            "cwd": {"type": "string"}, "env": env,
        },
    });
    let script = json!({
        "type": "object", "additionalProperties": false, "required": ["interpreter"],
        "oneOf": [{"required": ["source"]}, {"required": ["artifact"]}],
        "properties": {
            "interpreter": {"type": "string", "minLength": 1}, "source": {"type": "string", "minLength": 1},
            "artifact": {"type": "string", "minLength": 1},
            "args": {"type": "array", "items": {"type": "string"}}, "env": env,
        },
    });
    BUILT_IN
        .into_iter()
        .zip([Some(shell), Some(script), None, Some(sub_mission::parameters())])
        .filter_map(|(name, params)| Some(built_in_spec(name.parse().ok()?, params)))
        .collect()
}

fn built_in_spec(name: Capability, params: Option<Value>) -> CapabilitySpec {
    let idempotent = (name.plugin() == "core").then_some(true);
    CapabilitySpec {
        description: match name.as_str() {
            "shell.run" => "Runs a shell script in a fresh workspace",
            "script.run" => "Runs a script with an interpreter in a fresh workspace",
            sub_mission::CAPABILITY => "Runs a playbook as a mission of its own and waits for its end",
            _ => "Does nothing: for measuring",
        }
        .to_owned(),
        name,
        risk_level: nexusmon_shared::rank::Rank::E,
        requires_approval: false,
        effects: nexusmon_shared::effects::Effects::default(),
        params,
        outputs: None,
        idempotent,
        dry_run: false,
        sandbox: None,
    }
}

/// Levenshtein distance over bytes; both texts are at most 128 bytes.
pub(super) fn edit_distance(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.iter().enumerate() {
        let mut current = vec![i + 1];
        for (j, r) in right.iter().enumerate() {
            let replaced = previous[j] + usize::from(l != r);
            current.push(replaced.min(previous[j + 1] + 1).min(current[j] + 1));
        }
        previous = current;
    }
    previous.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_pinned() {
        let manifest = |version: &str| -> Manifest {
            let spec = json!({"name": "demo.echo", "description": version});
            serde_json::from_value(json!({"name": "demo", "version": version, "capabilities": [spec]}))
                .unwrap()
        };
        let manifests = [manifest("1.9.2"), manifest("1.10.0"), manifest("1.2.0")];
        let catalog = Catalog::new(&manifests);
        let known = catalog.get(&"demo.echo".parse().unwrap()).unwrap();
        assert_eq!(known.plugin, Some(("demo".to_owned(), "1.10.0".to_owned())));
        assert_eq!(catalog.get(&"shell.run".parse().unwrap()).unwrap().plugin, None);
        assert_eq!(catalog.close_to("shel.run")[0], "shell.run");
    }
}
