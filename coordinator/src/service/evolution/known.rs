//! What the ledger came to, kept in memory as far as it was read outside of any unit of work: whether the system may do
//! something is asked within the writer, and the ledger only grows.
//!
//! What is kept is used only where the ledger says the same still: the newest entry that was folded stands there as it
//! was, and none was committed late before it. Anything else, and all of it is folded again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use nexusmon_core::evolution::{Folded, LedgerEntry, Organism};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{Connection, LedgerRow};

use super::entry;
use crate::app::App;
use crate::error::Result;

/// Rows of the ledger read at once.
const PAGE: u32 = 1000;
/// On PostgreSQL an entry may be committed after one with a higher number, by so much at most.
const LATE: i64 = 2_000;

#[derive(Debug, Clone)]
pub(crate) struct Known {
    folded: Folded,
    /// The newest entry in it.
    last: LedgerRow,
    /// Numbers of the entries in it that are at most [`LATE`] older.
    recent: VecDeque<i64>,
}

/// What a coordinator keeps of its ledger.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Option<Arc<Known>>>);

/// The fold over the whole ledger: the only way to a stage.
pub(in crate::service) async fn organism(
    app: &App,
    read: &mut Connection,
    now: Timestamp,
) -> Result<Organism> {
    let kept = app.ledger.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (mut known, mut rows) = match kept {
        Some(kept) => follow(read, kept).await?,
        None => (None, Vec::new()),
    };
    match &known {
        Some(known) if rows.is_empty() => return Ok(known.folded.organism(now)),
        Some(_) => {}
        None => rows = read.ledger_after(0, PAGE).await?,
    }
    let mut grown: Option<Known> = None;
    while let Some(last) = rows.last().cloned() {
        let at = last.number;
        let known = grown.get_or_insert_with(|| match known.take() {
            Some(known) => Arc::unwrap_or_clone(known),
            None => Known { folded: Folded::default(), last: last.clone(), recent: VecDeque::new() },
        });
        for row in &rows {
            known.folded.add(&LedgerEntry { at: row.at, entry: entry(row)? });
            known.recent.push_back(row.number);
        }
        known.last = last;
        while known.recent.front().is_some_and(|number| *number <= at - LATE) {
            known.recent.pop_front();
        }
        rows = read.ledger_after(at, PAGE).await?;
    }
    let Some(grown) = grown else { return Ok(Folded::default().organism(now)) };
    let organism = grown.folded.organism(now);
    // What a unit sees may never be committed, and its numbers given to something else.
    if !read.is_unit() {
        *app.ledger.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(grown));
    }
    Ok(organism)
}

/// What is kept, if the ledger goes on from there, and the first entries that follow.
async fn follow(read: &mut Connection, kept: Arc<Known>) -> Result<(Option<Arc<Known>>, Vec<LedgerRow>)> {
    let at = kept.last.number;
    let mut rows = read.ledger_after(at - 1, PAGE).await?;
    if rows.first() != Some(&kept.last) {
        return Ok((None, Vec::new()));
    }
    let recent = read.ledger_between(at - LATE, at).await?;
    if usize::try_from(recent).ok() != Some(kept.recent.len()) {
        return Ok((None, Vec::new()));
    }
    rows.remove(0);
    Ok((Some(kept), rows))
}
