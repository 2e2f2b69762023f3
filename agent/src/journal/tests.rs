use nexusmon_shared::outcome::{Ending, Report};
use nexusmon_shared::time::Timestamp;
use proptest::prelude::*;

use super::*;

fn attempt(task: u128, number: u64) -> AttemptRef {
    AttemptRef { task: TaskId::from_bits(task), fence: Fence { epoch: 1, number } }
}

fn kept(attempt: AttemptRef, idempotent: bool) -> Arc<Kept> {
    let report = Report {
        attempt,
        ending: Ending::Succeeded { outputs: serde_json::Map::new() },
        started_at: Some(Timestamp::from_micros(1)),
        finished_at: Timestamp::from_micros(2),
        artifacts: Vec::new(),
        log_bytes: 0,
        sandbox_level: None,
        provenance: None,
    };
    Arc::new(Kept { report, collected: Vec::new(), idempotent })
}

fn open(folder: &Path, fresh: u128) -> Opened {
    Journal::open(folder, JournalId::from_bits(fresh)).unwrap()
}

/// Runs `act` beside the writer, then stops it as a clean shutdown does.
async fn with_writer<T>(opened: Opened, act: impl AsyncFnOnce(Journal) -> T) -> T {
    let Opened { journal, writer, .. } = opened;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let writing = writer.run(async {
        let _ = stopped.await;
    });
    let acting = async {
        let result = act(journal).await;
        let _ = stop.send(());
        result
    };
    let (written, result) = tokio::join!(writing, acting);
    written.unwrap();
    result
}

#[tokio::test]
async fn what_was_synced_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let id = with_writer(open(folder.path(), 7), async |journal| {
        journal.received(attempt(1, 1));
        let mark = journal.starting(attempt(1, 1), false, Some(Digest::of(b"x")));
        journal.synced(mark).await.unwrap();
        journal.starting(attempt(2, 5), true, None);
        let mark = journal.exited(kept(attempt(3, 2), false));
        journal.synced(mark).await.unwrap();
        journal.exited(kept(attempt(4, 1), true));
        journal.acknowledged([attempt(4, 1), attempt(9, 9)]);
        journal.flush().await.unwrap();
        journal.id()
    })
    .await;
    let again = open(folder.path(), 8);
    assert!(!again.damaged);
    assert_eq!(again.journal.id(), id);
    let held = again.journal.held();
    assert_eq!(held.keys().copied().collect::<Vec<_>>(), [attempt(1, 1), attempt(2, 5), attempt(3, 2)]);
    assert_eq!(held[&attempt(1, 1)], Stage::Starting { idempotent: false });
    assert_eq!(held[&attempt(3, 2)], Stage::Exited(kept(attempt(3, 2), false)));
    assert_eq!(again.journal.fence(TaskId::from_bits(4)), Some(Fence { epoch: 1, number: 1 }));
    assert_eq!(again.journal.starts(&Digest::of(b"x")), 1);
}

#[tokio::test]
async fn a_flipped_bit_gives_a_new_journal_id() {
    let folder = tempfile::tempdir().unwrap();
    with_writer(open(folder.path(), 7), async |journal| {
        for number in 1..20 {
            journal.starting(attempt(1, number), false, None);
        }
        journal.flush().await.unwrap();
    })
    .await;
    let path = folder.path().join("journal");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let again = open(folder.path(), 8);
    assert!(again.damaged);
    assert_eq!(again.journal.id(), JournalId::from_bits(8));
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    frame::append(&mut bytes, |buffer| buffer.extend_from_slice(&[0, 99]));
    std::fs::write(folder.path().join("journal"), bytes).unwrap();
    let error = Journal::open(folder.path(), JournalId::from_bits(1)).unwrap_err();
    assert!(matches!(error, JournalError::Newer { .. }), "{error}");
}

#[derive(Debug, Clone)]
enum Act {
    Received(u128, u64),
    Starting(u128, u64, bool),
    Exited(u128, u64, bool),
    Acknowledged(u128, u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (0_u128..6, 1_u64..4).prop_map(|(t, n)| Act::Received(t, n)),
        (0_u128..6, 1_u64..4, any::<bool>()).prop_map(|(t, n, i)| Act::Starting(t, n, i)),
        (0_u128..6, 1_u64..4, any::<bool>()).prop_map(|(t, n, i)| Act::Exited(t, n, i)),
        (0_u128..6, 1_u64..4).prop_map(|(t, n)| Act::Acknowledged(t, n)),
    ];
    prop::collection::vec(act, 0..40)
}

fn record(act: &Act) -> Record {
    match *act {
        Act::Received(task, number) => Record::Received { attempt: attempt(task, number) },
        Act::Starting(task, number, idempotent) => {
            Record::Starting { attempt: attempt(task, number), idempotent, instance: None }
        }
        Act::Exited(task, number, idempotent) => {
            Record::Exited { kept: Box::new(Kept::clone(&kept(attempt(task, number), idempotent))) }
        }
        Act::Acknowledged(task, number) => Record::Acknowledged { attempt: attempt(task, number) },
    }
}

proptest! {
    #[test]
    fn any_cut_recovers_exactly_a_prefix(acts in acts(), cut: prop::sample::Index) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let id = JournalId::from_bits(7);
        let mut bytes = Vec::new();
        frame::append(&mut bytes, |buffer| Record::Header { journal: id }.encode(buffer));
        let header = bytes.len();
        let mut borders = vec![header];
        for act in &acts {
            frame::append(&mut bytes, |buffer| record(act).encode(buffer));
            borders.push(bytes.len());
        }
        let at = header + cut.index(bytes.len() - header + 1);
        std::fs::write(&path, &bytes[..at]).unwrap();

        let whole = borders.iter().filter(|border| **border <= at).count() - 1;
        let mut expected = Memory::default();
        for act in &acts[..whole] {
            expected.apply(record(act));
        }
        let opened = open(folder.path(), 8);
        prop_assert!(!opened.damaged);
        prop_assert_eq!(opened.journal.id(), id);
        prop_assert_eq!(&opened.journal.held(), expected.held());
        for task in 0..6 {
            let task = TaskId::from_bits(task);
            prop_assert_eq!(opened.journal.fence(task), expected.fence(task));
        }
        // Compaction on opening says the same again.
        drop(opened);
        let again = open(folder.path(), 9);
        prop_assert_eq!(&again.journal.held(), expected.held());
    }
}

#[tokio::test]
async fn what_was_added_and_not_answered_is_found_again_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let task = TaskId::from_bits;
    let signed = |number: u8| Bytes::from(vec![number; 40]);
    with_writer(open(folder.path(), 7), async |journal| {
        for (number, of) in [(9, 1), (3, 1), (5, 2), (4, 3)] {
            journal.starting(attempt(of, 1), true, None);
            let mark = journal.spawned(attempt(of, 1), task(number), signed(u8::try_from(number).unwrap()));
            journal.synced(mark).await.unwrap();
        }
        // One is answered, and the report of another's attempt is acknowledged.
        journal.spawn_answered(task(3));
        journal.acknowledged([attempt(2, 1)]);
        journal.flush().await.unwrap();
    })
    .await;
    let expected = [(task(9), attempt(1, 1), signed(9)), (task(4), attempt(3, 1), signed(4))];
    // Opening rewrites the file: once from what was appended, once from what was compacted.
    for _ in 0..2 {
        let Opened { journal, .. } = open(folder.path(), 8);
        assert_eq!(journal.spawns(), expected);
    }
}
