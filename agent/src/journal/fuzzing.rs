//! Entries for `make prove RUN=fuzz`: a journal's bytes as they are found on disk. Only with the feature `fuzzing`.

use std::path::Path;
use std::sync::Arc;

use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::{JournalId, TaskId};
use nexusmon_shared::outcome::{Ending, Report};
use nexusmon_shared::time::Timestamp;

use super::file;
use super::memory::Memory;
use super::record::{Kept, Record};

/// Reads a whole journal.
pub fn replay(bytes: &[u8]) -> bool {
    file::replay(bytes, Path::new("journal")).is_ok_and(|(_, journal, damaged)| journal.is_some() && !damaged)
}

/// Journals as they should be.
pub fn seeds() -> Vec<Vec<u8>> {
    let attempt = AttemptRef { task: TaskId::from_bits(3), fence: Fence { epoch: 1, number: 9 } };
    let report = Report {
        attempt,
        ending: Ending::Unknown,
        started_at: Some(Timestamp::from_micros(1)),
        finished_at: Timestamp::from_micros(2),
        artifacts: Vec::new(),
        log_bytes: 3,
        sandbox_level: None,
        provenance: None,
    };
    let mut memory = Memory::default();
    let empty = file::compact(JournalId::from_bits(1), &memory);
    memory.apply(Record::Starting { attempt, idempotent: false, instance: None });
    let started = file::compact(JournalId::from_bits(1), &memory);
    memory.exited(Arc::new(Kept { report, collected: Vec::new(), idempotent: false }));
    vec![empty, started, file::compact(JournalId::from_bits(1), &memory)]
}
