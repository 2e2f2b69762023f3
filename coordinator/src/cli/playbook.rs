//! `nexusmon playbook …` and `nexusmon standing …`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use nexusmon_shared::time::{Clock as _, Span, SystemClock};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::{Client, CommandError, escape};
use super::key::Place;
use super::learned::{self, LearnedCommand};
use super::{approvals, missions, render};

const PLAYBOOKS: &str = "/v1/engine/playbooks";
const STANDING: &str = "/v1/governance/standing-approvals";

#[derive(Debug, Subcommand)]
pub enum PlaybookCommand {
    /// Playbooks by name
    #[command(visible_alias = "ls")]
    List,
    /// One as it was written
    Show {
        name: String,
        #[arg(long)]
        version: Option<u32>,
    },
    /// Its versions, newest first
    Versions { name: String },
    /// Keep a playbook from a file, or another version of one that is there
    Put { file: PathBuf },
    /// Make a mission from one
    Run(RunArgs),
    /// No mission is made from it any more, until it gets another version
    #[command(visible_alias = "rm")]
    Remove { name: String },
    /// What the system drafted from verified missions, to keep or to dismiss
    #[command(subcommand)]
    Learned(LearnedCommand),
    /// Make a learned playbook one that missions are made from
    #[command(after_help = "Example:\n  nexusmon playbook promote learned-1 --comment \"as it should be\"")]
    Promote {
        name: String,
        /// Why; kept with the decision
        #[arg(long, short)]
        comment: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// `name`, or `name@version`
    playbook: String,
    /// An input, as in `target=staging`; a value that is JSON is taken as JSON
    #[arg(long, short, value_name = "NAME=VALUE")]
    input: Vec<String>,
    /// All inputs, from a JSON or YAML file
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// Follow it until it ends
    #[arg(long)]
    watch: bool,
}

#[derive(Debug, Subcommand)]
pub enum StandingCommand {
    /// Standing approvals, newest first
    #[command(visible_alias = "ls")]
    List,
    /// One with what it was spent on
    Show { standing: String },
    /// Ask for one, and sign it where your signature counts
    Add(AddArgs),
    /// Take one back
    #[command(visible_alias = "rm")]
    Remove { standing: String },
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// `name`, or `name@version`
    playbook: String,
    /// How many starts it covers, retries included
    #[arg(long)]
    uses: u32,
    /// How long it counts, at most 366 days, as in 720h
    #[arg(long)]
    valid_for: Span,
    /// Only on machines with this label now, as in `region=home`; they are named by their ids
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Only on this machine
    #[arg(long)]
    agent: Option<String>,
    /// The highest rank; that of the work unless said otherwise, never S
    #[arg(long)]
    max_rank: Option<String>,
    /// Narrower bounds for the inputs: a JSON Schema in a file
    #[arg(long, value_name = "FILE")]
    input_schema: Option<PathBuf>,
    /// Why; kept with the decision
    #[arg(long, short)]
    comment: String,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn playbooks(client: &Client, command: PlaybookCommand) -> Result<(), CommandError> {
    match command {
        PlaybookCommand::List => {
            let items = client.list(PLAYBOOKS, usize::MAX).await?;
            table(client, &items);
        }
        PlaybookCommand::Show { name, version } => {
            let query = version.map(|version| format!("?version={version}")).unwrap_or_default();
            let found = client.get(&format!("{PLAYBOOKS}/{}{query}", escape(&name))).await?;
            render::json(if client.json { &found } else { &found["body"] });
        }
        PlaybookCommand::Versions { name } => {
            let found = client.get(&format!("{PLAYBOOKS}/{}/versions", escape(&name))).await?;
            table(client, found["items"].as_array().map_or(&[], Vec::as_slice));
        }
        PlaybookCommand::Put { file } => put(client, &file).await?,
        PlaybookCommand::Run(arguments) => {
            let mut inputs = match &arguments.inputs {
                Some(file) => missions::read_file(file)?,
                None => json!({}),
            };
            let fields = inputs
                .as_object_mut()
                .ok_or_else(|| CommandError::Usage("the file with the inputs holds no object".to_owned()))?;
            fields.extend(pairs(&arguments.input)?);
            let body = json!({"playbook": arguments.playbook, "inputs": inputs});
            let answer = client.post("/v1/engine/missions", &body).await?;
            missions::created(client, &answer, arguments.watch).await?;
        }
        PlaybookCommand::Remove { name } => {
            client.call(Method::DELETE, &format!("{PLAYBOOKS}/{}", escape(&name)), None).await?;
            println!("{} is retired.", render::plain(&name));
        }
        PlaybookCommand::Learned(command) => learned::run(client, command).await?,
        PlaybookCommand::Promote { name, comment } => {
            learned::promote(client, &name, comment.as_deref()).await?;
        }
    }
    Ok(())
}

async fn put(client: &Client, file: &Path) -> Result<(), CommandError> {
    let body = missions::read_file(file)?;
    let name = body["name"].as_str().unwrap_or_default();
    let answer = match client.post(PLAYBOOKS, &body).await {
        Err(CommandError::Refused { status: 409, body: problem }) if problem["code"] == "exists" => {
            client.call(Method::PUT, &format!("{PLAYBOOKS}/{}", escape(name)), Some(&body)).await?
        }
        other => other?,
    };
    if client.json {
        render::json(&answer);
    } else {
        println!("{}@{}", render::text(&answer["name"]), answer["version"]);
    }
    Ok(())
}

fn table(client: &Client, items: &[Value]) {
    if client.json {
        render::json(&Value::Array(items.to_vec()));
        return;
    }
    let rows = items.iter().map(|item| {
        vec![
            render::text(&item["name"]),
            render::text(&item["version"]),
            render::time(&item["created_at"]),
            render::time(&item["retired_at"]),
            render::short(&render::text(&item["description"]), 60),
        ]
    });
    render::table(&["playbook", "version", "made", "retired", "what"], rows.collect());
}

/// `name=value`; what is JSON is JSON, the rest is text.
pub(super) fn pairs(given: &[String]) -> Result<Map<String, Value>, CommandError> {
    let mut found = Map::new();
    for pair in given {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| CommandError::Usage(format!("`{}` is not NAME=VALUE", render::plain(pair))))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        found.insert(name.to_owned(), value);
    }
    Ok(found)
}

pub(super) async fn standing(client: &Client, command: StandingCommand) -> Result<(), CommandError> {
    match command {
        StandingCommand::List => {
            let items = client.list(STANDING, usize::MAX).await?;
            if client.json {
                render::json(&Value::Array(items));
                return Ok(());
            }
            let rows = items.iter().map(|item| {
                vec![
                    render::text(&item["id"]),
                    render::status(item["status"].as_str().unwrap_or("-")),
                    render::text(&item["playbook"]),
                    render::text(&item["document"]["max_rank"]),
                    format!("{} of {}", item["used"], item["uses"]),
                    render::time(&item["expires_at"]),
                ]
            });
            render::table(
                &["standing approval", "status", "playbook", "up to", "used", "ends"],
                rows.collect(),
            );
        }
        StandingCommand::Show { standing } => {
            render::json(&client.get(&format!("{STANDING}/{}", escape(&standing))).await?);
        }
        StandingCommand::Add(arguments) => add(client, arguments).await?,
        StandingCommand::Remove { standing } => {
            let path = format!("{STANDING}/{}", escape(&standing));
            let answer = client.call(Method::DELETE, &path, None).await?;
            said(client, &answer);
        }
    }
    Ok(())
}

async fn add(client: &Client, arguments: AddArgs) -> Result<(), CommandError> {
    let AddArgs { playbook, uses, valid_for, label, agent, max_rank, input_schema, comment, place } =
        arguments;
    let labels: Map<String, Value> = pairs(&label)?
        .into_iter()
        .map(|(key, value)| (key, value.as_str().map_or_else(|| value.to_string(), str::to_owned).into()))
        .collect();
    let input_schema = input_schema.as_deref().map(missions::read_file).transpose()?;
    let body = json!({"playbook": playbook, "uses": uses, "labels": labels, "agent": agent, "max_rank": max_rank,
        "expires_at": SystemClock.now() + valid_for.0, "input_schema": input_schema});
    let made = client.post(STANDING, &body).await?;
    let approval = made["approval"].as_str().unwrap_or_default();
    approvals::sign_off(client, approval, &comment, &place).await?;
    let id = made["id"].as_str().unwrap_or_default();
    said(client, &client.get(&format!("{STANDING}/{}", escape(id))).await?);
    Ok(())
}

fn said(client: &Client, answer: &Value) {
    if client.json {
        render::json(answer);
    } else {
        println!(
            "{}  {}",
            render::text(&answer["id"]),
            render::status(answer["status"].as_str().unwrap_or("-"))
        );
    }
}
