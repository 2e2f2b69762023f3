//! Heads of the audit log and what was taken back, on their way to agents; cosignatures on their way back.

use super::field::{self, Read};
use super::proto;
use crate::digest::Digest;
use crate::message::{CheckpointNotice, Cosignature, MAX_RESTORES, MAX_REVOKED, RevokedApproval};
use crate::time::Timestamp;
use crate::trust::checkpoint::MAX_RESTORE_BYTES;
use crate::trust::note::MAX_NOTE_BYTES;

/// A tree has no more levels, and a proof no more hashes, than twice this.
const MAX_PROOF: usize = 128;
const MAX_COSIGNATURES: usize = 16;
const MAX_LINE_BYTES: usize = 1024;
const MAX_ALARM_BYTES: usize = 1024;

pub(super) fn notice(head: proto::Checkpoint) -> Read<CheckpointNotice> {
    let proto::Checkpoint { note, key, from, proof, cosignatures, restores, restore_proof } = head;
    field::bounded("checkpoint.restores", restores.len(), MAX_RESTORES)?;
    field::bounded("checkpoint.restore_proof", restore_proof.len(), MAX_PROOF)?;
    let restore = |signed| field::blob("checkpoint.restores", signed, MAX_RESTORE_BYTES);
    let hash = |hash: &bytes::Bytes| field::digest("checkpoint.restore_proof", hash);
    field::bounded("checkpoint.cosignatures", cosignatures.len(), MAX_COSIGNATURES)?;
    field::bounded("checkpoint.proof", proof.len(), MAX_PROOF)?;
    let line = |line| field::text("checkpoint.cosignatures", line, MAX_LINE_BYTES);
    Ok(CheckpointNotice {
        note: field::text("checkpoint.note", note, MAX_NOTE_BYTES)?,
        key: field::text("checkpoint.key", key, MAX_LINE_BYTES)?,
        from,
        proof: proof.iter().map(|hash| field::digest("checkpoint.proof", hash)).collect::<Read<_>>()?,
        cosignatures: cosignatures.into_iter().map(line).collect::<Read<_>>()?,
        restores: restores.into_iter().map(restore).collect::<Read<_>>()?,
        restore_proof: restore_proof.iter().map(hash).collect::<Read<_>>()?,
    })
}

pub(super) fn revoked(told: proto::RevokedStanding) -> Read<Vec<RevokedApproval>> {
    field::bounded("revoked_standing.approvals", told.approvals.len(), MAX_REVOKED)?;
    let one = |proto::RevokedApproval { digest, expires_at_micros }| {
        let digest = field::digest("revoked_standing.approvals.digest", &digest)?;
        Ok(RevokedApproval { digest, expires_at: Timestamp::from_micros(expires_at_micros) })
    };
    told.approvals.into_iter().map(one).collect()
}

pub(super) fn revoked_of(approvals: &[RevokedApproval]) -> proto::RevokedStanding {
    let one = |approval: &RevokedApproval| proto::RevokedApproval {
        digest: field::digest_bytes(&approval.digest),
        expires_at_micros: approval.expires_at.as_micros(),
    };
    proto::RevokedStanding { approvals: approvals.iter().map(one).collect() }
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
        let CheckpointNotice { note, key, from, proof, cosignatures, restores, restore_proof } = head;
        let hashes = |proof: &[Digest]| proof.iter().map(field::digest_bytes).collect();
        let (proof, restore_proof) = (hashes(&proof), hashes(&restore_proof));
        Self { note, key, from, proof, cosignatures, restores, restore_proof }
    }
}

impl From<Cosignature> for proto::Cosignature {
    fn from(given: Cosignature) -> Self {
        let Cosignature { size, line, alarm } = given;
        Self { size, line, alarm }
    }
}
