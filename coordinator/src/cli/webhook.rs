//! `nexusmon webhook …`: missions made by calls from outside.

mod call;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, CommandError};
use super::{missions, playbook, render};

const WEBHOOKS: &str = "/v1/engine/webhooks";

#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Keep a webhook and show its key, this once; or with --replace change the one of that name
    #[command(
        after_help = "Example:\n  nexusmon webhook create push --format github --event push --playbook build \\\n      \
                      -i 'ref=${{ trigger.body.ref }}'"
    )]
    Create(Box<CreateArgs>),
    /// Webhooks, newest first
    #[command(visible_alias = "ls")]
    List,
    /// One in full, with what it has fired for
    Show {
        /// Its name or id
        webhook: String,
    },
    /// Calls are answered and make nothing until it is resumed
    Pause {
        /// Its name or id
        webhook: String,
    },
    /// It makes missions again from now on
    Resume {
        /// Its name or id
        webhook: String,
    },
    /// Give it another key, shown this once; the one before opens nothing from then on
    #[command(after_help = "Example:\n  nexusmon webhook rotate push")]
    Rotate {
        /// Its name or id
        webhook: String,
    },
    /// Take it away; its address answers nobody from then on
    #[command(visible_alias = "rm")]
    Remove {
        /// Its name or id
        webhook: String,
    },
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    name: String,
    /// How calls are signed; generic is Standard Webhooks
    #[arg(long, value_parser = ["github", "gitlab", "generic"])]
    format: String,
    /// Only this event, as the sender names it (`push`, `Push Hook`); may be given several times; all without it
    #[arg(long)]
    event: Vec<String>,
    /// Missions within an hour, after which it pauses [default: 1000]
    #[arg(long)]
    per_hour: Option<u32>,
    /// Of calls by our own notifications: how deep in a chain its missions may lie [default: 3]
    #[arg(long)]
    max_depth: Option<u32>,
    /// Of the same: missions of the same shape, inputs and outcome within an hour, above which it pauses [default: 10]
    #[arg(long)]
    max_repeats: Option<u32>,
    /// `name`, or `name@version`
    #[arg(long, required_unless_present = "mission", conflicts_with = "mission")]
    playbook: Option<String>,
    /// An input, as in `ref='${{ trigger.body.ref }}'`; a value that is JSON is taken as JSON
    #[arg(long, short, value_name = "NAME=VALUE", conflicts_with = "mission")]
    input: Vec<String>,
    /// Instead of a playbook: a mission, from a JSON or YAML file
    #[arg(long, value_name = "FILE")]
    mission: Option<PathBuf>,
    /// Keep it without making missions
    #[arg(long)]
    paused: bool,
    /// Change the webhook of that name; its key stays
    #[arg(long)]
    replace: bool,
}

pub(super) async fn run(client: &Client, command: WebhookCommand) -> Result<(), CommandError> {
    match command {
        WebhookCommand::Create(arguments) => create(client, &arguments).await,
        WebhookCommand::List => {
            let items = client.list(WEBHOOKS, usize::MAX).await?;
            if client.json {
                render::json(&Value::Array(items));
                return Ok(());
            }
            if items.is_empty() {
                println!(
                    "No webhooks. Keep one: nexusmon webhook create NAME --format github --playbook NAME"
                );
            }
            table(&items);
            Ok(())
        }
        WebhookCommand::Show { webhook } => show(client, &webhook).await,
        WebhookCommand::Pause { webhook } => act(client, &webhook, "pause").await,
        WebhookCommand::Resume { webhook } => act(client, &webhook, "resume").await,
        WebhookCommand::Rotate { webhook } => {
            let path = path(client, &webhook).await?;
            let answer = client.post(&format!("{path}/rotate"), &json!({})).await?;
            keyed(client, answer);
            Ok(())
        }
        WebhookCommand::Remove { webhook } => {
            let path = path(client, &webhook).await?;
            client.call(Method::DELETE, &path, None).await?;
            if !client.json {
                println!("{} is gone.", render::plain(&webhook));
            }
            Ok(())
        }
    }
}

