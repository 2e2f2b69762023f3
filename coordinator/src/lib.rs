//! The NEXUSMON coordinator as a library: everything `nexusmon serve` and `nexusmon up` do, so that tests start the
//! same thing.

pub mod app;
pub mod background;
pub mod blobs;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod error;
pub mod grpc;
pub mod http;
pub mod keys;
pub mod models;
pub mod ops;
pub mod outward;
pub mod provider;
pub mod push;
pub mod service;
mod start_error;
pub mod up;
pub mod upkeep;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::id::AgentId;
use nexusmon_shared::lifecycle::{Lifecycle, Shutdown, TaskFailure, termination};
use nexusmon_shared::telemetry::{self, TelemetryConfig, TelemetryGuard};
use nexusmon_shared::time::{SharedClock, SystemClock};
use nexusmon_store::{Store, StoreConfig};
use rand::SeedableRng as _;
use rand::rngs::{StdRng, SysRng};
use tokio::net::TcpListener;

use app::App;
use background::{Activation, Background, Next};
use blobs::{Blobs, BlobsConfig, ObjectStoreConfig};
use config::{Config, LogFormat, ProcessEnvironment, Secret, Settings};
use keys::Keyring;
pub use start_error::StartError;

/// What tasks get to finish in once a shutdown begins.
const GRACE: Duration = Duration::from_secs(20);
/// The port's certificate lives thirty times as long.
const CERTIFICATE_PERIOD: Duration = Duration::from_hours(24);

/// Starts coordinators.
#[derive(Debug, Clone, Copy)]
pub struct Coordinator;

/// One that runs. Dropping it does not stop it; [`Running::stop`] does.
pub struct Running {
    pub http_addr: SocketAddr,
    pub grpc_addr: SocketAddr,
    pub app: App,
    pub background: Background,
    /// Made at this, the first, start; to be shown once.
    pub new_operator_key: Option<Secret>,
}

impl Coordinator {
    /// Starts everything and returns once it serves. What was under way when an earlier process ended goes on.
    pub async fn start(config: Config, clock: SharedClock, mut rng: StdRng) -> Result<Running, StartError> {
        raise_descriptor_limit();
        prepare_folder(&config.data_dir)?;
        let http = bind(config.http, "API", "--http").await?;
        let grpc = bind(config.grpc, "agent", "--grpc").await?;
        let bound = |listener: &TcpListener| listener.local_addr().map_err(StartError::Address);
        let (http_addr, grpc_addr) = (bound(&http)?, bound(&grpc)?);

        let lifecycle = Lifecycle::new();
        let mut store_config = StoreConfig::new(config.database_url.clone(), config.node.clone());
        store_config.alone = config.blobs_url.starts_with("file:");
        let store = Store::open(&store_config, Arc::clone(&clock), &lifecycle).await?;
        let blobs = Blobs::open(&BlobsConfig {
            url: config.blobs_url.clone(),
            staging: config.data_dir.join("staging"),
            several_nodes: config.several_nodes,
            object_store: object_store(&config),
        })
        .await?;
        // Pressing: what was halted on a full disk must be able to start again there, and say so.
        let keyring = Keyring::open(&store, &config, &clock, StdRng::from_rng(&mut rng));
        let keyring = nexusmon_store::pressing(keyring).await?;
        let app =
            App::open(config, Arc::clone(&clock), rng, store, blobs, keyring, lifecycle.clone()).await?;
        app.set_agent_address(grpc_addr);
        let new_operator_key = service::auth::prepare(&app).await?;

        let certificate = grpc::serve(&app, grpc)?;
        http::serve(&app, http)?;
        let mut activations = background::standard(&app);
        activations.push(Activation::new("certificate", CERTIFICATE_PERIOD, move || {
            let renewed = certificate.renew();
            async move { renewed.map(|()| Next::Period) }
        }));
        let background = Background::start(activations, &lifecycle, &clock);
        app.set_background(background.clone());
        lifecycle.spawn("events", service::events::relay(app.clone()));
        lifecycle.spawn("nodes", service::nodes::follow(app.clone()));
        lifecycle.spawn("news", service::news::listen(app.clone()));
        tracing::info!(%http_addr, %grpc_addr, "the coordinator serves");
        Ok(Running { http_addr, grpc_addr, app, background, new_operator_key })
    }
}

/// As many descriptors as the machine lets this process have: every agent is one, every open page another, and what
/// shells give by default is a thousand.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, ?current, "the limit of open files stays low; it bounds how many agents can connect");
    }
}

impl Running {
    /// Soft, then hard: takes nothing new, finishes batches, says goodbye to agents, which go on working.
    pub async fn stop(self) -> Shutdown {
        let lifecycle = self.app.lifecycle.clone();
        // The store ends when the last handle to it is gone.
        drop(self);
        lifecycle.shutdown(GRACE).await
    }

    /// Resolves when a critical task has gone down.
    pub async fn failed(&self) -> Arc<TaskFailure> {
        self.app.lifecycle.failed().await
    }

    /// Until a signal asks for the end (fine) or a task goes down (not fine).
    async fn until_end(&self) -> Result<(), StartError> {
        nexusmon_shared::idle::watch(&self.app.lifecycle);
        tokio::select! {
            signal = termination() => {
                let signal = signal.map_err(StartError::Signals)?;
                tracing::info!(%signal, "stopping");
                Ok(())
            }
            failure = self.failed() => Err(StartError::Task(failure)),
        }
    }

    /// Where the API and the pages are, as seen from this machine.
    pub fn http_url(&self) -> String {
        let scheme = if self.app.config.tls.is_some() { "https" } else { "http" };
        let mut address = self.http_addr;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        format!("{scheme}://{address}")
    }

