//! The session stream, both directions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::{CertificateIssued, Facts, Orders, PlanNotice, ProtocolRange};
use crate::attempt::AttemptRef;
use crate::capability::Capability;
use crate::digest::Digest;
use crate::id::{JournalId, TaskId};
use crate::manifest::Manifest;
use crate::name::Name;
use crate::outcome::Report;
use crate::rank::Rank;
use crate::sandbox::Level;
use crate::selector::Labels;
use crate::time::Timestamp;

/// Agent to coordinator.
#[derive(Clone, PartialEq, Debug)]
pub enum AgentMessage {
    /// First on every stream.
    Hello(Box<Hello>),
    Heartbeat(Heartbeat),
    Events(Events),
    /// All manifests, in full.
    CapabilitiesChanged(Vec<Manifest>),
    DrainRequested {
        reason: String,
    },
    /// Renewal over the live session; PKCS#10, DER.
    CertificateRequest {
        csr: Bytes,
        /// Of the newest certificate the agent has; older agents do not say.
        join_counter: Option<u64>,
    },
    HaltAck(HaltAck),
    Cosignature(Cosignature),
    /// The secrets that this attempt's leaf names, please; answered by [`SecretAnswer`].
    SecretRequest(AttemptRef),
    /// A running attempt adds a task; answered by [`SpawnAnswer`].
    Spawn(Spawn),
}

#[derive(Clone, PartialEq, Debug)]
pub struct Hello {
    pub protocol: ProtocolRange,
    pub build: String,
    pub manifests: Vec<Manifest>,
    pub labels: Labels,
    pub slots: u32,
    /// As measured at start.
    pub sandbox_levels: BTreeSet<Level>,
    /// Why it has not the others.
    pub sandbox_missing: BTreeMap<Level, String>,
    pub journal: JournalId,
    /// Every attempt the journal knows that is not acknowledged.
    pub held: Vec<HeldAttempt>,
    pub local_policy: LocalPolicy,
    pub paused: bool,
    pub facts: Facts,
    /// Entries under the newest head of the audit log that this agent has cosigned; 0 for none.
    pub checkpoint_size: u64,
    /// Number of the roster it has verified and keeps; 0: none.
    pub roster: u64,
    /// SHA-256 of the public key of the authority that it trusts and has its certificate of.
    pub authority: Option<Digest>,
    /// How many it trusts.
    pub authorities: u32,
    /// It knows tasks that add tasks, and tasks that were added.
    pub spawns: bool,
}

/// The machine's own veto, told for the scheduler's information; the agent enforces it anyway.
#[derive(Clone, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub struct LocalPolicy {
    pub max_rank: Rank,
    /// Empty allows all.
    pub capabilities: Vec<Capability>,
    /// A, S and `requires_approval` run without signatures here.
    pub unsigned_consent: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldAttempt {
    pub attempt: AttemptRef,
    pub started: bool,
    /// The report is in the journal and follows.
    pub finished: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Heartbeat {
    pub number: u64,
    /// Load average over a minute, times 100.
    pub load_percent: u32,
    pub memory_free_bytes: u64,
    /// Orders this agent can take beyond what it holds.
    pub credit: u32,
}

/// What happened to attempts since the last batch.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Events {
    pub accepted: Vec<AttemptRef>,
    pub started: Vec<Started>,
    pub progress: Vec<Progress>,
    /// Kept by the agent until acknowledged.
    pub finished: Vec<Report>,
    /// After these events.
    pub credit: u32,
}

impl Events {
    /// Items of all kinds.
    pub fn len(&self) -> usize {
        self.accepted.len() + self.started.len() + self.progress.len() + self.finished.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Started {
    pub attempt: AttemptRef,
    /// By the agent's clock.
    pub at: Timestamp,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Progress {
    pub attempt: AttemptRef,
    /// 0 to 1; absent when unknown.
    pub fraction: Option<f64>,
    pub text: String,
}

/// Coordinator to agent.
#[derive(Clone, PartialEq, Debug)]
pub enum CoordinatorMessage {
    /// Answers Hello.
    Welcome(Box<Welcome>),
    Plan(PlanNotice),
    Orders(Orders),
    Renewed {
        heartbeat_number: u64,
    },
    /// These reports are durable.
    Ack(Vec<AttemptRef>),
    Cancel(Cancel),
    /// Give back what has not started; everything when empty.
    Recall(Vec<AttemptRef>),
    Drain {
        on: bool,
    },
    Certificate(CertificateIssued),
    /// The stream ends after this one.
    Goodbye(Goodbye),
    /// What the fleet-wide flags forbid here.
    Flags {
        disabled_capabilities: Vec<Capability>,
    },
    Halt(HaltNotice),
    Checkpoint(Box<CheckpointNotice>),
    /// A signed roster as canonical JSON (`trust::roster::SignedRoster`): the first, or the next.
    Roster(Bytes),
    Secret(Box<SecretAnswer>),
    /// Standing approvals that were taken back.
    RevokedStanding(Vec<RevokedApproval>),
    /// Those in force, newest first.
    Authorities(Vec<AuthorityNotice>),
    SpawnResult(SpawnAnswer),
}

/// A task that a running attempt adds, signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spawn {
    /// Follows from what is signed; named here so that it can be answered whatever that is.
    pub task: TaskId,
    /// Canonical JSON (`trust::spawned::SignedSpawned`).
    pub signed: Bytes,
}

/// Whether it was added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpawnAnswer {
    pub task: TaskId,
    /// Why not; empty if it is durable.
    pub refused: String,
}

/// An authority, to be believed if one that is trusted vouches for it (`pki::check_successor`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorityNotice {
    /// X.509, DER.
    pub certificate: Bytes,
    /// Its key, signed by the one before; empty for the oldest in force.
    pub vouched: Bytes,
}

