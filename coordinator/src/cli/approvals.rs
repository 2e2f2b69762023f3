//! `nexusmon approvals` and `nexusmon reviews`: what waits for a person.

use clap::{Args, Subcommand};
use nexusmon_shared::time::Span;
use serde_json::{Value, json};

use super::client::{Client, CommandError, escape};
use super::key::Place;
use super::{approve, render};

#[derive(Debug, Args)]
pub struct ApprovalsArgs {
    /// pending, approved, rejected, expired, void; or `all`
    #[arg(long, default_value = "pending")]
    status: String,
    #[command(subcommand)]
    command: Option<ApprovalCommand>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ApprovalCommand {
    /// All about one
    Show { approval: String },
    /// Approve it: shows what it is about, and signs that where a signature is needed
    Approve(DecideArgs),
    /// Refuse it
    Reject(DecideArgs),
}

#[derive(Debug, Args)]
pub(super) struct DecideArgs {
    approval: String,
    /// Why; kept with the decision (needed for ranks A and S)
    #[arg(long, short)]
    comment: Option<String>,
    /// How long the signature counts, at most 7 days; of a standing approval it is as long as that
    #[arg(long, default_value = "24h")]
    valid_for: Span,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nexusmon review give rev_… accept --comment \"looks right\"")]
pub struct ReviewsArgs {
    #[command(subcommand)]
    command: Option<ReviewCommand>,
    /// open, accepted, rejected, covered; or `all`
    #[arg(long, default_value = "open")]
    status: String,
    /// Judge this review
    #[arg(long, requires = "verdict")]
    decide: Option<String>,
    #[arg(long, value_parser = ["accept", "reject"])]
    verdict: Option<String>,
    #[arg(long, short)]
    comment: Option<String>,
    /// Each review by itself; else of identical work the newest, with how many more there are
    #[arg(long)]
    each: bool,
}

#[derive(Debug, Subcommand)]
enum ReviewCommand {
    /// What `reviews` alone prints
    #[command(visible_alias = "ls")]
    List {
        /// open, accepted, rejected, covered; or `all`
        #[arg(long, default_value = "open")]
        status: String,
        /// Each review by itself; else of identical work the newest, with how many more there are
        #[arg(long)]
        each: bool,
    },
    /// All about one
    Show { review: String },
    /// Judge flagged work
    Give {
        review: String,
        #[arg(value_parser = ["accept", "reject"])]
        verdict: String,
        /// Why; kept with the judgement
        #[arg(long, short)]
        comment: Option<String>,
    },
}

pub(super) async fn approvals(client: &Client, arguments: ApprovalsArgs) -> Result<(), CommandError> {
    match arguments.command {
        None => {}
        Some(ApprovalCommand::Show { approval }) => {
            let found = client.get(&path(&approval)).await?;
            render::json(&found);
            return Ok(());
        }
        Some(ApprovalCommand::Approve(arguments)) => return decided(client, &arguments, "approve").await,
        Some(ApprovalCommand::Reject(arguments)) => return decided(client, &arguments, "reject").await,
    }
    let items = client.list(&filtered("/v1/governance/approvals", &arguments.status), usize::MAX).await?;
    if client.json {
        render::json(&Value::Array(items));
        return Ok(());
    }
    if items.is_empty() {
        println!("Nothing waits for approval.");
    }
    let rows = items.iter().map(|item| {
        vec![
            render::text(&item["id"]),
            render::text(&item["rank"]),
            render::status(item["status"].as_str().unwrap_or("-")),
            render::time(&item["decide_by"]),
            render::text(&item["mission"]),
            render::short(&render::text(&item["summary"]), 60),
        ]
    });
    render::table(&["approval", "rank", "status", "decide by", "mission", "what"], rows.collect());
    Ok(())
}

fn path(approval: &str) -> String {
    format!("/v1/governance/approvals/{}", escape(approval))
}

async fn decided(client: &Client, arguments: &DecideArgs, verdict: &str) -> Result<(), CommandError> {
    let DecideArgs { approval, comment, valid_for, place } = arguments;
    let found = client.get(&path(approval)).await?;
    let signature = if verdict == "approve" {
        approve::signature(client, &found, place, *valid_for).await?
    } else {
        None
    };
    let body =
        json!({"digest": found["digest"], "verdict": verdict, "comment": comment, "signature": signature});
    let answer = client.post(&format!("{}/decisions", path(approval)), &body).await?;
    say(client, &answer);
    Ok(())
}

