//! One attempt in a plugin: asked, listened to, ended when told to, its result checked.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::message::LogSource;
use nexusmon_shared::outcome::{Cause, Ending};
use nexusmon_shared::plan::MAX_OUTPUT_BYTES;
use nexusmon_shared::time::{SharedClock, Timestamp};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};

use super::adding::Adding;
use super::instance::{Answer, Ears, Instance, LogPiece, Named, Progress};
use super::wire::{self, Failure, MOST_LINE};
use super::workspace::{AttemptFolder, Scratch};
use crate::executor::attempt_key;
use crate::run::{Collected, Job};
use crate::spool::LogWriter;
use crate::worker::{CancelToken, Hooks};

/// For a plugin to end an attempt that took too long.
const GRACE: Duration = Duration::from_secs(5);
/// Between two progress reports of an attempt.
const PACE: Duration = Duration::from_millis(100);

/// What an attempt is done with.
pub(super) struct Doing {
    pub(super) job: Job,
    pub(super) instance: Arc<Instance>,
    pub(super) scratch: Arc<Scratch>,
    pub(super) clock: SharedClock,
    pub(super) log: LogWriter,
    pub(super) uploads: PathBuf,
}

/// What came of it.
pub(super) struct Done {
    pub(super) ending: Ending,
    pub(super) artifacts: Vec<Collected>,
    pub(super) log_bytes: u64,
    pub(super) log_digest: Option<Digest>,
    pub(super) started_at: Option<Timestamp>,
}

/// Why the attempt was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Cancelled,
    Timeout,
}

/// How the conversation ended.
enum Outcome {
    Answered(Result<Value, Failure>),
    /// It was to end before it began.
    Unasked,
    /// The process is gone.
    Orphaned,
    /// It did not end when told to.
    Disobeyed,
}

impl Doing {
    pub(super) async fn run(self, cancel: CancelToken, hooks: Hooks) -> Done {
        let Self { job, instance, scratch, clock, log, uploads } = self;
        // What will be signed about its artifacts names the log as well.
        let log = log.hashed();
        let job = Arc::new(job);
        let key = attempt_key(job.attempt);
        let failed = |cause| Done {
            ending: Ending::Failed { cause },
            artifacts: Vec::new(),
            log_bytes: 0,
            log_digest: None,
            started_at: None,
        };
        if let Err(detail) = instance.admitted().check_params(&job.spec.uses, &job.parameters) {
            return failed(Cause::BadParameters { detail });
        }
        let made = {
            let (job, key) = (Arc::clone(&job), key.clone());
            tokio::task::spawn_blocking(move || scratch.attempt(key, &job.inputs))
        };
        let folder = match made.await.map_err(std::io::Error::other).and_then(|made| made) {
            Ok(folder) => Arc::new(folder),
            Err(error) => return failed(plugin_error(format!("the workspace cannot be made: {error}"))),
        };
        let request = request(&job, &key, &folder);
        if request.to_string().len() > MOST_LINE - 200 {
            return failed(Cause::BadParameters {
                detail: "the parameters are more than a plugin is sent".to_owned(),
            });
        }

        let (log_sender, pieces) = mpsc::unbounded_channel();
        let (progress_sender, mut progress) = watch::channel(None);
        let (spawn_sender, asked) = mpsc::unbounded_channel();
        let Hooks { started, progress: told, spawn } = hooks;
        let named = Arc::new(Mutex::new(Named::default()));
        let own_log = log_sender.clone();
        instance.listen(
            key.clone(),
            Ears {
                log: log_sender,
                progress: progress_sender,
                named: Arc::clone(&named),
                spawn: spawn_sender,
            },
        );
        let mut talk =
            Talk { instance: &instance, clock: &clock, key: &key, stop: None, cancel, started_at: None };
        let mut adding = Adding::new(asked, spawn, own_log.clone());
        let mut logging = std::pin::pin!(spool(pieces, log, &clock));
        let mut log_bytes = None;
        let outcome = {
            let mut talking = std::pin::pin!(talk.run(&request, job.timeout, started));
            let mut telling = std::pin::pin!(tell(&mut progress, &*told));
            loop {
                tokio::select! {
                    outcome = &mut talking => break outcome,
                    () = adding.turn(&instance, &key) => {}
                    bytes = &mut logging, if log_bytes.is_none() => log_bytes = Some(bytes),
                    () = &mut telling => {}
                }
            }
        };
        // What it said last, should it have said it together with its answer.
        if progress.has_changed().unwrap_or(false) {
            pass_on(&mut progress, &*told);
        }
        instance.stop_listening(&key);
        // What it has added is added before it counts as done.
        let interrupted =
            matches!(outcome, Outcome::Answered(Ok(_))) && adding.rest(&key, &mut talk.cancel).await;
        drop(adding);
        if let Outcome::Answered(answer) = &outcome {
            instance.prove();
            if let Err(Failure { data: Some(data), .. }) = answer {
                let _ = own_log.send(LogPiece::own(LogSource::Stderr, data));
            }
        }
        drop(own_log);
        let (log_bytes, log_digest) = match log_bytes {
            Some(bytes) => bytes,
            None => logging.await,
        };
        // The process may have gone before the wish was looked at.
        let wished = talk.cancel.requested().map(|_| Why::Cancelled);
        let (why, started_at) = (talk.stop.map(|(why, _)| why).or(wished), talk.started_at);
        let ending = if interrupted { Ending::Cancelled } else { ending(outcome, why, &instance, &job) };
        let named = std::mem::take(&mut *named.lock().expect("no holder panics"));
        let collecting = {
            let folder = Arc::clone(&folder);
            tokio::task::spawn_blocking(move || collect(&folder, named, &job, &uploads, ending))
        };
        let (ending, artifacts) = match collecting.await {
            Ok(collected) => collected,
            Err(error) => (Ending::Failed { cause: plugin_error(error.to_string()) }, Vec::new()),
        };
        // Nobody waits for the folder to be gone.
        tokio::task::spawn_blocking(move || folder.remove());
        Done { ending, artifacts, log_bytes, log_digest, started_at }
    }
}

