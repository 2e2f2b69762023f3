//! The line to the coordinator: connect, open a session, reconnect with patience; logs and artifacts beside it.
//!
//! Knows the wire and the supervisor's commands; knows nothing of how work is executed.

mod artifacts;
mod backoff;
mod cache;
mod intake;
mod logs;
mod session;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::join_token::Address;
use nexusmon_shared::lifecycle::{Lifecycle, chain};
use nexusmon_shared::message::{Facts, GoodbyeCode, HaltLevel, HaltNotice, LocalPolicy};
use nexusmon_shared::selector::Labels;
use nexusmon_shared::time::{SharedClock, Timestamp};
use nexusmon_shared::tls::Connection;
use rand::rngs::StdRng;
use tokio::sync::watch;

use crate::attempts::{Attempts, Command};
use crate::enroll::{EnrollError, Home, renew_by_challenge};
use crate::journal::Journal;
use crate::witness::Witness;
use crate::worker::{LogSpool, Worker};

pub use artifacts::Artifacts;
use backoff::Backoff;
use logs::Logs;
use session::{Ended, Session};

/// Before a coordinator that has turned this agent away is asked again.
const TURNED_AWAY: Duration = Duration::from_secs(60);

/// What being turned away means here, whatever the kill switch says elsewhere.
const STOP: Command = Command::Halt(HaltNotice { level: HaltLevel::Stop, number: 0 });

/// A session that lasted this long makes earlier failures forgotten.
const HELD: Duration = Duration::from_secs(1);

/// What the link is made of.
pub struct Parts {
    pub home: Arc<Home>,
    /// Overrides the address joined at.
    pub address: Option<Address>,
    pub build: String,
    pub facts: Facts,
    /// Sent in Hello.
    pub labels: Labels,
    pub policy: LocalPolicy,
    pub slots: u32,
    pub journal: Journal,
    pub attempts: Attempts,
    pub worker: Arc<dyn Worker>,
    pub spool: Option<Arc<dyn LogSpool>>,
    pub artifacts: Arc<Artifacts>,
    pub witness: Arc<Witness>,
    pub clock: SharedClock,
    pub rng: StdRng,
}

/// How the line is, for `status`.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LineState {
    #[default]
    Connecting,
    Connected {
        since: Timestamp,
        session: u64,
    },
    /// Why there is no session, and what to do.
    Cut {
        since: Timestamp,
        reason: String,
    },
}

/// The coordinator will not have this agent back.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("this agent was revoked: {0}; run `nexusmon-agent leave` and join again with a new token")]
    Revoked(String),
    #[error(transparent)]
    Enroll(#[from] EnrollError),
}

/// The link, to be run as one task.
pub struct Link {
    parts: Parts,
    logs: Option<Logs>,
    backoff: Backoff,
    state: watch::Sender<LineState>,
    /// Spreads renewals.
    jitter: f64,
}

impl Link {
    pub fn new(mut parts: Parts) -> (Self, watch::Receiver<LineState>) {
        let (state, watched) = watch::channel(LineState::Connecting);
        let logs = parts.spool.take().map(Logs::new);
        let jitter = rand::RngExt::random_range(&mut parts.rng, 0.0..1.0);
        (Self { parts, logs, backoff: Backoff::default(), state, jitter }, watched)
    }

    /// Until the supervisor has ended, or the coordinator wants no more of this agent.
    pub async fn run(mut self, lifecycle: Lifecycle) -> Result<(), LinkError> {
        let attempts = self.parts.attempts.clone();
        loop {
            let ended = tokio::select! {
                ended = self.round() => ended?,
                () = closed(&attempts, &lifecycle) => return Ok(()),
            };
            self.parts.artifacts.cut();
            let pause = match ended {
                Ended::Closed => return Ok(()),
                Ended::Reopen => continue,
                Ended::Goodbye(goodbye) => self.farewell(goodbye.code, goodbye.detail).await?,
                Ended::Cut(reason) => {
                    self.cut(reason);
                    self.backoff.next(&mut self.parts.rng)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = closed(&attempts, &lifecycle) => return Ok(()),
            }
        }
    }

    /// One connection and its session.
    async fn round(&mut self) -> Result<Ended, LinkError> {
        let connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error @ EnrollError::IdentityRefused(_)) => {
                self.cut(chain(&error));
                return Ok(Ended::Goodbye(nexusmon_shared::message::Goodbye {
                    code: GoodbyeCode::Quarantined,
                    detail: error.to_string(),
                }));
            }
            Err(error) if error.is_passing() => return Ok(Ended::Cut(chain(&error))),
            Err(error @ (EnrollError::Refused(_) | EnrollError::Answer(_) | EnrollError::WrongAnswer(_))) => {
                return Ok(Ended::Cut(chain(&error)));
            }
            Err(error) => return Err(error.into()),
        };
        let session = Session { parts: &self.parts, jitter: self.jitter, state: &self.state };
        let ended = session.run(connection.channel, self.logs.as_mut()).await;
        if let LineState::Connected { since, .. } = &*self.state.borrow()
            && self.parts.clock.now().since(*since) >= HELD
        {
            self.backoff.reset();
        }
        Ok(ended)
    }

    async fn connect(&self) -> Result<Connection, EnrollError> {
        let Parts { home, address, clock, .. } = &self.parts;
        let renewal = home.renewal(self.jitter)?;
        if clock.now() >= renewal.expires {
            tracing::info!("the certificate has expired; renewing by challenge");
            renew_by_challenge(home, address.as_ref(), Arc::clone(clock)).await?;
        }
        match home.connector(address.as_ref(), Arc::clone(clock))?.connect().await {
            Ok(connection) => Ok(connection),
            Err(error) if error.needs_new_certificate() => {
                tracing::warn!(error = %error, "the certificate was refused; renewing by challenge");
                renew_by_challenge(home, address.as_ref(), Arc::clone(clock)).await?;
                Ok(home.connector(address.as_ref(), Arc::clone(clock))?.connect().await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn cut(&self, reason: String) {
        self.state.send_if_modified(|state| {
            if let LineState::Cut { reason: known, .. } = state
                && *known == reason
            {
                return false;
            }
            tracing::warn!(%reason, "no session with the coordinator");
            *state = LineState::Cut { since: self.parts.clock.now(), reason };
            true
        });
    }

    /// How long to wait before coming back, if at all.
    async fn farewell(&mut self, code: GoodbyeCode, detail: String) -> Result<Duration, LinkError> {
        self.cut(format!("the coordinator ended the session ({code}): {detail}"));
        Ok(match code {
            GoodbyeCode::Revoked => {
                self.parts.attempts.tell(STOP).await;
                return Err(LinkError::Revoked(detail));
            }
            GoodbyeCode::Quarantined => {
                self.parts.attempts.tell(STOP).await;
                TURNED_AWAY
            }
            GoodbyeCode::Protocol => TURNED_AWAY,
            // Somebody else uses this identity; coming back at once would only take turns.
            GoodbyeCode::Superseded => Duration::from_secs(10),
            GoodbyeCode::Shutdown | GoodbyeCode::Other(_) => self.backoff.next(&mut self.parts.rng),
        })
    }
}

/// Resolves once the process stops and nobody is left to send for.
async fn closed(attempts: &Attempts, lifecycle: &Lifecycle) {
    lifecycle.soft().cancelled().await;
    attempts.ended().await;
}

/// Where fetched inputs are kept.
pub fn cache_folder(data_dir: &std::path::Path) -> PathBuf {
    data_dir.join("cache")
}
