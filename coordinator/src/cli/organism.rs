//! `nexusmon evolution` and `nexusmon audit`.

use clap::Args;
use serde_json::Value;

use super::client::{Client, CommandError, escape};
use super::render;

#[derive(Debug, Args)]
pub struct AuditArgs {
    #[arg(long)]
    actor: Option<String>,
    #[arg(long)]
    action: Option<String>,
    #[arg(long)]
    subject: Option<String>,
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

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

pub(super) async fn audit(client: &Client, arguments: AuditArgs) -> Result<(), CommandError> {
    let mut path = "/v1/governance/audit?sort=-seq".to_owned();
    for (name, value) in
        [("actor", &arguments.actor), ("action", &arguments.action), ("subject", &arguments.subject)]
    {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", escape(value)));
        }
    }
    let entries = client.list(&path, arguments.limit).await?;
    if client.json {
        render::json(&Value::Array(entries));
        return Ok(());
    }
    let rows = entries.iter().map(|entry| {
        vec![
            render::text(&entry["seq"]),
            render::time(&entry["at"]),
            render::text(&entry["actor"]),
            render::text(&entry["action"]),
            render::text(&entry["subject"]),
        ]
    });
    render::table(&["seq", "at", "actor", "action", "subject"], rows.collect());
    Ok(())
}
