//! `nexusmon-agent run`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::idle;
use nexusmon_shared::lifecycle::{Lifecycle, Signals, TaskFailure};
use nexusmon_shared::telemetry::{self, TelemetryConfig, TelemetryError, TelemetryGuard};
use nexusmon_shared::time::{SharedClock, SystemClock};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::agent::{Agent, Ingredients};
use crate::config::{Config, ConfigError, LogFormat};
use crate::control::Lock;
use crate::enroll::Home;
use crate::error::AgentError;
use crate::link::LinkError;
use crate::local::Local;

/// Beyond `stop_grace`: for ending what still runs, and for the last reports.
const STOP_MARGIN: Duration = Duration::from_secs(15);

/// For the journal's last bytes and the goodbye on the line.
const TIDY_UP: Duration = Duration::from_secs(1);

pub(super) async fn run(config: Config) -> Result<ExitCode, AgentError> {
    let home = Arc::new(Home::open(&config.data_dir)?);
    // Whoever finds the lock may ask by SIGUSR1 (`status`, `pause`): from then on it must not end this process.
    let _asked = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined1())
        .map_err(|error| AgentError::io("listen to signals for", &config.data_dir, error))?;
    let mut signals = Signals::listen()
        .map_err(|error| AgentError::io("listen to signals for", &config.data_dir, error))?;
    let _lock = Lock::take(&config.data_dir)?;
    let _telemetry = listen_in(&config)?;
    let clock: SharedClock = Arc::new(SystemClock);
    let lifecycle = Lifecycle::new();
    let Local { worker, spool } = Local::start(&config, &lifecycle, Arc::clone(&clock)).await?;
    let ingredients = Ingredients {
        config: config.clone(),
        home: Arc::clone(&home),
        worker: Arc::clone(&worker),
        spool,
        clock: Arc::clone(&clock),
        rng: seeded_rng()?,
    };
    let agent = Agent::start(ingredients, &lifecycle).await?;
    agent.listen(&config, home, worker, clock, &lifecycle)?;
    idle::watch(&lifecycle);
    tracing::info!(agent = %agent.id(), slots = config.slots, "agent runs");

    let failure = tokio::select! {
        signal = signals.next() => {
            tracing::info!(%signal, "stopping");
            None
        }
        failure = lifecycle.failed() => Some(failure),
    };
    lifecycle.begin_shutdown();
    if failure.is_none() {
        // The worker lives until nobody needs it any more, so the end is when the supervisor has ended.
        let _ = tokio::time::timeout(config.stop_grace + STOP_MARGIN, agent.ended()).await;
    }
    lifecycle.shutdown(TIDY_UP).await;
    match failure.or_else(|| lifecycle.failure()) {
        None => Ok(ExitCode::SUCCESS),
        Some(failure) => Err(explain(failure)),
    }
}

/// Logs go to stderr, traces where the configuration says.
fn listen_in(config: &Config) -> Result<TelemetryGuard, AgentError> {
    let telemetry = TelemetryConfig {
        service: "nexusmon-agent",
        filter: config.log.filter.clone(),
        default_filter: "info",
        json: config.log.format == LogFormat::Json,
        otlp_endpoint: config.log.otlp_endpoint.clone(),
    };
    telemetry::init(&telemetry).map_err(|error| match error {
        TelemetryError::Filter { .. } => ConfigError::Key { key: "log", reason: error.to_string() }.into(),
        TelemetryError::Endpoint { .. } => {
            ConfigError::Key { key: "otlp_endpoint", reason: error.to_string() }.into()
        }
        TelemetryError::Twice => AgentError::Part { part: "logging", source: Box::new(error) },
    })
}

/// What a person can act on, out of the task that went down.
fn explain(failure: Arc<TaskFailure>) -> AgentError {
    if let Some(LinkError::Revoked(detail)) = failure.reason.downcast_ref::<LinkError>() {
        return LinkError::Revoked(detail.clone()).into();
    }
    AgentError::Part { part: "or go on; a part of the agent went down", source: Box::new(Down(failure)) }
}

#[derive(Debug, thiserror::Error)]
#[error("{}", nexusmon_shared::lifecycle::chain(&*.0))]
struct Down(Arc<TaskFailure>);

/// Randomness from the machine.
pub(super) fn seeded_rng() -> Result<StdRng, AgentError> {
    StdRng::try_from_rng(&mut rand::rngs::SysRng).map_err(|source| AgentError::Part {
        part: "without randomness from the machine",
        source: Box::new(source),
    })
}
