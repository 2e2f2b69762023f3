use proptest::prelude::*;

use super::*;

async fn open(folder: &tempfile::TempDir) -> Blobs {
    let config = BlobsConfig {
        url: format!("file://{}", folder.path().display()),
        staging: folder.path().join("unused"),
        several_nodes: false,
        object_store: ObjectStoreConfig::default(),
    };
    Blobs::open(&config).await.expect("a temporary folder can be opened")
}

fn remote(folder: &tempfile::TempDir) -> Blobs {
    let store = Arc::new(object_store::memory::InMemory::new());
    let backend = Backend::Remote(Remote::over(store, "some/prefix/", folder.path().to_owned()));
    Blobs(Arc::new(Inner { backend, slots: Mutex::default() }))
}

fn noise(length: usize, seed: u64) -> Bytes {
    use rand::{Rng as _, SeedableRng as _};
    let mut bytes = vec![0; length];
    rand::rngs::StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes.into()
}

fn files_below(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, |entries| {
        let files = entries.flatten().map(|entry| entry.path());
        files.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
    })
}

#[tokio::test]
async fn bytes_come_back_whole_and_by_range_from_either_backend() {
    let folder = tempfile::tempdir().unwrap();
    for blobs in [open(&folder).await, remote(&folder)] {
        let bytes = noise(3 * 1024 * 1024 + 17, 1);
        let stored = blobs.put(bytes.clone()).await.unwrap();
        assert_eq!(stored, Stored { digest: Digest::of(&bytes), size: bytes.len() as u64 });
        assert_eq!(blobs.read(&stored.digest, None).await.unwrap(), bytes);
        for range in [0..1, 5..5, 1_048_575..1_048_578, 2_000_000..9_000_000] {
            let end = usize::try_from(range.end).unwrap().min(bytes.len());
            let expected = bytes.slice(usize::try_from(range.start).unwrap()..end);
            assert_eq!(blobs.read(&stored.digest, Some(range)).await.unwrap(), expected);
        }
        assert_eq!(blobs.size(&stored.digest).await.unwrap(), Some(stored.size));
        blobs.delete(&stored.digest).await.unwrap();
        blobs.delete(&stored.digest).await.unwrap();
        assert_eq!(blobs.size(&stored.digest).await.unwrap(), None);
        assert!(matches!(blobs.read(&stored.digest, None).await, Err(BlobError::NotFound(_))));
        let empty = blobs.put(Bytes::new()).await.unwrap();
        assert_eq!(blobs.read(&empty.digest, None).await.unwrap(), Bytes::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_bytes_put_at_once_are_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(&folder).await;
    let bytes = noise(300_000, 2);
    let puts = (0..16).map(|_| blobs.put(bytes.clone()));
    for stored in futures::future::join_all(puts).await {
        assert_eq!(stored.unwrap().digest, Digest::of(&bytes));
    }
    assert_eq!(files_below(&folder.path().join("objects")), 1);
    assert_eq!(files_below(&folder.path().join("staging")), 0);
}

#[tokio::test]
async fn a_torn_upload_goes_on_where_it_stopped_even_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    for make in [0, 1] {
        let bytes = noise(10 * 1024 * 1024 + 5, 3 + make);
        let declared = Stored { digest: Digest::of(&bytes), size: bytes.len() as u64 };
        let key = StagingKey::new("agt_1/../x", &declared.digest);
        let blobs = if make == 0 { open(&folder).await } else { remote(&folder) };
        let mut upload = blobs.resume(&key, declared, 0).await.unwrap();
        upload.write(bytes.slice(..2_500_000)).await.unwrap();
        upload.write(bytes.slice(2_500_000..2_500_007)).await.unwrap();
        drop(upload);
        drop(blobs);

        let blobs = if make == 0 { open(&folder).await } else { remote(&folder) };
        // The block on a blocking thread may or may not have landed; what is staged is what counts.
        let offset = loop {
            let staged = blobs.staged(&key).await.unwrap();
            if staged >= 2_500_000 {
                break staged;
            }
            tokio::task::yield_now().await;
        };
        let wrong = blobs.resume(&key, declared, offset + 1).await;
        assert!(matches!(wrong, Err(BlobError::Offset { have, .. }) if have == offset));
        let mut upload = blobs.resume(&key, declared, offset).await.unwrap();
        upload.write(bytes.slice(usize::try_from(offset).unwrap()..)).await.unwrap();
        assert_eq!(upload.finish().await.unwrap(), declared);
        assert_eq!(blobs.read(&declared.digest, None).await.unwrap(), bytes);
        assert_eq!(blobs.staged(&key).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn wrong_bytes_never_become_a_blob() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(&folder).await;
    let declared = Stored { digest: Digest::of(b"right"), size: 5 };
    let key = StagingKey::new("a", &declared.digest);
    let mut upload = blobs.resume(&key, declared, 0).await.unwrap();
    upload.write(Bytes::from_static(b"wrong")).await.unwrap();
    assert!(matches!(upload.finish().await, Err(BlobError::Mismatch { .. })));
    assert_eq!(blobs.staged(&key).await.unwrap(), 0);

    let mut upload = blobs.resume(&key, declared, 0).await.unwrap();
    assert!(matches!(
        upload.write(Bytes::from_static(b"too long")).await,
        Err(BlobError::TooLarge { limit: 5 })
    ));
    upload.write(Bytes::from_static(b"rig")).await.unwrap();
    assert!(matches!(upload.finish().await, Err(BlobError::Incomplete { have: 3, declared: 5 })));
    assert_eq!(blobs.staged(&key).await.unwrap(), 3);
    assert_eq!(files_below(&folder.path().join("objects")), 0);
}

#[tokio::test]
async fn the_newest_stream_owns_an_upload() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(&folder).await;
    let declared = Stored { digest: Digest::of(b"right"), size: 5 };
    let key = StagingKey::new("a", &declared.digest);
    let mut older = blobs.resume(&key, declared, 0).await.unwrap();
    older.write(Bytes::from_static(b"ri")).await.unwrap();
    let mut newer = blobs.resume(&key, declared, 0).await.unwrap();
    newer.write(Bytes::from_static(b"right")).await.unwrap();
    assert!(matches!(older.finish().await, Err(BlobError::Superseded)));
    assert_eq!(newer.finish().await.unwrap(), declared);
}

#[tokio::test]
async fn a_dropped_one_off_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(&folder).await;
    let mut writer = blobs.writer(100).await.unwrap();
    writer.write(Bytes::from_static(b"half")).await.unwrap();
    drop(writer);
    let stream = futures::stream::iter([Ok(noise(60, 1)), Ok(noise(60, 2))]);
    let refused: Result<_, BlobError> = blobs.put_stream(100, stream).await;
    assert!(matches!(refused, Err(BlobError::TooLarge { limit: 100 })));
    assert_eq!(files_below(folder.path()), 0);
}

#[tokio::test]
async fn segments_are_replaced_whole_and_their_keys_stay_inside() {
    let folder = tempfile::tempdir().unwrap();
    for blobs in [open(&folder).await, remote(&folder)] {
        blobs.put_segment("tsk_1/0.1/0-5", vec![Bytes::from_static(b"first")]).await.unwrap();
        blobs.put_segment("tsk_1/0.1/0-5", vec![Bytes::from_static(b"again")]).await.unwrap();
        assert_eq!(blobs.read_segment("tsk_1/0.1/0-5", Some(1..3)).await.unwrap(), "ga");
        for key in ["../x", "a//b", "", "/a", ".hidden", "a/../b", "a\0b"] {
            assert!(
                matches!(blobs.put_segment(key, vec![Bytes::new()]).await, Err(BlobError::NotFound(_))),
                "{key}"
            );
        }
        blobs.delete_segment("tsk_1/0.1/0-5").await.unwrap();
        assert!(matches!(blobs.read_segment("tsk_1/0.1/0-5", None).await, Err(BlobError::NotFound(_))));
    }
}

#[tokio::test]
async fn bad_places_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let config = |url: &str, several_nodes| BlobsConfig {
        url: url.to_owned(),
        staging: folder.path().to_owned(),
        several_nodes,
        object_store: ObjectStoreConfig::default(),
    };
    for (url, several, part) in [
        ("file:///tmp/x", true, "several coordinators"),
        ("file://relative", false, "absolute"),
        ("ftp://x", false, "file:// or s3://"),
        ("s3://", false, "bucket"),
    ] {
        let error = Blobs::open(&config(url, several)).await.expect_err(url).to_string();
        assert!(error.contains(part), "{url}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_cuts_give_the_same_blob(cuts in prop::collection::vec(1_usize..400_000, 1..12), seed: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let blobs = open(&folder).await;
            let bytes = noise(cuts.iter().sum(), seed);
            let mut writer = blobs.writer(u64::MAX).await.unwrap();
            let mut rest = bytes.clone();
            for cut in &cuts {
                writer.write(rest.split_to(*cut)).await.unwrap();
            }
            let stored = writer.finish().await.unwrap();
            assert_eq!(stored.digest, Digest::of(&bytes));
            assert_eq!(blobs.read(&stored.digest, None).await.unwrap(), bytes);
        });
    }
}
