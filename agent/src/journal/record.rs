//! What the journal writes down, and its bytes: a kind, fixed fields, then JSON where a report is carried.

use bytes::Bytes;
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{JournalId, TaskId};
use nexusmon_shared::outcome::{Ending, Report};

use crate::run::Collected;

const FORMAT: u8 = 1;

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record {
    /// First in every file.
    Header { journal: JournalId },
    /// An order of non-idempotent work was taken.
    Received { attempt: AttemptRef },
    /// The process is about to exist. `instance` names what A and S work counts its starts by.
    Starting { attempt: AttemptRef, idempotent: bool, instance: Option<Digest> },
    /// It ended; the report is kept until it is acknowledged.
    Exited { kept: Box<Kept> },
    /// The coordinator has the report.
    Acknowledged { attempt: AttemptRef },
    /// Remembered through compaction: the newest fence seen of a task.
    Seen { attempt: AttemptRef },
    /// Remembered through compaction: starts of an instance.
    Started { instance: Digest, count: u32 },
    /// An attempt adds a task: what is signed, until the coordinator answers.
    Spawned { attempt: AttemptRef, task: TaskId, signed: Bytes },
    /// It has answered.
    SpawnAnswered { task: TaskId },
}

/// A report with the files that are still to be uploaded for it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Kept {
    pub report: Report,
    /// Empty once uploaded; the report's `artifacts` name them then.
    pub collected: Vec<Collected>,
    pub idempotent: bool,
}

/// Why a frame's payload is not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("unknown kind {0}")]
    Kind(u8),
    #[error("format {0} is newer than this program knows")]
    Format(u8),
    #[error("too short")]
    Short,
    #[error("the report is not readable")]
    Report(#[source] serde_json::Error),
}

impl Record {
    pub(crate) fn encode(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::Header { journal } => {
                buffer.extend_from_slice(&[0, FORMAT]);
                buffer.extend_from_slice(&journal.to_bits().to_be_bytes());
            }
            Self::Received { attempt } => put_attempt(buffer, 1, attempt),
            Self::Starting { attempt, idempotent, instance } => {
                put_attempt(buffer, 2, attempt);
                buffer.push(u8::from(*idempotent));
                if let Some(instance) = instance {
                    buffer.extend_from_slice(instance.as_bytes());
                }
            }
            Self::Exited { kept } => encode_exited(buffer, kept),
            Self::Acknowledged { attempt } => put_attempt(buffer, 4, attempt),
            Self::Seen { attempt } => put_attempt(buffer, 5, attempt),
            Self::Started { instance, count } => {
                buffer.push(6);
                buffer.extend_from_slice(instance.as_bytes());
                buffer.extend_from_slice(&count.to_be_bytes());
            }
            Self::Spawned { attempt, task, signed } => {
                put_attempt(buffer, 7, attempt);
                buffer.extend_from_slice(&task.to_bits().to_be_bytes());
                buffer.extend_from_slice(signed);
            }
            Self::SpawnAnswered { task } => {
                buffer.push(8);
                buffer.extend_from_slice(&task.to_bits().to_be_bytes());
            }
        }
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, RecordError> {
        let (kind, mut rest) = payload.split_first().ok_or(RecordError::Short)?;
        match kind {
            0 => {
                let [format] = take(&mut rest)?;
                if format > FORMAT {
                    return Err(RecordError::Format(format));
                }
                let journal = JournalId::from_bits(u128::from_be_bytes(take(&mut rest)?));
                Ok(Self::Header { journal })
            }
            1 => Ok(Self::Received { attempt: take_attempt(&mut rest)? }),
            2 => {
                let attempt = take_attempt(&mut rest)?;
                let [idempotent] = take(&mut rest)?;
                let instance =
                    if rest.is_empty() { None } else { Some(Digest::from_bytes(take(&mut rest)?)) };
                Ok(Self::Starting { attempt, idempotent: idempotent != 0, instance })
            }
            3 => {
                let kept = serde_json::from_slice(rest).map_err(RecordError::Report)?;
                Ok(Self::Exited { kept: Box::new(kept) })
            }
            4 => Ok(Self::Acknowledged { attempt: take_attempt(&mut rest)? }),
            5 => Ok(Self::Seen { attempt: take_attempt(&mut rest)? }),
            6 => {
                let instance = Digest::from_bytes(take(&mut rest)?);
                Ok(Self::Started { instance, count: u32::from_be_bytes(take(&mut rest)?) })
            }
            7 => {
                let attempt = take_attempt(&mut rest)?;
                let task = TaskId::from_bits(u128::from_be_bytes(take(&mut rest)?));
                Ok(Self::Spawned { attempt, task, signed: Bytes::copy_from_slice(rest) })
            }
            8 => Ok(Self::SpawnAnswered { task: TaskId::from_bits(u128::from_be_bytes(take(&mut rest)?)) }),
            other => Err(RecordError::Kind(*other)),
        }
    }
}

