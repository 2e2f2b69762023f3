//! Bytes between coordinator and agent: logs and artifacts.

use bytes::Bytes;

use crate::attempt::AttemptRef;
use crate::digest::Digest;
use crate::time::Timestamp;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogChunk {
    pub attempt: AttemptRef,
    /// In the attempt's log, inflated; 0 with empty data asks where to go on.
    pub offset: u64,
    /// zstd when `compressed`.
    pub data: Bytes,
    pub compressed: bool,
    /// Bytes of `data` once inflated, at most [`super::MAX_LOG_CHUNK_BYTES`].
    pub size: u32,
    /// When the first byte was read, by the agent's clock.
    pub at: Timestamp,
    /// In order; the lengths add up to `size`.
    pub runs: Vec<LogRun>,
    /// The log ends here.
    pub last: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogRun {
    pub source: LogSource,
    pub length: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    Stdout,
    Stderr,
    /// From the agent itself.
    Agent,
}

impl LogSource {
    /// 1, 2, 3: as on the wire and in frames.
    pub const fn number(self) -> u8 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::Agent => 3,
        }
    }

    pub fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Stdout),
            2 => Some(Self::Stderr),
            3 => Some(Self::Agent),
            _ => None,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Agent => "agent",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogAck {
    pub attempt: AttemptRef,
    /// In memory at the coordinator; moves the window.
    pub received: u64,
    /// In the object store; frees the spool.
    pub stored: u64,
    pub sealed: bool,
    /// Nobody wants this log any more: drop it.
    pub refused: Option<String>,
}

/// Which of these does the vault already have?
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    pub attempt: AttemptRef,
    pub items: Vec<OfferItem>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OfferItem {
    pub digest: Digest,
    pub size: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OfferAnswer {
    /// Nothing to send.
    Present,
    /// Go on from this byte.
    Send { offset: u64 },
    /// The vault will not take it.
    Refused { reason: String },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UploadMessage {
    /// First on the stream.
    Start(UploadStart),
    Data(Bytes),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UploadStart {
    pub attempt: AttemptRef,
    pub digest: Digest,
    pub size: u64,
    pub offset: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UploadDone {
    pub digest: Digest,
    pub size: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DownloadRequest {
    pub attempt: AttemptRef,
    pub digest: Digest,
    pub offset: u64,
}
