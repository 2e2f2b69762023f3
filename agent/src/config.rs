//! The agent's configuration: a TOML file, over it the environment, over it flags. Validated once, key by key.

mod size;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nexusmon_shared::capability::Capability;
use nexusmon_shared::egress::Neighbour;
use nexusmon_shared::join_token::Address;
use nexusmon_shared::message::LocalPolicy;
use nexusmon_shared::name::Name;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::selector::Labels;
use nexusmon_shared::time::Span;

pub use size::Size;

const MOST_SLOTS: u32 = 1024;

/// Everything the agent can be told, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub data_dir: PathBuf,
    /// Overrides the address joined at.
    pub coordinator: Option<Address>,
    /// Beside those of the invite.
    pub labels: Labels,
    /// Attempts at once.
    pub slots: u32,
    pub max_rank: Rank,
    /// Empty allows all.
    pub capabilities: Vec<Capability>,
    /// Runs A, S and `requires_approval` work without signatures.
    pub unsigned_consent: bool,
    /// Work from this rank on needs signatures here, as A and S always do.
    pub signed_from: Rank,
    /// Only keys of the command line sign for this machine; passkeys do not.
    pub cli_keys_only: bool,
    pub log: Log,
    /// Logs of attempts that wait for the coordinator, on this disk.
    pub spool_limit: Size,
    /// Fetched inputs kept for later.
    pub cache_limit: Size,
    pub plugin_dir: PathBuf,
    /// Where join tokens may lie, which tasks are not shown.
    pub join_from: Option<PathBuf>,
    /// Networks and names of the neighbourhood that tasks in profile `network` may be let through to.
    pub allow_private: Vec<Neighbour>,
    /// Processes and threads one confined attempt may have; absent: the executor's own bound.
    pub task_processes: Option<u64>,
    /// Bytes each process of a confined attempt may write to; absent: most of the machine's memory.
    pub task_memory: Option<Size>,
    /// How long running attempts may go on after the agent was asked to stop.
    pub stop_grace: Duration,
}

/// How the agent tells what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    /// `info`, `debug`, `nexusmon_agent=debug,info`, ….
    pub filter: Option<String>,
    /// Traces go there by OTLP.
    pub otlp_endpoint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

