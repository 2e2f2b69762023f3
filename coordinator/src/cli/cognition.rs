//! `nexusmon cognition`: what the organism knows about its own thinking, every number from records.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{Client, CommandError};
use super::render;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  nexusmon cognition\n  nexusmon cognition errors --days 7\n  nexusmon cognition predictions --json"
)]
pub struct CognitionArgs {
    #[command(subcommand)]
    command: Option<CognitionCommand>,
}

#[derive(Debug, Subcommand)]
enum CognitionCommand {
    /// All of it in brief (what `cognition` alone prints)
    Status,
    /// Predictions against what came of them, newest first
    Predictions {
        /// How far back, 1 to 365
        #[arg(long, default_value_t = 30)]
        days: u32,
        /// At most this many outcomes, up to 200
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Failures by cause and capability
    Errors {
        /// How far back, 1 to 365
        #[arg(long, default_value_t = 30)]
        days: u32,
    },
}

pub(super) async fn cognition(client: &Client, arguments: CognitionArgs) -> Result<(), CommandError> {
    match arguments.command.unwrap_or(CognitionCommand::Status) {
        CognitionCommand::Status => told(client, "/v1/cognition/status", status).await,
        CognitionCommand::Predictions { days, limit } => {
            told(client, &format!("/v1/cognition/predictions?days={days}&limit={limit}"), predictions).await
        }
        CognitionCommand::Errors { days } => {
            told(client, &format!("/v1/cognition/errors?days={days}"), errors).await
        }
    }
}

async fn told(client: &Client, path: &str, print: fn(&Value)) -> Result<(), CommandError> {
    let answer = client.get(path).await?;
    if client.json {
        render::json(&answer);
    } else {
        print(&answer);
    }
    Ok(())
}

fn status(answer: &Value) {
    let days = render::text(&answer["window_days"]);
    let (predictions, memory, attention) = (&answer["predictions"], &answer["memory"], &answer["attention"]);
    let causes = answer["errors"].as_object();
    let failures: u64 = causes.map_or(0, |causes| causes.values().filter_map(Value::as_u64).sum());
    let rows = [
        ("predictions scored", format!("{} of {}", predictions["scored"], predictions["made"])),
        ("Brier score (0.25 is a coin)", render::number(&predictions["brier"], 3)),
        ("error of durations (median)", render::number(&predictions["duration_error"], 2)),
        ("failures", failures.to_string()),
        ("observed beliefs", answer["beliefs"].as_array().map_or(0, Vec::len).to_string()),
        ("memories", kinds(&memory["remembered"])),
        ("approvals waiting", render::text(&attention["approvals_waiting"])),
        ("reviews waiting", render::text(&attention["reviews_waiting"])),
        ("uncertain tasks", render::text(&attention["uncertain_tasks"])),
        ("goals without a plan", render::text(&attention["needs_plan"])),
        ("seconds until decided (mean)", render::number(&attention["mean_seconds_to_decide"], 0)),
    ];
    println!("Predictions, failures and questions to memory: the last {days} days.\n");
    render::table(
        &["number", "value"],
        rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect(),
    );
    let causes = causes.into_iter().flatten();
    counted("cause of failures", causes.map(|(name, count)| vec![render::plain(name), count.to_string()]));
    planners(&answer["planner"]);
    asked(&memory["asked"]);
}

/// `mission 3, artifact 2`.
fn kinds(remembered: &Value) -> String {
    let kinds = remembered.as_object().into_iter().flatten();
    let kinds: Vec<_> = kinds.map(|(kind, count)| format!("{} {count}", render::plain(kind))).collect();
    if kinds.is_empty() { "0".to_owned() } else { kinds.join(", ") }
}

fn counted(what: &str, rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        println!();
        render::table(&[what, "count"], rows);
    }
}

fn planners(planners: &Value) {
    let rows = planners.as_array().into_iter().flatten().map(|item| {
        vec![
            render::text(&item["kind"]),
            render::text(&item["asked"]),
            render::text(&item["planned"]),
            render::text(&item["questions"]),
            render::text(&item["fell_through"]),
            render::text(&item["calls"]),
            format!("{} / {}", item["tokens_in"], item["tokens_out"]),
            render::number(&item["cost_usd"], 4),
            render::number(&item["mean_seconds"], 2),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        println!("\nPlanners, the last 90 days:");
    }
    render::table(
        &[
            "planner",
            "asked",
            "planned",
            "asked back",
            "left to the next",
            "calls",
            "tokens in / out",
            "usd",
            "seconds",
        ],
        rows,
    );
}

fn asked(asked: &Value) {
    let rows = asked.as_array().into_iter().flatten().map(|item| {
        vec![
            render::text(&item["purpose"]),
            render::text(&item["asked"]),
            render::text(&item["hits"]),
            render::text(&item["used"]),
            render::number(&item["hit_rate"], 2),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        println!("\nHow memory was asked:");
    }
    render::table(&["purpose", "asked", "hits", "used", "hit rate"], rows);
}

fn predictions(answer: &Value) {
    println!(
        "{} of {} scored in the last {} days; Brier {} (0.25 is a coin), median error of durations {}",
        answer["scored"],
        answer["made"],
        answer["window_days"],
        render::number(&answer["brier"], 3),
        render::number(&answer["duration_error"], 2)
    );
    let bins = answer["calibration"].as_array().into_iter().flatten();
    let bins = bins.filter(|bin| bin["predictions"].as_u64().is_some_and(|count| count > 0)).map(|bin| {
        vec![
            format!("{} to {}", render::number(&bin["from"], 1), render::number(&bin["to"], 1)),
            render::text(&bin["predictions"]),
            render::number(&bin["mean_predicted"], 2),
            render::number(&bin["observed"], 2),
        ]
    });
    render::table(&["said", "predictions", "mean", "came true"], bins.collect());
    println!();
    let rows = answer["outcomes"].as_array().into_iter().flatten().map(|item| {
        vec![
            render::text(&item["mission"]),
            render::text(&item["rank"]),
            render::number(&item["predicted_success"], 2),
            render::status(if item["succeeded"] == true { "succeeded" } else { "failed" }),
            format!(
                "{} / {}",
                render::number(&item["predicted_seconds"], 1),
                render::number(&item["actual_seconds"], 1)
            ),
            render::short(&render::text(&item["basis"]), 40),
            render::short(&render::text(&item["goal"]), 40),
        ]
    });
    render::table(
        &["mission", "rank", "said", "outcome", "seconds said / took", "from", "goal"],
        rows.collect(),
    );
}

fn errors(answer: &Value) {
    println!("{} failures in the last {} days", answer["total"], answer["window_days"]);
    for (what, field) in [("cause", "by_cause"), ("capability", "by_capability")] {
        let items = answer[field].as_array().into_iter().flatten();
        counted(what, items.map(|item| vec![render::text(&item["name"]), render::text(&item["count"])]));
    }
}
