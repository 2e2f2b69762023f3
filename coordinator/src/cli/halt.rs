//! `nexusmon halt` and `nexusmon resume`: the kill switch.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::client::{Client, CommandError};
use super::{approvals, login, render};

const RELEASE: &str = "/v1/governance/resume";

/// Between two looks at who has answered.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub struct HaltArgs {
    /// End what runs, too; without it what runs may finish
    #[arg(long)]
    stop: bool,
    /// Only show what holds and who has obeyed
    #[arg(long, conflicts_with_all = ["stop", "reason"])]
    show: bool,
    /// Goes into the audit log
    #[arg(long, short)]
    reason: Option<String>,
    /// Seconds to wait for connected agents to answer
    #[arg(long, default_value_t = 10)]
    wait: u64,
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Why it is safe to go on; goes into the audit log
    #[arg(long, short)]
    comment: String,
    /// Read the operator key from this file instead of asking for it
    #[arg(long)]
    key_file: Option<std::path::PathBuf>,
    /// The key you sign with, where people sign [default: nexusmon/owner.key in the user's configuration folder]
    #[arg(long, env = "NEXUSMON_KEY_FILE", value_name = "FILE")]
    sign_with: Option<std::path::PathBuf>,
}

pub(super) async fn halt(client: &Client, arguments: HaltArgs) -> Result<(), CommandError> {
    let state = if arguments.show {
        client.get("/v1/governance/halt").await?
    } else {
        let level = if arguments.stop { "stop" } else { "halt" };
        let body = json!({"level": level, "reason": arguments.reason});
        client.post("/v1/governance/halt", &body).await?;
        answered(client, Duration::from_secs(arguments.wait)).await?
    };
    show(client, &state);
    Ok(())
}

/// The state once every connected agent has answered, and at `stop` nothing runs on those; or when time is up.
async fn answered(client: &Client, within: Duration) -> Result<Value, CommandError> {
    let done = async {
        loop {
            let state = client.get("/v1/governance/halt").await?;
            let runs = |agent: &Value| agent["state"] == "acknowledged" && agent["running"] != 0;
            let still = state["level"] == "stop"
                && state["agents"].as_array().is_some_and(|all| all.iter().any(runs));
            if state["waiting"] == 0 && !still {
                return Ok(state);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    match tokio::time::timeout(within, done).await {
        Ok(state) => state,
        Err(_) => client.get("/v1/governance/halt").await,
    }
}

pub(super) async fn resume(client: &Client, arguments: ResumeArgs) -> Result<(), CommandError> {
    let ResumeArgs { comment, key_file, sign_with } = arguments;
    let body = json!({"comment": comment});
    let mut state =
        login::fresh(client, reqwest::Method::POST, key_file.as_deref(), RELEASE, Some(&body)).await?;
    if let Some(approval) = state["release_approval"].as_str() {
        let place = super::key::Place { key_file: sign_with };
        approvals::sign_off(client, approval, &comment, &place).await?;
        state = client.get("/v1/governance/halt").await?;
    }
    show(client, &state);
    Ok(())
}

fn show(client: &Client, state: &Value) {
    if client.json {
        render::json(state);
        return;
    }
    let word = state["level"].as_str().unwrap_or("-");
    match word {
        "none" => println!("Nothing is halted."),
        _ => println!(
            "{} since {}: {} acknowledged, {} waiting, {} cut off and possibly still running",
            render::status(word),
            render::time(&state["since"]),
            state["acknowledged"],
            state["waiting"],
            state["unreachable"]
        ),
    }
    if let Some(reason) = state["reason"].as_str() {
        println!("Reason: {}", render::plain(reason));
    }
    let rows = state["agents"].as_array().into_iter().flatten().map(|agent| {
        vec![
            render::text(&agent["name"]),
            render::status(agent["state"].as_str().unwrap_or("-")),
            render::text(&agent["running"]),
            render::text(&agent["leases"]),
            render::time(&agent["acknowledged_at"]),
            render::time(&agent["may_run_until"]),
        ]
    });
    let header = ["agent", "state", "running", "leases", "acknowledged", "may run until"];
    render::table(&header, rows.collect());
}