fn say(client: &Client, answer: &Value) {
    if client.json {
        render::json(answer);
        return;
    }
    let status = answer["status"].as_str().unwrap_or("-");
    let given = answer["decisions"].as_array().map_or(0, Vec::len);
    let waits = if status == "pending" {
        format!(" ({given} of {} needed)", answer["needed"])
    } else {
        String::new()
    };
    println!("{}  {}{waits}", render::text(&answer["id"]), render::status(status));
}

/// An act that was asked for waits for this approval: who asked signs it at once, where their signature counts. Whether
/// it was the last one that was missing.
pub(super) async fn sign_off(
    client: &Client,
    approval: &str,
    comment: &str,
    place: &Place,
) -> Result<bool, CommandError> {
    let found = client.get(&path(approval)).await?;
    let day = Span::from_secs(24 * 3600);
    let decided = match approve::signature(client, &found, place, day).await {
        Ok(signature) => {
            let body = json!({"digest": found["digest"], "verdict": "approve", "comment": comment,
                "signature": signature});
            client.post(&format!("{}/decisions", path(approval)), &body).await
        }
        Err(error) => Err(error),
    };
    match decided {
        Ok(answer) if answer["status"] == "approved" => return Ok(true),
        Ok(answer) => say(client, &answer),
        Err(error) => eprintln!("not signed by you: {error}"),
    }
    eprintln!("It waits: nexusmon approvals approve {approval} --comment \"…\"");
    Ok(false)
}

pub(super) async fn reviews(client: &Client, arguments: ReviewsArgs) -> Result<(), CommandError> {
    let ReviewsArgs { command, status, decide, verdict, comment, each } = arguments;
    match (command, decide, verdict) {
        (Some(ReviewCommand::List { status, each }), ..) => review_list(client, &status, each).await,
        (Some(ReviewCommand::Show { review }), ..) => {
            render::json(&client.get(&format!("/v1/governance/reviews/{}", escape(&review))).await?);
            Ok(())
        }
        (Some(ReviewCommand::Give { review, verdict, comment }), ..) => {
            judge(client, &review, &verdict, comment.as_deref()).await
        }
        (None, Some(review), Some(verdict)) => judge(client, &review, &verdict, comment.as_deref()).await,
        (None, ..) => review_list(client, &status, each).await,
    }
}

async fn judge(
    client: &Client,
    review: &str,
    verdict: &str,
    comment: Option<&str>,
) -> Result<(), CommandError> {
    let body = json!({ "review": review, "verdict": verdict, "comment": comment });
    let answer = client.post("/v1/governance/reviews", &body).await?;
    if client.json {
        render::json(&answer);
        return Ok(());
    }
    println!("{}  {}", render::text(&answer["id"]), render::status(answer["status"].as_str().unwrap_or("-")));
    if let Some(left @ 1..) = answer["alike"].as_u64() {
        println!(
            "{left} of the same shape stay open: other machines, nothing left to judge, or not succeeded."
        );
    }
    Ok(())
}

async fn review_list(client: &Client, status: &str, each: bool) -> Result<(), CommandError> {
    let mut path = filtered("/v1/governance/reviews", status);
    if !each {
        path.push_str(if path.contains('?') { "&group=shape" } else { "?group=shape" });
    }
    let items = client.list(&path, usize::MAX).await?;
    if client.json {
        render::json(&Value::Array(items));
        return Ok(());
    }
    if items.is_empty() {
        println!("No flagged work waits for a judgement.");
    }
    let rows = items.iter().map(|item| {
        vec![
            render::text(&item["id"]),
            render::text(&item["rank"]),
            render::status(item["status"].as_str().unwrap_or("-")),
            render::time(&item["created_at"]),
            render::text(&item["mission"]),
            render::text(&item["alike"]),
            render::short(&render::text(&item["goal"]), 40),
        ]
    });
    render::table(&["review", "rank", "status", "opened", "mission", "alike", "goal"], rows.collect());
    Ok(())
}

fn filtered(path: &str, status: &str) -> String {
    if status == "all" { path.to_owned() } else { format!("{path}?status={}", escape(status)) }
}
