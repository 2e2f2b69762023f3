//! One running plugin process: what is asked of it, what it says, how it ended.
//!
//! A single future serves all its pipes. Nothing the process writes can make it hold more than a bounded amount of memory,
//! and a process that says too much nonsense is ended.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use nexusmon_shared::message::LogSource;
use nexusmon_shared::time::SharedClock;
use serde_json::Value;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::manifest::Admitted;
use super::stderr;
use super::wire::{self, Failure, Incoming, Line, Lines, MOST_LINE, Note};
use super::workspace::{self, Scratch};
use crate::executor::{Ended, Process};

/// Lines on their way to a process that does not read.
const QUEUE: usize = 16;
/// Bytes of log on their way from a process to the spool.
const LOG_BYTES: usize = 4 * MOST_LINE;
/// Lines in a row that say nothing anybody waits for.
const MOST_STRIKES: u32 = 1_000;
const MOST_ARTIFACTS: usize = 1_000;
/// From closing its output to its end.
const AFTER_OUTPUT: Duration = Duration::from_millis(500);
/// From the end of the tree to the end of its pipes.
const AFTER_END: Duration = Duration::from_secs(2);

/// How the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, or because it broke the protocol.
    Crashed(String),
    /// Because the agent said so.
    Killed(String),
}

/// A piece of log; it takes room until it is written.
#[derive(Debug)]
pub(super) struct LogPiece {
    pub(super) source: LogSource,
    pub(super) bytes: Vec<u8>,
    _room: Option<tokio::sync::OwnedSemaphorePermit>,
}

impl LogPiece {
    /// The agent's own, about the attempt.
    pub(super) fn own(source: LogSource, text: &str) -> Self {
        Self { source, bytes: line(text), _room: None }
    }
}

/// The newest progress: what comes too fast is left out.
pub(super) type Progress = Option<(Option<f64>, String)>;

/// Files an attempt wants kept, with their media types.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) files: Vec<(String, Option<String>)>,
    pub(super) problem: Option<String>,
}

/// Where what a plugin says about one attempt goes.
#[derive(Debug, Clone)]
pub(super) struct Ears {
    pub(super) log: mpsc::UnboundedSender<LogPiece>,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) named: Arc<Mutex<Named>>,
    /// Tasks it adds, with what it calls each request.
    pub(super) spawn: mpsc::UnboundedSender<(String, Value)>,
}

/// An answer to come; an error when the process ended first.
pub(super) type Answer = oneshot::Receiver<Result<Value, Failure>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Instance {
    plugin: String,
    scratch: Arc<Scratch>,
    outgoing: mpsc::Sender<Vec<u8>>,
    open: Mutex<Open>,
    /// One for each attempt it takes at once; none before its manifest is admitted, closed when it has ended.
    pub(super) permits: Arc<Semaphore>,
    room: Arc<Semaphore>,
    admitted: OnceLock<Arc<Admitted>>,
    kill: watch::Sender<Option<(Duration, String)>>,
    end: OnceLock<End>,
    /// It has answered an attempt.
    proved: AtomicBool,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    calls: HashMap<u64, oneshot::Sender<Result<Value, Failure>>>,
    attempts: HashMap<String, Ears>,
}

impl Instance {
    /// Takes a process into service; the future serves it until it has ended.
    pub(super) fn serve(
        plugin: String,
        scratch: Arc<Scratch>,
        process: Process,
        clock: SharedClock,
    ) -> (Arc<Self>, impl Future<Output = End> + Send + use<>) {
        let (outgoing, queue) = mpsc::channel(QUEUE);
        let instance = Arc::new(Self {
            plugin,
            scratch,
            outgoing,
            open: Mutex::default(),
            permits: Arc::new(Semaphore::new(0)),
            room: Arc::new(Semaphore::new(LOG_BYTES)),
            admitted: OnceLock::new(),
            kill: watch::Sender::new(None),
            end: OnceLock::new(),
            proved: AtomicBool::new(false),
        });
        let serving = Arc::clone(&instance).run(process, queue, clock);
        (instance, serving)
    }

