use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use nexusmon_agent::run::{Collected, Exit, Job};
use nexusmon_agent::worker::{CancelToken, Hooks, Later, Leftover, LogPiece};
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::message::{LogRun, LogSource, OrderInput};
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::sandbox::Level;
use tokio::sync::{mpsc, watch};

use super::fake::within;
use super::plan::{Sample, attempt, orders, task};
use super::*;

/// Logs that are there from the start.
struct Shelf {
    logs: HashMap<AttemptRef, Vec<u8>>,
    forgotten: watch::Sender<Vec<AttemptRef>>,
}

impl LogSpool for Shelf {
    fn begun(&self) -> mpsc::UnboundedReceiver<AttemptRef> {
        let (sender, receiver) = mpsc::unbounded_channel();
        for attempt in self.logs.keys() {
            sender.send(*attempt).unwrap();
        }
        // More may always come.
        std::mem::forget(sender);
        receiver
    }

    fn next(&self, attempt: AttemptRef, offset: u64) -> Later<'_, std::io::Result<Option<LogPiece>>> {
        Box::pin(async move {
            let log = &self.logs[&attempt];
            let start = usize::try_from(offset).unwrap();
            let end = (start + 1000).min(log.len());
            let data = Bytes::copy_from_slice(&log[start..end]);
            let runs = vec![LogRun { source: LogSource::Stdout, length: u32::try_from(data.len()).unwrap() }];
            let at = Timestamp::from_micros(1);
            Ok(Some(LogPiece { offset, data, runs, at, last: end == log.len() }))
        })
    }

    fn stored(&self, _attempt: AttemptRef, _offset: u64) {}

    fn forget(&self, attempt: AttemptRef) {
        self.forgotten.send_modify(|forgotten| forgotten.push(attempt));
    }
}

#[tokio::test]
async fn logs_arrive_whole_over_a_line_that_breaks() {
    let stage = Stage::new().await;
    let logs: HashMap<_, _> = (0..3_u8)
        .map(|index| {
            let log = (0..20_000_u32).map(|place| (place % 251) as u8 ^ index).collect::<Vec<u8>>();
            (attempt(usize::from(index), 1), log)
        })
        .collect();
    let shelf = Arc::new(Shelf { logs: logs.clone(), forgotten: watch::channel(Vec::new()).0 });
    stage.fake.state().break_after = Some(17);
    let worker = Arc::new(SimulatedWorker::idle(Arc::new(stage.clock.clone())));
    let actor = stage.agent_with(worker, Some(Arc::clone(&shelf) as Arc<dyn LogSpool>)).await;
    let session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    // The broken log stream takes the session with it; both come back.
    let again = stage.fake.session().await;
    again.welcome(Vec::new()).await;
    let mut forgotten = shelf.forgotten.subscribe();
    within(forgotten.wait_for(|forgotten| forgotten.len() == 3)).await.unwrap();
    for (attempt, log) in &logs {
        let stored = stage.fake.state().logs[attempt].clone();
        assert!(stored.sealed);
        assert_eq!(&stored.bytes, log, "nothing lost, nothing doubled");
    }
    actor.kill().await;
}

/// Produces one file, after reading its inputs.
struct Producer {
    folder: tempfile::TempDir,
    content: Vec<u8>,
    inputs: Mutex<Vec<(String, Vec<u8>)>>,
    manifests: watch::Sender<Arc<Vec<Manifest>>>,
}

impl Worker for Producer {
    fn execute(&self, job: Job, _cancel: CancelToken, hooks: Hooks) -> Later<'_, Exit> {
        Box::pin(async move {
            (hooks.started)(Timestamp::from_micros(5));
            for input in &job.inputs {
                let content = std::fs::read(&input.path).unwrap();
                self.inputs.lock().unwrap().push((input.name.clone(), content));
            }
            let path = self.folder.path().join("out");
            std::fs::write(&path, &self.content).unwrap();
            let collected = Collected {
                name: "out".to_owned(),
                path,
                digest: Digest::of(&self.content),
                size: self.content.len() as u64,
                media_type: "text/plain".to_owned(),
                withheld: false,
            };
            Exit {
                ending: succeeded(),
                artifacts: vec![collected],
                sandbox_level: None,
                log_bytes: 0,
                log_digest: None,
                provenance: None,
                started_at: Some(Timestamp::from_micros(5)),
                finished_at: Timestamp::from_micros(6),
            }
        })
    }

    fn manifests(&self) -> watch::Receiver<Arc<Vec<Manifest>>> {
        self.manifests.subscribe()
    }

    fn levels(&self) -> std::collections::BTreeSet<Level> {
        std::collections::BTreeSet::from([Level::L3])
    }

    fn renew(&self, _live_until: Duration) {}

    fn recover(&self, _leftovers: Vec<Leftover>) -> Later<'_, ()> {
        Box::pin(async {})
    }

    fn release(&self, _attempt: AttemptRef) {}
}

fn producer(content: Vec<u8>) -> Arc<Producer> {
    let manifest =
        serde_json::json!([{"name": "core", "version": "1", "capabilities": [{"name": "core.noop"}]}]);
    let manifests: Vec<Manifest> = serde_json::from_value(manifest).unwrap();
    Arc::new(Producer {
        folder: tempfile::tempdir().unwrap(),
        content,
        inputs: Mutex::default(),
        manifests: watch::channel(Arc::new(manifests)).0,
    })
}

#[tokio::test]
async fn artifacts_travel_both_ways_and_resume() {
    let stage = Stage::new().await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|place| (place % 253) as u8).collect();
    let input = b"what the task needs".to_vec();
    let digest = Digest::of(&input);
    stage.fake.state().blobs.insert(digest, input.clone());
    stage.fake.state().cut_upload = Some(1_000_000);
    let worker = producer(content.clone());
    let (_agent, lifecycle) = stage.start(Arc::clone(&worker) as Arc<dyn Worker>, None).await;
    let plan = Sample::new(vec![task("t", |_| {}), task("u", |_| {})]);
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    session.send(plan.notice()).await;
    let wanted =
        |name: &str, digest| vec![OrderInput { name: name.to_owned(), digest, size: input.len() as u64 }];
    session.send(orders(session.session, vec![plan.order_with(0, 1, wanted("in.txt", digest))])).await;
    let reports = session.reports(1).await;
    assert_eq!(reports[0].ending, succeeded());
    assert_eq!(reports[0].artifacts[0].digest, Digest::of(&content));
    assert_eq!(worker.inputs.lock().unwrap().as_slice(), [("in.txt".to_owned(), input.clone())]);
    {
        let state = stage.fake.state();
        assert_eq!(state.blobs[&Digest::of(&content)], content);
        assert_eq!(state.uploaded_bytes, content.len(), "resumed, not begun anew");
    }

    // A blob the vault does not have fails the task before it starts.
    let unknown = Digest::of(b"nowhere");
    session.send(orders(session.session, vec![plan.order_with(1, 1, wanted("x", unknown))])).await;
    let ending = session.reports(1).await.remove(0).ending;
    assert!(matches!(ending, Ending::Failed { cause: Cause::ArtifactFailed { .. } }), "{ending:?}");
    lifecycle.hard().cancel();
    lifecycle.shutdown(Duration::ZERO).await;
}
