//! `nexusmon mission …`.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, CommandError, escape};
use super::{approvals, approve, log, planning, render, watch};

#[derive(Debug, Subcommand)]
pub enum MissionCommand {
    /// Create a mission from a file, or from a goal
    Create(CreateArgs),
    /// Start a held mission, or create one from a file and start it
    Run(RunArgs),
    /// List missions, newest first
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// One mission with its tasks, and why waiting ones wait
    Show {
        mission: String,
    },
    /// Show rank, verdict, blast radius and placement of a mission file without storing anything
    DryRun {
        file: PathBuf,
    },
    /// Approve the plan as it stands
    Approve(DecideArgs),
    /// Refuse the plan
    Reject(DecideArgs),
    /// End it: running tasks are ended, nothing new starts
    Cancel {
        mission: String,
    },
    /// End it at once: running tasks are killed without time to tidy up
    Kill {
        mission: String,
    },
    /// Start nothing new until resumed; running tasks finish
    Pause {
        mission: String,
    },
    Resume {
        mission: String,
    },
    /// Ask for other ceilings, and approve them where you may
    Budget(BudgetArgs),
    /// Run it again as a new mission
    Rerun {
        mission: String,
        /// Only from the failed tasks on, with the outputs of the others
        #[arg(long)]
        from_failed: bool,
        #[arg(long)]
        watch: bool,
    },
    /// Follow it until it ends
    Watch {
        mission: String,
    },
    /// Logs of its tasks
    Logs(log::LogArgs),
    /// Decide a task of which nobody knows whether it happened
    Resolve {
        /// Task id (`tsk_…`), as `mission show` prints it
        task: String,
        #[arg(long = "as", value_parser = ["succeeded", "failed", "retry"])]
        verdict: String,
    },
    /// Print the JSON Schema of mission files, for editors
    Schema,
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Mission file, YAML or JSON; `-` reads standard input; words that name no file are a goal, to be planned
    #[arg(required_unless_present = "goal", value_name = "FILE|GOAL")]
    file: Option<PathBuf>,
    /// A goal in words, to be planned
    #[arg(long, conflicts_with = "file")]
    goal: Option<String>,
    /// Follow it until it ends
    #[arg(long)]
    watch: bool,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Mission id, or a mission file (YAML or JSON; `-` reads standard input)
    target: String,
    /// Follow it until it ends; the exit code says how
    #[arg(long)]
    watch: bool,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[arg(long)]
    status: Option<String>,
    #[arg(long)]
    rank: Option<String>,
    /// `key=value`
    #[arg(long)]
    label: Option<String>,
    /// Words in the goal
    #[arg(long, short)]
    q: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, Args)]
pub struct DecideArgs {
    mission: String,
    /// Why; kept with the decision (needed for ranks A and S)
    #[arg(long, short)]
    comment: Option<String>,
    /// The plan digest you mean; without it, that of the plan as it is now
    #[arg(long)]
    digest: Option<String>,
    /// Follow it until it ends
    #[arg(long)]
    watch: bool,
    /// The approval meant, where several wait
    #[arg(long, value_name = "APPROVAL")]
    approval: Option<String>,
    /// How long the signature counts, at most 7 days; what has not begun by then asks again
    #[arg(long, default_value = "24h")]
    valid_for: nexusmon_shared::time::Span,
    #[command(flatten)]
    place: super::key::Place,
}

#[derive(Debug, Args)]
pub struct BudgetArgs {
    mission: String,
    /// Why: whoever approves reads it
    #[arg(long, short)]
    comment: String,
    #[arg(long)]
    tasks: Option<u32>,
    #[arg(long)]
    attempts: Option<u32>,
    /// From start to end, as in 36h
    #[arg(long)]
    duration: Option<String>,
    #[arg(long)]
    artifact_bytes: Option<u64>,
    #[arg(long)]
    log_bytes: Option<u64>,
    #[command(flatten)]
    place: super::key::Place,
}

/// What is not named stays as it is.
async fn budget(client: &Client, arguments: BudgetArgs) -> Result<(), CommandError> {
    let BudgetArgs { mission, comment, tasks, attempts, duration, artifact_bytes, log_bytes, place } =
        arguments;
    let path = format!("/v1/engine/missions/{}", escape(&mission));
    let mut budget = client.get(&path).await?["budget"].take();
    let wanted = json!({"tasks": tasks, "attempts": attempts, "duration": duration,
        "artifact_bytes": artifact_bytes, "log_bytes": log_bytes});
    for (name, value) in wanted.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        budget[name] = value.clone();
    }
    let body = json!({"budget": budget, "comment": comment});
    let answer = client.call(reqwest::Method::PUT, &format!("{path}/budget"), Some(&body)).await?;
    let approval = answer["approval"].as_str().unwrap_or_default();
    approvals::sign_off(client, approval, &comment, &place).await?;
    acted(client, &client.get(&path).await?);
    Ok(())
}

