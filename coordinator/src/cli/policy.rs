//! `nexusmon policy …`: policies as code.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Client, CommandError};
use super::{approvals, login, render};

const PATH: &str = "/v1/governance/policies";

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Print the policies in force, to be edited; with --json all about them
    Show {
        /// An earlier version; 0 is what is shipped
        #[arg(long)]
        version: Option<i64>,
        /// The guardrails, which are part of every set
        #[arg(long)]
        guardrails: bool,
    },
    /// Versions, newest first
    #[command(visible_alias = "ls")]
    List,
    /// Put the policies of a file in force (the owner's; asks for the operator key)
    Set {
        file: PathBuf,
        /// Why; goes into the audit log
        #[arg(long, short)]
        comment: String,
        /// Read the operator key from this file instead of asking for it
        #[arg(long)]
        key_file: Option<PathBuf>,
        /// The key you sign with, where people sign [default: nexusmon/owner.key in the user's configuration folder]
        #[arg(long, env = "NEXUSMON_KEY_FILE", value_name = "FILE")]
        sign_with: Option<PathBuf>,
    },
    /// What the policies of a file, or of an earlier version, would decide about the newest missions
    Replay {
        #[arg(required_unless_present = "version", conflicts_with = "version")]
        file: Option<PathBuf>,
        #[arg(long)]
        version: Option<i64>,
        /// How many missions, at most 1000
        #[arg(long, default_value_t = 100)]
        missions: u32,
    },
}

pub(super) async fn run(client: &Client, command: PolicyCommand) -> Result<(), CommandError> {
    match command {
        PolicyCommand::Show { version, guardrails } => {
            let query = version.map(|version| format!("?version={version}")).unwrap_or_default();
            let answer = client.get(&format!("{PATH}{query}")).await?;
            if client.json {
                render::json(&answer);
            } else {
                let part = if guardrails { "guardrails" } else { "text" };
                println!("{}", answer[part].as_str().unwrap_or_default().trim_end());
            }
        }
        PolicyCommand::List => list(client).await?,
        PolicyCommand::Set { file, comment, key_file, sign_with } => {
            let body = json!({"text": read(&file)?, "comment": comment});
            let mut answer =
                login::fresh(client, reqwest::Method::POST, key_file.as_deref(), PATH, Some(&body)).await?;
            if let Some(approval) = answer["pending_approval"].as_str() {
                let place = super::key::Place { key_file: sign_with };
                if !approvals::sign_off(client, approval, &comment, &place).await? {
                    return Ok(());
                }
                answer = client.get(PATH).await?;
            }
            if client.json {
                render::json(&answer);
            } else {
                println!("Version {} is in force: {}", answer["version"], render::text(&answer["digest"]));
            }
        }
        PolicyCommand::Replay { file, version, missions } => {
            let text = file.as_deref().map(read).transpose()?;
            let body = json!({"text": text, "version": version, "missions": missions});
            let answer = client.post(&format!("{PATH}/replay"), &body).await?;
            show_replay(client, &answer);
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<String, CommandError> {
    std::fs::read_to_string(file)
        .map_err(|error| CommandError::Usage(format!("cannot read {}: {error}", file.display())))
}

async fn list(client: &Client) -> Result<(), CommandError> {
    let answer = client.get(PATH).await?;
    if client.json {
        render::json(&answer["versions"]);
        return Ok(());
    }
    let versions = answer["versions"].as_array().cloned().unwrap_or_default();
    if versions.is_empty() {
        println!("The shipped policies are in force; they were never changed.");
    }
    let rows = versions.iter().map(|one| {
        vec![
            render::text(&one["version"]),
            render::time(&one["at"]),
            render::short(&render::text(&one["digest"]), 16),
            render::text(&one["by"]),
            render::short(&render::text(&one["comment"]), 60),
        ]
    });
    render::table(&["version", "at", "digest", "by", "comment"], rows.collect());
    Ok(())
}

fn show_replay(client: &Client, answer: &Value) {
    if client.json {
        render::json(answer);
        return;
    }
    let skipped = answer["skipped"].as_array().map_or(0, Vec::len);
    println!(
        "{} of {} missions would have been decided otherwise; {skipped} could not be judged again.",
        answer["differing"], answer["missions"]
    );
    let rows = answer["differences"].as_array().into_iter().flatten().map(|one| {
        let proposed = &one["proposed"];
        let policies = proposed["policies"].as_array().into_iter().flatten().map(render::text);
        vec![
            render::text(&one["mission"]),
            render::text(&one["rank"]),
            render::text(&one["current"]["verdict"]),
            render::text(&proposed["verdict"]),
            policies.collect::<Vec<_>>().join(", "),
            render::short(&render::text(&one["goal"]), 40),
        ]
    });
    render::table(&["mission", "rank", "now", "then", "because of", "goal"], rows.collect());
}
