//! The coordinator's database: one SQL text on SQLite and PostgreSQL, group commit, set-based hot paths.
//!
//! Work is done in units ([`Store::write`]): what a unit changes, its audit entries and its wake-ups commit together.
//! Reading goes through [`Store::read`]; every reading method is on [`Connection`], every writing one on [`Tx`], which
//! can read too. This crate knows rows and how they lie in tables; it decides nothing.

mod agents;
mod approvals;
mod archive;
mod artifacts;
mod attempts;
mod audit;
mod beliefs;
mod blobs;
mod chains;
mod classes;
mod connection;
mod dialect;
mod duty;
mod epoch;
mod error;
mod evolution;
mod filters;
mod flags;
mod halts;
mod house;
mod idempotency;
mod inspect;
mod learned;
mod logs;
mod memory;
mod migrate;
mod missions;
mod notices;
mod notifications;
mod openings;
mod organism;
mod page;
mod passkeys;
mod plannings;
mod playbooks;
mod policies;
mod postgres;
mod pressing;
mod principals;
mod push;
mod record;
mod reviews;
mod rider;
mod rosters;
mod search;
mod secrets;
mod sessions;
mod singletons;
mod spawned;
mod sqlite;
mod standing;
mod store;
mod sub_missions;
mod tasks;
#[cfg(feature = "testing")]
pub mod testing;
mod topic;
mod trait_uses;
mod transaction;
mod tree;
mod triggers;

pub use agents::{AgentFilter, AgentRow, AgentState, BarRow, InviteRow};
pub use approvals::{
    ApprovalFilter, ApprovalRow, ApprovalState, ApprovalSubject, DecisionRow, DecisionVerdict,
};
pub use archive::{Archive, Kept, Progress, TableDigest};
pub use artifacts::{
    ArtifactFilter, ArtifactKind, ArtifactReviewRow, ArtifactRow, InputVersion, ItemOutput, NewVersion,
    OutputName, OutputVersion, Verdict, VersionRow, VersionStatus,
};
pub use attempts::AttemptRow;
pub use audit::{
    AuditEntry, AuditFilter, AuditRow, Body, WaitingAuditRow, canonical as canonical_audit_entry,
    numbered as numbered_audit_entry,
};
pub use beliefs::{BeliefEdge, BeliefRevisionRow, BeliefRow, BeliefState, MOST_BELIEFS, MOST_BELIEFS_KEPT};
pub use blobs::{BlobRow, UploadRow};
pub use chains::{ChainLinkRow, Follows, ProposalRow, ProposalState};
pub use classes::{ClassId, ClassRow};
pub use connection::Connection;
pub use duty::may_write;
pub use error::StoreError;
pub use evolution::{
    AwardRow, CauseCount, LedgerRow, NewLedgerRow, PredictionRow, Score, ShapeRecord, TraceRow, TrustCount,
};
pub use filters::{FilterRow, FilteredList};
pub use flags::{FlagRow, RateRow};
pub use futures::future::BoxFuture;
pub use halts::{HaltAckRow, HaltRow, HeldLeases};
pub use house::{Advice, Sizes, Tidied};
pub use idempotency::IdempotencyRow;
pub use inspect::{Inspection, PostgresServer, inspect};
pub use learned::{LearnedRow, LearnedState};
pub use logs::{LogKey, LogRow, SegmentRow};
pub use memory::{
    FAILED, FoundMemory, LeftRow, MemoryCount, MemoryKind, MemoryRow, MemoryUse, MovedRow, SUCCEEDED,
    SaidRow, VERIFIED,
};
pub use missions::{
    MissionChange, MissionDelta, MissionFilter, MissionRow, MissionsDue, NewMission, PlanRow, Start,
    StatusCount,
};
pub use notices::{NoticeKind, NoticeRow};
pub use notifications::{ChannelKind, ChannelRow, NotificationRow, NotificationState, RuleRow, WaitingCount};
pub use openings::{Beside, OpeningRow};
pub use organism::{Halt, KeyRow, Organism, SettingRow};
pub use page::{MAX_PAGE, Page, PageRequest};
pub use passkeys::{OutsideIdentityRow, PasskeyRow};
pub use plannings::{ModelCallRow, PlanningCount, PlanningOutcome, PlanningRow, PlanningSpent};
pub use playbooks::{MissionInputsRow, PlaybookRow};
pub use policies::PolicySetRow;
pub use pressing::{pressing, pressing_if};
pub use principals::{LoginKind, LoginSessionRow, PrincipalKind, PrincipalRow, Role};
pub use push::PushRow;
pub use record::Json;
pub use reviews::{AgentOfMission, ReviewFilter, ReviewRow, ReviewState};
pub use rider::{Rider, riding};
pub use rosters::{RosterRow, SignedRow};
pub use search::DocumentRow;
pub use secrets::{DeliveryRow, ProvenanceRow, Receiver, SecretName, SecretRow};
pub use sessions::{AgentSessionRow, OpenedSession, Renewal};
pub use singletons::SingletonRow;
pub use spawned::{NewSpawned, SpawnedRow};
pub use standing::{StandingRow, StandingState, StandingUseRow};
pub use store::{Store, StoreConfig};
pub use sub_missions::{ChildMission, DueSubMission, HeldBudget, SubMissionRow, TaskOutputs};
pub use tasks::{
    Decision, EdgeRow, GrantRow, GrantedTask, ItemOutcome, LeafKey, LeafRef, LimitUse, Limits, ReadyCount,
    SettleRow, Source, SpecRow, StartedRow, TaskCount, TaskFilter, TaskRow, TaskSummary, TaskUpdate,
};
pub use topic::Topic;
pub use trait_uses::{EndedUse, NewTraitUse, TraitUseRow, UseDecision, UseOutcome};
pub use transaction::Tx;
pub use tree::{CheckpointRow, LOWEST_STORED, LeafRow, NodeKey, NodeRow, WitnessRow};
pub use triggers::{EndedRunRow, FiringResult, FiringRow, TriggerKind, TriggerRow, TriggerState};
