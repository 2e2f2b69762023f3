//! `nexusmon evolution` and `nexusmon trait`.

use clap::Args;
use nexusmon_shared::time::{Clock as _, Span, SystemClock};
use serde_json::{Value, json};

use super::client::{Client, CommandError, escape};
use super::{approvals, login, render};

pub(super) async fn evolution(client: &Client) -> Result<(), CommandError> {
    let organism = client.get("/v1/nexusmon/organism/status").await?;
    if client.json {
        render::json(&organism);
        return Ok(());
    }
    println!("{}  {} XP", render::text(&organism["stage"]), render::text(&organism["xp"]));
    let next = &organism["next_stage"];
    if next.is_object() {
        println!(
            "next: {} at {} verified missions, {} so far",
            render::text(&next["stage"]),
            render::text(&next["at"]),
            render::text(&next["verified_missions"])
        );
    }
    println!();
    let rows = organism["traits"].as_array().into_iter().flatten().map(|each| {
        let evidence = match &each["evidence"] {
            Value::Null => String::new(),
            Value::String(text) => render::plain(text),
            Value::Object(fields) if fields.contains_key("text") => render::text(&fields["text"]),
            other => other.to_string(),
        };
        vec![render::text(&each["trait"]), render::text(&each["state"]), render::short(&evidence, 80)]
    });
    render::table(&["trait", "state", "evidence"], rows.collect());
    Ok(())
}

#[derive(Debug, Args)]
pub struct TraitArgs {
    /// `RECALL`, `COMPANION`, `WORKER_SPAWN`, `BELIEF_TRACK`, `AUTONOMOUS_CHAIN`, `OPERATOR_FUSION`, `SELF_EVOLVE`
    name: String,
    #[arg(value_parser = ["disable", "reinstate", "grant"])]
    action: String,
    /// Of a grant: how long, as in 168h
    #[arg(long, required_if_eq("action", "grant"))]
    valid_for: Option<Span>,
    /// Why; goes into the audit log
    #[arg(long, short, default_value = "")]
    comment: String,
    /// Read the operator key from this file instead of asking for it
    #[arg(long)]
    key_file: Option<std::path::PathBuf>,
    /// The key you sign with, where people sign [default: nexusmon/owner.key in the user's configuration folder]
    #[arg(long, env = "NEXUSMON_KEY_FILE", value_name = "FILE")]
    sign_with: Option<std::path::PathBuf>,
}

pub(super) async fn change_trait(client: &Client, arguments: TraitArgs) -> Result<(), CommandError> {
    let TraitArgs { name, action, valid_for, comment, key_file, sign_with } = arguments;
    let path = format!("/v1/nexusmon/traits/{}", escape(&name));
    let until = valid_for.map(|span| SystemClock.now() + span.0);
    let body = json!({"action": action, "until": until, "comment": comment});
    let answer = login::fresh(client, reqwest::Method::PUT, key_file.as_deref(), &path, Some(&body)).await?;
    if let Some(approval) = answer["pending_approval"].as_str() {
        let place = super::key::Place { key_file: sign_with };
        if !approvals::sign_off(client, approval, &comment, &place).await? {
            return Ok(());
        }
        println!("{name} is granted.");
        return Ok(());
    }
    if client.json {
        render::json(&answer);
    } else {
        let held = &answer["trait"];
        println!("{}  {}", render::text(&held["trait"]), render::text(&held["state"]));
    }
    Ok(())
}
