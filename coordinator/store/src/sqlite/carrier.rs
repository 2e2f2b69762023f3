//! Carries the write-ahead log into the database file beside the writer, which else would stand still for it between
//! two commits: copying pages and waiting for two syncs.
//!
//! SQLite begins the log anew only when all of it was carried, and whoever writes meanwhile is always ahead of whoever
//! carries. So the writer does the rest by itself: the little that was written during the carrying.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use nexusmon_shared::lifecycle::Lifecycle;
use rusqlite::OpenFlags;
use tokio::sync::Notify;

use super::direct::Direct;
use crate::error::StoreError;

/// Pages of the log from which on it is carried: 16 MiB. Few enough syncs of the database file, short enough reads.
const FULL: u32 = 4_000;
/// The writer waits for the carrier from here on: a disk that cannot follow holds writers back.
const MOST: u32 = 3 * FULL;
/// A carrier that takes longer is left behind; the log then grows, which is told (`house`).
const PATIENCE: Duration = Duration::from_secs(10);

thread_local! {
    /// Pages in the log after the newest commit on this thread.
    static PAGES: Cell<u32> = const { Cell::new(0) };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Idle,
    Carrying,
    /// The rest is the writer's.
    Carried,
    /// There is no carrier any more.
    Gone,
}

#[derive(Debug)]
struct Shared {
    turn: Mutex<Turn>,
    over: Condvar,
    wanted: Notify,
}

impl Shared {
    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().expect("no holder of this lock panics")
    }

    fn set(&self, turn: Turn) {
        *self.turn() = turn;
        self.over.notify_all();
    }
}

/// The writer's end.
#[derive(Debug)]
pub(super) struct Carrier(Arc<Shared>);

/// There is no carrier once this is dropped, however its task ended.
struct Leaving(Arc<Shared>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.set(Turn::Gone);
    }
}

/// From now on the log of this connection's database is left to [`Carrier::tend`].
pub(super) fn leave_log(connection: &Direct) {
    connection.wal_hook(Some(|_, pages| {
        PAGES.set(u32::try_from(pages).unwrap_or(0));
        Ok(())
    }));
}

impl Carrier {
    pub(super) fn start(lifecycle: &Lifecycle, path: PathBuf) -> Self {
        let shared =
            Arc::new(Shared { turn: Mutex::new(Turn::Idle), over: Condvar::new(), wanted: Notify::new() });
        let soft = lifecycle.soft();
        let leaving = Leaving(Arc::clone(&shared));
        lifecycle.spawn("store.carrier", async move {
            let shared = Arc::clone(&leaving.0);
            let mut connection = None;
            loop {
                tokio::select! {
                    biased;
                    () = soft.cancelled() => break,
                    () = shared.wanted.notified() => {}
                }
                let path = path.clone();
                let carried = tokio::task::spawn_blocking(move || carry(connection, path)).await;
                connection = match carried {
                    Ok(Ok(connection)) => Some(connection),
                    Ok(Err(error)) => {
                        tracing::warn!(%error, "the write-ahead log could not be carried over beside the writer");
                        None
                    }
                    Err(error) => {
                        tracing::error!(%error, "carrying the write-ahead log over broke");
                        None
                    }
                };
                shared.set(Turn::Carried);
            }
            drop(leaving);
            Ok::<(), StoreError>(())
        });
        Self(shared)
    }

    /// After each commit, on the writer's thread, outside of any transaction.
    pub(super) fn tend(&self, connection: &Direct) {
        let pages = PAGES.get();
        if pages < FULL {
            return;
        }
        let mut turn = self.0.turn();
        if *turn == Turn::Idle {
            *turn = Turn::Carrying;
            self.0.wanted.notify_one();
            return;
        }
        if *turn == Turn::Carrying {
            if pages < MOST {
                return;
            }
            let waiting = |turn: &mut Turn| *turn == Turn::Carrying;
            let waited = self.0.over.wait_timeout_while(turn, PATIENCE, waiting);
            let (waited, late) = waited.expect("no holder of this lock panics");
            if late.timed_out() {
                return;
            }
            turn = waited;
        }
        if *turn == Turn::Carried {
            *turn = Turn::Idle;
        }
        drop(turn);
        if let Err(error) = passive(connection) {
            // The next commit tries again.
            tracing::debug!(%error, "the rest of the write-ahead log was not carried over");
        }
    }
}

fn carry(connection: Option<Direct>, path: PathBuf) -> Result<Direct, rusqlite::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => Direct::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?,
    };
    passive(&connection)?;
    Ok(connection)
}

/// Carries what no reader needs any more where it is; waits for nobody.
fn passive(connection: &Direct) -> Result<(), rusqlite::Error> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
