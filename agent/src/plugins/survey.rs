//! Plugins from the machine's side: how they stand, what a folder would be, a folder to start from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::sandbox::Profile;
use nexusmon_shared::time::SharedClock;
use tokio_util::sync::CancellationToken;

use super::board::{PluginState, State};
use super::folder;
use super::keeper::{Birth, Failed};
use super::sdk;
use super::workspace::Scratch;
use crate::executor::Executor;

/// In the data folder, written by the agent that runs.
const STATES: &str = "plugins.json";

pub(super) fn write_states(data_dir: &Path, states: &[PluginState]) {
    let write = || {
        let fresh = data_dir.join("plugins.new");
        fs::write(&fresh, serde_json::to_vec(states)?)?;
        fs::rename(fresh, data_dir.join(STATES))
    };
    if let Err(error) = write() {
        tracing::warn!(%error, "{STATES} cannot be written");
    }
}

/// How the plugins of the agent that runs on this data folder stand.
pub fn read_states(data_dir: &Path) -> Option<Vec<PluginState>> {
    serde_json::from_slice(&fs::read(data_dir.join(STATES)).ok()?).ok()
}

/// The plugins of a folder by what can be told without starting them.
pub fn survey(plugins: &Path) -> Vec<PluginState> {
    let describe = |(name, seen): (String, Result<_, String>)| {
        let declared = seen
            .and_then(|_| folder::check_name(&name))
            .and_then(|()| folder::declared(&plugins.join(&name)));
        let (state, reason) = match &declared {
            Ok(_) => (State::Unknown, None),
            Err(reason) => (State::Refused, Some(reason.clone())),
        };
        let profile = declared.ok().map(|declared| declared.profile);
        PluginState { name, state, reason, profile, version: None, capabilities: Vec::new() }
    };
    folder::scan(plugins).into_iter().map(describe).collect()
}

/// What a folder turned out to be when it was started.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// As it would be advertised.
    pub manifest: Manifest,
    pub profile: Profile,
    pub concurrency: u32,
    /// For `digest` in its plugin.toml.
    pub digest: Digest,
}

/// Starts the plugin of a folder, takes its manifest in as the agent would, and ends it. An error says what is wrong.
pub async fn probe(
    executor: &Executor,
    data_dir: &Path,
    folder: &Path,
    clock: SharedClock,
) -> Result<Probe, String> {
    let folder = fs::canonicalize(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let plugin = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    folder::check_name(&plugin)?;
    let declared = folder::declared(&folder)?;
    let digest = folder::content_digest(&folder).map_err(|error| error.to_string())?;
    let scratch = Scratch::open(data_dir, format!("{plugin}.check")).map_err(|error| error.to_string())?;
    let birth = Birth {
        executor: executor.clone(),
        clock,
        plugin,
        folder,
        declared,
        scratch: Arc::new(scratch),
        stop: CancellationToken::new(),
    };
    let started = birth.start(1).await;
    let probe = match started {
        Ok((instance, mut serving)) => {
            birth.retire(&instance, &mut serving).await;
            let admitted = instance.admitted();
            Ok(Probe {
                manifest: admitted.manifest.clone(),
                profile: birth.declared.profile,
                concurrency: admitted.concurrency,
                digest,
            })
        }
        Err(Failed::Refused(reason)) => Err(reason),
        Err(Failed::Crashed(reason)) => Err(format!("it does not start: {reason}")),
    };
    birth.scratch.remove();
    probe
}

/// Writes a plugin to start from; the folder's name becomes the plugin's. Gives the files.
pub fn new(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    folder::check_name(name)?;
    let write = || -> io::Result<Vec<PathBuf>> {
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::create_dir(folder)?;
        let files = sdk::template(name);
        files
            .into_iter()
            .map(|(file, text)| {
                let path = folder.join(file);
                fs::write(&path, text)?;
                Ok(path)
            })
            .collect()
    };
    write().map_err(|error| format!("{}: {error}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_plugins_are_never_laid_over_old_ones() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("my-plugin");
        new(&target).unwrap();
        assert!(
            fs::read_to_string(target.join("plugin.py")).unwrap().contains("class MyPlugin(WorkerPlugin)")
        );
        assert!(folder::declared(&target).is_ok());
        assert!(new(&target).is_err());
        assert!(new(&folder.path().join("shell")).unwrap_err().contains("`shell`"));
        assert!(new(&folder.path().join("My Plugin")).is_err());
    }

    #[test]
    fn a_survey_says_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        new(&folder.path().join("good")).unwrap();
        for (name, text) in [("bad", "command = 3"), ("Upper", "command = [\"x\"]")] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("plugin.toml"), text).unwrap();
        }
        fs::create_dir(folder.path().join("nothing")).unwrap();
        let found = survey(folder.path());
        let states: Vec<_> = found.iter().map(|state| (state.name.as_str(), state.state)).collect();
        assert_eq!(states, [("Upper", State::Refused), ("bad", State::Refused), ("good", State::Unknown)]);
        assert!(found[1].reason.as_ref().is_some_and(|reason| reason.contains("command")), "{found:?}");
    }
}
