//! `nexusmon secret …`. Values come from standard input or a file, never from the command line, which others can see.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::client::{Client, CommandError, escape};
use super::render;

#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Set a value: the first, or the next version
    Set(SetArgs),
    /// Every secret by name, and which agents were handed it
    #[command(visible_alias = "ls")]
    List,
    /// Remove a secret; who was handed it stays in the log
    #[command(name = "rm", visible_alias = "remove")]
    Remove { name: String },
}

#[derive(Debug, Args)]
pub struct SetArgs {
    name: String,
    /// Take the value from this file instead of standard input
    #[arg(long, short)]
    file: Option<PathBuf>,
    /// Keep a line's end at the end of the value
    #[arg(long)]
    keep_newline: bool,
    /// Playbook it belongs to, in its newest version or as NAME@VERSION; may be repeated
    #[arg(long, value_name = "NAME")]
    playbook: Vec<String>,
    /// Agent it belongs to; may be repeated
    #[arg(long, value_name = "AGENT")]
    agent: Vec<String>,
    /// Host it may be sent to; may be repeated
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// Bind it to nothing: every use ranks A
    #[arg(long, conflicts_with_all = ["playbook", "agent", "host"])]
    unbound: bool,
}

pub(super) async fn run(client: &Client, command: SecretCommand) -> Result<(), CommandError> {
    let path = |name: &str| format!("/v1/governance/secrets/{}", escape(name));
    match command {
        SecretCommand::Set(arguments) => set(client, &path(&arguments.name), &arguments).await,
        SecretCommand::List => {
            let answer = client.get("/v1/governance/secrets").await?;
            list(client, &answer);
            Ok(())
        }
        SecretCommand::Remove { name } => {
            client.call(Method::DELETE, &path(&name), None).await?;
            if !client.json {
                println!("{name}: removed");
            }
            Ok(())
        }
    }
}

/// The longest value the API takes, and a little: more is refused there with its own words.
const MOST: u64 = 128 * 1024;

fn value(arguments: &SetArgs) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let mut value = Zeroizing::new(Vec::with_capacity(usize::try_from(MOST).unwrap_or(0)));
    let read = match &arguments.file {
        Some(path) => std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut value)),
        None => {
            if std::io::stdin().is_terminal() {
                eprintln!("The value, ended by Ctrl-D (it is shown as you type; a pipe or --file hides it):");
            }
            std::io::stdin().lock().take(MOST).read_to_end(&mut value)
        }
    };
    let place =
        arguments.file.as_ref().map_or_else(|| "standard input".into(), |path| path.display().to_string());
    read.map_err(|error| CommandError::Usage(format!("cannot read {place}: {error}")))?;
    if !arguments.keep_newline && value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
    if value.is_empty() {
        return Err(CommandError::Usage(format!("there is no value in {place}")));
    }
    Ok(value)
}

async fn set(client: &Client, path: &str, arguments: &SetArgs) -> Result<(), CommandError> {
    let value = value(arguments)?;
    let mut body = match std::str::from_utf8(&value) {
        Ok(text) if !text.contains('\0') => json!({ "value": text }),
        _ => json!({ "value_base64": STANDARD.encode(&value) }),
    };
    let SetArgs { playbook, agent, host, unbound, .. } = arguments;
    if *unbound || !(playbook.is_empty() && agent.is_empty() && host.is_empty()) {
        body["binding"] = json!({"playbooks": playbook, "agents": agent, "hosts": host});
    }
    let answer = client.call(Method::PUT, path, Some(&body)).await?;
    if client.json {
        render::json(&answer);
        return Ok(());
    }
    println!("{}: version {}", render::text(&answer["name"]), answer["version"]);
    println!("bound to {}", bound(&answer["binding"]));
    if answer["masked"] == false {
        println!("It is short or simple, and will NOT be masked in logs.");
    }
    let old = answer["received"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    if !old.is_empty() {
        let names: Vec<_> = old.iter().map(receiver).collect();
        println!("Earlier versions were handed to: {}", names.join(", "));
    }
    Ok(())
}

fn receiver(received: &Value) -> String {
    let name = received["name"].as_str().or(received["agent"].as_str()).unwrap_or_default();
    format!("{} (v{})", render::plain(name), received["version"])
}

fn bound(binding: &Value) -> String {
    let mut words = Vec::new();
    for (field, word) in [("playbooks", "playbook"), ("agents", "agent"), ("hosts", "host")] {
        for name in binding[field].as_array().into_iter().flatten() {
            words.push(format!("{word} {}", render::text(name)));
        }
    }
    if words.is_empty() { "nothing (every use ranks A)".to_owned() } else { words.join(", ") }
}

fn list(client: &Client, answer: &Value) {
    if client.json {
        render::json(&answer["items"]);
        return;
    }
    let items = answer["items"].as_array().cloned().unwrap_or_default();
    if items.is_empty() {
        println!("No secrets. Set one with `nexusmon secret set NAME < file`.");
        return;
    }
    let rows = items.iter().map(|secret| {
        let received: Vec<_> = secret["received"].as_array().into_iter().flatten().map(receiver).collect();
        vec![
            render::text(&secret["name"]),
            format!("v{}", secret["version"]),
            bound(&secret["binding"]),
            if secret["masked"] == true { "yes" } else { "NO" }.to_owned(),
            if received.is_empty() { "nobody".to_owned() } else { received.join(", ") },
            render::time(&secret["changed_at"]),
        ]
    });
    render::table(&["secret", "version", "bound to", "masked", "handed to", "changed"], rows.collect());
}
