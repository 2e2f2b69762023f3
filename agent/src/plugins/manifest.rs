//! Takes a plugin's manifest in, or says which field is wrong and why. Manifests only raise: what the profile of the
//! plugin's process amounts to counts whatever the manifest says.

use std::collections::{BTreeMap, BTreeSet};

use nexusmon_shared::capability::Capability;
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::sandbox::Sandbox;
use nexusmon_shared::schema::Schema;
use serde_json::{Map, Value};

use super::folder::Declared;

const MOST_CAPABILITIES: usize = 64;
const MOST_BYTES: usize = 128 * 1024;
const MOST_DESCRIPTION: usize = 2_000;
const MOST_VERSION: usize = 64;

/// A manifest as advertised, with what executing needs of it.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) manifest: Manifest,
    pub(super) concurrency: u32,
    schemas: BTreeMap<Capability, Schemas>,
}

#[derive(Debug)]
struct Schemas {
    params: Option<Schema>,
    outputs: Option<Schema>,
}

/// What `initialize` answered, held against the plugin it came from.
pub(super) fn admit(answer: Value, plugin: &str, declared: &Declared) -> Result<Admitted, String> {
    let size = answer.to_string().len();
    if size > MOST_BYTES {
        return Err(format!("the manifest is {size} bytes, more than {MOST_BYTES}"));
    }
    let Value::Object(mut fields) = answer else { return Err("the manifest is not an object".to_owned()) };
    let concurrency = concurrency(fields.remove("concurrency"))?;
    let mut manifest: Manifest =
        serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
            match error.path().to_string().as_str() {
                "." => error.inner().to_string(),
                path => format!("{path}: {}", error.inner()),
            }
        })?;
    check_head(&manifest, plugin)?;
    let floor = Sandbox { profile: declared.profile, ..Sandbox::default() }.rank_floor(false);
    let mut names = BTreeSet::new();
    let mut schemas = BTreeMap::new();
    for (index, spec) in manifest.capabilities.iter_mut().enumerate() {
        let at = |field: &str| format!("capabilities[{index}].{field}");
        if spec.name.plugin() != plugin {
            return Err(format!("{}: `{}` must begin with `{plugin}.`", at("name"), spec.name));
        }
        if !names.insert(spec.name.clone()) {
            return Err(format!("{}: `{}` is there twice", at("name"), spec.name));
        }
        if spec.description.len() > MOST_DESCRIPTION {
            return Err(format!("{}: longer than {MOST_DESCRIPTION} bytes", at("description")));
        }
        if let Some(least) = spec.sandbox
            && declared.profile > least
        {
            let (least, given) = (least.as_str(), declared.profile.as_str());
            return Err(format!(
                "{}: wants `{least}` or stricter, plugin.toml runs it in `{given}`",
                at("sandbox")
            ));
        }
        let compile = |field: &str, schema: &Option<Value>| {
            schema
                .as_ref()
                .map(Schema::compile)
                .transpose()
                .map_err(|error| format!("{}: {error}", at(field)))
        };
        let compiled =
            Schemas { params: compile("params", &spec.params)?, outputs: compile("outputs", &spec.outputs)? };
        schemas.insert(spec.name.clone(), compiled);
        spec.risk_level = spec.risk_level.max(floor);
        // What really surrounds it, which everybody downstream counts with.
        spec.sandbox = Some(declared.profile);
    }
    Ok(Admitted { manifest, concurrency: declared.concurrency(concurrency), schemas })
}

fn concurrency(field: Option<Value>) -> Result<u32, String> {
    match field {
        None => Ok(1),
        Some(value) => value
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number >= 1)
            .ok_or_else(|| "concurrency: must be a whole number from 1".to_owned()),
    }
}

fn check_head(manifest: &Manifest, plugin: &str) -> Result<(), String> {
    if manifest.name.as_str() != plugin {
        return Err(format!("name: is `{}`, but the plugin's folder is `{plugin}`", manifest.name));
    }
    let version = &manifest.version;
    if version.is_empty() || version.len() > MOST_VERSION || !version.chars().all(|c| c.is_ascii_graphic()) {
        return Err(format!("version: must be 1 to {MOST_VERSION} visible ASCII characters"));
    }
    match manifest.capabilities.len() {
        0 => Err("capabilities: the list is empty".to_owned()),
        number if number > MOST_CAPABILITIES => {
            Err(format!("capabilities: {number} are more than {MOST_CAPABILITIES}"))
        }
        _ => Ok(()),
    }
}