    /// From now on it takes attempts.
    pub(super) fn admit(&self, admitted: Arc<Admitted>) {
        self.permits.add_permits(admitted.concurrency as usize);
        let _ = self.admitted.set(admitted);
    }

    pub(super) fn admitted(&self) -> &Arc<Admitted> {
        self.admitted.get().expect("only admitted instances are posted")
    }

    pub(super) fn scratch(&self) -> &Arc<Scratch> {
        &self.scratch
    }

    pub(super) fn has_proved_itself(&self) -> bool {
        self.proved.load(Ordering::Relaxed)
    }

    /// How it ended, in words; for attempts whose answer will not come.
    pub(super) fn epitaph(&self) -> String {
        match self.end.get() {
            Some(End::Crashed(reason) | End::Killed(reason)) => reason.clone(),
            None => "it was ended".to_owned(),
        }
    }

    /// Asks for the end of the process: SIGTERM, SIGKILL after the grace.
    pub(super) fn kill(&self, grace: Duration, reason: &str) {
        self.permits.close();
        self.kill.send_if_modified(|asked| {
            let sooner = asked.as_ref().is_none_or(|(known, _)| grace < *known);
            if sooner {
                *asked = Some((grace, reason.to_owned()));
            }
            sooner
        });
    }

    /// Sends a request; waits while the process does not read.
    pub(super) async fn call(&self, method: &str, params: &Value) -> Answer {
        let (id, answer) = self.expect();
        // To a process that has ended nothing can be sent; whoever waits for the answer learns it there.
        if self.outgoing.send(wire::request(id, method, params)).await.is_err() {
            self.forget(id);
        }
        answer
    }

    /// The same without waiting: a process that does not read is not told.
    pub(super) fn tell(&self, method: &str, params: &Value) {
        let (id, _) = self.expect();
        if self.outgoing.try_send(wire::request(id, method, params)).is_err() {
            self.forget(id);
        }
    }

