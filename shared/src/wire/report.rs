//! Attempts, their fences, and how they ended.

use bytes::Bytes;

use super::field::{self, Arena, Read, WireError};
use super::proto;
use crate::attempt::{AttemptRef, Fence};
use crate::id::TaskId;
use crate::outcome::{Cause, Ending, ProducedArtifact, Refusal, Report};
use crate::plan::MAX_OUTPUT_BYTES;
use crate::sandbox::Level;
use crate::time::Timestamp;
use crate::trust::dsse::MAX_ENVELOPE_BYTES;

const MAX_CAUSE_BYTES: usize = 64 * 1024;
const MAX_DETAIL_BYTES: usize = 16 * 1024;
const MAX_ARTIFACTS: usize = 10_000;
const MAX_ARTIFACT_NAME_BYTES: usize = 4096;
const MAX_MEDIA_TYPE_BYTES: usize = 256;

impl From<proto::Fence> for Fence {
    fn from(fence: proto::Fence) -> Self {
        let proto::Fence { epoch, number } = fence;
        Self { epoch, number }
    }
}

impl From<Fence> for proto::Fence {
    fn from(Fence { epoch, number }: Fence) -> Self {
        Self { epoch, number }
    }
}

impl TryFrom<proto::AttemptRef> for AttemptRef {
    type Error = WireError;

    fn try_from(attempt: proto::AttemptRef) -> Read<Self> {
        let proto::AttemptRef { task_id, fence } = attempt;
        let task = TaskId::from_bits(field::id_bits("task_id", &task_id)?);
        let fence = fence.ok_or_else(|| WireError::missing("fence"))?.into();
        Ok(Self { task, fence })
    }
}

impl From<AttemptRef> for proto::AttemptRef {
    fn from(attempt: AttemptRef) -> Self {
        Self { task_id: field::id_bytes(attempt.task.to_bits()), fence: Some(attempt.fence.into()) }
    }
}

/// As `From`, out of a shared allocation.
pub(super) fn attempt(attempt: AttemptRef, arena: &mut Arena) -> proto::AttemptRef {
    let AttemptRef { task, fence } = attempt;
    proto::AttemptRef { task_id: arena.id(task.to_bits()), fence: Some(fence.into()) }
}

pub(super) fn attempts(attempts: Vec<AttemptRef>) -> Vec<proto::AttemptRef> {
    let mut arena = Arena::new(attempts.len() * 16);
    attempts.into_iter().map(|each| attempt(each, &mut arena)).collect()
}

impl TryFrom<proto::Finished> for Report {
    type Error = WireError;

    fn try_from(finished: proto::Finished) -> Read<Self> {
        let proto::Finished {
            attempt,
            ending,
            started_at_micros,
            finished_at_micros,
            artifacts,
            log_bytes,
            sandbox_level,
            provenance,
        } = finished;
        let sandbox_level = match sandbox_level.as_str() {
            "" => None,
            text => Some(level("sandbox_level", text)?),
        };
        Ok(Self {
            attempt: field::required("attempt", attempt)?,
            ending: ending.ok_or_else(|| WireError::unknown("ending"))?.try_into()?,
            started_at: (started_at_micros != 0).then(|| Timestamp::from_micros(started_at_micros)),
            finished_at: Timestamp::from_micros(finished_at_micros),
            artifacts: field::list("artifacts", artifacts, MAX_ARTIFACTS)?,
            log_bytes,
            sandbox_level,
            provenance: envelope(provenance)?,
        })
    }
}

fn envelope(bytes: Bytes) -> Read<Option<String>> {
    let bytes = field::blob("provenance", bytes, MAX_ENVELOPE_BYTES)?;
    let text = String::from_utf8(bytes.into()).map_err(|error| WireError::invalid("provenance", error))?;
    Ok((!text.is_empty()).then_some(text))
}

pub(super) fn level(field: &'static str, text: &str) -> Read<Level> {
    Level::parse(text).ok_or_else(|| WireError::invalid(field, "expected l0, l1, l2, l3_lite or l3"))
}