pub(super) async fn run(client: &Client, command: MissionCommand) -> Result<(), CommandError> {
    match command {
        MissionCommand::Create(arguments) => {
            let body = match (&arguments.file, &arguments.goal) {
                (Some(words), _) if is_goal(words) => json!({ "goal": words.to_string_lossy() }),
                (Some(file), _) => read_file(file)?,
                (None, Some(goal)) => json!({ "goal": goal }),
                (None, None) => return Err(CommandError::Usage("name a file or a --goal".to_owned())),
            };
            create(client, &body, arguments.watch).await
        }
        MissionCommand::Run(arguments) => start(client, &arguments).await,
        MissionCommand::List(arguments) => list(client, &arguments).await,
        MissionCommand::Show { mission } => show(client, &mission).await,
        MissionCommand::DryRun { file } => {
            let answer = client.post("/v1/engine/missions/dry-run", &read_file(&file)?).await?;
            render::json(&answer);
            Ok(())
        }
        MissionCommand::Approve(arguments) => decide(client, &arguments, "approve").await,
        MissionCommand::Reject(arguments) => decide(client, &arguments, "reject").await,
        MissionCommand::Cancel { mission } => act(client, &mission, "cancel", json!({})).await,
        MissionCommand::Kill { mission } => act(client, &mission, "cancel", json!({ "at_once": true })).await,
        MissionCommand::Pause { mission } => act(client, &mission, "pause", json!({})).await,
        MissionCommand::Resume { mission } => act(client, &mission, "resume", json!({})).await,
        MissionCommand::Budget(arguments) => budget(client, arguments).await,
        MissionCommand::Rerun { mission, from_failed, watch } => {
            let body = json!({ "from": if from_failed { "failed" } else { "start" } });
            let path = format!("/v1/engine/missions/{}/rerun", escape(&mission));
            let answer = client.post(&path, &body).await?;
            created(client, &answer, watch).await
        }
        MissionCommand::Watch { mission } => watch::mission(client, &mission).await,
        MissionCommand::Logs(arguments) => log::run(client, arguments).await,
        MissionCommand::Resolve { task, verdict } => {
            let path = format!("/v1/engine/tasks/{}/resolve", escape(&task));
            let answer = client.post(&path, &json!({ "as": verdict })).await?;
            if client.json {
                render::json(&answer);
            } else {
                println!("{task} is now {}", render::text(&answer["status"]));
            }
            Ok(())
        }
        MissionCommand::Schema => {
            render::json(&client.get("/v1/engine/missions/schema").await?);
            Ok(())
        }
    }
}

async fn start(client: &Client, arguments: &RunArgs) -> Result<(), CommandError> {
    let path = Path::new(&arguments.target);
    if arguments.target == "-" || path.is_file() || path.extension().is_some() {
        return create(client, &read_file(path)?, arguments.watch).await;
    }
    let answer =
        client.post(&format!("/v1/engine/missions/{}/run", escape(&arguments.target)), &json!({})).await?;
    if arguments.watch {
        return watch::mission(client, &arguments.target).await;
    }
    acted(client, &answer);
    Ok(())
}

/// Several words that name no file.
fn is_goal(words: &Path) -> bool {
    words.to_string_lossy().trim().contains(char::is_whitespace) && !words.exists()
}

async fn create(client: &Client, body: &Value, watch: bool) -> Result<(), CommandError> {
    let mut answer = client.post("/v1/engine/missions", body).await?;
    if answer["status"] == "planning" {
        if !client.json {
            eprintln!("A model is asked for a plan …");
        }
        answer = watch::planned(client, answer["id"].as_str().unwrap_or_default()).await?;
    }
    created(client, &answer, watch).await
}

pub(super) async fn created(client: &Client, mission: &Value, watch: bool) -> Result<(), CommandError> {
    let id = mission["id"].as_str().unwrap_or_default();
    if watch {
        return watch::mission(client, id).await;
    }
    if client.json {
        render::json(mission);
        return Ok(());
    }
    let status = mission["status"].as_str().unwrap_or_default();
    println!("{id}  rank {}  {}", render::text(&mission["rank"]), render::status(status));
    planning::print(mission);
    match status {
        "awaiting_approval" => {
            println!("It waits for approval: nexusmon mission approve {id} --comment \"…\"");
        }
        "needs_plan" => println!("Ask again once it is there: nexusmon mission run {id}"),
        "ready" => println!("It is held: nexusmon mission run {id}"),
        _ => println!("Follow it: nexusmon mission watch {id}"),
    }
    Ok(())
}

async fn list(client: &Client, arguments: &ListArgs) -> Result<(), CommandError> {
    let mut path = "/v1/engine/missions?sort=-created_at".to_owned();
    let filters = [
        ("status", &arguments.status),
        ("rank", &arguments.rank),
        ("label", &arguments.label),
        ("q", &arguments.q),
    ];
    for (name, value) in filters {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", escape(value)));
        }
    }
    let missions = client.list(&path, arguments.limit).await?;
    if client.json {
        render::json(&Value::Array(missions));
        return Ok(());
    }
    if missions.is_empty() {
        println!("No missions. Create one: nexusmon mission run mission.yaml --watch");
    }
    let rows = missions.iter().map(|mission| {
        vec![
            render::text(&mission["id"]),
            render::text(&mission["rank"]),
            render::status(mission["status"].as_str().unwrap_or("-")),
            render::time(&mission["created_at"]),
            render::short(&render::text(&mission["goal"]), 60),
        ]
    });
    render::table(&["mission", "rank", "status", "created", "goal"], rows.collect());
    Ok(())
}

