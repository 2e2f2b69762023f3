//! `nexusmon schedule …`: missions made by the clock.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nexusmon_shared::time::Timestamp;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::{Client, CommandError};
use super::{missions, playbook, render};

const SCHEDULES: &str = "/v1/engine/schedules";

#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Keep a schedule, or with --replace change the one of that name
    Create(Box<CreateArgs>),
    /// Schedules with their next runs, newest first
    #[command(visible_alias = "ls")]
    List,
    /// One in full, with what it has fired for
    Show { schedule: String },
    /// Nothing fires until it is resumed
    Pause { schedule: String },
    /// It fires again from now on
    Resume { schedule: String },
    /// Take it away; what is under way goes on
    #[command(visible_alias = "rm")]
    Remove { schedule: String },
    /// Run the due times of a range that made no mission yet
    Backfill(BackfillArgs),
    /// The next ten runs of a schedule, or of a cron line
    Next(NextArgs),
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    name: String,
    /// Minute, hour, day of month, month, day of week, as in "30 3 * * 1-5"; or @daily and the like
    #[arg(long)]
    cron: String,
    /// As in Europe/Berlin
    #[arg(long, default_value = "UTC")]
    time_zone: String,
    /// While the mission before still runs: skip or allow
    #[arg(long, default_value = "skip")]
    overlap: String,
    /// Of what was missed: none, last or all
    #[arg(long, default_value = "none")]
    catch_up: String,
    /// Starts come later by up to this, as in 5m
    #[arg(long)]
    jitter: Option<String>,
    /// Missions are made so long before they are due, to be approved meanwhile, as in 12h
    #[arg(long)]
    ahead: Option<String>,
    /// `name`, or `name@version`
    #[arg(long, required_unless_present = "mission", conflicts_with = "mission")]
    playbook: Option<String>,
    /// An input, as in `target=staging`, or `day='${{ trigger.date }}'`; a value that is JSON is taken as JSON
    #[arg(long, short, value_name = "NAME=VALUE", conflicts_with = "mission")]
    input: Vec<String>,
    /// All inputs, from a JSON or YAML file
    #[arg(long, value_name = "FILE", conflicts_with = "mission")]
    inputs: Option<PathBuf>,
    /// Instead of a playbook: a mission, from a JSON or YAML file
    #[arg(long, value_name = "FILE")]
    mission: Option<PathBuf>,
    /// Keep it without starting it
    #[arg(long)]
    paused: bool,
    /// Change the schedule of that name
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Args)]
pub struct BackfillArgs {
    schedule: String,
    /// From this time on, as in 2031-05-01T00:00:00Z
    #[arg(long)]
    from: Timestamp,
    /// Until before this one
    #[arg(long)]
    to: Timestamp,
    /// Only say which due times they are
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub struct NextArgs {
    /// Its name or id
    #[arg(required_unless_present = "cron", conflicts_with = "cron")]
    schedule: Option<String>,
    /// A cron line that is kept nowhere
    #[arg(long)]
    cron: Option<String>,
    #[arg(long, default_value = "UTC", requires = "cron")]
    time_zone: String,
}

pub(super) async fn run(client: &Client, command: ScheduleCommand) -> Result<(), CommandError> {
    match command {
        ScheduleCommand::Create(arguments) => create(client, *arguments).await,
        ScheduleCommand::List => {
            let items = client.list(SCHEDULES, usize::MAX).await?;
            if client.json {
                render::json(&Value::Array(items));
            } else {
                table(&items);
            }
            Ok(())
        }
        ScheduleCommand::Show { schedule } => show(client, &schedule).await,
        ScheduleCommand::Pause { schedule } => act(client, &schedule, "pause").await,
        ScheduleCommand::Resume { schedule } => act(client, &schedule, "resume").await,
        ScheduleCommand::Remove { schedule } => {
            let path = path(client, &schedule).await?;
            client.call(Method::DELETE, &path, None).await?;
            println!("{} is gone.", render::plain(&schedule));
            Ok(())
        }
        ScheduleCommand::Backfill(arguments) => backfill(client, arguments).await,
        ScheduleCommand::Next(arguments) => next(client, arguments).await,
    }
}

async fn create(client: &Client, arguments: CreateArgs) -> Result<(), CommandError> {
    let mut body = json!({"name": arguments.name, "cron": arguments.cron, "time_zone": arguments.time_zone,
        "overlap": arguments.overlap, "catch_up": arguments.catch_up, "jitter": arguments.jitter,
        "ahead": arguments.ahead, "paused": arguments.paused});
    if let Some(file) = &arguments.mission {
        body["mission"] = missions::read_file(file)?;
    } else {
        let mut inputs = match &arguments.inputs {
            Some(file) => match missions::read_file(file)? {
                Value::Object(inputs) => inputs,
                _ => return Err(CommandError::Usage("the file with the inputs holds no object".to_owned())),
            },
            None => Map::new(),
        };
        inputs.extend(playbook::pairs(&arguments.input)?);
        body["playbook"] = json!(arguments.playbook);
        body["inputs"] = Value::Object(inputs);
    }
    let answer = if arguments.replace {
        let path = path(client, &arguments.name).await?;
        client.call(Method::PUT, &path, Some(&body)).await?
    } else {
        client.post(SCHEDULES, &body).await?
    };
    said(client, &answer);
    Ok(())
}

/// The address of one, by id or by name.
async fn path(client: &Client, schedule: &str) -> Result<String, CommandError> {
    super::trigger::path(client, SCHEDULES, "schedule", schedule).await
}

async fn act(client: &Client, schedule: &str, act: &str) -> Result<(), CommandError> {
    let path = path(client, schedule).await?;
    let answer = client.post(&format!("{path}/{act}"), &json!({})).await?;
    said(client, &answer);
    Ok(())
}

async fn show(client: &Client, schedule: &str) -> Result<(), CommandError> {
    let path = path(client, schedule).await?;
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
            render::time(&item["due"]),
            render::status(item["result"].as_str().unwrap_or("-")),
            render::text(&item["mission"]),
            render::short(&render::text(&item["reason"]), 60),
        ]
    });
    render::table(&["due (UTC)", "result", "mission", "why"], rows.collect());
    Ok(())
}

