//! `nexusmon event-trigger …`: missions made by what happens.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::{Client, CommandError};
use super::{missions, playbook, render};

const TRIGGERS: &str = "/v1/engine/event-triggers";

#[derive(Debug, Subcommand)]
pub enum EventTriggerCommand {
    /// Keep an event trigger, or with --replace change the one of that name
    Create(Box<CreateArgs>),
    /// Event triggers, newest first
    #[command(visible_alias = "ls")]
    List,
    /// One in full, with what it has fired for
    Show { trigger: String },
    /// What happens is passed over until it is resumed
    Pause { trigger: String },
    /// It listens again from now on
    Resume { trigger: String },
    /// Take it away; what is under way goes on
    #[command(visible_alias = "rm")]
    Remove { trigger: String },
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    name: String,
    /// mission.succeeded, mission.failed, mission.cancelled, mission.expired, mission.rejected, artifact.version,
    /// agent.joined, agent.lost, agent.drained, agent.quarantined, agent.revoked; may be given several times
    #[arg(long, required = true)]
    on: Vec<String>,
    /// Only where this CEL holds, as in "event.mission.labels.team == 'web'"
    #[arg(long = "if", value_name = "CEL")]
    condition: Option<String>,
    /// How deep in a chain its missions may lie [default: 3]
    #[arg(long)]
    max_depth: Option<u32>,
    /// Missions within 24 hours, after which it pauses [default: 100]
    #[arg(long)]
    per_day: Option<u32>,
    /// Missions of the same shape, inputs and outcome within an hour, above which it pauses [default: 10]
    #[arg(long)]
    max_repeats: Option<u32>,
    /// `name`, or `name@version`
    #[arg(long, required_unless_present = "mission", conflicts_with = "mission")]
    playbook: Option<String>,
    /// An input, as in `goal='${{ event.mission.goal }}'`; a value that is JSON is taken as JSON
    #[arg(long, short, value_name = "NAME=VALUE", conflicts_with = "mission")]
    input: Vec<String>,
    /// Instead of a playbook: a mission, from a JSON or YAML file
    #[arg(long, value_name = "FILE")]
    mission: Option<PathBuf>,
    /// Keep it without listening
    #[arg(long)]
    paused: bool,
    /// Change the event trigger of that name
    #[arg(long)]
    replace: bool,
}

pub(super) async fn run(client: &Client, command: EventTriggerCommand) -> Result<(), CommandError> {
    match command {
        EventTriggerCommand::Create(arguments) => create(client, *arguments).await,
        EventTriggerCommand::List => {
            let items = client.list(TRIGGERS, usize::MAX).await?;
            if client.json {
                render::json(&Value::Array(items));
            } else {
                table(&items);
            }
            Ok(())
        }
        EventTriggerCommand::Show { trigger } => show(client, &trigger).await,
        EventTriggerCommand::Pause { trigger } => act(client, &trigger, "pause").await,
        EventTriggerCommand::Resume { trigger } => act(client, &trigger, "resume").await,
        EventTriggerCommand::Remove { trigger } => {
            let path = path(client, &trigger).await?;
            client.call(Method::DELETE, &path, None).await?;
            println!("{} is gone.", render::plain(&trigger));
            Ok(())
        }
    }
}

async fn create(client: &Client, arguments: CreateArgs) -> Result<(), CommandError> {
    let mut body = json!({"name": arguments.name, "on": arguments.on, "if": arguments.condition,
        "max_depth": arguments.max_depth, "per_day": arguments.per_day, "max_repeats": arguments.max_repeats,
        "paused": arguments.paused});
    if let Some(file) = &arguments.mission {
        body["mission"] = missions::read_file(file)?;
    } else {
        let mut inputs = Map::new();
        inputs.extend(playbook::pairs(&arguments.input)?);
        body["playbook"] = json!(arguments.playbook);
        body["inputs"] = Value::Object(inputs);
    }
    let answer = if arguments.replace {
        let path = path(client, &arguments.name).await?;
        client.call(Method::PUT, &path, Some(&body)).await?
    } else {
        client.post(TRIGGERS, &body).await?
    };
    said(client, &answer);
    Ok(())
}

/// The address of one, by id or by name.
async fn path(client: &Client, trigger: &str) -> Result<String, CommandError> {
    super::trigger::path(client, TRIGGERS, "event trigger", trigger).await
}

async fn act(client: &Client, trigger: &str, act: &str) -> Result<(), CommandError> {
    let path = path(client, trigger).await?;
    let answer = client.post(&format!("{path}/{act}"), &json!({})).await?;
    said(client, &answer);
    Ok(())
}

async fn show(client: &Client, trigger: &str) -> Result<(), CommandError> {
    let path = path(client, trigger).await?;
    let mut answer = client.get(&path).await?;
    let firings = client.get(&format!("{path}/firings?limit=20")).await?;
    if client.json {
        answer["firings"] = firings["items"].clone();
        render::json(&answer);
        return Ok(());
    }
    said(client, &answer);
    let rows = firings["items"].as_array().into_iter().flatten().map(|item| {
        vec![
            render::time(&item["at"]),
            render::text(&item["occasion"]),
            render::status(item["result"].as_str().unwrap_or("-")),
            render::text(&item["mission"]),
            render::short(&render::text(&item["reason"]), 60),
        ]
    });
    render::table(&["at (UTC)", "event", "result", "mission", "why"], rows.collect());
    Ok(())
}

fn kinds(item: &Value) -> String {
    let kinds = item["on"].as_array().into_iter().flatten().filter_map(Value::as_str);
    render::plain(&kinds.collect::<Vec<_>>().join(", "))
}

fn table(items: &[Value]) {
    let rows = items.iter().map(|item| {
        let work = if item["playbook"].is_null() { &item["mission"]["goal"] } else { &item["playbook"] };
        vec![
            render::text(&item["name"]),
            render::status(item["state"].as_str().unwrap_or("-")),
            render::short(&kinds(item), 40),
            render::short(&render::text(&item["if"]), 40),
            render::short(&render::text(work), 40),
            render::short(&render::text(&item["reason"]), 40),
        ]
    });
    render::table(&["trigger", "state", "on", "if", "makes", "why"], rows.collect());
}

fn said(client: &Client, answer: &Value) {
    if client.json {
        render::json(answer);
        return;
    }
    println!(
        "{}  {}  {}",
        render::text(&answer["name"]),
        render::text(&answer["id"]),
        render::status(answer["state"].as_str().unwrap_or("-"))
    );
    println!("On {}", kinds(answer));
    if let Some(condition) = answer["if"].as_str() {
        println!("If {}", render::plain(condition));
    }
    println!(
        "At most {} deep in a chain, {} missions a day, {} alike an hour",
        answer["max_depth"], answer["per_day"], answer["max_repeats"]
    );
    if let Some(reason) = answer["reason"].as_str() {
        println!("Paused by the system: {}", render::plain(reason));
    }
}