/// The conversation about one attempt.
struct Talk<'a> {
    instance: &'a Instance,
    clock: &'a SharedClock,
    key: &'a str,
    /// Told to end, and when it will be made to.
    stop: Option<(Why, Duration)>,
    cancel: CancelToken,
    started_at: Option<Timestamp>,
}

impl Talk<'_> {
    async fn run(
        &mut self,
        request: &Value,
        timeout: Duration,
        started: Box<dyn FnOnce(Timestamp) + Send>,
    ) -> Outcome {
        if self.cancel.requested().is_some() {
            return Outcome::Unasked;
        }
        let instance = self.instance;
        let mut asking = std::pin::pin!(instance.call("execute", request));
        let mut started = Some(started);
        let mut answer: Option<Answer> = None;
        let timeout_at = self.clock.boot() + timeout;
        loop {
            let due = self.stop.map_or(timeout_at, |(_, kill_at)| kill_at);
            tokio::select! {
                biased;
                answered = async { answer.as_mut().expect("guarded").await }, if answer.is_some() => {
                    return answered.map_or(Outcome::Orphaned, Outcome::Answered);
                }
                sent = &mut asking, if answer.is_none() => {
                    answer = Some(sent);
                    let now = self.clock.now();
                    self.started_at = Some(now);
                    if let Some(started) = started.take() {
                        started(now);
                    }
                }
                grace = next_cancel(&mut self.cancel, matches!(self.stop, Some((Why::Cancelled, _)))) => {
                    self.ask_to_end(Why::Cancelled, grace);
                }
                () = until(self.clock, due) => {
                    if self.stop.is_none() {
                        self.ask_to_end(Why::Timeout, GRACE);
                    } else {
                        self.instance.kill(Duration::ZERO, "it did not end an attempt it was told to end");
                        return Outcome::Disobeyed;
                    }
                }
            }
        }
    }

    /// Tells the plugin, the first time; later ones can only shorten the grace.
    fn ask_to_end(&mut self, why: Why, grace: Duration) {
        let kill_at = self.clock.boot() + grace;
        self.stop = match self.stop {
            None => {
                self.instance.tell("cancel", &json!({"attempt": self.key}));
                Some((why, kill_at))
            }
            Some((Why::Timeout, known)) if why == Why::Cancelled => Some((why, known.min(kill_at))),
            Some((known_why, known)) => Some((known_why, known.min(kill_at))),
        };
    }
}

fn request(job: &Job, key: &str, folder: &AttemptFolder) -> Value {
    let inputs: Map<String, Value> = job
        .inputs
        .iter()
        .map(|input| (input.name.clone(), folder.input(&input.name).display().to_string().into()))
        .collect();
    json!({
        "attempt": key,
        "capability": job.spec.uses,
        "params": job.parameters,
        "inputs": inputs,
        "workspace": folder.workspace(),
        "deadline": job.timeout.as_secs_f64(),
        "mission_id": job.mission,
        "task_id": job.attempt.task,
        "idempotency_key": job.idempotency_key,
        "traceparent": job.traceparent,
    })
}

