//! Events that are kept nowhere, told to whoever watches through this node or another.

use std::sync::Arc;

use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::MissionId;
use nexusmon_shared::time::Timestamp;
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;

use crate::app::App;
use crate::app::events::Event;
use crate::error::Result;

/// As it travels: one line of JSON.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Line {
    kind: String,
    actor: String,
    subject_kind: String,
    subject: String,
    mission: Option<MissionId>,
    at: Timestamp,
    body: Value,
}

/// Publishes here and tells other nodes.
pub(super) fn publish(app: &App, event: Event) {
    if app.store.nodes() > 1 {
        let Event { seq: _, kind, actor, subject_kind, subject, mission, at, body, erased: _ } =
            event.clone();
        let line = Line { kind, actor, subject_kind, subject, mission, at, body };
        if let Ok(line) = serde_json::to_string(&line) {
            app.store.tell(&line);
        }
    }
    app.events.publish(event);
}

/// Takes in what other nodes tell, until shutdown.
pub async fn listen(app: App) -> Result<()> {
    let Some(mut news) = app.store.news() else { return Ok(()) };
    let soft = app.lifecycle.soft();
    loop {
        let line = tokio::select! {
            () = soft.cancelled() => return Ok(()),
            line = news.recv() => line,
        };
        match line {
            Ok(line) => take(&app, &line),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

fn take(app: &App, line: &Arc<str>) {
    let Ok(line) = serde_json::from_str::<Line>(line) else {
        tracing::debug!("another coordinator told something this one does not know");
        return;
    };
    if let Some(attempt) = attempt(&line) {
        app.elsewhere.update(attempt, |news| match line.kind.as_str() {
            "task.started" => {
                news.started_at = line.body["at"].as_str().and_then(|at| at.parse().ok());
            }
            _ => {
                news.fraction = line.body["fraction"].as_f64();
                line.body["text"].as_str().unwrap_or_default().clone_into(&mut news.text);
            }
        });
    }
    let Line { kind, actor, subject_kind, subject, mission, at, body } = line;
    let event =
        Event { seq: None, kind, actor, subject_kind, subject, mission, at, body, erased: Vec::new() };
    app.events.publish(event);
}

fn attempt(line: &Line) -> Option<AttemptRef> {
    if line.subject_kind != "task" {
        return None;
    }
    let (epoch, number) = line.body["fence"].as_str()?.split_once('.')?;
    let fence = Fence { epoch: epoch.parse().ok()?, number: number.parse().ok()? };
    Some(AttemptRef { task: line.subject.parse().ok()?, fence })
}
