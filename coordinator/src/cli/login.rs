//! Logging in, and the token kept between commands in a file only this user can read.

use std::fs;
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::client::{Client, CommandError};
use super::render;

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Read the operator key, or the password, from this file instead of asking for it
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// Log in as a person the owner let in, with name and password, instead of as the owner
    #[arg(long)]
    name: Option<String>,
}

pub(super) async fn login(client: &Client, arguments: LoginArgs) -> Result<(), CommandError> {
    let LoginArgs { key_file, name } = arguments;
    let answer = match &name {
        None => client.log_in(operator_key(key_file.as_deref())?.trim()).await?,
        Some(name) => {
            let password = match key_file {
                Some(path) => read(&path)?,
                None => ask(&format!("Password of {name}"))?,
            };
            client.log_in_as(name, password.trim()).await?
        }
    };
    let token = answer["access_token"]
        .as_str()
        .ok_or_else(|| CommandError::Failed("the coordinator gave no access token".to_owned()))?;
    let path = keep(&client.url, token)?;
    if client.json {
        render::json(&json!({"url": client.url, "expires_in": answer["expires_in"], "kept_in": path}));
    } else {
        println!("Logged in to {}. The token is kept in {} and renewed by use.", client.url, path.display());
    }
    Ok(())
}

/// The operator key: of the file, else of the environment, else typed.
pub(super) fn operator_key(file: Option<&Path>) -> Result<String, CommandError> {
    match (file, operator_key_from_environment()) {
        (Some(path), _) => read(path),
        (None, Some(key)) => Ok(key),
        (None, None) => ask("Operator key"),
    }
}

fn read(path: &Path) -> Result<String, CommandError> {
    fs::read_to_string(path)
        .map_err(|error| CommandError::Usage(format!("cannot read {}: {error}", path.display())))
}

pub(super) async fn logout(client: &Client) -> Result<(), CommandError> {
    let ended = client.post("/v1/auth/logout", &json!({})).await;
    forget(&client.url)?;
    match ended {
        Ok(_) => {}
        // A session that is already over is what was asked for.
        Err(CommandError::Refused { status: 401, .. }) => {}
        Err(error) => return Err(error),
    }
    if !client.json {
        println!("Logged out of {}.", client.url);
    }
    Ok(())
}

/// Calls what may need a log-in of the last minutes, logging in again where the coordinator wants that. Where people sign,
/// a signature takes its place and nothing is asked here.
pub(super) async fn fresh(
    client: &Client,
    method: reqwest::Method,
    key_file: Option<&Path>,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, CommandError> {
    match client.call(method.clone(), path, body).await {
        Err(CommandError::Refused { status: 403, body: problem }) if problem["code"] == "log_in_again" => {
            let key = operator_key(key_file)?;
            client.log_in(key.trim()).await?;
            client.call(method, path, body).await
        }
        other => other,
    }
}

pub(super) fn operator_key_from_environment() -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    set("OPERATOR_KEY").or_else(|| {
        let text = fs::read_to_string(set("OPERATOR_KEY_FILE")?).ok()?;
        Some(text.trim().to_owned()).filter(|key| !key.is_empty())
    })
}

pub(super) fn kept_token(url: &str) -> Option<String> {
    let kept: Value = serde_json::from_slice(&fs::read(tokens_file()?).ok()?).ok()?;
    kept[url].as_str().map(str::to_owned)
}

pub(super) fn keep(url: &str, token: &str) -> Result<PathBuf, CommandError> {
    change(|kept| kept[url] = Value::String(token.to_owned()))
}

fn forget(url: &str) -> Result<(), CommandError> {
    change(|kept| {
        if let Some(kept) = kept.as_object_mut() {
            kept.remove(url);
        }
    })
    .map(drop)
}

fn change(edit: impl FnOnce(&mut Value)) -> Result<PathBuf, CommandError> {
    let path = tokens_file().ok_or_else(|| {
        CommandError::Usage("neither XDG_CONFIG_HOME nor HOME is set: nowhere to keep the token".to_owned())
    })?;
    let failed =
        |error: std::io::Error| CommandError::Failed(format!("cannot write {}: {error}", path.display()));
    let folder = path.parent().expect("the file lies in a folder");
    fs::create_dir_all(folder).map_err(failed)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    let mut kept = fs::read(&path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .filter(Value::is_object)
        .unwrap_or_else(|| json!({}));
    edit(&mut kept);
    let fresh = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(failed)?;
    file.write_all(kept.to_string().as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&fresh, &path).map_err(failed)?;
    Ok(path)
}

fn tokens_file() -> Option<PathBuf> {
    Some(folder()?.join("tokens.json"))
}

/// Where this program keeps what belongs to the person who uses it.
pub(super) fn folder() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(config.join("nexusmon"))
}

fn ask(what: &str) -> Result<String, CommandError> {
    let input = std::io::stdin();
    if input.is_terminal() {
        eprint!("{what}: ");
        std::io::stderr().flush().ok();
        return hidden_line();
    }
    let mut line = String::new();
    input
        .lock()
        .read_line(&mut line)
        .map_err(|error| CommandError::Usage(format!("cannot read the key: {error}")))?;
    if line.trim().is_empty() {
        return Err(CommandError::Usage(
            "nothing to log in with: pipe it in, name --key-file, or, for the owner, set OPERATOR_KEY"
                .to_owned(),
        ));
    }
    Ok(line)
}

/// Reads a line with the terminal's echo off.
pub(super) fn hidden_line() -> Result<String, CommandError> {
    let input = std::io::stdin();
    let before = rustix::termios::tcgetattr(&input).ok();
    if let Some(before) = &before {
        let mut quiet = before.clone();
        quiet.local_modes &= !rustix::termios::LocalModes::ECHO;
        rustix::termios::tcsetattr(&input, rustix::termios::OptionalActions::Now, &quiet).ok();
    }
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    if let Some(before) = &before {
        rustix::termios::tcsetattr(&input, rustix::termios::OptionalActions::Now, before).ok();
    }
    eprintln!();
    read.map_err(|error| CommandError::Usage(format!("cannot read the key: {error}")))?;
    Ok(line)
}
