//! Configuration: one TOML file, every key also a flag and an environment variable, checked before anything starts.
//!
//! Secrets come by file or environment only.

mod chains;
mod models;
mod oidc;
mod push;
mod secret;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use nexusmon_shared::join_token::Address;
use nexusmon_shared::network::Network;

pub use chains::{ChainSettings, Chains};
pub use models::{ModelConfig, ModelKind, ModelSettings};
pub use oidc::{Oidc, OidcSettings, is_private};
pub use push::Push;
pub use secret::Secret;

/// A setting that cannot be used: which one, and why.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct ConfigError {
    pub key: String,
    pub reason: String,
}

impl ConfigError {
    pub fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { key: key.into(), reason: reason.into() }
    }
}

/// Log lines for people, or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

/// Every setting as it may be given; absent means "the default".
#[derive(Debug, Clone, Default, clap::Args, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// TOML file with these settings; flags and environment win.
    #[arg(long, env = "NEXUSMON_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Where everything is kept that the coordinator writes.
    #[arg(long, env = "NEXUSMON_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// `sqlite:///absolute/file` or `postgres://…`; SQLite under the data directory if absent.
    #[arg(long, env = "NEXUSMON_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Address both ports listen on, unless they say otherwise [default: 127.0.0.1].
    #[arg(long, env = "NEXUSMON_BIND", value_name = "IP")]
    pub bind: Option<IpAddr>,
    /// Address of API and pages [default: 127.0.0.1:7300; a port alone may come from PORT].
    #[arg(long, env = "NEXUSMON_HTTP", value_name = "ADDR")]
    pub http: Option<SocketAddr>,
    /// Address agents connect to [default: 127.0.0.1:7301].
    #[arg(long, env = "NEXUSMON_GRPC", value_name = "ADDR")]
    pub grpc: Option<SocketAddr>,
    /// How people reach the API from elsewhere, for example `https://nexus.example`.
    #[arg(long, env = "NEXUSMON_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// `host:port` that invites print for new machines [default: the agent address].
    #[arg(long, env = "NEXUSMON_AGENT_ADDRESS", value_name = "HOST:PORT")]
    pub agent_address: Option<String>,
    /// `file:///absolute/folder` or `s3://bucket/prefix`; a folder under the data directory if absent.
    #[arg(long, env = "NEXUSMON_BLOBS_URL", value_name = "URL")]
    pub blobs_url: Option<String>,
    /// Where an `s3://` store answers, if it is not AWS, for example `http://127.0.0.1:9000` [default:
    /// `AWS_ENDPOINT_URL`].
    #[arg(long, env = "NEXUSMON_S3_ENDPOINT", value_name = "URL")]
    pub s3_endpoint: Option<String>,
    /// Region of an `s3://` store [default: `AWS_REGION`, then us-east-1].
    #[arg(long, env = "NEXUSMON_S3_REGION", value_name = "REGION")]
    pub s3_region: Option<String>,
    /// File with the credentials of an `s3://` store, in the form of `~/.aws/credentials`, mode 0600 [default:
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`].
    #[arg(long, env = "NEXUSMON_S3_CREDENTIALS_FILE", value_name = "FILE")]
    pub s3_credentials_file: Option<PathBuf>,
    /// Plain HTTP to an `s3://` store on another machine.
    #[arg(long, env = "NEXUSMON_S3_ALLOW_HTTP")]
    pub s3_allow_http: Option<bool>,
    /// Certificate chain (PEM) of the API's own TLS.
    #[arg(long, env = "NEXUSMON_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// Private key (PEM) of the API's own TLS.
    #[arg(long, env = "NEXUSMON_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Addresses or networks of reverse proxies that end TLS before the API and whose headers are believed.
    #[arg(long, env = "NEXUSMON_TRUSTED_PROXIES", value_name = "IP|NETWORK", value_delimiter = ',')]
    pub trusted_proxies: Option<Vec<Network>>,
    /// Who push services may turn to about what this coordinator sends to browsers: `mailto:you@example.org` or an https
    /// address [default: an https `public_url`; without either, nothing is pushed].
    #[arg(long, env = "NEXUSMON_PUSH_CONTACT", value_name = "URL")]
    pub push_contact: Option<String>,
    /// Networks that push services may be in beside the public ones, for one of your own.
    #[arg(long, env = "NEXUSMON_PUSH_INSIDE", value_name = "IP|NETWORK", value_delimiter = ',')]
    pub push_inside: Option<Vec<Network>>,
    /// Networks that webhooks, ntfy, Slack-compatible and mail servers of notifications may be in beside the public ones.
    #[arg(long, env = "NEXUSMON_NOTIFY_INSIDE", value_name = "IP|NETWORK", value_delimiter = ',')]
    pub notify_inside: Option<Vec<Network>>,
    /// Serve HTTP beyond loopback without TLS: only where nothing but a line of your own leads here, such as a
    /// container's port that is published on the host's loopback [default: false].
    #[arg(long, env = "NEXUSMON_PLAIN_HTTP", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub plain_http: Option<bool>,
    /// Further names this coordinator is called by inside, such as a service's; others than these, loopback and the
    /// public URL are refused.
    #[arg(long, env = "NEXUSMON_HOSTS", value_name = "NAME", value_delimiter = ',')]
    pub hosts: Option<Vec<String>>,
    /// File that holds the master key, mode 0600.
    #[arg(long, env = "NEXUSMON_MASTER_KEY_FILE", value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,
    /// How long logs and unnamed outputs are kept [default: 90 days].
    #[arg(long, env = "NEXUSMON_RETENTION_DAYS", value_name = "DAYS")]
    pub retention_days: Option<u32>,
    /// How long missions are kept after their end, once nothing refers to them [default: 365 days].
    #[arg(long, env = "NEXUSMON_HISTORY_DAYS", value_name = "DAYS")]
    pub history_days: Option<u32>,
    #[arg(long, env = "NEXUSMON_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What to log, for example `info,nexusmon_coordinator=debug`.
    #[arg(long, env = "NEXUSMON_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// OTLP/gRPC collector for traces, for example `http://localhost:4317`.
    #[arg(long, env = "NEXUSMON_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Tells nodes of one database apart [default: host name and process id].
    #[arg(long, env = "NEXUSMON_NODE", value_name = "NAME")]
    pub node: Option<String>,
    /// More coordinators share this database.
    #[arg(long, env = "NEXUSMON_SEVERAL_NODES")]
    pub several_nodes: Option<bool>,
    /// Largest artifact in bytes [default: 10 GiB].
    #[arg(long, env = "NEXUSMON_MAX_ARTIFACT_BYTES", value_name = "BYTES")]
    pub max_artifact_bytes: Option<u64>,
    /// Requests per second and principal before callers are slowed down [default: 10000].
    #[arg(long, env = "NEXUSMON_RATE_LIMIT", value_name = "PER_SECOND")]
    pub rate_limit: Option<u32>,
    #[command(flatten)]
    pub oidc: OidcSettings,
    #[command(flatten)]
    pub model: ModelSettings,
    #[command(flatten)]
    pub chains: ChainSettings,
}