async fn show(client: &Client, id: &str) -> Result<(), CommandError> {
    let mission = client.get(&format!("/v1/engine/missions/{}", escape(id))).await?;
    if client.json {
        render::json(&mission);
        return Ok(());
    }
    println!("{}", render::text(&mission["goal"]));
    let rows = [
        ("mission", render::text(&mission["id"])),
        ("status", render::status(mission["status"].as_str().unwrap_or("-"))),
        ("rank", format!("{} ({})", render::text(&mission["rank"]), render::text(&mission["risk"]))),
        ("plan", render::text(&mission["plan"]["digest"])),
        ("created", render::time(&mission["created_at"])),
        ("finished", render::time(&mission["finished_at"])),
    ];
    for (name, value) in rows {
        println!("  {name:<9} {value}");
    }
    planning::print(&mission);
    if let Some(parent) = mission["parent"]["mission"].as_str() {
        println!("  {:<9} {}", "part of", render::plain(parent));
    }
    println!();
    let tasks = mission["tasks"].as_array().cloned().unwrap_or_default();
    render::table(
        &["task", "uses", "rank", "status", "agent", "note", "id"],
        tasks.iter().map(task_row).collect(),
    );
    let artifacts = mission["artifacts"].as_array().cloned().unwrap_or_default();
    if !artifacts.is_empty() {
        println!();
        super::artifacts::print(&artifacts);
    }
    Ok(())
}

fn task_row(task: &Value) -> Vec<String> {
    vec![
        render::text(&task["id"]),
        render::text(&task["uses"]),
        render::text(&task["rank"]),
        render::status(task["status"].as_str().unwrap_or("-")),
        render::text(&task["agent"]["name"]),
        render::short(&watch::note(task), 70),
        render::text(&task["task_id"]),
    ]
}

async fn decide(client: &Client, arguments: &DecideArgs, verdict: &str) -> Result<(), CommandError> {
    let path = format!("/v1/engine/missions/{}", escape(&arguments.mission));
    let (approval, signature) = if verdict == "approve" {
        let DecideArgs { mission, approval, valid_for, place, .. } = arguments;
        let wanted = approve::Wanted { mission, approval: approval.as_deref(), place, valid_for: *valid_for };
        let (approval, signature) = approve::sign(client, &wanted).await?;
        (Some(approval), signature)
    } else {
        (None, None)
    };
    let digest = match (&arguments.digest, &approval) {
        (Some(digest), _) => Value::String(digest.clone()),
        (None, Some(approval)) => approval["digest"].clone(),
        (None, None) => client.get(&path).await?["plan"]["digest"].take(),
    };
    let mut body = json!({ "digest": digest, "verdict": verdict, "comment": arguments.comment });
    if let Some(signature) = signature {
        body["signature"] = signature;
    }
    let answer = match &approval {
        Some(approval) => {
            let id = approval["id"].as_str().unwrap_or_default();
            client.post(&format!("/v1/governance/approvals/{}/decisions", escape(id)), &body).await?;
            client.get(&path).await?
        }
        None => client.post(&format!("{path}/approve"), &body).await?,
    };
    if arguments.watch && verdict == "approve" {
        return watch::mission(client, &arguments.mission).await;
    }
    acted(client, &answer);
    Ok(())
}

async fn act(client: &Client, mission: &str, verb: &str, body: Value) -> Result<(), CommandError> {
    let answer = client.post(&format!("/v1/engine/missions/{}/{verb}", escape(mission)), &body).await?;
    acted(client, &answer);
    Ok(())
}

fn acted(client: &Client, answer: &Value) {
    if client.json {
        render::json(answer);
        return;
    }
    let mission = if answer["mission"].is_object() { &answer["mission"] } else { answer };
    println!(
        "{}  {}",
        render::text(&mission["id"]),
        render::status(mission["status"].as_str().unwrap_or("-"))
    );
    for (name, count) in answer["stopped"].as_object().into_iter().flatten() {
        if count.as_u64().unwrap_or(0) > 0 {
            println!("  {name}: {count}");
        }
    }
}

/// Reads a mission file: YAML, of which JSON is a part.
pub(super) fn read_file(path: &Path) -> Result<Value, CommandError> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| CommandError::Usage(format!("standard input: {error}")))?;
    } else {
        text = std::fs::read_to_string(path)
            .map_err(|error| CommandError::Usage(format!("cannot read {}: {error}", path.display())))?;
    }
    serde_yaml_ng::from_str(&text)
        .map_err(|error| CommandError::Usage(format!("{} is not a mission file: {error}", path.display())))
}