/// One source of settings; flags and environment come through clap, the file through serde. Absent means "not said".
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where identity, journal, spool and workspaces are kept
    #[arg(long, env = "NEXUSMON_AGENT_DATA_DIR", value_name = "FOLDER", global = true)]
    #[serde(skip)]
    pub data_dir: Option<PathBuf>,

    /// Configuration file in TOML, its keys named as the flags with `_` [default: agent.toml in the data folder]
    #[arg(long, env = "NEXUSMON_AGENT_CONFIG", value_name = "FILE", global = true)]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Address of the coordinator's agent port, if it is no longer the one joined at
    #[arg(long, env = "NEXUSMON_AGENT_COORDINATOR", value_name = "HOST:PORT", global = true)]
    pub coordinator: Option<String>,

    /// Labels beside those of the invite, such as `gpu=yes,room=attic`
    #[arg(long, env = "NEXUSMON_AGENT_LABELS", value_name = "KEY=VALUE,…", value_parser = parse_labels, global = true)]
    pub labels: Option<Labels>,

    /// Attempts that may run at once [default: number of processors, at least 2]
    #[arg(long, env = "NEXUSMON_AGENT_SLOTS", value_name = "NUMBER", global = true)]
    pub slots: Option<u32>,

    /// The gravest rank this machine takes, E to S [default: S, bounded by the invite]
    #[arg(long, env = "NEXUSMON_AGENT_MAX_RANK", value_name = "RANK", global = true)]
    pub max_rank: Option<String>,

    /// The only capabilities this machine offers to work with, such as `shell.run,core.noop` [default: all]
    #[arg(
        long,
        env = "NEXUSMON_AGENT_CAPABILITIES",
        value_name = "NAME,…",
        value_delimiter = ',',
        global = true
    )]
    pub capabilities: Option<Vec<String>>,

    /// Run A, S and `requires_approval` work without signatures [default: false]
    #[arg(long, env = "NEXUSMON_AGENT_UNSIGNED_CONSENT", value_name = "BOOL", num_args = 0..=1,
          default_missing_value = "true", global = true)]
    pub unsigned_consent: Option<bool>,

    /// The least rank this machine wants signatures for, E to A [default: A]
    #[arg(long, env = "NEXUSMON_AGENT_SIGNED_FROM", value_name = "RANK", global = true)]
    pub signed_from: Option<String>,

    /// Take signatures of keys in files only, never a passkey's: a passkey does not see what a page shows
    #[arg(long, env = "NEXUSMON_AGENT_CLI_KEYS_ONLY", num_args = 0..=1, default_missing_value = "true", global = true)]
    pub cli_keys_only: Option<bool>,

    /// How log lines look [default: human]
    #[arg(long, env = "NEXUSMON_AGENT_LOG_FORMAT", value_name = "FORMAT", global = true)]
    pub log_format: Option<LogFormat>,

    /// What is logged, such as `info` or `nexusmon_agent=debug,info` [default: info]
    #[arg(long, env = "NEXUSMON_AGENT_LOG", value_name = "FILTER", global = true)]
    pub log: Option<String>,

    /// Send traces there by OTLP (gRPC), such as `http://127.0.0.1:4317` [default: not sent]
    #[arg(long, env = "NEXUSMON_AGENT_OTLP_ENDPOINT", value_name = "URL", global = true)]
    pub otlp_endpoint: Option<String>,

    /// Room for logs that wait to be stored, such as `512MiB` [default: 1GiB]
    #[arg(long, env = "NEXUSMON_AGENT_SPOOL_LIMIT", value_name = "SIZE", global = true)]
    pub spool_limit: Option<Size>,

    /// Room for fetched inputs kept for later [default: 2GiB]
    #[arg(long, env = "NEXUSMON_AGENT_CACHE_LIMIT", value_name = "SIZE", global = true)]
    pub cache_limit: Option<Size>,

    /// Folder whose subfolders are plugins [default: plugins in the data folder]
    #[arg(long, env = "NEXUSMON_AGENT_PLUGIN_DIR", value_name = "FOLDER", global = true)]
    pub plugin_dir: Option<PathBuf>,

    /// If this data folder is not enrolled yet, `run` joins first: with the token in this file, or with the next
    /// `*.token` file of this folder, waiting until there is one
    #[arg(long, env = "NEXUSMON_AGENT_JOIN_FROM", value_name = "PATH", global = true)]
    pub join_from: Option<PathBuf>,

    /// Neighbours that tasks in profile `network` may speak to where they list them, such as `192.168.1.0/24,nas.example.org`
    /// [default: none]
    #[arg(
        long,
        env = "NEXUSMON_AGENT_ALLOW_PRIVATE",
        value_name = "NETWORK,…",
        value_delimiter = ',',
        global = true
    )]
    pub allow_private: Option<Vec<String>>,

    /// Processes and threads a task in a sandbox may have [default: 1024]
    #[arg(long, env = "NEXUSMON_AGENT_TASK_PROCESSES", value_name = "NUMBER", global = true)]
    pub task_processes: Option<u64>,

    /// Memory each process of a task in a sandbox may have, such as `2GiB` [default: three quarters of the machine's]
    #[arg(long, env = "NEXUSMON_AGENT_TASK_MEMORY", value_name = "SIZE", global = true)]
    pub task_memory: Option<Size>,

    /// How long running attempts may go on when the agent is stopped, such as `30s` [default: 10s]
    #[arg(long, env = "NEXUSMON_AGENT_STOP_GRACE", value_name = "DURATION", value_parser = parse_span, global = true)]
    pub stop_grace: Option<Span>,
}

/// Why a setting cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the configuration file {path} is not usable: {reason}")]
    File { path: PathBuf, reason: String },
    #[error("`{key}`: {reason}")]
    Key { key: &'static str, reason: String },
}

fn wrong(key: &'static str) -> impl Fn(&dyn std::fmt::Display) -> ConfigError {
    move |reason| ConfigError::Key { key, reason: reason.to_string() }
}

impl Config {
    /// Reads the file, lays `said` (flags over environment) over it, checks every key.
    pub fn load(said: Settings) -> Result<Self, ConfigError> {
        let data_dir = said.data_dir.clone().unwrap_or_else(default_data_dir);
        let data_dir = std::path::absolute(&data_dir).map_err(|error| wrong("data_dir")(&error))?;
        let file = match &said.config {
            Some(path) => read(path)?.ok_or_else(|| ConfigError::Read {
                path: path.clone(),
                source: std::io::ErrorKind::NotFound.into(),
            })?,
            None => read(&data_dir.join("agent.toml"))?.unwrap_or_default(),
        };
        Self::new(data_dir, said, file)
    }

