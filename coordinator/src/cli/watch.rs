//! Following one mission: bars on a terminal, a line per change elsewhere, a summary, the right exit code.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use futures::StreamExt;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;

use super::client::{Client, CommandError, escape};
use super::render;

/// How long without an event before looking anyway.
const PATIENCE: Duration = Duration::from_secs(3);

/// Follows until the mission ends or waits for a person.
pub(super) async fn mission(client: &Client, id: &str) -> Result<(), CommandError> {
    let path = format!("/v1/engine/missions/{}", escape(id));
    let mut screen = Screen::new(client.json);
    let mut events = None;
    loop {
        if events.is_none() {
            // Subscribe before looking, so that nothing happens unseen in between.
            let response = client.stream(&format!("{path}/events"), "text/event-stream").await?;
            events = Some(Box::pin(response.bytes_stream()));
        }
        let state = client.get(&path).await?;
        screen.show(&state);
        let status = state["status"].as_str().unwrap_or_default();
        if is_over(status) || waits_for_a_person(status) {
            screen.finish();
            return summary(client, &state);
        }
        if let Some(stream) = &mut events
            && let Ok(None | Some(Err(_))) = tokio::time::timeout(PATIENCE, stream.next()).await
        {
            events = None;
        }
    }
}

/// Waits until planners are done with a goal; gives the mission as it is then.
pub(super) async fn planned(client: &Client, id: &str) -> Result<Value, CommandError> {
    let path = format!("/v1/engine/missions/{}", escape(id));
    let mut events = None;
    loop {
        if events.is_none() {
            let response = client.stream(&format!("{path}/events"), "text/event-stream").await?;
            events = Some(Box::pin(response.bytes_stream()));
        }
        let state = client.get(&path).await?;
        if state["status"] != "planning" {
            return Ok(state);
        }
        if let Some(stream) = &mut events
            && let Ok(None | Some(Err(_))) = tokio::time::timeout(PATIENCE, stream.next()).await
        {
            events = None;
        }
    }
}

fn is_over(status: &str) -> bool {
    matches!(status, "succeeded" | "failed" | "cancelled" | "rejected" | "expired")
}

fn waits_for_a_person(status: &str) -> bool {
    matches!(status, "awaiting_approval" | "needs_plan" | "ready" | "paused")
}

fn summary(client: &Client, mission: &Value) -> Result<(), CommandError> {
    let id = mission["id"].as_str().unwrap_or_default();
    let status = mission["status"].as_str().unwrap_or_default();
    if client.json {
        render::json(mission);
    } else {
        println!("{id}  {}  {}", render::status(status), render::text(&mission["goal"]));
        for task in mission["tasks"].as_array().into_iter().flatten() {
            if let Some(outputs) = task["outputs"].as_object().filter(|outputs| !outputs.is_empty()) {
                println!(
                    "  {}: {}",
                    render::text(&task["id"]),
                    render::short(&Value::Object(outputs.clone()).to_string(), 100)
                );
            }
        }
        super::artifacts::print(mission["artifacts"].as_array().map_or(&[], Vec::as_slice));
        match status {
            "awaiting_approval" => {
                println!("It waits for approval: nexusmon mission approve {id} --comment \"…\"");
            }
            "ready" => println!("It is held: nexusmon mission run {id}"),
            "paused" => println!("It is paused: nexusmon mission resume {id}"),
            "failed" => println!("See why: nexusmon mission show {id}; nexusmon mission logs {id}"),
            _ => {}
        }
    }
    if status == "succeeded" { Ok(()) } else { Err(CommandError::NotSucceeded(status.replace('_', " "))) }
}

/// What there is to say about a task in one line.
pub(super) fn note(task: &Value) -> String {
    if let Some(sentence) = task["waiting"]["detail"].as_str().or(task["waiting"]["reason"].as_str()) {
        return render::plain(sentence);
    }
    let cause = &task["cause"];
    if task["skip_reason"] == "superseded" {
        return "added by an attempt that was not the last".to_owned();
    }
    if cause.is_null() && task["spawned_by"].is_string() {
        return format!("added by {}", render::text(&task["needs"][0]));
    }
    match cause["kind"].as_str() {
        Some("exit_status") => format!("exit status {}", cause["code"]),
        Some(kind) => match cause["detail"].as_str() {
            Some(detail) => format!("{}: {}", kind.replace('_', " "), render::plain(detail)),
            None => kind.replace('_', " "),
        },
        None => String::new(),
    }
}

enum Screen {
    Bars { all: MultiProgress, total: ProgressBar, tasks: BTreeMap<String, ProgressBar> },
    Lines { seen: BTreeMap<String, String> },
    Silent,
}

impl Screen {
    fn new(silent: bool) -> Self {
        if silent {
            return Self::Silent;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines { seen: BTreeMap::new() };
        }
        let all = MultiProgress::new();
        let total = all.add(ProgressBar::new(0));
        total.set_style(
            ProgressStyle::with_template("{bar:30.cyan/dim} {pos}/{len} tasks  {elapsed}  {msg}")
                .expect("the template is valid"),
        );
        total.enable_steady_tick(Duration::from_millis(200));
        Self::Bars { all, total, tasks: BTreeMap::new() }
    }

    fn show(&mut self, mission: &Value) {
        let tasks = mission["tasks"].as_array().cloned().unwrap_or_default();
        match self {
            Self::Silent => {}
            Self::Lines { seen } => {
                for task in &tasks {
                    let (id, status) = (render::text(&task["task_id"]), render::text(&task["status"]));
                    if seen.get(&id) != Some(&status) {
                        let note = note(task);
                        let gap = if note.is_empty() { "" } else { "  " };
                        eprintln!("{:<20} {status}{gap}{note}", render::text(&task["id"]));
                        seen.insert(id, status);
                    }
                }
            }
            Self::Bars { all, total, tasks: bars } => {
                let done = tasks.iter().filter(|task| {
                    matches!(task["status"].as_str(), Some("succeeded" | "failed" | "skipped" | "cancelled"))
                });
                total.set_length(tasks.len() as u64);
                total.set_position(done.count() as u64);
                total.set_message(render::text(&mission["status"]));
                for task in &tasks {
                    draw(all, bars, task);
                }
            }
        }
    }

    fn finish(&self) {
        if let Self::Bars { all, total, tasks } = self {
            for bar in tasks.values() {
                bar.finish_and_clear();
            }
            total.finish_and_clear();
            all.clear().ok();
        }
    }
}

fn draw(all: &MultiProgress, bars: &mut BTreeMap<String, ProgressBar>, task: &Value) {
    let id = render::text(&task["task_id"]);
    let active = matches!(task["status"].as_str(), Some("leased" | "running" | "backoff" | "uncertain"));
    if !active {
        if let Some(bar) = bars.remove(&id) {
            bar.finish_and_clear();
        }
        return;
    }
    let bar = bars.entry(id).or_insert_with(|| {
        let bar = all.add(ProgressBar::new_spinner());
        bar.set_style(
            ProgressStyle::with_template("  {spinner} {msg}  {elapsed}").expect("the template is valid"),
        );
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    });
    let agent = render::text(&task["agent"]["name"]);
    bar.set_message(format!(
        "{} {} on {agent} {}",
        render::text(&task["id"]),
        render::text(&task["status"]),
        note(task)
    ));
}
