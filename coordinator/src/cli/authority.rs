//! `nexusmon agent rotate-ca`: another authority for the fleet, while work runs.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, CommandError};
use super::{login, render};

const PATH: &str = "/v1/fleet/authority";
const ROTATE: &str = "/v1/fleet/authority/rotate";
const RETIRE: &str = "/v1/fleet/authority/retire";

/// Between two looks at who has followed.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Subcommand)]
pub enum RotateCommand {
    /// Put a new authority in force beside the old one; connected agents follow at once
    Begin(BeginArgs),
    /// Which authorities are in force, and who has not followed
    Status,
    /// Take the old authority away: certificates of it are refused from then on
    Retire(RetireArgs),
}

#[derive(Debug, Args)]
pub struct BeginArgs {
    /// Read the operator key from this file instead of asking for it
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// Seconds to wait for connected agents to follow
    #[arg(long, default_value_t = 10)]
    wait: u64,
}

#[derive(Debug, Args)]
pub struct RetireArgs {
    /// Go on without this agent, which has not followed; it has to leave and join anew. May be given several times
    #[arg(long, value_name = "AGENT")]
    leave: Vec<String>,
    /// Needed: this cannot be undone
    #[arg(long)]
    yes: bool,
    /// Read the operator key from this file instead of asking for it
    #[arg(long)]
    key_file: Option<PathBuf>,
}

pub(super) async fn run(client: &Client, command: RotateCommand) -> Result<(), CommandError> {
    match command {
        RotateCommand::Begin(arguments) => {
            let key = arguments.key_file.as_deref();
            login::fresh(client, Method::POST, key, ROTATE, None).await?;
            let state = followed(client, Duration::from_secs(arguments.wait)).await?;
            show(client, &state);
        }
        RotateCommand::Status => show(client, &client.get(PATH).await?),
        RotateCommand::Retire(RetireArgs { yes: false, .. }) => {
            let text = "retiring the old authority cannot be undone; look at `nexusmon agent rotate-ca status`, \
                        then repeat with --yes";
            return Err(CommandError::Usage(text.to_owned()));
        }
        RotateCommand::Retire(RetireArgs { leave, key_file, .. }) => {
            let body = json!({ "leave": leave });
            let done = login::fresh(client, Method::POST, key_file.as_deref(), RETIRE, Some(&body)).await?;
            if client.json {
                render::json(&done);
                return Ok(());
            }
            show(client, &done["authority"]);
            for name in done["left"].as_array().into_iter().flatten() {
                println!("Left behind: {}. There: nexusmon-agent leave, then join anew.", render::text(name));
            }
            if done["invites"] != 0 {
                println!("{} open invites named the old authority and are void.", done["invites"]);
            }
        }
    }
    Ok(())
}

/// The state once every connected agent has followed, or when time is up.
async fn followed(client: &Client, within: Duration) -> Result<Value, CommandError> {
    let done = async {
        loop {
            let state = client.get(PATH).await?;
            let behind = state["behind"].as_array();
            let waiting = behind.is_some_and(|all| all.iter().any(|agent| agent["status"] != "offline"));
            if !waiting {
                return Ok(state);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    match tokio::time::timeout(within, done).await {
        Ok(state) => state,
        Err(_) => client.get(PATH).await,
    }
}

fn show(client: &Client, state: &Value) {
    if client.json {
        render::json(state);
        return;
    }
    let line = |what: &str, authority: &Value| {
        println!(
            "{what}  {}  until {}",
            render::text(&authority["key"]),
            render::time(&authority["not_after"])
        );
    };
    line("current", &state["current"]);
    if state["next"].is_null() {
        return;
    }
    line("next   ", &state["next"]);
    let behind = state["behind"].as_array().map_or(0, Vec::len);
    println!(
        "Both are in force since {}. {} agents have followed, {behind} have not.",
        render::time(&state["begun_at"]),
        state["followed"]
    );
    if behind == 0 {
        println!("Take the old one away: nexusmon agent rotate-ca retire --yes");
        return;
    }
    let rows = state["behind"].as_array().into_iter().flatten().map(|agent| {
        vec![
            render::text(&agent["name"]),
            render::status(agent["status"].as_str().unwrap_or("-")),
            render::text(&agent["state"]),
            render::text(&agent["id"]),
        ]
    });
    render::table(&["behind", "status", "state", "id"], rows.collect());
}
