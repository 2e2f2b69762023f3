//! `nexusmon agent invite`: one line for a person to paste, or token files that agents pick up by themselves.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use nexusmon_shared::join_token::JoinToken;
use nexusmon_shared::lifecycle::termination;
use nexusmon_shared::time::{Clock as _, Span, SystemClock, Timestamp};
use serde_json::{Value, json};

use super::agents::parse_labels;
use super::client::{Client, CommandError};
use super::{key, render};

/// How often `--keep` looks whether a token was taken.
const PACE: Duration = Duration::from_secs(2);
/// What an agent takes; anything else in the folder is left alone.
const EXTENSION: &str = "token";

#[derive(Debug, Args)]
pub struct InviteArgs {
    /// The new agent's name; with --into the beginning of it
    #[arg(long)]
    name: String,
    /// `key=value,key=value`
    #[arg(long, value_delimiter = ',')]
    labels: Vec<String>,
    /// The highest rank it will be offered
    #[arg(long, default_value = "C")]
    max_rank: String,
    /// How long the invite may be used
    #[arg(long, default_value = "15m")]
    ttl: String,
    /// Write tokens into this folder, one file each, for `nexusmon-agent run --join-from`
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// How many tokens the folder gets
    #[arg(long, default_value_t = 1, requires = "into", value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// Stay, and replace tokens that were taken or have grown old, until told to stop
    #[arg(long, requires = "into")]
    keep: bool,
    /// Do nothing if this exists: the sign that the agent beside has joined already
    #[arg(long, value_name = "PATH", requires = "into")]
    unless: Option<PathBuf>,
}

pub(super) async fn run(client: &Client, arguments: InviteArgs) -> Result<(), CommandError> {
    let Some(folder) = &arguments.into else { return print(client, &arguments).await };
    if arguments.unless.as_ref().is_some_and(|sign| sign.exists()) {
        return Ok(());
    }
    let ttl: Span = arguments.ttl.parse().map_err(|error| CommandError::Usage(format!("--ttl: {error}")))?;
    fs::create_dir_all(folder).map_err(|error| io(folder, &error))?;
    if !arguments.keep {
        return top_up(client, &arguments, folder, ttl.0).await;
    }
    let staying = async {
        loop {
            if let Err(error) = top_up(client, &arguments, folder, ttl.0).await {
                // Whoever stays has time: the coordinator may be starting.
                eprintln!("no new invites for now: {error}");
            }
            tokio::time::sleep(PACE).await;
        }
    };
    tokio::select! {
        signal = termination() => signal.map(drop).map_err(|error| CommandError::Failed(error.to_string())),
        () = staying => Ok(()),
    }
}

async fn create(client: &Client, arguments: &InviteArgs, name: &str) -> Result<Value, CommandError> {
    let body = json!({
        "name": name,
        "labels": parse_labels(&arguments.labels)?,
        "max_rank": arguments.max_rank,
        "ttl": arguments.ttl,
    });
    let answer = client.post("/v1/fleet/invites", &body).await?;
    check_owner_key(&answer)?;
    Ok(answer)
}

/// A machine believes the owner key its token names: where the owner's own key lies here, it must be that one.
fn check_owner_key(answer: &Value) -> Result<(), CommandError> {
    let Some(mine) = key::local_id() else { return Ok(()) };
    let token: Option<JoinToken> = answer["token"].as_str().and_then(|token| token.parse().ok());
    let named = token.map(|token| hex::encode(token.owner_key()));
    match named {
        Some(named) if named != mine && named != "0".repeat(64) => Err(CommandError::Failed(format!(
            "the coordinator's token names the owner key {named}, and yours is {mine}: do not use it unless you know why"
        ))),
        _ => Ok(()),
    }
}

async fn print(client: &Client, arguments: &InviteArgs) -> Result<(), CommandError> {
    let answer = create(client, arguments, &arguments.name).await?;
    if client.json {
        render::json(&answer);
    } else {
        println!("Paste this on the new machine before {}:\n", render::time(&answer["expires_at"]));
        println!("    {}", render::text(&answer["command"]));
        println!("\nthen start it there: nexusmon-agent run");
        if matches!(answer["max_rank"].as_str(), Some("B" | "A" | "S")) {
            println!(
                "It shows six words when it has joined. Compare them: nexusmon agent confirm {} WORD…",
                arguments.name
            );
        }
    }
    Ok(())
}

/// Removes what is about to expire, and writes what is missing.
async fn top_up(
    client: &Client,
    arguments: &InviteArgs,
    folder: &Path,
    ttl: Duration,
) -> Result<(), CommandError> {
    let mut there = 0;
    for entry in fs::read_dir(folder).map_err(|error| io(folder, &error))?.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        if age(&path).is_some_and(|age| age > ttl / 2) {
            let _ = fs::remove_file(&path);
        } else {
            there += 1;
        }
    }
    for _ in there..arguments.count {
        let name = format!("{}-{}", arguments.name, suffix());
        let answer = create(client, arguments, &name).await?;
        let token = answer["token"]
            .as_str()
            .ok_or_else(|| CommandError::Failed("the coordinator gave no token".to_owned()))?;
        let path = folder.join(format!("{name}.{EXTENSION}"));
        write(&path, token).map_err(|error| io(&path, &error))?;
        if !client.json {
            println!("{}", path.display());
        }
    }
    Ok(())
}

/// `None` where the clock or the file does not say, or the file is gone.
fn age(path: &Path) -> Option<Duration> {
    let written = fs::metadata(path).ok()?.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    let written = Timestamp::from_micros(i64::try_from(written.as_micros()).ok()?);
    Some(SystemClock.now().since(written))
}

/// Written aside and moved, so that nobody reads half of it. The group may read, and who may write in the folder take it.
fn write(path: &Path, token: &str) -> std::io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&aside)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

fn suffix() -> String {
    let mut bytes = [0_u8; 3];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    hex::encode(bytes)
}

fn io(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::Failed(format!("cannot work in {}: {error}", path.display()))
}