/// One that nothing is to begin under any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RevokedApproval {
    /// Of the signed document.
    pub digest: Digest,
    /// When it would have ended.
    pub expires_at: Timestamp,
}

/// What an attempt's leaf names in `secrets`, sealed to the agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretAnswer {
    pub attempt: AttemptRef,
    /// In the order of the leaf.
    pub secrets: Vec<SealedSecret>,
    /// Why nothing is handed over; empty if all is well.
    pub refused: String,
}

/// See `trust::sealed`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedSecret {
    pub name: Name,
    pub version: u32,
    /// What it is bound to; part of what it is sealed for.
    pub scope: String,
    pub sealed: Bytes,
}

/// A head of the audit log, to be verified, kept and cosigned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckpointNotice {
    /// C2SP signed note.
    pub note: String,
    /// The log's verifier key.
    pub key: String,
    /// What the proof begins with.
    pub from: u64,
    pub proof: Vec<Digest>,
    /// Of other agents, over the head before.
    pub cosignatures: Vec<String>,
    /// Signed restore records as canonical JSON, the oldest first.
    pub restores: Vec<Bytes>,
    /// From where the last of them lets the log begin again.
    pub restore_proof: Vec<Digest>,
}

/// Answers [`CheckpointNotice`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cosignature {
    pub size: u64,
    /// Empty if the agent does not agree.
    pub line: String,
    /// Why it believes that the log was cut or rewritten; empty if all is well.
    pub alarm: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Welcome {
    pub session: u64,
    pub epoch: u32,
    pub protocol: u32,
    pub lease: Duration,
    pub heartbeat: Duration,
    pub labels: Labels,
    pub max_rank: Rank,
    /// Held attempts whose fence is stale: end them and forget their reports.
    pub stale: Vec<AttemptRef>,
    /// Empty when there is nothing to warn of.
    pub warning: String,
    /// Orders beyond slots that the agent may count into its credit.
    pub prefetch: u32,
    pub draining: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cancel {
    pub attempts: Vec<AttemptRef>,
    pub grace: Duration,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Goodbye {
    pub code: GoodbyeCode,
    pub detail: String,
}

/// Why the coordinator ends a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GoodbyeCode {
    Revoked,
    Quarantined,
    /// The same agent has opened a newer session.
    Superseded,
    Protocol,
    Shutdown,
    /// One this build does not know; reconnecting is right.
    Other(String),
}

impl GoodbyeCode {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Revoked => "revoked",
            Self::Quarantined => "quarantined",
            Self::Superseded => "superseded",
            Self::Protocol => "protocol",
            Self::Shutdown => "shutdown",
            Self::Other(code) => code,
        }
    }

    pub fn parse(code: &str) -> Self {
        match code {
            "revoked" => Self::Revoked,
            "quarantined" => Self::Quarantined,
            "superseded" => Self::Superseded,
            "protocol" => Self::Protocol,
            "shutdown" => Self::Shutdown,
            other => Self::Other(other.chars().take(64).collect()),
        }
    }
}

impl fmt::Display for GoodbyeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The kill switch as it stands now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HaltNotice {
    pub level: HaltLevel,
    /// Grows with every pull and release.
    pub number: u64,
}

/// The level holds on the agent's machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HaltAck {
    pub level: HaltLevel,
    /// Of the notice that is answered.
    pub number: u64,
    /// Attempts that still run there.
    pub running: u32,
}

/// The emergency brake.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum HaltLevel {
    #[default]
    None,
    /// Nothing new starts.
    Halt,
    /// What runs is ended too.
    Stop,
}

impl HaltLevel {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Halt => "halt",
            Self::Stop => "stop",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Halt, Self::Stop].into_iter().find(|level| level.as_str() == text)
    }
}