impl TryFrom<proto::finished::Ending> for Ending {
    type Error = WireError;

    fn try_from(ending: proto::finished::Ending) -> Read<Self> {
        use proto::finished::Ending as Wire;
        Ok(match ending {
            Wire::Succeeded(json) => {
                field::bounded("succeeded", json.len(), MAX_OUTPUT_BYTES)?;
                let outputs =
                    serde_json::from_slice(&json).map_err(|error| WireError::invalid("succeeded", error))?;
                Self::Succeeded { outputs }
            }
            Wire::Failed(json) => {
                field::bounded("failed", json.len(), MAX_CAUSE_BYTES)?;
                let cause: Cause =
                    serde_json::from_slice(&json).map_err(|error| WireError::invalid("failed", error))?;
                Self::Failed { cause }
            }
            Wire::Cancelled(proto::Empty {}) => Self::Cancelled,
            Wire::Returned(proto::Empty {}) => Self::Returned,
            Wire::Refused(proto::Refused { reason, detail }) => Self::Refused {
                reason: refusal(&reason)?,
                detail: field::text("refused.detail", detail, MAX_DETAIL_BYTES)?,
            },
            Wire::Unknown(proto::Empty {}) => Self::Unknown,
        })
    }
}

fn refusal(reason: &str) -> Read<Refusal> {
    let reader = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(reason);
    serde::Deserialize::deserialize(reader).map_err(|error| WireError::invalid("refused.reason", error))
}

fn refusal_text(reason: Refusal) -> String {
    match serde_json::to_value(reason) {
        Ok(serde_json::Value::String(text)) => text,
        _ => unreachable!("a refusal is written as one word"),
    }
}

impl From<Report> for proto::Finished {
    fn from(report: Report) -> Self {
        finished(report, &mut Arena::new(16))
    }
}

/// As `From`, ids and digests out of a shared allocation.
pub(super) fn finished(report: Report, arena: &mut Arena) -> proto::Finished {
    let Report {
        attempt: reference,
        ending,
        started_at,
        finished_at,
        artifacts,
        log_bytes,
        sandbox_level,
        provenance,
    } = report;
    proto::Finished {
        attempt: Some(attempt(reference, arena)),
        ending: Some(ending.into()),
        started_at_micros: started_at.map_or(0, Timestamp::as_micros),
        finished_at_micros: finished_at.as_micros(),
        artifacts: artifacts.into_iter().map(Into::into).collect(),
        log_bytes,
        sandbox_level: sandbox_level.map_or_else(String::new, |level| level.as_str().to_owned()),
        provenance: provenance.map(Bytes::from).unwrap_or_default(),
    }
}

impl From<Ending> for proto::finished::Ending {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Succeeded { outputs } => Self::Succeeded(json(&outputs)),
            Ending::Failed { cause } => Self::Failed(json(&cause)),
            Ending::Cancelled => Self::Cancelled(proto::Empty {}),
            Ending::Returned => Self::Returned(proto::Empty {}),
            Ending::Refused { reason, detail } => {
                Self::Refused(proto::Refused { reason: refusal_text(reason), detail })
            }
            Ending::Unknown => Self::Unknown(proto::Empty {}),
        }
    }
}

pub(super) fn json(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value).expect("string keys and plain values always have a JSON form").into()
}

impl TryFrom<proto::Produced> for ProducedArtifact {
    type Error = WireError;

    fn try_from(produced: proto::Produced) -> Read<Self> {
        let proto::Produced { name, digest, size, media_type, withheld } = produced;
        Ok(Self {
            name: field::text("name", name, MAX_ARTIFACT_NAME_BYTES)?,
            digest: field::digest("digest", &digest)?,
            size,
            media_type: field::text("media_type", media_type, MAX_MEDIA_TYPE_BYTES)?,
            withheld,
        })
    }
}

impl From<ProducedArtifact> for proto::Produced {
    fn from(artifact: ProducedArtifact) -> Self {
        let ProducedArtifact { name, digest, size, media_type, withheld } = artifact;
        Self { name, digest: field::digest_bytes(&digest), size, media_type, withheld }
    }
}