/// Certificate and key of the API's own TLS.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// How an `s3://` store is reached; what is absent comes from `AWS_…` in the environment.
#[derive(Debug, Clone, Default)]
pub struct ObjectStore {
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub credentials_file: Option<PathBuf>,
    pub allow_http: bool,
}

/// Checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    pub data_dir: PathBuf,
    pub database_url: String,
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    /// Without a slash at the end.
    pub public_url: Option<String>,
    /// Overrides what invites print; `None` gives the address really bound.
    pub agent_address: Option<Address>,
    pub blobs_url: String,
    pub object_store: ObjectStore,
    pub tls: Option<TlsFiles>,
    pub trusted_proxies: Vec<Network>,
    /// `None`: nothing is pushed to browsers.
    pub push: Option<Push>,
    /// Networks that notifications may be sent into beside the public ones.
    pub notify_inside: Vec<Network>,
    pub plain_http: bool,
    /// In lower case.
    pub hosts: Vec<String>,
    /// `NEXUSMON_MASTER_KEY`; its file is looked at where its mode is checked.
    pub master_key: Option<Secret>,
    pub master_key_file: Option<PathBuf>,
    /// `NEXUSMON_MASTER_PASSPHRASE` (also `…_FILE`): stretched to a master key where none is given.
    pub master_passphrase: Option<Secret>,
    /// `OPERATOR_KEY`, or what is in the file of `OPERATOR_KEY_FILE`.
    pub operator_key: Option<Secret>,
    /// `NEXUSMON_JWT_SECRET` (also `…_FILE`) or `SWARMZ_JWT_SECRET`.
    pub jwt_secret: Option<Secret>,
    pub retention_days: u32,
    pub history_days: u32,
    pub log_format: LogFormat,
    pub log: Option<String>,
    pub otlp_endpoint: Option<String>,
    pub node: String,
    pub several_nodes: bool,
    pub max_artifact_bytes: u64,
    pub rate_limit: u32,
    /// An OpenID provider that people may log in with.
    pub oidc: Option<Oidc>,
    /// Asked for plans that neither playbooks nor memory have.
    pub model: Option<ModelConfig>,
    /// How far the system goes by itself.
    pub chains: Chains,
}

