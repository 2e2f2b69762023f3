//! `nexusmon chain …`: which mission led to which, and what the system proposes to do next.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Client, CommandError, escape};
use super::render;

const PROPOSALS: &str = "/v1/engine/proposals";

#[derive(Debug, Subcommand)]
pub enum ChainCommand {
    /// The chain a mission belongs to: who started what, and why
    Show { mission: String },
    /// What the system would do next, and did; newest first
    Proposals {
        /// Only those: proposed, started, dismissed or failed
        #[arg(long)]
        state: Option<String>,
    },
    /// Begin what was proposed, in your name
    Start { proposal: String },
    /// Nothing is to come of it
    Dismiss { proposal: String },
}

pub(super) async fn run(client: &Client, command: ChainCommand) -> Result<(), CommandError> {
    match command {
        ChainCommand::Show { mission } => show(client, &mission).await,
        ChainCommand::Proposals { state } => {
            let query = state.map_or_else(String::new, |state| format!("?state={}", escape(&state)));
            let answer = client.get(&format!("{PROPOSALS}{query}")).await?;
            if client.json {
                render::json(&answer["items"]);
            } else {
                proposals(&answer["items"]);
            }
            Ok(())
        }
        ChainCommand::Start { proposal } => decide(client, &proposal, "start").await,
        ChainCommand::Dismiss { proposal } => decide(client, &proposal, "dismiss").await,
    }
}

async fn show(client: &Client, mission: &str) -> Result<(), CommandError> {
    let answer = client.get(&format!("/v1/engine/missions/{}/chain", escape(mission))).await?;
    if client.json {
        render::json(&answer);
        return Ok(());
    }
    let rows = answer["missions"].as_array().into_iter().flatten().map(|item| {
        let depth = usize::try_from(item["depth"].as_u64().unwrap_or(0)).unwrap_or(0).min(20);
        let by = &item["started_by"];
        let who = if by["name"].is_null() { &by["id"] } else { &by["name"] };
        vec![
            format!("{}{}", "  ".repeat(depth), render::short(&render::text(&item["goal"]), 40)),
            render::text(&item["id"]),
            render::status(item["status"].as_str().unwrap_or("-")),
            format!(
                "{} {}",
                render::text(&by["kind"]),
                if who.is_null() { String::new() } else { render::text(who) }
            ),
            render::short(&render::text(&item["why"]), 60),
        ]
    });
    render::table(&["mission", "id", "status", "started by", "why"], rows.collect());
    if answer["proposals"].as_array().is_some_and(|found| !found.is_empty()) {
        proposals(&answer["proposals"]);
    }
    Ok(())
}

fn proposals(items: &Value) {
    let rows = items.as_array().into_iter().flatten().map(|item| {
        vec![
            render::text(&item["id"]),
            render::status(item["state"].as_str().unwrap_or("-")),
            render::text(&item["playbook"]),
            render::text(&item["said_by"]),
            render::text(&item["mission"]),
            // What held it back before somebody began it is no news.
            if item["mission"].is_null() {
                render::short(&render::text(&item["reason"]), 70)
            } else {
                "-".to_owned()
            },
        ]
    });
    render::table(&["proposal", "state", "playbook", "said by", "mission", "why not"], rows.collect());
}

async fn decide(client: &Client, proposal: &str, act: &str) -> Result<(), CommandError> {
    let answer = client.post(&format!("{PROPOSALS}/{}/{act}", escape(proposal)), &json!({})).await?;
    if client.json {
        render::json(&answer);
        return Ok(());
    }
    println!("{}  {}", render::text(&answer["id"]), render::status(answer["state"].as_str().unwrap_or("-")));
    if let Some(mission) = answer["mission"].as_str() {
        println!("Made {}", render::plain(mission));
    }
    Ok(())
}
