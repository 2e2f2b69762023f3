//! `nexusmon playbook learned …` and `playbook promote`: playbooks the system drafted, for people to keep or put aside.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Client, CommandError, escape};
use super::render;

const LEARNED: &str = "/v1/engine/learned";

#[derive(Debug, Subcommand)]
pub enum LearnedCommand {
    /// Drafts, newest first, with the playbook each is most like
    #[command(visible_alias = "ls")]
    List,
    /// One with what it differs in from the playbook most like it
    Show { name: String },
    /// Make it a playbook that missions are made from
    #[command(
        visible_alias = "promote",
        after_help = "Example:\n  nexusmon playbook learned keep learned-1 --comment \"as it should be\""
    )]
    Keep {
        name: String,
        /// Why; kept with the decision
        #[arg(long, short)]
        comment: Option<String>,
    },
    /// Put it aside: the same is not offered again
    #[command(visible_alias = "decline")]
    Dismiss {
        name: String,
        /// Why; kept with the decision
        #[arg(long, short)]
        comment: Option<String>,
    },
}

pub(super) async fn run(client: &Client, command: LearnedCommand) -> Result<(), CommandError> {
    match command {
        LearnedCommand::List => {
            let answer = client.get(LEARNED).await?;
            list(client, &answer["items"]);
            Ok(())
        }
        LearnedCommand::Show { name } => show(client, &name).await,
        LearnedCommand::Keep { name, comment } => promote(client, &name, comment.as_deref()).await,
        LearnedCommand::Dismiss { name, comment } => {
            let path = format!("{LEARNED}/{}/decline", escape(&name));
            client.post(&path, &json!({"comment": comment})).await?;
            if !client.json {
                println!("{} is put aside; the same is not offered again.", render::plain(&name));
            }
            Ok(())
        }
    }
}

/// Of a draft, a playbook.
pub(super) async fn promote(client: &Client, name: &str, comment: Option<&str>) -> Result<(), CommandError> {
    let path = format!("/v1/engine/playbooks/{}/promote", escape(name));
    let answer = client.post(&path, &json!({"comment": comment})).await?;
    if client.json {
        render::json(&answer);
    } else {
        println!("{}@{}", render::text(&answer["name"]), answer["version"]);
    }
    Ok(())
}

fn list(client: &Client, items: &Value) {
    if client.json {
        render::json(items);
        return;
    }
    let items = items.as_array().map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        println!("Nothing is learned yet: three verified missions of one kind are drafted as a playbook.");
    }
    let rows = items.iter().map(|item| {
        vec![
            render::text(&item["name"]),
            render::status(item["status"].as_str().unwrap_or("-")),
            render::text(&item["rank"]),
            item["missions"].as_array().map_or(0, Vec::len).to_string(),
            render::text(&item["nearest"]),
            render::number(&item["likeness"], 2),
            render::time(&item["created_at"]),
            render::short(&render::text(&item["body"]["goal"]), 50),
        ]
    });
    render::table(
        &["learned", "status", "rank", "missions", "most like", "how like", "drafted (UTC)", "goal"],
        rows.collect(),
    );
}

async fn show(client: &Client, name: &str) -> Result<(), CommandError> {
    let answer = client.get(&format!("{LEARNED}/{}", escape(name))).await?;
    if client.json {
        render::json(&answer);
        return Ok(());
    }
    println!(
        "{}  {}  rank {}",
        render::text(&answer["name"]),
        render::status(answer["status"].as_str().unwrap_or("-")),
        render::text(&answer["rank"])
    );
    let missions = answer["missions"].as_array().into_iter().flatten().map(render::text);
    println!("Of the missions {}", missions.collect::<Vec<_>>().join(", "));
    if !answer["decided_by"].is_null() {
        println!("Decided by {}: {}", render::text(&answer["decided_by"]), render::text(&answer["comment"]));
    }
    if let Some(diff) = answer["diff"].as_str() {
        println!("\nBeside {}, the playbook most like it:", render::text(&answer["nearest"]));
        for line in diff.lines() {
            println!("{}", render::plain(line));
        }
    } else {
        println!("\nNo playbook is like it:");
        render::json(&answer["body"]);
    }
    if answer["status"] == "offered" {
        println!("Keep it: nexusmon playbook promote {}", render::text(&answer["name"]));
    }
    Ok(())
}