/// Where secrets and `PORT` are looked up; the process environment, or a test's.
pub trait Environment {
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

const DEFAULT_HTTP: u16 = 7300;
const DEFAULT_GRPC: u16 = 7301;

impl Config {
    /// From flags and environment (`settings`), the TOML file they name, and defaults.
    pub fn load(settings: Settings, environment: &impl Environment) -> Result<Self, ConfigError> {
        let settings = match &settings.config {
            Some(path) => settings.clone().or(Settings::read(path)?),
            None => settings,
        };
        Self::check(settings, environment)
    }

    fn check(settings: Settings, environment: &impl Environment) -> Result<Self, ConfigError> {
        let data_dir = absolute(
            "data_dir",
            match settings.data_dir {
                Some(folder) => folder,
                None => default_data_dir(environment)?,
            },
        )?;
        let bind = settings.bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let http = match (settings.http, environment.get("PORT")) {
            (Some(address), _) => address,
            (None, Some(port)) => {
                let port = port.parse().map_err(|_| {
                    ConfigError::new("PORT", format!("`{port}` is not a port from 0 to 65535"))
                })?;
                SocketAddr::new(bind, port)
            }
            (None, None) => SocketAddr::new(bind, DEFAULT_HTTP),
        };
        let tls = match (settings.tls_certificate, settings.tls_key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(ConfigError::new("tls_key", "tls_certificate is set, tls_key is not"));
            }
            (None, Some(_)) => {
                return Err(ConfigError::new("tls_certificate", "tls_key is set, tls_certificate is not"));
            }
        };
        let trusted_proxies = settings.trusted_proxies.unwrap_or_default();
        let plain_http = settings.plain_http.unwrap_or(false);
        if !http.ip().is_loopback() && tls.is_none() && trusted_proxies.is_empty() && !plain_http {
            return Err(ConfigError::new(
                "http",
                format!(
                    "{http} can be reached from other machines, where log-ins must not travel in the clear: set \
                     tls_certificate and tls_key, or trusted_proxies to the proxy that ends TLS, or bind to 127.0.0.1; \
                     plain_http = true says that only a line of your own leads here"
                ),
            ));
        }
        let agent_address = match settings.agent_address {
            Some(text) => Some(text.parse().map_err(|e| ConfigError::new("agent_address", format!("{e}")))?),
            None => None,
        };
        let by_file = secret::read(environment, "NEXUSMON_DATABASE_URL")?.map(|url| url.expose().to_owned());
        let database_url = settings
            .database_url
            .or(by_file)
            .unwrap_or_else(|| format!("sqlite://{}", data_dir.join("nexusmon.db").display()));
        if !["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| database_url.starts_with(scheme)) {
            return Err(ConfigError::new("database_url", "the scheme must be sqlite:// or postgres://"));
        }
        let several_nodes = settings.several_nodes.unwrap_or(false);
        if several_nodes && database_url.starts_with("sqlite:") {
            return Err(ConfigError::new(
                "several_nodes",
                "an SQLite file serves one coordinator; set database_url to a PostgreSQL database",
            ));
        }
        let blobs_url =
            settings.blobs_url.unwrap_or_else(|| format!("file://{}", data_dir.join("blobs").display()));
        if several_nodes && blobs_url.starts_with("file:") {
            return Err(ConfigError::new(
                "several_nodes",
                "several coordinators cannot share a folder; set blobs_url to an s3:// URL",
            ));
        }
        let retention_days = settings.retention_days.unwrap_or(90);
        if retention_days == 0 {
            return Err(ConfigError::new("retention_days", "must be at least 1"));
        }
        let history_days = settings.history_days.unwrap_or(365);
        if history_days == 0 {
            return Err(ConfigError::new("history_days", "must be at least 1"));
        }
        let public_url = public_url(settings.public_url)?;
        Ok(Self {
            http,
            grpc: settings.grpc.unwrap_or(SocketAddr::new(bind, DEFAULT_GRPC)),
            push: push::read(settings.push_contact, settings.push_inside, public_url.as_deref())?,
            public_url,
            notify_inside: settings.notify_inside.unwrap_or_default(),
            agent_address,
            blobs_url,
            object_store: ObjectStore {
                endpoint: settings.s3_endpoint,
                region: settings.s3_region,
                credentials_file: settings.s3_credentials_file,
                allow_http: settings.s3_allow_http.unwrap_or(false),
            },
            tls,
            trusted_proxies,
            plain_http,
            hosts: hosts(settings.hosts.unwrap_or_default())?,
            master_key: environment.get("NEXUSMON_MASTER_KEY").map(Secret::new),
            master_key_file: settings.master_key_file,
            master_passphrase: secret::read(environment, "NEXUSMON_MASTER_PASSPHRASE")?,
            operator_key: secret::at_least("OPERATOR_KEY", secret::read(environment, "OPERATOR_KEY")?, 16)?,
            jwt_secret: secret::at_least(
                "NEXUSMON_JWT_SECRET",
                secret::read(environment, "NEXUSMON_JWT_SECRET")?
                    .or_else(|| environment.get("SWARMZ_JWT_SECRET").map(Secret::new)),
                32,
            )?,
            retention_days,
            history_days,
            log_format: settings.log_format.unwrap_or_default(),
            log: settings.log,
            otlp_endpoint: settings.otlp_endpoint,
            node: settings.node.unwrap_or_else(|| default_node(environment)),
            several_nodes,
            max_artifact_bytes: settings.max_artifact_bytes.unwrap_or(10 * 1024 * 1024 * 1024),
            rate_limit: settings.rate_limit.unwrap_or(10_000).max(1),
            oidc: settings.oidc.check(environment)?,
            model: settings.model.check(environment)?,
            chains: settings.chains.check()?,
            database_url,
            data_dir,
        })
    }
}