async fn backfill(client: &Client, arguments: BackfillArgs) -> Result<(), CommandError> {
    let path = path(client, &arguments.schedule).await?;
    let body = json!({"from": arguments.from, "to": arguments.to, "dry_run": arguments.dry_run});
    let answer = client.post(&format!("{path}/backfill"), &body).await?;
    if client.json {
        render::json(&answer);
        return Ok(());
    }
    let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        println!("No due time lies in this range.");
    }
    let rows = items.iter().map(|item| {
        vec![
            render::text(&item["local"]),
            render::text(&item["result"]),
            render::text(&item["mission"]),
            render::short(&render::text(&item["reason"]), 60),
        ]
    });
    render::table(&["due", "result", "mission", "why"], rows.collect());
    Ok(())
}

async fn next(client: &Client, arguments: NextArgs) -> Result<(), CommandError> {
    let answer = match (&arguments.cron, &arguments.schedule) {
        (None, Some(schedule)) => client.get(&path(client, schedule).await?).await?,
        (cron, _) => {
            let body = json!({"cron": cron, "time_zone": arguments.time_zone});
            client.post(&format!("{SCHEDULES}/dry-run"), &body).await?
        }
    };
    if client.json {
        render::json(&answer["next"]);
        return Ok(());
    }
    println!("{}", render::text(&answer["described"]));
    coming(&answer);
    Ok(())
}

fn coming(answer: &Value) {
    let items = answer["next"].as_array().map_or(&[][..], Vec::as_slice);
    let rows = items.iter().map(|item| vec![render::text(&item["local"]), render::time(&item["starts_at"])]);
    render::table(&["due", "starts (UTC)"], rows.collect());
}

fn table(items: &[Value]) {
    let rows = items.iter().map(|item| {
        let work = if item["playbook"].is_null() { &item["mission"]["goal"] } else { &item["playbook"] };
        vec![
            render::text(&item["name"]),
            render::status(item["state"].as_str().unwrap_or("-")),
            render::text(&item["cron"]),
            render::text(&item["time_zone"]),
            render::text(&item["next"][0]["local"]),
            render::short(&render::text(work), 40),
            render::short(&render::text(&item["reason"]), 40),
        ]
    });
    render::table(&["schedule", "state", "cron", "zone", "next", "makes", "why"], rows.collect());
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
    println!("{} ({})", render::text(&answer["described"]), render::text(&answer["time_zone"]));
    if let Some(reason) = answer["reason"].as_str() {
        println!("Paused by the system: {}", render::plain(reason));
    }
    coming(answer);
}
