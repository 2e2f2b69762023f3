//! Reads one line of an export. Total: any bytes give a line or a reason.

use std::borrow::Cow;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, AuditId, MissionId, OrganismId};
use serde_json::value::RawValue;

use super::words::Openings;

/// Any line; which fields there are depends on `kind`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line<'a> {
    pub(super) kind: Kind,
    #[serde(borrow, default)]
    pub(super) format: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) organism: Option<OrganismId>,
    #[serde(borrow, default)]
    pub(super) key: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) policies: Option<Vec<String>>,
    #[serde(default)]
    pub(super) seq: Option<u64>,
    #[serde(default)]
    pub(super) digest: Option<Digest>,
    #[serde(default)]
    pub(super) chain: Option<Digest>,
    #[serde(borrow, default)]
    pub(super) entry: Option<&'a RawValue>,
    /// Of the words that the entry sealed.
    #[serde(default)]
    pub(super) openings: Openings,
    #[serde(default)]
    pub(super) size: Option<u64>,
    #[serde(borrow, default)]
    pub(super) note: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) agent: Option<AgentId>,
    #[serde(default)]
    pub(super) apart: Option<bool>,
    #[serde(borrow, default)]
    pub(super) signed: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "line")]
    pub(super) cosignature: Option<Cow<'a, str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Header,
    /// One that the next entry tells of, and that is too large for it.
    Roster,
    Entry,
    Checkpoint,
    Witness,
    End,
}

/// An entry, with its body unread.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry<'a> {
    #[serde(borrow)]
    pub(super) action: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) actor: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) at: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) body: &'a RawValue,
    pub(super) id: AuditId,
    pub(super) mission: Option<MissionId>,
    #[serde(borrow)]
    pub(super) subject: Cow<'a, str>,
    #[serde(rename = "subject_kind")]
    _subject_kind: serde::de::IgnoredAny,
}

pub(super) fn read(bytes: &[u8]) -> Result<Line<'_>, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
