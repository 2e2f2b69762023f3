//! What happened, as triggers and follow-ups see it: made of an entry of the audit log and of what it tells of.

use nexusmon_core::trigger::EventKind;
use nexusmon_shared::attempt::Fence;
use nexusmon_shared::id::{AgentId, ArtifactId, MissionId, TaskId};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{ArtifactKind, AuditRow, Connection, MissionRow};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::service::audit;

/// One event. An entry of the audit log may tell of several: a task that left three artifacts.
#[derive(Debug, Clone)]
pub(in crate::service) struct Happened {
    pub kind: EventKind,
    pub seq: i64,
    pub at: Timestamp,
    /// Among those of its entry.
    pub place: usize,
    pub mission: Option<MissionId>,
    /// As expressions see it.
    pub event: Value,
}

impl Happened {
    /// Names it for good.
    pub(in crate::service) fn occasion(&self) -> String {
        match self.place {
            0 => format!("{}#{}", self.kind.as_str(), self.seq),
            place => format!("{}#{}.{place}", self.kind.as_str(), self.seq),
        }
    }

    /// In words.
    pub(in crate::service) fn why(&self) -> String {
        let text = |place: &str| self.event.pointer(place).and_then(Value::as_str).unwrap_or_default();
        let what = match self.kind {
            EventKind::ArtifactVersion => text("/artifact/name"),
            EventKind::AgentJoined
            | EventKind::AgentLost
            | EventKind::AgentDrained
            | EventKind::AgentQuarantined
            | EventKind::AgentRevoked => text("/agent/name"),
            _ => text("/mission/goal"),
        };
        let what: String = what.chars().take(200).collect();
        format!("{}: {what}", self.kind.as_str())
    }
}

/// What an entry tells of; nothing where it is about something else, or about what was forgotten since.
pub(in crate::service) async fn read(read: &mut Connection, row: &AuditRow) -> Result<Vec<Happened>> {
    let body = audit::shown(read, std::slice::from_ref(row)).await?.pop().unwrap_or_default().body;
    let kind = match row.action.as_str() {
        "mission.completed" => match body["status"].as_str() {
            Some("succeeded") => EventKind::MissionSucceeded,
            Some("failed") => EventKind::MissionFailed,
            Some("cancelled") => EventKind::MissionCancelled,
            _ => return Ok(Vec::new()),
        },
        "mission.cancelled" if body["to"] == "cancelled" => EventKind::MissionCancelled,
        "mission.expired" => EventKind::MissionExpired,
        "mission.rejected" => EventKind::MissionRejected,
        "task.settled" => return left(read, row).await,
        "artifact.uploaded" => return uploaded(read, row, &body).await,
        "agent.enrolled" => EventKind::AgentJoined,
        "agent.lost" => EventKind::AgentLost,
        "agent.drained" => EventKind::AgentDrained,
        "agent.quarantined" => EventKind::AgentQuarantined,
        "agent.revoked" => EventKind::AgentRevoked,
        _ => return Ok(Vec::new()),
    };
    let mut event = base(kind, row);
    if let Ok(agent) = row.subject.parse::<AgentId>() {
        let Some(found) = read.agent(agent).await? else { return Ok(Vec::new()) };
        event.insert(
            "agent".to_owned(),
            json!({"id": agent, "name": found.name, "labels": found.labels.0,
            "state": found.state.as_str()}),
        );
        event.insert("reason".to_owned(), body["reason"].clone());
        return Ok(vec![told(kind, row, 0, None, event)]);
    }
    let Some(id) = row.mission else { return Ok(Vec::new()) };
    let Some(found) = read.mission(id).await? else { return Ok(Vec::new()) };
    event.insert("mission".to_owned(), mission(read, &found).await?);
    event.insert("failure".to_owned(), body["failure"].clone());
    Ok(vec![told(kind, row, 0, Some(id), event)])
}