fn ending(outcome: Outcome, why: Option<Why>, instance: &Instance, job: &Job) -> Ending {
    let stopped = match why {
        None => None,
        Some(Why::Cancelled) => Some(Ending::Cancelled),
        Some(Why::Timeout) => Some(Ending::Failed { cause: Cause::Timeout }),
    };
    match outcome {
        // A late result is still the truth.
        Outcome::Answered(Ok(result)) => match outputs(result, instance, job) {
            Ok(outputs) => Ending::Succeeded { outputs },
            Err(cause) => Ending::Failed { cause },
        },
        Outcome::Answered(Err(failure)) => stopped.unwrap_or_else(|| {
            let detail = failure.message;
            let cause =
                if failure.parameters { Cause::BadParameters { detail } } else { plugin_error(detail) };
            Ending::Failed { cause }
        }),
        Outcome::Unasked | Outcome::Orphaned | Outcome::Disobeyed => stopped.unwrap_or_else(|| {
            let detail = format!("the plugin ended: {}", instance.epitaph());
            Ending::Failed { cause: plugin_error(wire::bounded(&detail, 4_096)) }
        }),
    }
}

fn outputs(result: Value, instance: &Instance, job: &Job) -> Result<Map<String, Value>, Cause> {
    let outputs = match result {
        Value::Object(mut result) => result.remove("outputs").unwrap_or_default(),
        _ => return Err(plugin_error("the result is not an object with `outputs`".to_owned())),
    };
    let outputs = match outputs {
        Value::Object(outputs) => outputs,
        Value::Null => Map::new(),
        _ => return Err(plugin_error("`outputs` is not an object".to_owned())),
    };
    let bytes = serde_json::to_vec(&outputs).map_or(0, |json| json.len());
    if bytes > MAX_OUTPUT_BYTES {
        return Err(Cause::OutputTooLarge { bytes: bytes as u64, limit: MAX_OUTPUT_BYTES as u64 });
    }
    instance
        .admitted()
        .check_outputs(&job.spec.uses, &outputs)
        .map_err(|detail| plugin_error(format!("the outputs are not what its manifest says: {detail}")))?;
    Ok(outputs)
}

/// Blocks.
fn collect(
    folder: &AttemptFolder,
    named: Named,
    job: &Job,
    uploads: &std::path::Path,
    ending: Ending,
) -> (Ending, Vec<Collected>) {
    let Named { mut files, problem } = named;
    // Named twice is kept once, as last said.
    files.reverse();
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|(name, _)| seen.insert(name.clone()));
    let collected = match problem {
        Some(problem) => Err(problem),
        None => folder.collect(&files, &job.spec.artifacts, uploads),
    };
    match (ending, collected) {
        (Ending::Succeeded { .. }, Err(detail)) => {
            (Ending::Failed { cause: Cause::ArtifactFailed { detail } }, Vec::new())
        }
        (ending, collected) => (ending, collected.unwrap_or_default()),
    }
}

/// Writes pieces of log as they come, until no more can come; gives the bytes. A spool that cannot be written costs the
/// log, never the attempt.
async fn spool(
    mut pieces: mpsc::UnboundedReceiver<LogPiece>,
    mut log: LogWriter,
    clock: &SharedClock,
) -> (u64, Option<Digest>) {
    let mut batch = Vec::new();
    let mut broken = false;
    while pieces.recv_many(&mut batch, 64).await > 0 {
        let some = std::mem::take(&mut batch);
        if broken {
            continue;
        }
        let now = clock.now();
        // Waits while the spool is full.
        let written = tokio::task::spawn_blocking(move || {
            let outcome =
                some.into_iter().try_for_each(|piece| log.write(piece.source, piece.bytes.into(), now));
            (log, outcome)
        });
        match written.await {
            Ok((writer, outcome)) => {
                log = writer;
                if let Err(error) = outcome {
                    tracing::warn!(%error, "the rest of a log is lost: the spool cannot be written");
                    broken = true;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the rest of a log is lost");
                return (0, None);
            }
        }
    }
    let digest = log.digest();
    (log.finish(), digest)
}

type ProgressHook = dyn Fn(Option<f64>, String) + Send + Sync;

/// Passes progress on, not faster than anybody can read.
async fn tell(progress: &mut watch::Receiver<Progress>, hook: &ProgressHook) {
    while progress.changed().await.is_ok() {
        pass_on(progress, hook);
        tokio::time::sleep(PACE).await;
    }
    std::future::pending::<()>().await;
}

fn pass_on(progress: &mut watch::Receiver<Progress>, hook: &ProgressHook) {
    let newest = progress.borrow_and_update().clone();
    if let Some((fraction, text)) = newest {
        hook(fraction, text);
    }
}

/// The next request to end that says something new.
async fn next_cancel(cancel: &mut CancelToken, known: bool) -> Duration {
    if known { cancel.changed().await } else { cancel.cancelled().await }
}

/// Waits until the boot clock shows this. The runtime's own clock may stand still while the machine sleeps.
async fn until(clock: &SharedClock, deadline: Duration) {
    loop {
        let left = deadline.saturating_sub(clock.boot());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(Duration::from_secs(5))).await;
    }
}

const fn plugin_error(detail: String) -> Cause {
    Cause::PluginError { detail }
}
