//! A real mission of several tasks, and what came of it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use nexusmon_shared::mission::MissionStatus;
use serde_json::json;

use crate::error::{Error, Result};
use crate::service::logs::LogQuery;
use crate::service::missions::{MissionView, NewMission, TaskView};
use crate::service::vault::{ArtifactFilter, ArtifactView};
use crate::service::{Caller, PageRequest, logs, missions, vault};
use crate::{Running, app::App};

const PATIENCE: Duration = Duration::from_mins(2);
/// Logs are sealed and experience is awarded right behind the mission's end.
const AFTERMATH: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// Creates the mission, waits for its end, prints it.
pub(super) async fn run(running: &Running, json: bool) -> Result<()> {
    let app = &running.app;
    let caller = Caller::system(app);
    let created = missions::create(app, &caller, vec![NewMission::from_value(&sample())?]).await?;
    let mission =
        created.into_iter().next().ok_or_else(|| Error::unavailable("the demo made no mission"))??;
    let waited = tokio::time::timeout(PATIENCE, finished(app, &mission)).await;
    let view = match waited {
        Ok(view) => {
            let view = view?;
            match tokio::time::timeout(AFTERMATH, settled(app, &view)).await {
                Ok(settled) => settled?,
                Err(_) => view,
            }
        }
        Err(_) => missions::get(app, mission.summary.id).await?,
    };
    let filter = ArtifactFilter { mission: Some(view.summary.id), ..ArtifactFilter::default() };
    let artifacts = vault::list(app, filter, PageRequest::default()).await?.items;
    let text = if json {
        as_json(&view, &artifacts).to_string()
    } else {
        as_text(app, &view, &artifacts, running).await
    };
    // Who started it may have stopped reading; the coordinator goes on.
    let _ = writeln!(std::io::stdout(), "{text}");
    if view.summary.status == MissionStatus::Succeeded {
        Ok(())
    } else {
        Err(Error::unavailable(format!("the demo's mission {} did not succeed", view.summary.id)))
    }
}

fn sample() -> serde_json::Value {
    json!({
        "goal": "Measure a thousand numbers",
        "rank": "D",
        "labels": {"demo": "true"},
        "tasks": [
            {"id": "collect", "uses": "shell.run", "artifacts": ["*.csv"],
             "with": {"script": "echo 'collecting on' $(uname -sr)\nseq 1 1000 > numbers.csv\necho 'wrote' $(wc -l < numbers.csv) 'lines'"}},
            {"id": "sum", "uses": "shell.run", "needs": ["collect"],
             "inputs": [{"task": "collect", "artifact": "numbers.csv"}],
             "with": {"script": "total=0\nwhile read n; do total=$((total + n)); done < \"$NEXUSMON_INPUTS/numbers.csv\"\nprintf '{\"sum\": %d}' $total > \"$NEXUSMON_OUTPUTS\""}},
            {"id": "count", "uses": "shell.run", "needs": ["collect"],
             "inputs": [{"task": "collect", "artifact": "numbers.csv"}],
             "with": {"script": "printf '{\"lines\": %d}' $(wc -l < \"$NEXUSMON_INPUTS/numbers.csv\") > \"$NEXUSMON_OUTPUTS\""}},
            {"id": "report", "uses": "shell.run", "needs": ["sum", "count"], "artifacts": ["report.md"],
             "if": "tasks.count.outputs.lines > 0",
             "with": {"script": "printf '# Report\\n\\n%d numbers, sum %d, mean %d\\n' $LINES $SUM $((SUM / LINES)) | tee report.md",
                      "env": {"SUM": "${{ tasks.sum.outputs.sum }}", "LINES": "${{ tasks.count.outputs.lines }}"}}}
        ]
    })
}

async fn finished(app: &App, mission: &MissionView) -> Result<MissionView> {
    loop {
        let view = missions::get(app, mission.summary.id).await?;
        if view.summary.finished_at.is_some() {
            return Ok(view);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Once the logs are whole and the experience is counted.
async fn settled(app: &App, mission: &MissionView) -> Result<MissionView> {
    loop {
        let view = missions::get(app, mission.summary.id).await?;
        let mut sealed = view.summary.xp_awarded.is_some() || view.summary.status != MissionStatus::Succeeded;
        for task in &view.tasks {
            sealed &= logs::read(app, task.task_id, LogQuery::default()).await?.sealed;
        }
        if sealed {
            return Ok(view);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn as_json(view: &MissionView, artifacts: &[ArtifactView]) -> serde_json::Value {
    json!({
        "mission": view.summary.id,
        "status": view.summary.status,
        "rank": view.summary.rank,
        "tasks": view.tasks.iter().map(|task| json!({
            "id": task.id, "task_id": task.task_id, "status": task.status, "agent": task.agent_name,
            "outputs": task.outputs,
        })).collect::<Vec<_>>(),
        "artifacts": artifacts.iter().map(|artifact| json!({
            "name": artifact.name, "kind": artifact.kind, "task": artifact.task, "size": artifact.latest.size,
            "digest": artifact.latest.digest, "version": artifact.latest.number,
        })).collect::<Vec<_>>(),
        "xp_awarded": view.summary.xp_awarded,
    })
}

async fn as_text(app: &App, view: &MissionView, artifacts: &[ArtifactView], running: &Running) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write_text(&mut text, app, view, artifacts, &running.http_url()).await;
    text
}

async fn write_text(
    text: &mut String,
    app: &App,
    view: &MissionView,
    artifacts: &[ArtifactView],
    url: &str,
) -> std::fmt::Result {
    let summary = &view.summary;
    writeln!(text, "\nMission {}: {}", summary.id, summary.goal)?;
    write!(text, "  {} at rank {}", summary.status.as_str(), summary.rank)?;
    if let (Some(began), Some(ended)) = (summary.started_at, summary.finished_at) {
        write!(text, ", {} ms", ended.since(began).as_millis())?;
    }
    if let Some(xp) = summary.xp_awarded {
        write!(text, ", {xp} XP")?;
    }
    writeln!(text)?;
    for task in &view.tasks {
        write!(text, "\n  {:<9} {:<10} on {}", task.id, task.status.as_str(), agent(task))?;
        let outputs = task.outputs.as_ref().filter(|value| value.as_object().is_some_and(|o| !o.is_empty()));
        if let Some(outputs) = outputs {
            write!(text, "  outputs {outputs}")?;
        }
        if let Some(cause) = &task.cause {
            write!(text, "  because {}", cause.kind())?;
        }
        writeln!(text)?;
        let log = logs::read(app, task.task_id, LogQuery { lines: Some(5), ..LogQuery::default() }).await;
        for line in log.map(|page| page.lines).unwrap_or_default() {
            writeln!(text, "            | {}", line.text)?;
        }
    }
    writeln!(text, "\n  Stored in the vault:")?;
    for artifact in artifacts {
        let (task, latest) = (artifact.task.as_deref().unwrap_or_default(), &artifact.latest);
        let digest = &latest.digest.to_string()[..12];
        let (name, kind, number, size) = (&artifact.name, &artifact.kind, latest.number, latest.size);
        writeln!(
            text,
            "    {task:<8} {name:<12} {kind:<7} version {number}, {size} bytes, sha256 {digest}…"
        )?;
    }
    writeln!(text, "\n  Look at it     nexusmon --url {url} mission show {}", summary.id)?;
    writeln!(text, "  Log in first   nexusmon --url {url} login   (with the operator key)")
}

fn agent(task: &TaskView) -> &str {
    task.agent_name.as_deref().unwrap_or("no agent")
}
