//! The log as a file that can be checked without us (`core::audit` says how it looks), streamed.

use std::collections::HashMap;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use nexusmon_core::audit::{Exporter, Header, MOST_SETS};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::trust::checkpoint::origin;
use nexusmon_shared::trust::note::{Algorithm, VerifierKey};
use nexusmon_store::{AuditRow, CheckpointRow, Connection, PageRequest, WitnessRow, numbered_audit_entry};

use super::{publish, words};
use crate::app::App;
use crate::error::{Error, Result};

/// Entries read at once.
const PAGE: u32 = 1_000;

struct Export {
    app: App,
    exporter: Exporter,
    /// Ends with the entries under this head.
    last: CheckpointRow,
    witnesses: Vec<WitnessRow>,
    ended: bool,
}

/// Everything up to the newest head, which covers what has been written down so far.
pub async fn export(app: &App) -> Result<BoxStream<'static, Result<String>>> {
    publish(app).await?;
    let mut read = app.store.read().await?;
    let last = read.newest_checkpoint().await?;
    let last = last.ok_or_else(|| Error::unavailable("the audit log has no signed head yet"))?;
    let witnesses = read.audit_witnesses().await?;
    let sets = read.policy_sets(&PageRequest::first(MOST_SETS)).await?.items;
    drop(read);
    let key = log_key(app);
    let policies: Vec<&str> = sets.iter().map(|set| set.text.as_str()).collect();
    let header = Header { organism: app.organism, key: &key, policies: &policies };
    let mut first = String::new();
    let exporter = Exporter::begin(&header, &mut first);
    let export = Export { app: app.clone(), exporter, last, witnesses, ended: false };
    let rest = stream::try_unfold(export, |mut export| async move {
        let text = export.page().await?;
        Ok(text.map(|text| (text, export)))
    });
    Ok(stream::once(async move { Ok(first) }).chain(rest).boxed())
}

/// What the heads of this epoch are verified with.
pub(in crate::service) fn log_key(app: &App) -> VerifierKey {
    VerifierKey::of(origin(app.organism, app.epoch), Algorithm::Ed25519, &app.keyring.checkpoint_key)
}

/// Rosters that are too large for the entries that tell of them, by the numbers of these entries.
async fn large_rosters(read: &mut Connection, rows: &[AuditRow]) -> Result<HashMap<i64, String>> {
    #[derive(serde::Deserialize)]
    struct Told {
        number: u64,
        digest: Digest,
        signed: Option<serde::de::IgnoredAny>,
    }
    let mut found = HashMap::new();
    for row in rows.iter().filter(|row| row.action == "roster.changed") {
        let Told { number, digest, signed: None } =
            serde_json::from_str(&row.body).map_err(Error::internal)?
        else {
            continue;
        };
        let later = read.rosters_after(number.saturating_sub(1)).await?;
        if let Some(roster) = later.into_iter().find(|roster| roster.digest == digest) {
            found.insert(row.seq, roster.signed);
        }
    }
    Ok(found)
}

impl Export {
    async fn page(&mut self) -> Result<Option<String>> {
        if self.ended {
            return Ok(None);
        }
        let mut read = self.app.store.read().await?;
        let from = i64::try_from(self.exporter.size()).map_err(Error::internal)?;
        let rows: Vec<AuditRow> = read.audit_after(from, PAGE).await?;
        let heads = read.checkpoints_after(from, PAGE).await?;
        let mut rosters = large_rosters(&mut read, &rows).await?;
        let mut beside = words::beside(&mut read, &rows).await?;
        drop(read);
        let last = self.last.size;
        let mut heads = heads.into_iter().filter(move |head| head.size <= last).peekable();
        let mut text = String::new();
        let mut reached = from;
        for row in rows.into_iter().take_while(move |row| row.seq <= last) {
            if let Some(signed) = rosters.remove(&row.seq) {
                self.exporter.roster(&signed, &mut text);
            }
            let openings = beside.remove(&row.id).unwrap_or_default();
            let (seq, canonical, digest) = numbered_audit_entry(row);
            self.exporter.entry(&canonical, &digest, &openings, &mut text);
            reached = seq;
            while let Some(head) = heads.next_if(|head| head.size <= seq) {
                self.head(&head, &mut text);
            }
        }
        if reached >= last {
            self.exporter.end(&mut text);
            self.ended = true;
        } else if reached == from {
            return Err(Error::internal(format!("the audit log has no entry {}", from + 1)));
        }
        Ok(Some(text))
    }

    fn head(&self, head: &CheckpointRow, text: &mut String) {
        self.exporter.checkpoint(&head.note, text);
        for witness in self.witnesses.iter().filter(|witness| witness.size == head.size) {
            self.exporter.witness(witness.agent, witness.apart, &witness.line, text);
        }
    }
}
