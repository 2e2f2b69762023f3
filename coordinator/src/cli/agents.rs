//! `nexusmon agent …`.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use super::authority::{self, RotateCommand};
use super::client::{Client, CommandError, escape};
use super::confirm::{self, ConfirmArgs};
use super::invite::{self, InviteArgs};
use super::render;

#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Print the one line that makes another machine an agent
    Invite(InviteArgs),
    /// Let a machine in that waits: read its six words on its own screen
    Confirm(ConfirmArgs),
    #[command(visible_alias = "ls")]
    List,
    Show {
        agent: String,
    },
    /// Finish what runs, take nothing new
    Drain {
        agent: String,
    },
    /// Take nothing new for now
    Pause {
        agent: String,
    },
    /// Undo drain, pause or quarantine
    Resume {
        agent: String,
    },
    /// Stop what runs there and offer nothing more, until resumed
    Quarantine {
        agent: String,
    },
    /// Take its certificate's authority away for good
    Revoke {
        agent: String,
        /// Needed: this cannot be undone
        #[arg(long)]
        yes: bool,
    },
    /// Set labels: `key=value`, or `key=` to remove
    Label {
        agent: String,
        labels: Vec<String>,
    },
    /// Another certificate authority for the fleet, while work runs
    RotateCa {
        #[command(subcommand)]
        command: RotateCommand,
    },
    /// What the fleet can do
    Capabilities,
}

pub(super) async fn run(client: &Client, command: AgentCommand) -> Result<(), CommandError> {
    match command {
        AgentCommand::Invite(arguments) => invite::run(client, arguments).await,
        AgentCommand::Confirm(arguments) => confirm::run(client, arguments).await,
        AgentCommand::List => list(client).await,
        AgentCommand::Show { agent } => {
            render::json(&client.get(&path(&agent)).await?);
            Ok(())
        }
        AgentCommand::Drain { agent } => act(client, &agent, "drain").await,
        AgentCommand::Pause { agent } => act(client, &agent, "pause").await,
        AgentCommand::Resume { agent } => act(client, &agent, "resume").await,
        AgentCommand::Quarantine { agent } => shut_out(client, &agent, "quarantine").await,
        AgentCommand::Revoke { agent, yes: true } => shut_out(client, &agent, "revoke").await,
        AgentCommand::Revoke { agent, yes: false } => {
            Err(CommandError::Usage(format!("revoking `{agent}` cannot be undone; repeat with --yes")))
        }
        AgentCommand::Label { agent, labels } => label(client, &agent, &labels).await,
        AgentCommand::RotateCa { command } => authority::run(client, command).await,
        AgentCommand::Capabilities => {
            let answer = client.get("/v1/fleet/capabilities").await?;
            if client.json {
                render::json(&answer);
                return Ok(());
            }
            let rows = answer["items"].as_array().into_iter().flatten().map(|item| {
                vec![
                    render::text(&item["name"]),
                    render::text(&item["risk_level"]),
                    render::text(&item["agents"]),
                    render::short(&render::text(&item["description"]), 70),
                ]
            });
            render::table(&["capability", "rank floor", "agents", "description"], rows.collect());
            Ok(())
        }
    }
}

async fn list(client: &Client) -> Result<(), CommandError> {
    let agents = client.list("/v1/fleet/agents", usize::MAX).await?;
    if client.json {
        render::json(&Value::Array(agents));
        return Ok(());
    }
    if agents.is_empty() {
        println!("No agents. Invite one: nexusmon agent invite --name NAME");
    }
    let rows = agents.iter().map(|agent| {
        let labels = agent["labels"].as_object().map(|labels| {
            labels
                .iter()
                .map(|(key, value)| format!("{key}={}", render::text(value)))
                .collect::<Vec<_>>()
                .join(",")
        });
        vec![
            render::text(&agent["name"]),
            render::status(agent["status"].as_str().unwrap_or("-")),
            format!("{}/{}", render::text(&agent["slots_used"]), render::text(&agent["slots"])),
            render::text(&agent["max_rank"]),
            labels.unwrap_or_default(),
            render::time(&agent["last_seen_at"]),
            render::text(&agent["id"]),
        ]
    });
    render::table(&["agent", "status", "slots", "max rank", "labels", "last seen", "id"], rows.collect());
    Ok(())
}

async fn act(client: &Client, agent: &str, verb: &str) -> Result<(), CommandError> {
    let answer = client.post(&format!("{}/{verb}", path(agent)), &json!({})).await?;
    if client.json {
        render::json(&answer);
    } else {
        println!(
            "{}  {}",
            render::text(&answer["name"]),
            render::status(answer["status"].as_str().unwrap_or("-"))
        );
    }
    Ok(())
}

/// And what the machine knows: whoever has it now, has that.
async fn shut_out(client: &Client, agent: &str, verb: &str) -> Result<(), CommandError> {
    // By name it is not found any more once it is revoked.
    let id = client.get(&path(agent)).await?["id"].take();
    act(client, agent, verb).await?;
    if client.json {
        return Ok(());
    }
    // Not everybody who may shut an agent out may see the list.
    let Ok(secrets) = client.get("/v1/governance/secrets").await else { return Ok(()) };
    let mut known = Vec::new();
    for secret in secrets["items"].as_array().into_iter().flatten() {
        let received = secret["received"].as_array().into_iter().flatten();
        if received.clone().any(|one| one["agent"] == id && one["version"] == secret["version"]) {
            known.push(format!("{} (v{})", render::text(&secret["name"]), secret["version"]));
        }
    }
    if !known.is_empty() {
        println!("It was handed what these secrets still are: {}.", known.join(", "));
        println!("Change each where it is good, then: nexusmon secret set NAME < file");
    }
    Ok(())
}

async fn label(client: &Client, agent: &str, labels: &[String]) -> Result<(), CommandError> {
    let mut now = client.get(&path(agent)).await?["labels"].take();
    let wanted = parse_labels(labels)?;
    if let (Some(now), Some(wanted)) = (now.as_object_mut(), wanted.as_object()) {
        for (key, value) in wanted {
            if value.as_str() == Some("") {
                now.remove(key);
            } else {
                now.insert(key.clone(), value.clone());
            }
        }
    }
    let answer = client.call(Method::PATCH, &path(agent), Some(&json!({ "labels": now }))).await?;
    if client.json {
        render::json(&answer);
    } else {
        println!("{}  {}", render::text(&answer["name"]), answer["labels"]);
    }
    Ok(())
}

fn path(agent: &str) -> String {
    format!("/v1/fleet/agents/{}", escape(agent))
}

pub(super) fn parse_labels(labels: &[String]) -> Result<Value, CommandError> {
    let mut parsed = serde_json::Map::new();
    for label in labels.iter().filter(|label| !label.is_empty()) {
        let (key, value) = label
            .split_once('=')
            .ok_or_else(|| CommandError::Usage(format!("`{label}` is not a label: write key=value")))?;
        parsed.insert(key.to_owned(), Value::String(value.to_owned()));
    }
    Ok(Value::Object(parsed))
}
