//! The audit log: entries commit with what they tell of, and get a gapless sequence number.
//!
//! Knows no actions: what is written down is the caller's matter.

use std::borrow::Cow;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AuditId, MissionId};
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::canonical::Object;
use serde_json::Value as JsonValue;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::openings::{Beside, OpeningRow};
use crate::page::{Filter, Page, PageRequest};
use crate::record::{args, record, write_text};

/// An entry as the caller gives it. `actor` is a principal's or agent's id, or `nexusmon`.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    pub at: Timestamp,
    pub actor: Cow<'static, str>,
    /// `mission.created`, `task.granted`, …
    pub action: Cow<'static, str>,
    pub subject_kind: Cow<'static, str>,
    pub subject: String,
    pub mission: Option<MissionId>,
    pub body: Body,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    Tree(JsonValue),
    Canonical(String),
    /// With what opens the words it sealed, and what they go with beside their mission.
    Parted {
        tree: JsonValue,
        about: String,
        beside: Vec<Beside>,
    },
}

impl From<JsonValue> for Body {
    fn from(tree: JsonValue) -> Self {
        Self::Tree(tree)
    }
}

impl From<Object> for Body {
    fn from(object: Object) -> Self {
        Self::Canonical(object.finish())
    }
}

record! {
    /// An entry as stored. `digest` is SHA-256 over [`canonical`]; `body` is canonical JSON.
    pub struct AuditRow {
        pub seq: i64,
        pub id: AuditId,
        pub at: Timestamp,
        pub actor: String,
        pub action: String,
        pub subject_kind: String,
        pub subject: String,
        pub mission: Option<MissionId>,
        pub body: String,
        pub digest: Digest,
    }

    /// As on PostgreSQL before the sequencer came.
    pub struct WaitingAuditRow {
        pub id: AuditId,
        pub at: Timestamp,
        pub actor: String,
        pub action: String,
        pub subject_kind: String,
        pub subject: String,
        pub mission: Option<MissionId>,
        pub body: String,
        pub digest: Digest,
    }
}

/// What a list of entries may be narrowed to.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub actor: Option<String>,
    pub action: Option<String>,
    pub subject: Option<String>,
    pub mission: Option<MissionId>,
    pub since: Option<Timestamp>,
}

/// The canonical form of an entry (RFC 8785): the leaf the digest covers. `body` must be canonical already.
pub fn canonical(row: &WaitingAuditRow) -> String {
    let mut out = String::with_capacity(row.body.len() + 256);
    let member = |lead: &str, text: &str, out: &mut String| {
        out.push_str(lead);
        write_text(text, out);
    };
    member("{\"action\":", &row.action, &mut out);
    member(",\"actor\":", &row.actor, &mut out);
    member(",\"at\":", &row.at.to_string(), &mut out);
    out.push_str(",\"body\":");
    out.push_str(&row.body);
    member(",\"id\":", &row.id.to_string(), &mut out);
    match row.mission {
        Some(mission) => member(",\"mission\":", &mission.to_string(), &mut out),
        None => out.push_str(",\"mission\":null"),
    }
    member(",\"subject\":", &row.subject, &mut out);
    member(",\"subject_kind\":", &row.subject_kind, &mut out);
    out.push('}');
    out
}

/// An entry as it goes out: its number, its canonical form, and the digest that is kept of it.
pub fn numbered(row: AuditRow) -> (i64, String, Digest) {
    let AuditRow { seq, id, at, actor, action, subject_kind, subject, mission, body, digest } = row;
    let row = WaitingAuditRow { id, at, actor, action, subject_kind, subject, mission, body, digest };
    (seq, canonical(&row), digest)
}

impl AuditEntry {
    /// The row, with its digest, and what stands beside it.
    pub(crate) fn seal(self, id: AuditId) -> Result<(WaitingAuditRow, Vec<OpeningRow>), StoreError> {
        let text = |tree: &JsonValue| {
            nexusmon_shared::trust::canonical::of_value(tree).map_err(|error| StoreError::Corrupt {
                column: "audit.body".to_owned(),
                reason: error.to_string(),
            })
        };
        let (mut openings, mission) = (Vec::new(), self.mission);
        let body = match self.body {
            Body::Canonical(text) => text,
            Body::Tree(tree) => text(&tree)?,
            Body::Parted { tree, about, beside } => {
                openings.extend(beside.into_iter().map(|Beside { place, key, value }| {
                    let about = about.clone();
                    OpeningRow { entry: id, place, mission, about, key, value }
                }));
                text(&tree)?
            }
        };
        let mut row = WaitingAuditRow {
            id,
            at: self.at,
            actor: self.actor.into_owned(),
            action: self.action.into_owned(),
            subject_kind: self.subject_kind.into_owned(),
            subject: self.subject,
            mission: self.mission,
            body,
            digest: Digest::from_bytes([0; 32]),
        };
        row.digest = Digest::of(canonical(&row).as_bytes());
        Ok((row, openings))
    }
}

