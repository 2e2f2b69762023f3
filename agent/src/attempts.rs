//! Every attempt on this agent, from the order to the acknowledged report: slots and queue, starting, ending, leases,
//! recall, drain, halt.
//!
//! One task owns all of it; the link speaks to it by messages and takes what is to be sent from an outbox. It decides
//! nothing that `consent` and `run` can decide, executes nothing itself, and knows no connection.

mod execution;
mod intake;
mod outbox;
mod reports;
mod secrets;
mod session;
mod settlement;
mod spawns;
mod supervisor;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::capability::Capability;
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::message::{
    Cancel, HaltNotice, HeldAttempt, OrderInput, Orders, PlanNotice, RevokedApproval, SealedSecret,
    SecretAnswer, SpawnAnswer, Welcome,
};
use nexusmon_shared::outcome::ProducedArtifact;
use nexusmon_shared::time::SharedClock;
use nexusmon_shared::trust::provenance::Provenance;
use nexusmon_shared::trust::roster::Roster;
use nexusmon_shared::trust::sealed::SealError;
use nexusmon_shared::trust::spawned::{SignedSpawned, Spawned};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use crate::consent::Standing;
use crate::journal::Opened;
use crate::roster::Believed;
use crate::run::{Collected, JobInput};
use crate::worker::{Later, Worker};

pub use outbox::{Outbox, Outgoing};
use supervisor::Supervisor;

/// Commands waiting for the supervisor; beyond it the link stops reading, and the coordinator's stream fills up.
const COMMANDS: usize = 64;

/// Carries artifacts between this machine and the vault. Waits while the line is cut; an error is final.
pub trait Courier: Send + Sync + 'static {
    /// Brings inputs into the content cache.
    fn fetch(
        &self,
        attempt: AttemptRef,
        inputs: Vec<OrderInput>,
    ) -> Later<'static, Result<Vec<JobInput>, String>>;

    /// Stores collected files in the vault.
    fn deliver(
        &self,
        attempt: AttemptRef,
        files: Vec<Collected>,
    ) -> Later<'static, Result<Vec<ProducedArtifact>, String>>;

    /// The attempt has ended: its inputs may leave the cache.
    fn done(&self, attempt: AttemptRef);
}

/// What only this machine's own keys can do. They lie outside every sandbox.
pub trait Keys: Send + Sync + 'static {
    /// Opens a secret that was sealed for this attempt.
    fn open(&self, attempt: AttemptRef, secret: &SealedSecret) -> Result<Zeroizing<Vec<u8>>, SealError>;

    /// Signs what is said about an attempt's artifacts; gives the envelope as JSON.
    fn attest(&self, provenance: &Provenance) -> Option<String>;

    /// Signs that an attempt here adds a task; `None` if that has no canonical form.
    fn sign_spawned(&self, document: Spawned) -> Option<SignedSpawned>;
}

/// What the supervisor is made of.
pub struct Parts {
    pub standing: Standing,
    pub believed: Believed,
    /// Attempts that may run at once.
    pub slots: u32,
    /// By the machine's admin.
    pub paused: bool,
    /// How long running attempts may go on after the process was asked to stop.
    pub stop_grace: Duration,
    pub worker: Arc<dyn Worker>,
    pub courier: Arc<dyn Courier>,
    pub keys: Arc<dyn Keys>,
    pub clock: SharedClock,
}

/// What the supervisor is told. Times are readings of the boot clock.
#[derive(Debug)]
pub enum Command {
    /// A session begins: what is held now? Nothing is taken from the outbox before the welcome.
    Hello(oneshot::Sender<Held>),
    Welcome {
        welcome: Box<Welcome>,
        lease_until: Duration,
        done: oneshot::Sender<()>,
    },
    Plan(PlanNotice),
    Orders {
        orders: Orders,
        lease_until: Duration,
    },
    Renewed {
        lease_until: Duration,
    },
    Acknowledged(Vec<AttemptRef>),
    Cancel(Cancel),
    Recall(Vec<AttemptRef>),
    Drain(bool),
    Flags(Vec<Capability>),
    Halt(HaltNotice),
    /// Who may approve, as the coordinator says; believed if it is signed.
    Roster(Bytes),
    /// The roster that decides here now.
    InForce(oneshot::Sender<Option<Arc<Roster>>>),
    /// Standing approvals that were taken back.
    Revoked(Vec<RevokedApproval>),
    /// What an attempt asked for that is about to start.
    Secret(Box<SecretAnswer>),
    /// Whether what an attempt adds was added.
    Spawned(SpawnAnswer),
    /// The machine's admin has begun anew with another owner key, or without one.
    RosterReset(Box<Believed>),
    /// By the machine's admin.
    Pause(bool),
    /// The audit log is not the one this machine knows: no work until somebody has looked.
    Distrust(bool),
    Summary(oneshot::Sender<Summary>),
}

/// What a Hello says about attempts.
#[derive(Debug, Default)]
pub struct Held {
    pub attempts: Vec<HeldAttempt>,
    pub paused: bool,
    /// The roster's number; 0: none.
    pub roster: u64,
}

/// For `status`.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Summary {
    pub slots: u32,
    pub running: u32,
    pub queued: u32,
    /// Reports and uploads the coordinator has not acknowledged.
    pub unacknowledged: u32,
    pub paused: bool,
    pub draining: bool,
    pub halted: bool,
}

/// The handle; cheap to clone.
#[derive(Debug, Clone)]
pub struct Attempts {
    commands: mpsc::Sender<Command>,
    outbox: Arc<Outbox>,
}

impl Attempts {
    /// Ends what an earlier life left behind, then begins. The journal's writer lives as long as the supervisor.
    pub async fn start(parts: Parts, opened: Opened, lifecycle: &Lifecycle) -> Self {
        let Opened { journal, writer, damaged } = opened;
        if damaged {
            tracing::error!("the journal was damaged; attempts it forgot will be reported as uncertain");
        }
        let (stop_writer, writer_stopped) = oneshot::channel::<()>();
        lifecycle.spawn("journal", async move {
            writer
                .run(async {
                    let _ = writer_stopped.await;
                })
                .await
        });
        let (commands, received) = mpsc::channel(COMMANDS);
        let outbox = Arc::new(Outbox::default());
        let supervisor = Supervisor::recover(parts, journal, Arc::clone(&outbox), lifecycle.clone()).await;
        lifecycle.spawn("attempts", async move {
            supervisor.run(received).await;
            drop(stop_writer);
            Ok::<(), std::convert::Infallible>(())
        });
        Self { commands, outbox }
    }

    /// What is to be sent.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Tells the supervisor; nothing happens once it has ended.
    pub async fn tell(&self, command: Command) {
        let _ = self.commands.send(command).await;
    }

    /// What is held, for a Hello.
    pub async fn hello(&self) -> Held {
        self.ask(Command::Hello).await
    }

    /// The roster that decides here now.
    pub async fn roster(&self) -> Option<Arc<Roster>> {
        self.ask(Command::InForce).await
    }

    /// A session has begun; returns when the outbox holds what belongs to it.
    pub async fn welcome(&self, welcome: Box<Welcome>, lease_until: Duration) {
        self.ask(|done| Command::Welcome { welcome, lease_until, done }).await;
    }

    /// Returns once the supervisor has ended.
    pub async fn ended(&self) {
        self.commands.closed().await;
    }

    pub async fn summary(&self) -> Summary {
        self.ask(Command::Summary).await
    }

    async fn ask<T: Default>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> T {
        let (answer, answered) = oneshot::channel();
        self.tell(command(answer)).await;
        answered.await.unwrap_or_default()
    }
}
