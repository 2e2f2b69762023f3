//! What agents and the coordinator say to each other, as plain types.
//!
//! The bytes on the line are `wire`'s business; nothing here knows protobuf, TLS or an async runtime. Values of these
//! types have been checked: sizes are bounded, ids and digests have their length.

mod enrollment;
mod order;
mod session;
mod transfer;

use std::time::Duration;

pub use enrollment::{
    CertificateIssued, ChallengeRequest, ChallengeResponse, Facts, JoinRequest, JoinResponse, RenewRequest,
};
pub use order::{Order, OrderInput, Orders, ParametersError, PlanNotice, SpawnedUse, StandingUse};
pub use session::{
    AgentMessage, AuthorityNotice, Cancel, CheckpointNotice, CoordinatorMessage, Cosignature, Events,
    Goodbye, GoodbyeCode, HaltAck, HaltLevel, HaltNotice, Heartbeat, HeldAttempt, Hello, LocalPolicy,
    Progress, RevokedApproval, SealedSecret, SecretAnswer, Spawn, SpawnAnswer, Started, Welcome,
};
pub use transfer::{
    DownloadRequest, LogAck, LogChunk, LogRun, LogSource, Offer, OfferAnswer, OfferItem, UploadDone,
    UploadMessage, UploadStart,
};

/// Protocol version this build speaks.
pub const PROTOCOL: u32 = 1;
/// The oldest one it still serves.
pub const OLDEST_PROTOCOL: u32 = 1;
/// Items of one batch: orders, events of all kinds together, acknowledged attempts.
pub const MAX_BATCH_ITEMS: usize = 500;
/// Encoded bytes of one batch.
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// What the transport refuses to read or write at all.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// Restore records one head may carry.
pub const MAX_RESTORES: usize = 16;
/// Authorities one message names.
pub const MAX_AUTHORITIES: usize = 4;
/// Bytes of an authority's certificate.
pub const MAX_AUTHORITY_BYTES: usize = 8 * 1024;
/// Standing approvals one message takes back.
pub const MAX_REVOKED: usize = 500;
/// Attempts one Hello may hold.
pub const MAX_HELD_ATTEMPTS: usize = 8192;
/// Inflated bytes of one log chunk.
pub const MAX_LOG_CHUNK_BYTES: usize = 256 * 1024;
/// Bytes of one upload or download chunk.
pub const MAX_BLOB_CHUNK_BYTES: usize = 1024 * 1024;
/// Bytes of a progress text.
pub const MAX_PROGRESS_TEXT_BYTES: usize = 200;
/// A lease counts from when the agent sent the heartbeat that renewed it.
pub const LEASE: Duration = Duration::from_secs(30);
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// Without a heartbeat for this long an agent is `suspect`.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(10);

/// The protocol versions a build speaks, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProtocolRange {
    pub lowest: u32,
    pub highest: u32,
}

impl ProtocolRange {
    /// What this build speaks.
    pub const OURS: Self = Self { lowest: OLDEST_PROTOCOL, highest: PROTOCOL };

    /// The newest version both speak.
    pub fn common(self, other: Self) -> Option<u32> {
        let newest = self.highest.min(other.highest);
        (newest >= self.lowest.max(other.lowest)).then_some(newest)
    }
}
