//! SQLite: pages are given back a few at a time; a write-ahead log beyond its limit is checkpointed by force.

use std::path::Path;

use super::{Advice, Sizes, Tidied};
use crate::connection::Connection;
use crate::dialect::sql;
use crate::error::StoreError;
use crate::record::args;
use crate::sqlite::{direct, reserve};
use crate::store::Store;

/// Free pages that are kept for what comes next.
const SPARE: u64 = 16 * 1024 * 1024;
/// Units of work in one round.
const ROUNDS: usize = 64;
/// Beyond this part of the file, free pages that cannot be given back are worth a word.
const WORTH_A_WORD: u64 = 4;

pub(super) async fn sizes(read: &mut Connection, file: &Path) -> Result<Sizes, StoreError> {
    let page = number(read, Pragma::PageSize).await?;
    let pages = number(read, Pragma::PageCount).await?;
    let free = number(read, Pragma::Freelist).await?;
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let log = std::fs::metadata(Path::new(&log)).map_or(0, |found| found.len());
    Ok(Sizes { database: pages * page, free: free * page, log })
}

pub(super) async fn tidy(store: &Store, file: &Path, limit: u64) -> Result<Tidied, StoreError> {
    let before = store.sizes().await?;
    let mut after = before;
    for _ in 0..ROUNDS {
        if after.free <= SPARE {
            break;
        }
        store
            .write("giving pages back", |tx| {
                // 8 MiB of pages of 4 KiB; a row comes back for each, and all must be asked for.
                Box::pin(async move { tx.execute(sql!("PRAGMA incremental_vacuum(2000)"), args![]).await })
            })
            .await?;
        let now = store.sizes().await?;
        let gone = after.free.saturating_sub(now.free);
        after = now;
        if gone == 0 {
            // The file was made before pages could be given back.
            break;
        }
    }
    if after.log > limit {
        let file = file.to_owned();
        let forced = tokio::task::spawn_blocking(move || direct::checkpoint(&file)).await;
        let forced = forced.map_err(|error| {
            StoreError::io("forcing a checkpoint", std::io::Error::other(error.to_string()))
        })?;
        forced.map_err(|error| StoreError::of_sqlite("forcing a checkpoint", error))?;
        after = store.sizes().await?;
    }
    Ok(Tidied { before, after, held: after.log > limit })
}

pub(super) async fn advice(
    read: &mut Connection,
    file: &Path,
    sizes: Sizes,
    limit: u64,
) -> Result<Vec<Advice>, StoreError> {
    let mut advice = Vec::new();
    let incremental = number(read, Pragma::AutoVacuum).await? == 2;
    if !incremental && sizes.free > SPARE && sizes.free > sizes.database / WORTH_A_WORD {
        advice.push(Advice {
            about: "free pages".to_owned(),
            problem: format!(
                "{} of {} MiB hold nothing, and this file cannot give pages back a few at a time",
                sizes.free >> 20,
                sizes.database >> 20
            ),
            remedy: "stop the coordinator once and run `sqlite3 nexusmon.db 'PRAGMA auto_vacuum = INCREMENTAL; VACUUM;'`"
                .to_owned(),
        });
    }
    let kept = std::fs::metadata(reserve::path(file)).map_or(0, |found| found.len());
    if kept < reserve::SIZE {
        advice.push(Advice {
            about: "reserved space".to_owned(),
            problem: format!(
                "{} of {} MiB are kept back for halting, revoking and refusing on a full disk",
                kept >> 20,
                reserve::SIZE >> 20
            ),
            remedy:
                "free space on the disk of the data folder; the rest is kept back as soon as 24 MiB are free"
                    .to_owned(),
        });
    }
    if sizes.log > limit {
        advice.push(Advice {
            about: "write-ahead log".to_owned(),
            problem: format!("it has {} MiB, more than the {} MiB it should", sizes.log >> 20, limit >> 20),
            remedy: "find what keeps a read of the database open (a copy, a shell, a backup) and end it"
                .to_owned(),
        });
    }
    Ok(advice)
}

#[derive(Clone, Copy)]
enum Pragma {
    PageSize,
    PageCount,
    Freelist,
    AutoVacuum,
}

async fn number(read: &mut Connection, pragma: Pragma) -> Result<u64, StoreError> {
    let sql = match pragma {
        Pragma::PageSize => sql!("SELECT page_size AS value FROM pragma_page_size()"),
        Pragma::PageCount => sql!("SELECT page_count AS value FROM pragma_page_count()"),
        Pragma::Freelist => sql!("SELECT freelist_count AS value FROM pragma_freelist_count()"),
        Pragma::AutoVacuum => sql!("SELECT auto_vacuum AS value FROM pragma_auto_vacuum()"),
    };
    let value: Option<i64> = read.value(sql, args![]).await?;
    Ok(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0))
}