    fn page_url(&self) -> String {
        format!("{}/organism", self.http_url().replace("127.0.0.1", "localhost"))
    }
}

/// What is said once everything serves.
struct Told {
    http: String,
    page: String,
    grpc: SocketAddr,
    operator_key: Option<Secret>,
    data_dir: String,
    agent: Option<AgentId>,
    /// What logs in once.
    link: Option<Secret>,
}

impl Told {
    fn of(running: &Running, agent: Option<AgentId>) -> Self {
        Self {
            http: running.http_url(),
            page: running.page_url(),
            grpc: running.grpc_addr,
            operator_key: running.new_operator_key.clone(),
            data_dir: running.app.config.data_dir.display().to_string(),
            agent,
            link: None,
        }
    }

    /// With a link that logs in once, for who reads this on a terminal. Programs get none: they have the key.
    fn with_link(mut self, running: &Running) -> Self {
        self.link = Some(service::auth::link::make(&running.app));
        self
    }

    /// To whoever reads; work goes on where nobody does.
    fn print(&self, json: bool) {
        let text = if json { self.json() } else { self.text() };
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    fn json(&self) -> String {
        let mut line = serde_json::json!({
            "http": self.http, "grpc": self.grpc.to_string(), "data_dir": self.data_dir,
        });
        if let Some(key) = &self.operator_key {
            line["operator_key"] = key.expose().into();
        }
        if let Some(agent) = self.agent {
            line["agent_id"] = agent.to_string().into();
        }
        line.to_string()
    }

    fn text(&self) -> String {
        let key = match &self.operator_key {
            Some(key) => format!(
                "operator key  {}\n                (logs you in; shown this once, keep it)",
                key.expose()
            ),
            None => "log in with   the operator key of the first start, or OPERATOR_KEY".to_owned(),
        };
        // Behind a `#`, so that no server and no log ever sees it.
        let link = self.link.as_ref().map(|link| {
            let minutes = service::auth::link::LIFE.as_secs() / 60;
            format!(
                "  log in        {}#login={}\n                (opens once, on this machine, within {minutes} minutes)",
                self.page,
                link.expose()
            )
        });
        let lines = [
            format!("NEXUSMON {} is ready", env!("CARGO_PKG_VERSION")),
            format!("  page          {}", self.page),
            format!("  API           {0}/v1  (described at {0}/v1/openapi.json)", self.http),
            format!("  agents        {}", self.grpc),
            format!("  data          {}", self.data_dir),
            format!("  {key}"),
        ];
        lines.into_iter().chain(link).collect::<Vec<_>>().join("\n")
    }
}

/// `nexusmon serve`: runs until a signal comes or something breaks.
pub async fn serve(config: Config, json: bool) -> Result<(), StartError> {
    let running = start_process(config).await?;
    let ended = {
        let mut ended = std::pin::pin!(running.until_end());
        // Listening for signals comes before the word that they may be sent.
        tokio::select! {
            biased;
            ended = &mut ended => ended,
            () = std::future::ready(()) => {
                Told::of(&running, None).print(json);
                ended.await
            }
        }
    };
    conclude(running, ended).await
}

/// A coordinator on the machine's own clock and randomness.
async fn start_process(config: Config) -> Result<Running, StartError> {
    let rng = StdRng::try_from_rng(&mut SysRng).map_err(|_| StartError::Randomness)?;
    Coordinator::start(config, Arc::new(SystemClock), rng).await
}

/// Stops in order; a second signal ends the wait.
async fn conclude(running: Running, ended: Result<(), StartError>) -> Result<(), StartError> {
    let lifecycle = running.app.lifecycle.clone();
    tokio::select! {
        _ = running.stop() => {}
        _ = termination() => tracing::warn!("asked again: not waiting for what is unfinished"),
    }
    ended?;
    lifecycle.failure().map_or(Ok(()), |failure| Err(StartError::Task(failure)))
}

/// Runs `body` with the configuration these settings give, once logs and traces are set up.
pub async fn configured(
    settings: Settings,
    body: impl AsyncFnOnce(Config) -> Result<(), StartError>,
) -> Result<(), StartError> {
    let config = Config::load(settings, &ProcessEnvironment)?;
    let _telemetry = telemetry(&config)?;
    body(config).await
}

/// Logs and traces of this process; to be kept until its end.
fn telemetry(config: &Config) -> Result<TelemetryGuard, StartError> {
    let quiet = std::io::IsTerminal::is_terminal(&std::io::stderr());
    Ok(telemetry::init(&TelemetryConfig {
        service: "nexusmon",
        filter: config.log.clone(),
        default_filter: if quiet { "warn,nexusmon_coordinator=info" } else { "info" },
        json: config.log_format == LogFormat::Json,
        otlp_endpoint: config.otlp_endpoint.clone(),
    })?)
}

/// Makes the data folder and finds out now, not at the first write, whether it can be written.
fn prepare_folder(folder: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let failed = |source| StartError::DataFolder { path: folder.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    std::fs::write(&probe, b"").map_err(failed)?;
    std::fs::remove_file(&probe).map_err(failed)
}

fn object_store(config: &Config) -> ObjectStoreConfig {
    let given = config.object_store.clone();
    ObjectStoreConfig {
        endpoint: given.endpoint,
        region: given.region,
        credentials_file: given.credentials_file,
        allow_http: given.allow_http,
    }
}

async fn bind(
    address: SocketAddr,
    what: &'static str,
    flag: &'static str,
) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Port { address, what, flag, source })
}
