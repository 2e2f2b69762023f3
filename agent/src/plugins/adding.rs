//! Tasks that an attempt in a plugin adds while it works: passed on as they come, each answered by the name it was asked
//! under.

use std::collections::VecDeque;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use nexusmon_shared::id::TaskId;
use nexusmon_shared::message::LogSource;
use nexusmon_shared::plan::MAX_SPAWNED;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::instance::{Instance, LogPiece};
use super::wire;
use crate::worker::{CancelToken, Later, Spawner};

/// Asked for and not answered at once; more than any envelope allows.
const MOST_OPEN: usize = 2 * MAX_SPAWNED as usize;

type Answered = (String, Result<TaskId, String>);

/// See the module.
pub(super) struct Adding {
    asked: mpsc::UnboundedReceiver<(String, Value)>,
    spawn: Option<Spawner>,
    open: FuturesUnordered<Later<'static, Answered>>,
    /// Answers the process has not been sent yet.
    untold: VecDeque<Value>,
    log: mpsc::UnboundedSender<LogPiece>,
}

impl Adding {
    pub(super) fn new(
        asked: mpsc::UnboundedReceiver<(String, Value)>,
        spawn: Option<Spawner>,
        log: mpsc::UnboundedSender<LogPiece>,
    ) -> Self {
        Self { asked, spawn, open: FuturesUnordered::new(), untold: VecDeque::new(), log }
    }

    /// The next request, answer, or line to the process. Safe to drop: each only waits for what stays where it is.
    pub(super) async fn turn(&mut self, instance: &Instance, key: &str) {
        tokio::select! {
            Some((id, task)) = self.asked.recv() => self.ask(id, task),
            Some(answered) = self.open.next(), if !self.open.is_empty() => self.note(key, answered),
            room = instance.room(), if !self.untold.is_empty() => {
                if let (Some(room), Some(answer)) = (room, self.untold.pop_front()) {
                    room.send(wire::notification("spawned", &answer));
                }
            }
            else => std::future::pending().await,
        }
    }

    /// Sees to all that was asked for. True if the attempt was to end meanwhile.
    pub(super) async fn rest(&mut self, key: &str, cancel: &mut CancelToken) -> bool {
        while let Ok((id, task)) = self.asked.try_recv() {
            self.ask(id, task);
        }
        while !self.open.is_empty() {
            tokio::select! {
                Some(answered) = self.open.next() => self.note(key, answered),
                _ = cancel.cancelled() => return true,
            }
        }
        false
    }

    fn ask(&mut self, id: String, task: Value) {
        let answer: Later<'static, Result<TaskId, String>> = match &self.spawn {
            Some(spawn) if self.open.len() < MOST_OPEN => spawn(task),
            Some(_) => Box::pin(async { Err("too many tasks are being added at once".to_owned()) }),
            None => Box::pin(async { Err("the leaf of this task has no `spawn`".to_owned()) }),
        };
        self.open.push(Box::pin(async move { (id, answer.await) }));
    }

    /// A refusal stands in the log too: not every plugin listens.
    fn note(&mut self, key: &str, (id, answer): Answered) {
        self.untold.push_back(match answer {
            Ok(task) => json!({"attempt": key, "id": id, "task_id": task}),
            Err(refused) => {
                let line = format!("a task was not added: {refused}");
                let _ = self.log.send(LogPiece::own(LogSource::Stderr, &line));
                json!({"attempt": key, "id": id, "refused": refused})
            }
        });
    }
}