fn told(
    kind: EventKind,
    row: &AuditRow,
    place: usize,
    mission: Option<MissionId>,
    event: Map<String, Value>,
) -> Happened {
    Happened { kind, seq: row.seq, at: row.at, place, mission, event: Value::Object(event) }
}

fn base(kind: EventKind, row: &AuditRow) -> Map<String, Value> {
    let mut event = Map::new();
    event.insert("kind".to_owned(), json!(kind.as_str()));
    event.insert("seq".to_owned(), json!(row.seq));
    event.insert("at".to_owned(), json!(row.at));
    event.insert("actor".to_owned(), json!(row.actor));
    event
}

/// A mission as expressions see it.
pub(in crate::service) async fn mission(read: &mut Connection, row: &MissionRow) -> Result<Value> {
    let metadata: Value = serde_json::from_str(&row.metadata).map_err(Error::internal)?;
    let made = read.mission_inputs(&[row.id]).await?.pop();
    let inputs: Value = match &made {
        Some(made) => serde_json::from_str(&made.inputs).map_err(Error::internal)?,
        None => json!({}),
    };
    Ok(json!({
        "id": row.id, "goal": row.goal, "status": row.status.as_str(), "rank": row.rank, "origin": row.origin,
        "labels": row.labels.0, "metadata": metadata,
        "playbook": made.as_ref().map(|made| made.playbook.as_str()),
        "playbook_version": made.as_ref().map(|made| made.version),
        "inputs": inputs, "created_at": row.created_at, "finished_at": row.finished_at,
    }))
}

/// What a task left, each version an event of its own.
async fn left(read: &mut Connection, row: &AuditRow) -> Result<Vec<Happened>> {
    let (Ok(task), Some(id)) = (row.subject.parse::<TaskId>(), row.mission) else { return Ok(Vec::new()) };
    let Some(found) = read.mission(id).await? else { return Ok(Vec::new()) };
    let of = mission(read, &found).await?;
    let body: Value = serde_json::from_str(&row.body).map_err(Error::internal)?;
    let named = |digest: &str| {
        let mut named = body["artifacts"].as_array().into_iter().flatten();
        named.any(|one| one["digest"] == digest && one["withheld"] != true)
    };
    let mut happened = Vec::new();
    for version in read.versions_of_task(task).await? {
        // Of this attempt, not of one before that left the same.
        let fence = version.fence_epoch.zip(version.fence_number);
        let fence = fence.map(|(epoch, number)| Fence { epoch, number }.to_string());
        let of_attempt = fence.is_some_and(|fence| body["fence"] == fence.as_str());
        if version.kind != ArtifactKind::Output || !of_attempt || !named(&version.digest.to_string()) {
            continue;
        }
        let Some(series) = read.artifact(version.artifact).await? else { continue };
        let mut event = base(EventKind::ArtifactVersion, row);
        event.insert("mission".to_owned(), of.clone());
        event.insert(
            "artifact".to_owned(),
            json!({"id": version.artifact, "version": version.number, "name": series.name,
            "digest": version.digest, "size": version.size, "media_type": version.media_type,
            "task": body["task"]}),
        );
        happened.push(told(EventKind::ArtifactVersion, row, happened.len(), Some(id), event));
    }
    Ok(happened)
}

async fn uploaded(read: &mut Connection, row: &AuditRow, body: &Value) -> Result<Vec<Happened>> {
    let Ok(artifact) = row.subject.parse::<ArtifactId>() else { return Ok(Vec::new()) };
    let mut event = base(EventKind::ArtifactVersion, row);
    if let Some(id) = row.mission
        && let Some(found) = read.mission(id).await?
    {
        event.insert("mission".to_owned(), mission(read, &found).await?);
    }
    event.insert(
        "artifact".to_owned(),
        json!({"id": artifact, "version": body["version"], "name": body["name"],
        "digest": body["digest"], "size": body["size"], "media_type": body["media_type"], "task": null}),
    );
    Ok(vec![told(EventKind::ArtifactVersion, row, 0, row.mission, event)])
}
