//! What goes in comes out, in order and once, over reopening, freeing and waiting.

use nexusmon_shared::id::TaskId;
use nexusmon_shared::time::SystemClock;
use proptest::prelude::*;

use super::*;

fn attempt(number: u64) -> AttemptRef {
    AttemptRef { task: TaskId::from_bits(7), fence: Fence { epoch: 1, number } }
}

fn open(folder: &Path, limit: u64) -> Arc<Spool> {
    Spool::open(folder, limit, Arc::new(SystemClock)).unwrap()
}

async fn read_all(spool: &Spool, from: u64) -> (Vec<u8>, Vec<(LogSource, u32)>) {
    let (mut bytes, mut runs, mut offset) = (Vec::new(), Vec::new(), from);
    while let Some(piece) = spool.next(attempt(1), offset).await.unwrap() {
        assert_eq!(piece.offset, offset);
        assert_eq!(piece.runs.iter().map(|run| run.length as usize).sum::<usize>(), piece.data.len());
        offset += piece.data.len() as u64;
        bytes.extend_from_slice(&piece.data);
        runs.extend(piece.runs.iter().map(|run| (run.source, run.length)));
        if piece.last {
            break;
        }
    }
    (bytes, runs)
}

fn source(stderr: bool) -> LogSource {
    if stderr { LogSource::Stderr } else { LogSource::Stdout }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out_from_any_offset(
        writes in prop::collection::vec((any::<bool>(), 1_usize..400_000), 1..12),
        from: prop::sample::Index,
        reopened: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = open(folder.path(), u64::MAX);
        let mut expected = Vec::new();
        let mut writer = spool.writer(attempt(1));
        for (number, (stderr, length)) in writes.iter().enumerate() {
            let bytes = vec![u8::try_from(number).unwrap(); *length];
            expected.extend_from_slice(&bytes);
            writer.write(source(*stderr), bytes.into(), Timestamp::from_micros(1)).unwrap();
        }
        if reopened {
            drop(writer);
            drop(spool);
            spool = open(folder.path(), u64::MAX);
            spool.close_leftovers();
        } else {
            prop_assert_eq!(writer.finish(), expected.len() as u64);
        }
        let from = from.index(expected.len());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (bytes, _) = runtime.block_on(read_all(&spool, from as u64));
        prop_assert!(bytes == expected[from..]);
    }

    #[test]
    fn a_torn_end_costs_only_the_torn_frame(cut in 1_u64..2_000) {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(folder.path(), u64::MAX);
        let mut writer = spool.writer(attempt(1));
        for number in 0..10_u8 {
            writer.write(LogSource::Stdout, Bytes::copy_from_slice(&[number; 100]), Timestamp::from_micros(1)).unwrap();
        }
        drop((writer, spool));
        let file = folder.path().join(format!("{}@0", name(attempt(1))));
        let size = std::fs::metadata(&file).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(size.saturating_sub(cut)).unwrap();
        let spool = open(folder.path(), u64::MAX);
        spool.close_leftovers();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (bytes, _) = runtime.block_on(read_all(&spool, 0));
        let whole = usize::try_from(size.saturating_sub(cut) / 113 * 100).unwrap();
        prop_assert_eq!(bytes.len(), whole);
        prop_assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == u8::try_from(at / 100).unwrap()));
    }
}

#[tokio::test]
async fn a_reader_waits_for_more_and_a_forgotten_log_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), u64::MAX);
    let mut begun = spool.begun();
    let mut writer = spool.writer(attempt(1));
    writer.write(LogSource::Stdout, Bytes::from_static(b"one"), Timestamp::from_micros(1)).unwrap();
    assert_eq!(begun.recv().await, Some(attempt(1)));
    assert_eq!(&spool.next(attempt(1), 0).await.unwrap().unwrap().data[..], b"one");
    let (piece, ()) = tokio::join!(spool.next(attempt(1), 3), async {
        writer.write(LogSource::Stderr, Bytes::from_static(b"two"), Timestamp::from_micros(2)).unwrap();
    });
    let piece = piece.unwrap().unwrap();
    assert_eq!((&piece.data[..], piece.runs[0].source, piece.last), (&b"two"[..], LogSource::Stderr, false));
    writer.finish();
    assert!(spool.next(attempt(1), 6).await.unwrap().unwrap().last);
    spool.forget(attempt(1));
    assert!(spool.next(attempt(1), 0).await.unwrap().is_none());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_makes_the_writer_wait_until_something_is_stored() {
    const TOTAL: u64 = 24 * 1024 * 1024;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), 8 * 1024 * 1024);
    let mut writer = spool.writer(attempt(1));
    let filling = tokio::task::spawn_blocking(move || {
        let block = Bytes::from(vec![b'x'; 128 * 1024]);
        for _ in 0..TOTAL / block.len() as u64 {
            writer.write(LogSource::Stdout, block.clone(), Timestamp::from_micros(1)).unwrap();
        }
        writer.finish()
    });
    let (mut offset, mut most) = (0, 0);
    loop {
        let Some(piece) = spool.next(attempt(1), offset).await.unwrap() else {
            tokio::task::yield_now().await;
            continue;
        };
        offset += piece.data.len() as u64;
        most = most.max(*spool.used.lock().unwrap());
        spool.stored(attempt(1), offset);
        if piece.last {
            break;
        }
    }
    assert_eq!((offset, filling.await.unwrap()), (TOTAL, TOTAL));
    assert!(most <= 8 * 1024 * 1024, "{most}");
}

#[test]
fn a_silent_attempt_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), u64::MAX);
    assert_eq!(spool.writer(attempt(1)).finish(), 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
