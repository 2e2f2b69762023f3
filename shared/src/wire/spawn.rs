//! Tasks that running tasks add, on the line.

use super::field::{self, Read};
use super::proto;
use crate::id::TaskId;
use crate::message::{Spawn, SpawnAnswer};
use crate::trust::spawned::MAX_SPAWNED_BYTES;

const MAX_REASON_BYTES: usize = 4096;

pub(super) fn spawn(given: proto::Spawn) -> Read<Spawn> {
    let proto::Spawn { task_id, signed } = given;
    Ok(Spawn {
        task: TaskId::from_bits(field::id_bits("spawn.task_id", &task_id)?),
        signed: field::blob("spawn.signed", signed, MAX_SPAWNED_BYTES)?,
    })
}

impl From<Spawn> for proto::Spawn {
    fn from(given: Spawn) -> Self {
        let Spawn { task, signed } = given;
        Self { task_id: field::id_bytes(task.to_bits()), signed }
    }
}

pub(super) fn answer(answer: proto::SpawnResult) -> Read<SpawnAnswer> {
    let proto::SpawnResult { task_id, refused } = answer;
    Ok(SpawnAnswer {
        task: TaskId::from_bits(field::id_bits("spawn_result.task_id", &task_id)?),
        refused: field::text("spawn_result.refused", refused, MAX_REASON_BYTES)?,
    })
}

impl From<SpawnAnswer> for proto::SpawnResult {
    fn from(answer: SpawnAnswer) -> Self {
        let SpawnAnswer { task, refused } = answer;
        Self { task_id: field::id_bytes(task.to_bits()), refused }
    }
}