impl WaitingAuditRow {
    fn numbered(self, seq: i64) -> AuditRow {
        let Self { id, at, actor, action, subject_kind, subject, mission, body, digest } = self;
        AuditRow { seq, id, at, actor, action, subject_kind, subject, mission, body, digest }
    }
}

impl Connection {
    /// SQLite: writes entries with the numbers after `newest`; returns the newest then.
    pub(crate) async fn append_audit(
        &mut self,
        rows: Vec<WaitingAuditRow>,
        newest: i64,
    ) -> Result<i64, StoreError> {
        let rows: Vec<_> = rows.into_iter().zip(newest + 1..).map(|(row, seq)| row.numbered(seq)).collect();
        self.execute_batch(insert!("audit", AuditRow), &rows, args![]).await?;
        Ok(rows.last().map_or(newest, |row| row.seq))
    }

    /// PostgreSQL: writes entries without numbers.
    pub(crate) async fn append_waiting_audit(&mut self, rows: &[WaitingAuditRow]) -> Result<(), StoreError> {
        self.execute_batch(insert!("audit", WaitingAuditRow), rows, args![]).await.map(drop)
    }

    /// The newest sequence number given; 0 for none.
    pub async fn newest_seq(&mut self) -> Result<i64, StoreError> {
        let newest = self.value(sql!("SELECT COALESCE(MAX(seq), 0) AS value FROM audit"), args![]).await?;
        Ok(newest.unwrap_or(0))
    }

    /// Entries after `seq`, oldest first: what events and exports are made from.
    pub async fn audit_after(&mut self, seq: i64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.fetch_within(
            sql!("SELECT [columns] FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2", AuditRow),
            args![seq, limit],
            limit,
        )
        .await
    }

    /// A mission's entries after `seq`, oldest first.
    pub async fn mission_audit_after(
        &mut self,
        mission: MissionId,
        seq: i64,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM audit WHERE mission = $1 AND seq > $2 ORDER BY seq LIMIT $3",
                AuditRow
            ),
            args![mission, seq, limit],
        )
        .await
    }

    /// Entries, newest first; the cursor is the sequence number.
    pub async fn audit_list(
        &mut self,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditRow>, StoreError> {
        let mut list = Filter::over::<AuditRow>("audit");
        list.require("seq IS NOT NULL");
        list.equals("mission", filter.mission.as_ref());
        if let Some(actor) = &filter.actor {
            if actor.starts_with("prn_") {
                // The words of the partial index.
                list.require("substr(actor, 1, 4) = 'prn_'");
            }
            list.equals("actor", Some(actor));
        }
        list.equals("action", filter.action.as_ref());
        if let Some(subject) = &filter.subject {
            list.equals("subject", Some(subject));
            if subject.starts_with("mis_") && filter.mission.is_none() {
                list.equals("mission", Some(subject));
            }
        }
        list.at_least("at", filter.since.as_ref());
        list.newest_first_by_number("seq", page)?;
        list.page(self, page, |row: &AuditRow| row.seq.to_string()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaf_is_the_rfcs_form() {
        let body = serde_json::json!({"z": 1.50, "a": [true, null], "é": "\n"});
        let entry = AuditEntry {
            at: Timestamp::from_micros(1_700_000_000_000_001),
            actor: "nexusmon".into(),
            action: "task.settled".into(),
            subject_kind: "task".into(),
            subject: "odd \u{8} \"name\"\u{1f}é".into(),
            mission: None,
            body: body.clone().into(),
        };
        let (row, _) = entry.clone().seal(AuditId::from_bits(7)).unwrap();
        let value = serde_json::json!({
            "at": entry.at.to_string(), "actor": entry.actor, "action": entry.action, "subject_kind": entry.subject_kind,
            "subject": entry.subject, "mission": null, "body": body, "id": row.id.to_string(),
        });
        let expected = nexusmon_shared::trust::canonical::to_bytes(&value).unwrap();
        assert_eq!(canonical(&row).as_bytes(), expected);
        assert_eq!(row.digest, Digest::of(&expected));
    }
}
