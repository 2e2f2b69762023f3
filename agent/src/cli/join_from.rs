//! Joining without a person: with a token somebody left in a file, or in a folder for whoever comes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::join_token::JoinToken;
use nexusmon_shared::lifecycle::{chain, termination};
use nexusmon_shared::time::SystemClock;

use super::output;
use crate::config::Config;
use crate::enroll::{self, EnrollError, Home};
use crate::error::AgentError;
use crate::facts;

/// How often an empty folder is looked at again.
const PACE: Duration = Duration::from_secs(1);
/// How often a coordinator that cannot answer is asked again with the same token.
const TRIES: u32 = 30;

/// Joins unless the data folder is enrolled. False: asked to stop before there was a token.
pub(super) async fn join(place: &Path, config: &Config) -> Result<bool, AgentError> {
    if Home::enrolled(&config.data_dir)?.is_some() {
        return Ok(true);
    }
    let waiting = async {
        loop {
            match take(place)? {
                Some(text) => match redeem(&text, config).await {
                    Ok(()) => return Ok(true),
                    // Somebody's leftover; the next one may be fresh.
                    Err(EnrollError::InviteRefused) if place.is_dir() => {
                        output::problem(
                            "nexusmon-agent: this invite is used or expired; waiting for another",
                        );
                    }
                    Err(error) => return Err(error.into()),
                },
                None => tokio::time::sleep(PACE).await,
            }
        }
    };
    tokio::select! {
        done = waiting => done,
        signal = termination() => signal.map(|_| false).map_err(|source| AgentError::Part {
            part: "without hearing signals",
            source: source.into(),
        }),
    }
}

/// The token: a file's, which stays, or that of a file of the folder, which is taken so that no other agent gets it.
fn take(place: &Path) -> Result<Option<String>, AgentError> {
    if !place.is_dir() {
        return match std::fs::read_to_string(place) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(AgentError::io("read", place, source)),
        };
    }
    let entries = std::fs::read_dir(place).map_err(|source| AgentError::io("look into", place, source))?;
    let mut tokens: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::new("token")))
        .collect();
    tokens.sort();
    for token in tokens {
        let mine = token.with_extension(format!("taken-{}-{}", facts::gather().hostname, std::process::id()));
        // Renaming works for one of those who try.
        if std::fs::rename(&token, &mine).is_ok() {
            let text = std::fs::read_to_string(&mine);
            let _ = std::fs::remove_file(&mine);
            return text.map(Some).map_err(|source| AgentError::io("read", &mine, source));
        }
    }
    Ok(None)
}

async fn redeem(text: &str, config: &Config) -> Result<(), EnrollError> {
    let token: JoinToken = text.trim().parse()?;
    let mut rng = super::run::seeded_rng().map_err(|error| EnrollError::Unavailable(chain(&error)))?;
    let mut tries = 0;
    loop {
        let labels = config.labels.clone();
        let clock = Arc::new(SystemClock);
        let joined = enroll::join(&token, &config.data_dir, labels, facts::gather(), clock, &mut rng).await;
        match joined {
            Ok(joined) => {
                if let Err(error) = super::join::pin(&config.data_dir, &joined) {
                    output::problem(&format!(
                        "nexusmon-agent: the audit log could not be pinned: {}",
                        chain(&error)
                    ));
                }
                let membership = joined.membership;
                let (name, address) = (&membership.name, &membership.address);
                output::problem(&format!("nexusmon-agent: joined {address} as `{name}`"));
                if let Some(words) = &membership.words {
                    output::problem(&format!(
                        "nexusmon-agent: nothing is offered until a person compares the words: nexusmon agent confirm {name} {words}"
                    ));
                }
                return Ok(());
            }
            Err(error) if error.is_passing() && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PACE).await;
            }
            Err(error) => return Err(error),
        }
    }
}
