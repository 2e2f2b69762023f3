//! `nexusmon-agent plugin`: a plugin to start from, a check of one, the list of this machine's.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::time::{SharedClock, SystemClock};
use serde_json::json;

use super::output;
use crate::config::Config;
use crate::control::Lock;
use crate::error::AgentError;
use crate::local;
use crate::plugins::{self, PluginState, Probe};

/// For the spawner of a check to end.
const STOP_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Write a plugin in Python to start from
    New {
        /// A folder that does not exist yet; its name becomes the plugin's
        folder: PathBuf,
    },
    /// Start the plugin of a folder, print its manifest as it would be advertised, or say what is wrong with it
    Check {
        folder: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the plugins of this machine: offered, refused with the reason, in quarantine
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn plugin(command: PluginCommand, config: &Config) -> Result<ExitCode, AgentError> {
    match command {
        PluginCommand::New { folder } => Ok(new(&folder, config)),
        PluginCommand::Check { folder, json } => check(&folder, config, json).await,
        PluginCommand::List { json } => Ok(list(config, json)),
    }
}

fn new(folder: &Path, config: &Config) -> ExitCode {
    // A folder may be named with a trailing slash or as `.`-relative: its last part is the name.
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    match plugins::new(&folder) {
        Ok(files) => {
            for file in files {
                output::line(file.display());
            }
            output::line(format_args!("Check it: nexusmon-agent plugin check {}", folder.display()));
            if !folder.starts_with(&config.plugin_dir) {
                output::line(format_args!("Offer it: move it into {}", config.plugin_dir.display()));
            }
            ExitCode::SUCCESS
        }
        Err(reason) => wrong(&reason, false),
    }
}

async fn check(folder: &Path, config: &Config, as_json: bool) -> Result<ExitCode, AgentError> {
    let clock: SharedClock = Arc::new(SystemClock);
    let lifecycle = Lifecycle::new();
    let checked = local::check_plugin(config, folder, &lifecycle, clock).await;
    lifecycle.shutdown(STOP_WITHIN).await;
    match checked? {
        Err(reason) => Ok(wrong(&reason, as_json)),
        Ok(Probe { manifest, profile, concurrency, digest }) => {
            let digest = digest.to_string();
            if as_json {
                output::json(
                    &json!({"ok": true, "profile": profile, "concurrency": concurrency, "digest": digest,
                    "manifest": manifest}),
                );
            } else {
                output::line(serde_json::to_string_pretty(&manifest).unwrap_or_default());
                output::line(format_args!("profile      {}", profile.as_str()));
                output::line(format_args!("concurrency  {concurrency}"));
                output::line(format_args!("digest       {digest}"));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn wrong(reason: &str, as_json: bool) -> ExitCode {
    if as_json {
        output::json(&json!({"ok": false, "reason": reason}));
    } else {
        output::problem(reason);
    }
    ExitCode::FAILURE
}

fn list(config: &Config, as_json: bool) -> ExitCode {
    let running = Lock::holder(&config.data_dir).is_some();
    let known = running.then(|| plugins::read_states(&config.data_dir)).flatten();
    let states = known.unwrap_or_else(|| plugins::survey(&config.plugin_dir));
    if as_json {
        output::json(&json!({"folder": config.plugin_dir, "running": running, "items": states}));
        return ExitCode::SUCCESS;
    }
    if states.is_empty() {
        output::line(format_args!("No plugins in {}.", config.plugin_dir.display()));
    }
    for state in &states {
        output::line(described(state));
    }
    if !running && !states.is_empty() {
        output::line("No agent runs on this data folder; only one that runs can tell what is offered.");
    }
    ExitCode::SUCCESS
}

fn described(state: &PluginState) -> String {
    let profile = state.profile.map_or("", |profile| profile.as_str());
    let mut text = format!("{:<20} {:<12} {profile:<8}", state.name, state.state.as_str());
    let offered = state.capabilities.iter().map(|one| format!("{} ({})", one.name, one.risk_level));
    text.push_str(&offered.collect::<Vec<_>>().join(", "));
    if let Some(reason) = &state.reason {
        text.push_str(reason);
    }
    text.trim_end().to_owned()
}