impl Settings {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let refused = |reason: String| ConfigError::new(path.display().to_string(), reason);
        let text = std::fs::read_to_string(path).map_err(|e| refused(format!("cannot be read: {e}")))?;
        toml::from_str(&text).map_err(|e| refused(e.to_string()))
    }

    /// `self` where it says something, `other` elsewhere. Every field is named, so that a new one is not forgotten.
    fn or(self, other: Self) -> Self {
        Self {
            config: self.config,
            data_dir: self.data_dir.or(other.data_dir),
            database_url: self.database_url.or(other.database_url),
            bind: self.bind.or(other.bind),
            http: self.http.or(other.http),
            grpc: self.grpc.or(other.grpc),
            public_url: self.public_url.or(other.public_url),
            agent_address: self.agent_address.or(other.agent_address),
            blobs_url: self.blobs_url.or(other.blobs_url),
            s3_endpoint: self.s3_endpoint.or(other.s3_endpoint),
            s3_region: self.s3_region.or(other.s3_region),
            s3_credentials_file: self.s3_credentials_file.or(other.s3_credentials_file),
            s3_allow_http: self.s3_allow_http.or(other.s3_allow_http),
            tls_certificate: self.tls_certificate.or(other.tls_certificate),
            tls_key: self.tls_key.or(other.tls_key),
            trusted_proxies: self.trusted_proxies.or(other.trusted_proxies),
            push_contact: self.push_contact.or(other.push_contact),
            push_inside: self.push_inside.or(other.push_inside),
            notify_inside: self.notify_inside.or(other.notify_inside),
            plain_http: self.plain_http.or(other.plain_http),
            hosts: self.hosts.or(other.hosts),
            master_key_file: self.master_key_file.or(other.master_key_file),
            retention_days: self.retention_days.or(other.retention_days),
            history_days: self.history_days.or(other.history_days),
            log_format: self.log_format.or(other.log_format),
            log: self.log.or(other.log),
            otlp_endpoint: self.otlp_endpoint.or(other.otlp_endpoint),
            node: self.node.or(other.node),
            several_nodes: self.several_nodes.or(other.several_nodes),
            max_artifact_bytes: self.max_artifact_bytes.or(other.max_artifact_bytes),
            rate_limit: self.rate_limit.or(other.rate_limit),
            oidc: self.oidc.or(other.oidc),
            model: self.model.or(other.model),
            chains: self.chains.or(other.chains),
        }
    }
}