    /// Waits until one more line may be sent; `None` once the process reads no more.
    pub(super) async fn room(&self) -> Option<mpsc::Permit<'_, Vec<u8>>> {
        self.outgoing.reserve().await.ok()
    }

    pub(super) fn listen(&self, attempt: String, ears: Ears) {
        self.open().attempts.insert(attempt, ears);
    }

    pub(super) fn stop_listening(&self, attempt: &str) {
        self.open().attempts.remove(attempt);
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().expect("no holder panics")
    }

    fn expect(&self) -> (u64, Answer) {
        let (sender, answer) = oneshot::channel();
        let mut open = self.open();
        open.next += 1;
        let id = open.next;
        open.calls.retain(|_, waiting| !waiting.is_closed());
        if self.end.get().is_none() {
            open.calls.insert(id, sender);
        }
        (id, answer)
    }

    fn forget(&self, id: u64) {
        self.open().calls.remove(&id);
    }

    async fn run(
        self: Arc<Self>,
        process: Process,
        queue: mpsc::Receiver<Vec<u8>>,
        clock: SharedClock,
    ) -> End {
        let (stdin, stdout, errors, mut ended) = process.split();
        let said = Mutex::new(VecDeque::new());
        let mut killed = self.kill.subscribe();
        let mut reading = std::pin::pin!(self.read(stdout));
        let mut listening = std::pin::pin!(stderr::listen(&self.plugin, errors, &said, &clock));
        let mut writing = std::pin::pin!(write(stdin, queue));
        let (mut read, mut heard, mut written) = (None, false, false);
        let how = loop {
            tokio::select! {
                how = ended.wait() => break how,
                outcome = &mut reading, if read.is_none() => {
                    self.permits.close();
                    if outcome.is_err() {
                        ended.end(Duration::ZERO);
                    }
                    read = Some(outcome);
                }
                () = &mut listening, if !heard => heard = true,
                () = &mut writing, if !written => written = true,
                // It ends by itself, most likely; its own exit status says more than our signal.
                () = tokio::time::sleep(AFTER_OUTPUT), if read == Some(Ok(())) => end_now(&ended),
                Ok(()) = killed.changed() => {
                    if let Some((grace, _)) = &*killed.borrow_and_update() {
                        ended.end(*grace);
                    }
                }
            }
        };
        // What it said before its end still counts.
        let rest = async {
            if !heard {
                listening.await;
            }
            if read.is_none() { reading.await } else { Ok(()) }
        };
        let rest = tokio::time::timeout(AFTER_END, rest).await.unwrap_or(Ok(()));
        let asked = self.kill.borrow().as_ref().map(|(_, reason)| reason.clone());
        let last_words: Vec<String> = said.lock().expect("no holder panics").drain(..).collect();
        let end = match (read.unwrap_or(Ok(())).and(rest), asked) {
            (Err(broken), _) => End::Crashed(broken.to_owned()),
            (Ok(()), Some(reason)) => End::Killed(reason),
            (Ok(()), None) if last_words.is_empty() => End::Crashed(how),
            (Ok(()), None) => End::Crashed(format!("{how}; it said: {}", last_words.join(" | "))),
        };
        let _ = self.end.set(end.clone());
        self.permits.close();
        let mut open = self.open();
        open.calls.clear();
        open.attempts.clear();
        end
    }

    /// Takes what the process says until it says no more, or until it has gone too far.
    async fn read(&self, stdout: pipe::Receiver) -> Result<(), &'static str> {
        let mut lines = Lines::new(BufReader::with_capacity(64 * 1024, stdout), MOST_LINE);
        let mut strikes = 0;
        while let Ok(Some(line)) = lines.next().await {
            let useful = match line {
                Line::Cut(_) => return Err("it sent a line of more than 1 MiB"),
                Line::Whole(line) => self.hear(wire::parse(&line)).await,
            };
            strikes = if useful { 0 } else { strikes + 1 };
            if strikes > MOST_STRIKES {
                return Err("it sent nothing but nonsense");
            }
        }
        Ok(())
    }

    /// Whether the line meant something to anybody.
    async fn hear(&self, incoming: Incoming) -> bool {
        match incoming {
            Incoming::Answer { id, outcome } => {
                let waiting = self.open().calls.remove(&id);
                if waiting.is_none() {
                    tracing::debug!(plugin = %self.plugin, id, "an answer to nothing");
                }
                waiting.map(|waiting| waiting.send(outcome)).is_some()
            }
            Incoming::Note { attempt, note } => {
                let ears = self.open().attempts.get(&attempt).cloned();
                let Some(ears) = ears else { return false };
                self.note(&ears, note).await;
                true
            }
            Incoming::Nonsense(why) => {
                tracing::debug!(plugin = %self.plugin, why, "a line is ignored");
                false
            }
        }
    }

    async fn note(&self, ears: &Ears, note: Note) {
        match note {
            Note::Log(text) => {
                let bytes = line(&text);
                let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                // Waits while the spool is full: this is where a plugin comes to wait for the coordinator.
                let room = Arc::clone(&self.room).acquire_many_owned(size).await.ok();
                let _ = ears.log.send(LogPiece { source: LogSource::Stdout, bytes, _room: room });
            }
            Note::Progress { fraction, text } => {
                ears.progress.send_replace(Some((fraction, text)));
            }
            Note::Spawn { id, task } => {
                let _ = ears.spawn.send((id, task));
            }
            Note::Artifact { name, media_type } => {
                let mut named = ears.named.lock().expect("no holder panics");
                let media_type = media_type.filter(|text| workspace::is_media_type(text));
                if !workspace::is_artifact_name(&name) {
                    named.problem = Some(format!(
                        "`{}` cannot be an artifact's name",
                        wire::bounded(&name, 100).escape_debug()
                    ));
                } else if named.files.len() >= MOST_ARTIFACTS {
                    named.problem = Some(format!("more than {MOST_ARTIFACTS} artifacts"));
                } else {
                    named.files.push((name, media_type));
                }
            }
        }
    }

    /// It has answered an attempt: it works.
    pub(super) fn prove(&self) {
        self.proved.store(true, Ordering::Relaxed);
    }
}

fn end_now(ended: &Ended) {
    ended.end(AFTER_OUTPUT);
}

async fn write(mut stdin: pipe::Sender, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = queue.recv().await {
        if stdin.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// With its end, for the log.
fn line(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.last() != Some(&b'\n') {
        bytes.push(b'\n');
    }
    bytes
}
