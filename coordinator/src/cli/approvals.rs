//! `nexusmon approvals` and `nexusmon reviews`: what waits for a person.

use clap::Args;
use serde_json::{Value, json};

use super::client::{Client, CommandError, escape};
use super::render;

#[derive(Debug, Args)]
pub struct ApprovalsArgs {
    /// pending, approved, rejected, expired, void; or `all`
    #[arg(long, default_value = "pending")]
    status: String,
}

#[derive(Debug, Args)]
pub struct ReviewsArgs {
    /// open, accepted, rejected; or `all`
    #[arg(long, default_value = "open")]
    status: String,
    /// Judge this review
    #[arg(long, requires = "verdict")]
    decide: Option<String>,
    #[arg(long, value_parser = ["accept", "reject"])]
    verdict: Option<String>,
    #[arg(long, short)]
    comment: Option<String>,
}

pub(super) async fn approvals(client: &Client, arguments: ApprovalsArgs) -> Result<(), CommandError> {
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

pub(super) async fn reviews(client: &Client, arguments: ReviewsArgs) -> Result<(), CommandError> {
    if let (Some(review), Some(verdict)) = (&arguments.decide, &arguments.verdict) {
        let body = json!({ "review": review, "verdict": verdict, "comment": arguments.comment });
        let answer = client.post("/v1/governance/reviews", &body).await?;
        if client.json {
            render::json(&answer);
        } else {
            println!(
                "{}  {}",
                render::text(&answer["id"]),
                render::status(answer["status"].as_str().unwrap_or("-"))
            );
        }
        return Ok(());
    }
    let items = client.list(&filtered("/v1/governance/reviews", &arguments.status), usize::MAX).await?;
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
        ]
    });
    render::table(&["review", "rank", "status", "opened", "mission"], rows.collect());
    Ok(())
}

fn filtered(path: &str, status: &str) -> String {
    if status == "all" { path.to_owned() } else { format!("{path}?status={}", escape(status)) }
}