    fn new(data_dir: PathBuf, said: Settings, file: Settings) -> Result<Self, ConfigError> {
        let slots = said.slots.or(file.slots).unwrap_or_else(|| crate::facts::cpus().max(2));
        if !(1..=MOST_SLOTS).contains(&slots) {
            return Err(wrong("slots")(&format_args!("{slots} is not between 1 and {MOST_SLOTS}")));
        }
        let max_rank = match said.max_rank.or(file.max_rank) {
            Some(text) => text.parse().map_err(|error| wrong("max_rank")(&error))?,
            None => Rank::S,
        };
        let signed_from = match said.signed_from.or(file.signed_from) {
            Some(text) => match text.parse().map_err(|error| wrong("signed_from")(&error))? {
                Rank::S => {
                    return Err(wrong("signed_from")(&"A and S work always needs signatures; say E to A"));
                }
                rank => rank,
            },
            None => Rank::A,
        };
        let capabilities = said.capabilities.or(file.capabilities).unwrap_or_default();
        let capabilities = capabilities
            .iter()
            .map(|text| text.trim().parse().map_err(|error| wrong("capabilities")(&error)))
            .collect::<Result<Vec<Capability>, _>>()?;
        let allow_private = said.allow_private.or(file.allow_private).unwrap_or_default();
        let allow_private = allow_private
            .iter()
            .map(|text| text.trim().parse().map_err(|error| wrong("allow_private")(&error)))
            .collect::<Result<Vec<Neighbour>, _>>()?;
        if said.task_processes.or(file.task_processes).is_some_and(|most| most < 16) {
            return Err(wrong("task_processes")(&"less than 16 would keep most programs from running"));
        }
        let coordinator = said
            .coordinator
            .or(file.coordinator)
            .map(|text| text.parse().map_err(|error| wrong("coordinator")(&error)))
            .transpose()?;
        let mut labels = file.labels.unwrap_or_default();
        labels.extend(said.labels.unwrap_or_default());
        for key in labels.keys() {
            key.parse::<Name>().map_err(|error| wrong("labels")(&error))?;
        }
        let otlp_endpoint = said.otlp_endpoint.or(file.otlp_endpoint).filter(|url| !url.is_empty());
        if let Some(url) = &otlp_endpoint
            && !url.starts_with("http://")
            && !url.starts_with("https://")
        {
            return Err(wrong("otlp_endpoint")(&format_args!(
                "`{url}` is not a URL such as http://host:4317"
            )));
        }
        Ok(Self {
            coordinator,
            labels,
            slots,
            max_rank,
            capabilities,
            unsigned_consent: said.unsigned_consent.or(file.unsigned_consent).unwrap_or(false),
            signed_from,
            cli_keys_only: said.cli_keys_only.or(file.cli_keys_only).unwrap_or(false),
            log: Log {
                format: said.log_format.or(file.log_format).unwrap_or_default(),
                filter: said.log.or(file.log),
                otlp_endpoint,
            },
            spool_limit: said.spool_limit.or(file.spool_limit).unwrap_or(Size::gib(1)),
            cache_limit: said.cache_limit.or(file.cache_limit).unwrap_or(Size::gib(2)),
            plugin_dir: said.plugin_dir.or(file.plugin_dir).unwrap_or_else(|| data_dir.join("plugins")),
            join_from: said.join_from.or(file.join_from),
            allow_private,
            task_processes: said.task_processes.or(file.task_processes),
            task_memory: said.task_memory.or(file.task_memory),
            stop_grace: said.stop_grace.or(file.stop_grace).map_or(Duration::from_secs(10), |span| span.0),
            data_dir,
        })
    }

    /// What every order is held against.
    pub fn policy(&self) -> LocalPolicy {
        LocalPolicy {
            max_rank: self.max_rank,
            capabilities: self.capabilities.clone(),
            unsigned_consent: self.unsigned_consent,
        }
    }

    /// The defaults on a data folder; for tests and simulated agents.
    pub fn on(data_dir: &Path) -> Self {
        Self::new(data_dir.to_owned(), Settings::default(), Settings::default())
            .expect("the defaults are valid")
    }
}

fn read(path: &Path) -> Result<Option<Settings>, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text)
            .map(Some)
            .map_err(|error| ConfigError::File { path: path.to_owned(), reason: error.to_string() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
    }
}

/// `/var/lib/nexusmon-agent` for root, else beneath the user's state folder.
pub fn default_data_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/nexusmon-agent");
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(home)
        .unwrap_or_else(|| PathBuf::from("."))
        .join("nexusmon-agent")
}

/// Reads `key=value,key=value`.
pub fn parse_labels(text: &str) -> Result<Labels, String> {
    let mut labels = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').ok_or_else(|| format!("`{part}` is not `key=value`"))?;
        let key: Name = key.trim().parse().map_err(|error| format!("{error}"))?;
        labels.insert(key.to_string(), value.trim().to_owned());
    }
    Ok(labels)
}

fn parse_span(text: &str) -> Result<Span, String> {
    text.parse().map_err(|error| format!("{error}"))
}

#[cfg(test)]
mod tests;
