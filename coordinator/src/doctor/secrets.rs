//! The operator key, and whether the master key opens what the database holds.

use std::collections::BTreeSet;

use nexusmon_shared::doctor::Check;
use nexusmon_shared::lifecycle::chain;
use nexusmon_store::Inspection;

use crate::config::Config;
use crate::keys::{self, MasterKeyError};

/// Fewer different characters than this are guessed sooner than the length suggests.
const VARIETY: usize = 8;
/// What people type when they have to type something.
const COMMON: [&str; 6] = ["password", "operator", "changeme", "nexusmon", "12345678", "qwerty"];

pub(super) fn operator_key(config: &Config) -> Option<Check> {
    const NAME: &str = "operator key";
    let key = config.operator_key.as_ref()?.expose();
    let lower = key.to_ascii_lowercase();
    let variety = key.chars().collect::<BTreeSet<_>>().len();
    let common = COMMON.iter().find(|word| lower.contains(*word));
    let found = match common {
        Some(word) => format!("contains `{word}`"),
        None if variety < VARIETY => format!("is made of {variety} different characters"),
        None => return Some(Check::ok(NAME, format!("{} characters", key.len()))),
    };
    Some(
        Check::warn(NAME, found)
            .because("whoever guesses it is the owner of everything")
            .advise("make one with `openssl rand -base64 24`, set it as OPERATOR_KEY and restart"),
    )
}

pub(super) fn master_key(config: &Config, database: &Inspection) -> Check {
    const NAME: &str = "master key";
    let Some(organism) = database.organism.filter(|_| !database.keys.is_empty()) else {
        return Check::skipped(NAME, "the database holds no keys yet; the first start makes them");
    };
    match keys::check(config, organism, &database.keys) {
        Ok(()) => Check::ok(NAME, "opens the keys in the database"),
        Err(error) => {
            let advice = match &error {
                keys::KeyringError::Master(MasterKeyError::Missing | MasterKeyError::Read { .. }) => {
                    "give the key of the first start: NEXUSMON_MASTER_KEY, NEXUSMON_MASTER_KEY_FILE, or the file it was \
                     written to under $XDG_CONFIG_HOME/nexusmon (is this another user, or a new container?)"
                }
                keys::KeyringError::Master(MasterKeyError::Wrong { .. }) => {
                    "find the key this database was made with; a new one cannot open it, and no backup holds it"
                }
                keys::KeyringError::Master(MasterKeyError::Mode { .. }) => "chmod 600 the file it names",
                _ => "see the message",
            };
            Check::fail(NAME, chain(&error))
                .because(
                    "without it the certificate authority and the token key stay closed, and nothing starts",
                )
                .advise(advice)
        }
    }
}
