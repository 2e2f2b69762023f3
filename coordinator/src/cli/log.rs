//! `nexusmon mission logs`: stored lines, and live ones with `-f`.

use clap::Args;
use futures::StreamExt;
use serde_json::Value;

use super::client::{Client, CommandError, escape};
use super::render;

const PAGE: u64 = 1000;

#[derive(Debug, Args)]
pub struct LogArgs {
    /// Mission id, or one task's id (`tsk_…`)
    target: String,
    /// Only this task of the mission, by its id in the plan
    #[arg(long)]
    task: Option<String>,
    /// Go on as lines come, until the task ends
    #[arg(long, short)]
    follow: bool,
    /// Only lines that hold this text
    #[arg(long)]
    search: Option<String>,
}

pub(super) async fn run(client: &Client, arguments: LogArgs) -> Result<(), CommandError> {
    let tasks = tasks(client, &arguments).await?;
    let several = tasks.len() > 1;
    for (id, key) in tasks {
        let prefix = if several { format!("{key} | ") } else { String::new() };
        if arguments.follow {
            follow(client, &id, &prefix).await?;
        } else {
            stored(client, &id, &prefix, arguments.search.as_deref()).await?;
        }
    }
    Ok(())
}

async fn tasks(client: &Client, arguments: &LogArgs) -> Result<Vec<(String, String)>, CommandError> {
    if arguments.target.starts_with("tsk_") {
        return Ok(vec![(arguments.target.clone(), String::new())]);
    }
    let path = format!("/v1/engine/missions/{}/tasks", escape(&arguments.target));
    let tasks = client.list(&path, usize::MAX).await?;
    let chosen: Vec<_> = tasks
        .iter()
        .map(|task| (render::text(&task["task_id"]), render::text(&task["id"])))
        .filter(|(_, key)| arguments.task.as_ref().is_none_or(|wanted| wanted == key))
        .collect();
    match &arguments.task {
        Some(wanted) if chosen.is_empty() => Err(CommandError::Usage(format!(
            "the mission has no task `{wanted}`; `nexusmon mission show` lists them"
        ))),
        _ => Ok(chosen),
    }
}

async fn stored(client: &Client, task: &str, prefix: &str, search: Option<&str>) -> Result<(), CommandError> {
    let mut from = 1;
    loop {
        let mut path = format!("/v1/engine/tasks/{}/log?from_line={from}&lines={PAGE}", escape(task));
        if let Some(search) = search {
            path.push_str(&format!("&search={}", escape(search)));
        }
        let response = client.stream(&path, "application/x-ndjson").await?;
        let body = response
            .text()
            .await
            .map_err(|error| CommandError::Failed(format!("the log broke off: {error}")))?;
        let mut count = 0;
        for line in body.lines().filter(|line| !line.is_empty()) {
            let line: Value = serde_json::from_str(line).unwrap_or(Value::Null);
            from = line["n"].as_u64().unwrap_or(from) + 1;
            count += 1;
            print(client, prefix, &line);
        }
        if count < PAGE {
            return Ok(());
        }
    }
}

async fn follow(client: &Client, task: &str, prefix: &str) -> Result<(), CommandError> {
    let path = format!("/v1/engine/tasks/{}/log/live", escape(task));
    let mut body = client.stream(&path, "text/event-stream").await?.bytes_stream();
    let mut pending = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| CommandError::Failed(format!("the log broke off: {error}")))?;
        pending.extend_from_slice(&chunk);
        while let Some(end) = pending.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = pending.drain(..end + 2).collect();
            let event = String::from_utf8_lossy(&event);
            let name = event.lines().find_map(|line| line.strip_prefix("event:")).map_or("", str::trim);
            if name == "end" {
                return Ok(());
            }
            for data in event.lines().filter_map(|line| line.strip_prefix("data:")) {
                if let Ok(line) = serde_json::from_str::<Value>(data.trim()) {
                    print(client, prefix, &line);
                }
            }
        }
    }
    Ok(())
}

fn print(client: &Client, prefix: &str, line: &Value) {
    if client.json {
        println!("{line}");
    } else {
        // Log text goes to the terminal without its control characters; `--json` keeps them, escaped.
        println!("{prefix}{}", render::plain(line["text"].as_str().unwrap_or_default()));
    }
}
