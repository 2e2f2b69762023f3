//! Heads of the audit log on their way to agents, and cosignatures on their way back.

use super::field::{self, Read};
use super::proto;
use crate::message::{CheckpointNotice, Cosignature};
use crate::trust::note::MAX_NOTE_BYTES;

/// A tree has no more levels, and a proof no more hashes, than twice this.
const MAX_PROOF: usize = 128;
const MAX_COSIGNATURES: usize = 16;
const MAX_LINE_BYTES: usize = 1024;
const MAX_ALARM_BYTES: usize = 1024;

pub(super) fn notice(head: proto::Checkpoint) -> Read<CheckpointNotice> {
    let proto::Checkpoint { note, key, from, proof, cosignatures } = head;
    field::bounded("checkpoint.cosignatures", cosignatures.len(), MAX_COSIGNATURES)?;
    field::bounded("checkpoint.proof", proof.len(), MAX_PROOF)?;
    let line = |line| field::text("checkpoint.cosignatures", line, MAX_LINE_BYTES);
    Ok(CheckpointNotice {
        note: field::text("checkpoint.note", note, MAX_NOTE_BYTES)?,
        key: field::text("checkpoint.key", key, MAX_LINE_BYTES)?,
        from,
        proof: proof.iter().map(|hash| field::digest("checkpoint.proof", hash)).collect::<Read<_>>()?,
        cosignatures: cosignatures.into_iter().map(line).collect::<Read<_>>()?,
    })
}

pub(super) fn cosignature(given: proto::Cosignature) -> Read<Cosignature> {
    let proto::Cosignature { size, line, alarm } = given;
    Ok(Cosignature {
        size,
        line: field::text("cosignature.line", line, MAX_LINE_BYTES)?,
        alarm: field::text("cosignature.alarm", alarm, MAX_ALARM_BYTES)?,
    })
}

impl From<CheckpointNotice> for proto::Checkpoint {
    fn from(head: CheckpointNotice) -> Self {
        let CheckpointNotice { note, key, from, proof, cosignatures } = head;
        Self { note, key, from, proof: proof.iter().map(field::digest_bytes).collect(), cosignatures }
    }
}

impl From<Cosignature> for proto::Cosignature {
    fn from(given: Cosignature) -> Self {
        let Cosignature { size, line, alarm } = given;
        Self { size, line, alarm }
    }
}