fn absolute(key: &str, path: PathBuf) -> Result<PathBuf, ConfigError> {
    std::path::absolute(&path).map_err(|e| ConfigError::new(key, format!("{}: {e}", path.display())))
}

fn default_data_dir(environment: &impl Environment) -> Result<PathBuf, ConfigError> {
    if let Some(folder) = environment.get("XDG_DATA_HOME") {
        return Ok(PathBuf::from(folder).join("nexusmon"));
    }
    match environment.get("HOME") {
        Some(home) => Ok(PathBuf::from(home).join(".local/share/nexusmon")),
        None => Err(ConfigError::new("data_dir", "is not set, and neither is HOME")),
    }
}

fn default_node(environment: &impl Environment) -> String {
    let host = environment
        .get("HOSTNAME")
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    format!("{host}-{}", std::process::id())
}

fn hosts(names: Vec<String>) -> Result<Vec<String>, ConfigError> {
    let names: Vec<_> = names.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    match names.iter().find(|name| name.is_empty() || name.contains(['/', ':', '*', ' '])) {
        Some(wrong) => Err(ConfigError::new("hosts", format!("`{wrong}` is not a host name without a port"))),
        None => Ok(names),
    }
}

fn public_url(text: Option<String>) -> Result<Option<String>, ConfigError> {
    let Some(text) = text else { return Ok(None) };
    let uri: http::Uri =
        text.parse().map_err(|_| ConfigError::new("public_url", format!("`{text}` is not a URL")))?;
    let scheme_is_good = matches!(uri.scheme_str(), Some("http" | "https"));
    if !scheme_is_good
        || uri.host().is_none()
        || !uri.path().trim_end_matches('/').is_empty()
        || uri.query().is_some()
    {
        return Err(ConfigError::new(
            "public_url",
            format!("`{text}` must be scheme and host, such as https://nexus.example"),
        ));
    }
    Ok(Some(text.trim_end_matches('/').to_owned()))
}

#[cfg(test)]
mod tests;