impl Admitted {
    pub(super) fn check_params(
        &self,
        capability: &Capability,
        params: &Map<String, Value>,
    ) -> Result<(), String> {
        check(self.schemas.get(capability).and_then(|schemas| schemas.params.as_ref()), params)
    }

    pub(super) fn check_outputs(
        &self,
        capability: &Capability,
        outputs: &Map<String, Value>,
    ) -> Result<(), String> {
        check(self.schemas.get(capability).and_then(|schemas| schemas.outputs.as_ref()), outputs)
    }
}

fn check(schema: Option<&Schema>, value: &Map<String, Value>) -> Result<(), String> {
    let Some(schema) = schema else { return Ok(()) };
    schema.check(&Value::Object(value.clone())).map_err(|violations| {
        let listed: Vec<String> = violations.iter().map(ToString::to_string).collect();
        listed.join("; ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexusmon_shared::rank::Rank;
    use nexusmon_shared::sandbox::Profile;
    use proptest::prelude::*;
    use serde_json::json;

    fn declared(profile: Profile) -> Declared {
        Declared { command: vec!["x".into()], profile, env: vec![], digest: None, concurrency: Some(3) }
    }

    fn good() -> Value {
        json!({"name": "greeter", "version": "1", "concurrency": 8, "capabilities": [
            {"name": "greeter.hello", "params": {"type": "object", "required": ["who"]}},
            {"name": "greeter.bye", "risk_level": "C", "sandbox": "user"}]})
    }

    #[test]
    fn the_profile_raises_every_capability() {
        let ranks = |profile| {
            let admitted = admit(good(), "greeter", &declared(profile)).unwrap();
            let ranks: Vec<Rank> =
                admitted.manifest.capabilities.iter().map(|spec| spec.risk_level).collect();
            assert!(admitted.manifest.capabilities.iter().all(|spec| spec.sandbox == Some(profile)));
            assert_eq!(admitted.concurrency, 3, "plugin.toml bounds it");
            ranks
        };
        assert_eq!(ranks(Profile::Strict), [Rank::E, Rank::C]);
        assert_eq!(ranks(Profile::User), [Rank::B, Rank::B]);
        let mut unconfined = good();
        unconfined["capabilities"][1]["sandbox"] = json!("none");
        let admitted = admit(unconfined, "greeter", &declared(Profile::None)).unwrap();
        assert!(admitted.manifest.capabilities.iter().all(|spec| spec.risk_level == Rank::A));
    }

    #[test]
    fn bad_manifests_are_refused_with_the_field() {
        let changed = |pointer: &str, value: Value| {
            let mut manifest = good();
            *manifest.pointer_mut(pointer).expect("a field of the good one") = value;
            manifest
        };
        for (manifest, word) in [
            (json!(3), "not an object"),
            (json!({}), "name"),
            (changed("/name", json!("other")), "name: is `other`"),
            (changed("/version", json!("")), "version"),
            (changed("/concurrency", json!(0)), "concurrency"),
            (changed("/concurrency", json!(-1.5)), "concurrency"),
            (changed("/capabilities", json!([])), "capabilities"),
            (
                changed("/capabilities/0/name", json!("shell.run")),
                "capabilities[0].name: `shell.run` must begin",
            ),
            (changed("/capabilities/0/name", json!("greeter")), "capabilities[0].name"),
            (changed("/capabilities/0/name", json!("greeter.bye")), "twice"),
            (changed("/capabilities/0/params", json!({"type": "strnig"})), "capabilities[0].params"),
            (
                changed("/capabilities/0/params", json!({"$ref": "file:///etc/passwd"})),
                "capabilities[0].params",
            ),
            (changed("/capabilities/1/risk_level", json!("Z")), "capabilities[1].risk_level"),
            (changed("/capabilities/1", json!({"name": "greeter.bye", "root": true})), "capabilities[1]"),
            (changed("/capabilities/1/sandbox", json!("strict")), "capabilities[1].sandbox: wants `strict`"),
            (changed("/version", json!("x".repeat(MOST_BYTES))), "bytes"),
        ] {
            let reason = admit(manifest, "greeter", &declared(Profile::User)).unwrap_err();
            assert!(reason.contains(word), "{word}: {reason}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z._]{0,12}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            let keys = prop_oneof![
                Just("name"),
                Just("version"),
                Just("capabilities"),
                Just("params"),
                Just("sandbox")
            ];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((keys, inner), 0..4).prop_map(|pairs| pairs
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect())
            ]
        })
    }

    proptest! {
        #[test]
        fn any_answer_is_taken_or_refused(answer in values()) {
            let _ = admit(answer, "greeter", &declared(Profile::Strict));
        }
    }
}
