//! Root helpers as capabilities, and a run of one as a job of the executor.

use std::sync::Arc;

use nexusmon_shared::manifest::Manifest;
use serde_json::{Map, Value, json};

use crate::config::RootHelper;
use crate::run::Job;

pub(super) const PLUGIN: &str = "root";

/// What this machine's helpers offer; nothing where there are none.
pub(super) fn manifest(helpers: &[RootHelper]) -> Option<Manifest> {
    if helpers.is_empty() {
        return None;
    }
    let capabilities: Vec<Value> = helpers
        .iter()
        .map(|helper| {
            json!({"name": format!("{PLUGIN}.{}", helper.name), "risk_level": "A", "sandbox": "none",
                "idempotent": false, "effects": {"reads": true, "writes": true}, "params": helper.parameters(),
                "description": format!("Runs `{}`, as this machine's admin set it up", helper.command.join(" "))})
        })
        .collect();
    let manifest =
        json!({"name": PLUGIN, "version": env!("CARGO_PKG_VERSION"), "capabilities": capabilities});
    Some(serde_json::from_value(manifest).expect("a manifest of checked helpers"))
}

/// The helper's command with the work's arguments, as the executor starts it: each part is one word, whatever it holds.
pub(super) fn job(helpers: &[RootHelper], job: &Job) -> Option<Job> {
    let name = job.spec.uses.as_str().strip_prefix(PLUGIN)?.strip_prefix('.')?;
    let helper = helpers.iter().find(|helper| helper.name == name)?;
    let given = job.parameters.get("args").and_then(Value::as_array).into_iter().flatten();
    let words = helper.command.iter().map(String::as_str).chain(given.filter_map(Value::as_str));
    let script = words.fold("exec".to_owned(), |script, word| script + " " + &quoted(word));
    let mut spec = (*job.spec).clone();
    spec.uses = "shell.run".parse().ok()?;
    let parameters = Map::from_iter([("script".to_owned(), Value::String(script))]);
    Some(Job { spec: Arc::new(spec), parameters, ..job.clone() })
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(quoted("a b; $(x) `y`"), "'a b; $(x) `y`'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn helpers_are_rank_a_and_unconfined() {
        let helper = RootHelper {
            name: "update".to_owned(),
            command: vec!["/usr/bin/apt-get".to_owned(), "update".to_owned()],
            arguments: None,
            most: None,
        };
        let manifest = manifest(&[helper]).unwrap();
        let capability = &manifest.capabilities[0];
        assert_eq!(capability.name.as_str(), "root.update");
        assert_eq!(capability.risk_level, nexusmon_shared::rank::Rank::A);
        assert_eq!(capability.sandbox, Some(nexusmon_shared::sandbox::Profile::None));
        assert!(super::manifest(&[]).is_none());
    }
}
