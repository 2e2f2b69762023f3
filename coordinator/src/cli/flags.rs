//! `nexusmon flag …` and `nexusmon rate …`: what is switched off or slowed down.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, CommandError, escape};
use super::render;

#[derive(Debug, Subcommand)]
pub enum FlagCommand {
    /// Everything that is switched off
    #[command(visible_alias = "ls")]
    List,
    /// Switch a capability (`shell.run`) or a whole plugin (`shell.*`) off
    Disable {
        capability: String,
        /// `fleet`, `label:key=value`, or an agent
        #[arg(long, default_value = "fleet")]
        scope: String,
        /// Goes into the audit log
        #[arg(long, short)]
        reason: Option<String>,
        /// End what runs of it there, too
        #[arg(long)]
        stop: bool,
    },
    /// Switch it on again, where it was switched off
    Enable {
        capability: String,
        /// `fleet`, `label:key=value`, or an agent
        #[arg(long, default_value = "fleet")]
        scope: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum RateCommand {
    /// Every rate, and how far it is spent
    #[command(visible_alias = "ls")]
    List,
    /// Let at most so many start in any stretch of that length
    Set {
        /// `capability:NAME`, `agent:NAME`, or `key:NAME` of a task's `limits`
        key: String,
        #[arg(long)]
        most: u32,
        /// For example 60s, 10m, 1h
        #[arg(long)]
        per: String,
    },
    /// Take a rate away
    #[command(visible_alias = "rm")]
    Remove { key: String },
}

pub(super) async fn flags(client: &Client, command: FlagCommand) -> Result<(), CommandError> {
    let path = |capability: &str| format!("/v1/fleet/flags/{}", escape(capability));
    let answer = match command {
        FlagCommand::List => client.get("/v1/fleet/flags").await?,
        FlagCommand::Disable { capability, scope, reason, stop } => {
            let body = json!({"disabled": true, "scope": scope, "reason": reason, "stop": stop});
            client.call(Method::PUT, &path(&capability), Some(&body)).await?
        }
        FlagCommand::Enable { capability, scope } => {
            let body = json!({"disabled": false, "scope": scope});
            client.call(Method::PUT, &path(&capability), Some(&body)).await?
        }
    };
    show(client, &answer, "Nothing is switched off.", &["capability", "scope", "since", "reason"], |flag| {
        vec![
            render::text(&flag["capability"]),
            render::text(&flag["scope"]),
            render::time(&flag["since"]),
            render::text(&flag["reason"]),
        ]
    });
    Ok(())
}

pub(super) async fn rates(client: &Client, command: RateCommand) -> Result<(), CommandError> {
    let path = |key: &str| format!("/v1/fleet/rates/{}", escape(key));
    let answer = match command {
        RateCommand::List => client.get("/v1/fleet/rates").await?,
        RateCommand::Set { key, most, per } => {
            let body = json!({"most": most, "per": per});
            client.call(Method::PUT, &path(&key), Some(&body)).await?
        }
        RateCommand::Remove { key } => {
            client.call(Method::DELETE, &path(&key), None).await?;
            client.get("/v1/fleet/rates").await?
        }
    };
    show(client, &answer, "No rate is set.", &["key", "used", "most", "per"], |rate| {
        vec![
            render::text(&rate["key"]),
            render::text(&rate["used"]),
            render::text(&rate["most"]),
            format!("{} s", rate["per"]),
        ]
    });
    Ok(())
}

fn show(client: &Client, answer: &Value, none: &str, header: &[&str], row: impl Fn(&Value) -> Vec<String>) {
    if client.json {
        render::json(&answer["items"]);
        return;
    }
    let items = answer["items"].as_array().cloned().unwrap_or_default();
    if items.is_empty() {
        println!("{none}");
    }
    render::table(header, items.iter().map(row).collect());
}
