//! `nexusmon audit`: reads the log, takes it along as a file, and checks such a file without a coordinator.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use futures::StreamExt as _;
use nexusmon_shared::trust::checkpoint::{Restore, RestoreRecord};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::client::{Client, CommandError, escape};
use super::key::Place;
use super::{Connection, render, verify};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: Option<AuditCommand>,
    #[command(flatten)]
    tail: TailArgs,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// The newest entries, newest first
    Tail(TailArgs),
    /// The newest signed head, the key to verify exports with, and which agents attest it
    Checkpoint,
    /// Write the whole log into a file that `audit verify` checks
    Export {
        /// `-` for standard output
        #[arg(short, long, default_value = "nexusmon-audit.ndjson")]
        output: PathBuf,
    },
    /// Restores from backups. Agents that have seen more of the log than came back take no work until the owner has signed
    Restored {
        /// Sign for those that are not signed yet, with the owner's key on this machine
        #[arg(long)]
        sign: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Check an export, without a coordinator and without a network. Exit codes: 0 it holds, 1 it does not, 2 it cannot
    /// be read
    Verify(verify::VerifyArgs),
}

#[derive(Debug, Args)]
pub(super) struct TailArgs {
    #[arg(long)]
    actor: Option<String>,
    #[arg(long)]
    action: Option<String>,
    #[arg(long)]
    subject: Option<String>,
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

pub(super) async fn audit(connection: &Connection, arguments: AuditArgs) -> Result<(), CommandError> {
    let command = arguments.command.unwrap_or(AuditCommand::Tail(arguments.tail));
    match command {
        AuditCommand::Verify(arguments) => verify::verify(&arguments, connection.json),
        AuditCommand::Tail(arguments) => tail(&Client::new(connection)?, arguments).await,
        AuditCommand::Checkpoint => checkpoint(&Client::new(connection)?).await,
        AuditCommand::Restored { sign, place } => {
            restored(&Client::new(connection)?, sign.then_some(&place)).await
        }
        AuditCommand::Export { output } => export(&Client::new(connection)?, &output).await,
    }
}

async fn tail(client: &Client, arguments: TailArgs) -> Result<(), CommandError> {
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

async fn checkpoint(client: &Client) -> Result<(), CommandError> {
    let head = client.get("/v1/governance/audit/checkpoint").await?;
    if client.json {
        render::json(&head);
        return Ok(());
    }
    // The note as it is: it can be kept in a file, and its parser takes nothing else.
    print!("{}", head["note"].as_str().unwrap_or_default());
    println!();
    println!("key: {}", render::text(&head["key"]));
    let (attested, of) = (render::text(&head["attested"]), render::text(&head["of"]));
    match head["attested_seconds_ago"].as_f64() {
        Some(ago) => println!("attested by {attested} of {of} agents, {ago:.0} s ago"),
        None => println!("no independent witness: no agent on another host has cosigned it"),
    }
    Ok(())
}

async fn export(client: &Client, output: &Path) -> Result<(), CommandError> {
    let response = client.stream("/v1/governance/audit/export", "application/x-ndjson").await?;
    let mut body = response.bytes_stream();
    let broken =
        |error: &dyn std::fmt::Display| CommandError::Failed(format!("the export broke off: {error}"));
    if output == Path::new("-") {
        let mut out = tokio::io::stdout();
        while let Some(chunk) = body.next().await {
            out.write_all(&chunk.map_err(|error| broken(&error))?).await.map_err(|error| broken(&error))?;
        }
        return out.flush().await.map_err(|error| broken(&error));
    }
    // Never a half file under the final name.
    let mut partial = output.as_os_str().to_owned();
    partial.push(".part");
    let partial = PathBuf::from(partial);
    let mut file = tokio::fs::File::create(&partial)
        .await
        .map_err(|error| CommandError::Usage(format!("cannot write {}: {error}", partial.display())))?;
    while let Some(chunk) = body.next().await {
        file.write_all(&chunk.map_err(|error| broken(&error))?).await.map_err(|error| broken(&error))?;
    }
    file.sync_all().await.map_err(|error| broken(&error))?;
    tokio::fs::rename(&partial, output).await.map_err(|error| broken(&error))?;
    if client.json {
        render::json(&json!({"file": output}));
    } else {
        println!("{}", output.display());
    }
    Ok(())
}

const RESTORES: &str = "/v1/governance/audit/restores";

/// Lists the restores; with a place for the key, signs for those that are not signed.
async fn restored(client: &Client, sign: Option<&Place>) -> Result<(), CommandError> {
    let mut answer = client.get(RESTORES).await?;
    let mut list = read(&answer)?;
    if let Some(place) = sign {
        let unsigned: Vec<RestoreRecord> =
            list.iter().filter(|one| one.signature.is_none()).map(|one| one.record).collect();
        if !client.json {
            for record in &unsigned {
                eprintln!("{}", said(record));
            }
        }
        if !unsigned.is_empty() {
            let key = place.open()?;
            for record in unsigned {
                let signed = record.sign(key.signing_key());
                let body = json!({"record": signed.record, "signature": signed.signature});
                answer = client.post(RESTORES, &body).await?;
            }
            list = read(&answer)?;
        }
    }
    if client.json {
        render::json(&answer);
        return Ok(());
    }
    if list.is_empty() {
        println!("nothing was restored from a backup");
        return Ok(());
    }
    let rows = list.iter().map(|Restore { record, signature }| {
        let by = signature
            .as_ref()
            .map_or("nobody: `--sign`".to_owned(), |by| by.key.to_string()[..12].to_owned());
        let RestoreRecord { old_epoch, new_epoch, size, root, .. } = record;
        vec![
            old_epoch.to_string(),
            new_epoch.to_string(),
            size.to_string(),
            root.to_string()[..16].to_owned(),
            by,
        ]
    });
    render::table(&["old epoch", "new epoch", "entries", "root", "signed by"], rows.collect());
    Ok(())
}

fn said(record: &RestoreRecord) -> String {
    let RestoreRecord { old_epoch, new_epoch, size, root, .. } = record;
    format!("epoch {old_epoch} went back to {size} entries (root {root}) and goes on as epoch {new_epoch}")
}

fn read(answer: &Value) -> Result<Vec<Restore>, CommandError> {
    serde_json::from_value(answer["items"].clone())
        .map_err(|error| CommandError::Failed(format!("the list of restores cannot be read: {error}")))
}
