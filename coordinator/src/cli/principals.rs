//! `nexusmon principal …` and `nexusmon token …`: people, and programs that act for them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, CommandError, escape};
use super::{login, render};

const PEOPLE: &str = "/v1/governance/principals";
const TOKENS: &str = "/v1/governance/tokens";

/// Both are the owner's to make, after a log-in of the last minutes.
#[derive(Debug, Args)]
pub struct Fresh {
    /// Read the operator key from this file instead of asking for it
    #[arg(long)]
    key_file: Option<PathBuf>,
}

impl Fresh {
    async fn call(
        &self,
        client: &Client,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, CommandError> {
        login::fresh(client, method, self.key_file.as_deref(), path, body).await
    }
}

#[derive(Debug, Subcommand)]
pub enum PrincipalCommand {
    /// People, newest first
    #[command(visible_alias = "ls")]
    List,
    /// Add a person; prints the password they log in with, once
    Add {
        name: String,
        #[arg(long, value_parser = ["operator", "approver", "viewer", "service"])]
        role: String,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// Give a person another role
    Role {
        /// Id or name
        principal: String,
        #[arg(value_parser = ["operator", "approver", "viewer", "service"])]
        role: String,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// End a person's access at once; the name is never given again
    #[command(visible_alias = "rm")]
    Remove {
        /// Id or name
        principal: String,
        #[command(flatten)]
        fresh: Fresh,
    },
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Tokens, newest first
    #[command(visible_alias = "ls")]
    List,
    /// Make a token for a program; prints it, once
    Add {
        name: String,
        #[arg(long, default_value = "service", value_parser = ["operator", "viewer", "service"])]
        role: String,
        /// Its work above this rank waits for people
        #[arg(long, default_value = "D")]
        rank_ceiling: String,
        /// How long it counts
        #[arg(long, default_value = "2160h")]
        ttl: String,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// End a token at once
    #[command(visible_alias = "rm")]
    Remove {
        /// Id or name
        name: String,
        #[command(flatten)]
        fresh: Fresh,
    },
}

pub(super) async fn principals(client: &Client, command: PrincipalCommand) -> Result<(), CommandError> {
    match command {
        PrincipalCommand::List => list(client, PEOPLE).await,
        PrincipalCommand::Add { name, role, fresh } => {
            let body = json!({"name": name, "role": role});
            made(client, &fresh.call(client, Method::POST, PEOPLE, Some(&body)).await?);
            Ok(())
        }
        PrincipalCommand::Role { principal, role, fresh } => {
            let path = format!("{PEOPLE}/{}", escape(&id_of(client, PEOPLE, &principal).await?));
            let body = json!({"role": role});
            let answer = fresh.call(client, Method::PATCH, &path, Some(&body)).await?;
            said(client, &answer, &format!("{principal} is now {role}"));
            Ok(())
        }
        PrincipalCommand::Remove { principal, fresh } => remove(client, PEOPLE, &principal, fresh).await,
    }
}

pub(super) async fn tokens(client: &Client, command: TokenCommand) -> Result<(), CommandError> {
    match command {
        TokenCommand::List => list(client, TOKENS).await,
        TokenCommand::Add { name, role, rank_ceiling, ttl, fresh } => {
            let body = json!({"name": name, "role": role, "rank_ceiling": rank_ceiling, "ttl": ttl});
            made(client, &fresh.call(client, Method::POST, TOKENS, Some(&body)).await?);
            Ok(())
        }
        TokenCommand::Remove { name, fresh } => remove(client, TOKENS, &name, fresh).await,
    }
}

async fn list(client: &Client, path: &str) -> Result<(), CommandError> {
    let items = client.list(path, usize::MAX).await?;
    if client.json {
        render::json(&Value::Array(items));
        return Ok(());
    }
    let rows = items.iter().map(|item| {
        vec![
            render::text(&item["id"]),
            render::text(&item["name"]),
            render::text(&item["role"]),
            render::text(&item["rank_ceiling"]),
            render::time(&item["created_at"]),
            render::time(&item["expires_at"]),
            render::time(&item["revoked_at"]),
        ]
    });
    let header = ["id", "name", "role", "up to rank", "made", "expires", "revoked"];
    render::table(&header, rows.collect());
    Ok(())
}

fn made(client: &Client, answer: &Value) {
    if client.json {
        render::json(answer);
        return;
    }
    let principal = &answer["principal"];
    println!("{}  {}", render::text(&principal["id"]), render::text(&principal["name"]));
    println!("secret  {}", render::text(&answer["secret"]));
    println!("It is shown this once.");
}

fn said(client: &Client, answer: &Value, text: &str) {
    if client.json {
        render::json(answer);
    } else {
        println!("{}", render::plain(text));
    }
}

async fn remove(client: &Client, path: &str, wanted: &str, fresh: Fresh) -> Result<(), CommandError> {
    let one = format!("{path}/{}", escape(&id_of(client, path, wanted).await?));
    let answer = fresh.call(client, Method::DELETE, &one, None).await?;
    said(client, &answer, &format!("{wanted} is revoked"));
    Ok(())
}

/// The id behind a name that is not revoked.
async fn id_of(client: &Client, path: &str, wanted: &str) -> Result<String, CommandError> {
    if wanted.starts_with("prn_") {
        return Ok(wanted.to_owned());
    }
    let items = client.list(path, usize::MAX).await?;
    let found = items.iter().find(|item| item["name"] == wanted && item["revoked_at"].is_null());
    found
        .and_then(|item| item["id"].as_str())
        .map(str::to_owned)
        .ok_or_else(|| CommandError::Usage(format!("nobody here is called `{}`", render::plain(wanted))))
}
