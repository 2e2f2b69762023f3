//! `nexusmon memory …`: what the organism remembers of its missions, searched and taken away.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::client::{Client, CommandError, escape};
use super::render;

const MEMORY: &str = "/v1/cognition/memory";

#[derive(Debug, Subcommand)]
pub enum MemoryCommand {
    /// What it remembers of any of these words, the most worth first; without words the newest
    #[command(after_help = "Example:\n  nexusmon memory search backup photos --kind mission --limit 5")]
    Search(SearchArgs),
    /// Forget one for good, with what else is remembered of the missions behind it
    #[command(visible_alias = "rm", after_help = "Example:\n  nexusmon memory forget mem_… --yes")]
    Forget {
        /// Its id (`mem_…`), as `memory search` prints it
        memory: String,
        /// Needed: the same is not learned again
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub struct SearchArgs {
    words: Vec<String>,
    /// mission, artifact or review
    #[arg(long)]
    kind: Option<String>,
    /// At most this many, up to 200
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

pub(super) async fn run(client: &Client, command: MemoryCommand) -> Result<(), CommandError> {
    match command {
        MemoryCommand::Search(arguments) => search(client, &arguments).await,
        MemoryCommand::Forget { memory, yes: true } => {
            client.call(Method::DELETE, &format!("{MEMORY}/{}", escape(&memory)), None).await?;
            if !client.json {
                println!("{} is forgotten.", render::plain(&memory));
            }
            Ok(())
        }
        MemoryCommand::Forget { memory, yes: false } => {
            let memory = render::plain(&memory);
            Err(CommandError::Usage(format!(
                "what is forgotten does not come back; repeat with --yes: {memory}"
            )))
        }
    }
}

async fn search(client: &Client, arguments: &SearchArgs) -> Result<(), CommandError> {
    let mut path = format!("{MEMORY}?limit={}", arguments.limit);
    if !arguments.words.is_empty() {
        path.push_str(&format!("&q={}", escape(&arguments.words.join(" "))));
    }
    if let Some(kind) = &arguments.kind {
        path.push_str(&format!("&kind={}", escape(kind)));
    }
    let answer = client.get(&path).await?;
    if client.json {
        render::json(&answer["items"]);
        return Ok(());
    }
    let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        println!("Nothing is remembered of this; a mission is remembered once it has ended.");
    }
    render::table(
        &["memory", "kind", "score", "outcome", "runs", "when (UTC)", "mission", "what"],
        items.iter().map(row).collect(),
    );
    Ok(())
}

fn row(item: &Value) -> Vec<String> {
    let runs = match item["runs"].as_u64() {
        Some(runs @ 1..) => format!("{runs}, {} verified", item["verified"]),
        _ => "-".to_owned(),
    };
    vec![
        render::text(&item["id"]),
        render::text(&item["kind"]),
        render::number(&item["score"], 2),
        render::status(item["outcome"].as_str().unwrap_or("-")),
        runs,
        render::time(&item["at"]),
        render::text(&item["mission"]),
        render::short(&render::text(&item["title"]), 60),
    ]
}
