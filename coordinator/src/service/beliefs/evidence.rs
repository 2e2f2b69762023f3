//! What beliefs rest on beside each other: missions, tasks, artifacts, entries of the audit log, reviews, agents, notes.

use nexusmon_shared::id::{AgentId, ArtifactId, MissionId, ReviewId, TaskId};
use nexusmon_store::Connection;

use super::super::missions::no_nul;
use super::super::unit::Unit;
use crate::error::{Error, Result};

const MOST: usize = 50;
const MAX_NOTE: usize = 2_000;

/// What a belief rests on beside other beliefs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// `mission`, `task`, `artifact`, `audit`, `review`, `agent`, `note`.
    pub kind: String,
    /// Of what it is, unless it is a note; of an entry of the audit log its number.
    pub id: Option<String>,
    pub note: Option<String>,
}

/// It says what it is, in bounds.
pub(super) fn check(evidence: &[Evidence]) -> Result<()> {
    const KINDS: [&str; 7] = ["mission", "task", "artifact", "audit", "review", "agent", "note"];
    if evidence.len() > MOST {
        return Err(Error::field("/evidence", "too_many", format!("at most {MOST} at once")));
    }
    for (place, one) in evidence.iter().enumerate() {
        let field = |name: &str| format!("/evidence/{place}/{name}");
        if !KINDS.contains(&one.kind.as_str()) {
            let message = format!("must be one of {}", KINDS.join(", "));
            return Err(Error::field(field("kind"), "unknown_value", message));
        }
        let said = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.trim().is_empty());
        if one.kind == "note" && !said(&one.note) {
            return Err(Error::field(field("note"), "required", "a note says something"));
        }
        if one.kind != "note" && !said(&one.id) {
            return Err(Error::field(field("id"), "required", "say which one it is"));
        }
        if one.id.as_ref().is_some_and(|id| id.len() > 100 || id.contains('\0')) {
            return Err(Error::field(field("id"), "invalid", "is no id"));
        }
        if let Some(note) = &one.note {
            if note.len() > MAX_NOTE {
                return Err(Error::field(field("note"), "too_long", format!("at most {MAX_NOTE} bytes")));
            }
            no_nul(note, "/evidence")?;
        }
    }
    Ok(())
}

/// It is something that is there.
pub(super) async fn check_known(unit: &mut Unit<'_>, evidence: &[Evidence]) -> Result<()> {
    for (place, one) in evidence.iter().enumerate() {
        let Some(id) = one.id.as_deref().filter(|_| one.kind != "note") else { continue };
        if !is_known(unit.tx, &one.kind, id).await? {
            let message = format!("there is no {} `{id}`", one.kind);
            return Err(Error::field(format!("/evidence/{place}/id"), "unknown_id", message));
        }
    }
    Ok(())
}

async fn is_known(read: &mut Connection, kind: &str, id: &str) -> Result<bool> {
    Ok(match kind {
        "mission" => match id.parse::<MissionId>() {
            Ok(id) => read.mission(id).await?.is_some(),
            Err(_) => false,
        },
        "task" => match id.parse::<TaskId>() {
            Ok(id) => read.task(id).await?.is_some(),
            Err(_) => false,
        },
        "artifact" => match id.parse::<ArtifactId>() {
            Ok(id) => read.artifact(id).await?.is_some(),
            Err(_) => false,
        },
        "review" => match id.parse::<ReviewId>() {
            Ok(id) => read.is_review(id).await?,
            Err(_) => false,
        },
        "agent" => match id.parse::<AgentId>() {
            Ok(id) => read.agent(id).await?.is_some(),
            Err(_) => false,
        },
        // By its number in the log.
        _ => match id.parse::<i64>() {
            Ok(seq) if seq > 0 => {
                read.audit_after(seq - 1, 1).await?.first().is_some_and(|row| row.seq == seq)
            }
            _ => false,
        },
    })
}