pub(crate) fn encode_exited(buffer: &mut Vec<u8>, kept: &Kept) {
    buffer.push(3);
    let start = buffer.len();
    if serde_json::to_writer(&mut *buffer, kept).is_err() {
        // Outputs came from JSON, so this cannot happen; a report that says "unknown" is still the truth.
        buffer.truncate(start);
        let bare = Kept {
            report: Report { ending: Ending::Unknown, artifacts: Vec::new(), ..kept.report.clone() },
            collected: Vec::new(),
            idempotent: kept.idempotent,
        };
        serde_json::to_writer(&mut *buffer, &bare).expect("fixed fields always serialize");
    }
}

fn put_attempt(buffer: &mut Vec<u8>, kind: u8, attempt: &AttemptRef) {
    buffer.push(kind);
    buffer.extend_from_slice(&attempt.task.to_bits().to_be_bytes());
    buffer.extend_from_slice(&attempt.fence.epoch.to_be_bytes());
    buffer.extend_from_slice(&attempt.fence.number.to_be_bytes());
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], RecordError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(RecordError::Short)?;
    *rest = tail;
    Ok(*head)
}

fn take_attempt(rest: &mut &[u8]) -> Result<AttemptRef, RecordError> {
    let task = TaskId::from_bits(u128::from_be_bytes(take(rest)?));
    let epoch = u32::from_be_bytes(take(rest)?);
    let number = u64::from_be_bytes(take(rest)?);
    Ok(AttemptRef { task, fence: Fence { epoch, number } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexusmon_shared::time::Timestamp;
    use proptest::prelude::*;

    fn attempts() -> impl Strategy<Value = AttemptRef> {
        (any::<u128>(), any::<u32>(), any::<u64>()).prop_map(|(task, epoch, number)| AttemptRef {
            task: TaskId::from_bits(task),
            fence: Fence { epoch, number },
        })
    }

    fn records() -> impl Strategy<Value = Record> {
        prop_oneof![
            any::<u128>().prop_map(|bits| Record::Header { journal: JournalId::from_bits(bits) }),
            attempts().prop_map(|attempt| Record::Received { attempt }),
            (attempts(), any::<bool>(), any::<Option<[u8; 32]>>()).prop_map(
                |(attempt, idempotent, instance)| Record::Starting {
                    attempt,
                    idempotent,
                    instance: instance.map(Digest::from_bytes)
                }
            ),
            (attempts(), any::<bool>()).prop_map(|(attempt, idempotent)| Record::Exited {
                kept: Box::new(Kept {
                    report: Report {
                        attempt,
                        ending: Ending::Cancelled,
                        started_at: None,
                        finished_at: Timestamp::from_micros(7),
                        artifacts: Vec::new(),
                        log_bytes: 3,
                        sandbox_level: None,
                        provenance: None
                    },
                    collected: Vec::new(),
                    idempotent,
                })
            }),
            attempts().prop_map(|attempt| Record::Acknowledged { attempt }),
            attempts().prop_map(|attempt| Record::Seen { attempt }),
            (any::<[u8; 32]>(), any::<u32>()).prop_map(|(instance, count)| Record::Started {
                instance: Digest::from_bytes(instance),
                count
            }),
        ]
    }

    proptest! {
        #[test]
        fn records_round_trip(record in records()) {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            prop_assert_eq!(Record::decode(&bytes).unwrap(), record);
        }

        #[test]
        fn outside_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Record::decode(&bytes);
        }
    }
}