async fn create(client: &Client, arguments: &CreateArgs) -> Result<(), CommandError> {
    let mut body = json!({"name": arguments.name, "format": arguments.format, "events": arguments.event,
        "per_hour": arguments.per_hour, "max_depth": arguments.max_depth, "max_repeats": arguments.max_repeats,
        "paused": arguments.paused});
    if let Some(file) = &arguments.mission {
        body["mission"] = missions::read_file(file)?;
    } else {
        body["playbook"] = json!(arguments.playbook);
        body["inputs"] = Value::Object(playbook::pairs(&arguments.input)?);
    }
    if arguments.replace {
        let path = path(client, &arguments.name).await?;
        let answer = client.call(Method::PUT, &path, Some(&body)).await?;
        said(client, &answer);
    } else {
        let answer = client.post(WEBHOOKS, &body).await?;
        keyed(client, answer);
    }
    Ok(())
}

/// The address of one, by id or by name.
async fn path(client: &Client, webhook: &str) -> Result<String, CommandError> {
    super::trigger::path(client, WEBHOOKS, "webhook", webhook).await
}

async fn act(client: &Client, webhook: &str, act: &str) -> Result<(), CommandError> {
    let path = path(client, webhook).await?;
    let answer = client.post(&format!("{path}/{act}"), &json!({})).await?;
    said(client, &answer);
    Ok(())
}

async fn show(client: &Client, webhook: &str) -> Result<(), CommandError> {
    let path = path(client, webhook).await?;
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
            render::short(&render::text(&item["occasion"]), 40),
            render::status(item["result"].as_str().unwrap_or("-")),
            render::text(&item["mission"]),
            render::short(&render::text(&item["reason"]), 60),
        ]
    });
    render::table(&["at (UTC)", "delivery", "result", "mission", "why"], rows.collect());
    Ok(())
}

fn events(item: &Value) -> String {
    let names: Vec<&str> =
        item["events"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if names.is_empty() { "all".to_owned() } else { render::plain(&names.join(", ")) }
}

fn table(items: &[Value]) {
    let rows = items.iter().map(|item| {
        let work = if item["playbook"].is_null() { &item["mission"]["goal"] } else { &item["playbook"] };
        vec![
            render::text(&item["name"]),
            render::status(item["state"].as_str().unwrap_or("-")),
            render::text(&item["format"]),
            render::short(&events(item), 40),
            render::text(&item["path"]),
            render::short(&render::text(work), 40),
            render::short(&render::text(&item["reason"]), 40),
        ]
    });
    render::table(&["webhook", "state", "format", "events", "path", "makes", "why"], rows.collect());
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
    println!("Called at {}{}", client.url, render::text(&answer["path"]));
    println!("As {} signs; events: {}", render::text(&answer["format"]), events(answer));
    println!(
        "At most {} missions an hour; by our own notifications {} deep in a chain, {} alike an hour",
        answer["per_hour"], answer["max_depth"], answer["max_repeats"]
    );
    if let Some(reason) = answer["reason"].as_str() {
        println!("Paused by the system: {}", render::plain(reason));
    }
}

/// A webhook whose key was made just now, with a call that is signed with it.
fn keyed(client: &Client, mut answer: Value) {
    let webhook = answer["webhook"].take();
    let secret = answer["secret"].as_str().unwrap_or_default().to_owned();
    let curl = call::curl(&client.url, &webhook, &secret);
    if client.json {
        render::json(&json!({"webhook": webhook, "secret": secret, "curl": curl}));
        return;
    }
    said(client, &webhook);
    println!("\nIts key, shown this once:\n  {}", render::plain(&secret));
    println!("A call that is signed with it, to try it:\n  {}", render::plain(&curl));
}
