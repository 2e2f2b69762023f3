//! `nexusmon key`: a person's signing key, in a file that a passphrase seals. It never leaves this machine.

use std::fs;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::key::{KeyId, PersonKey};
use nexusmon_shared::trust::owner_key::{Cost, MIN_PASSPHRASE, OwnerKey};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::client::{Client, CommandError};
use super::{login, render, roster};

const PASSPHRASE: &str = "NEXUSMON_KEY_PASSPHRASE";

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key for signing; for the owner of an organism without a roster, its first roster too
    ///
    /// The first time it prints 24 recovery words, once. Whoever makes a key later hands what is printed to the owner,
    /// who adds it with `nexusmon roster add`.
    Make(Place),
    /// The key's id and public half, without opening it
    Show(Place),
}

#[derive(Debug, Args)]
pub struct Place {
    /// The key's file [default: nexusmon/owner.key in the user's configuration folder]
    #[arg(long, env = "NEXUSMON_KEY_FILE", value_name = "FILE")]
    pub(super) key_file: Option<PathBuf>,
}

pub(super) async fn run(client: &Client, command: KeyCommand) -> Result<(), CommandError> {
    match command {
        KeyCommand::Make(place) => make(client, &place).await,
        KeyCommand::Show(place) => {
            let path = place.path()?;
            let public_key = public_half(&path)?;
            say(client, &PersonKey::Cli { public_key }, public_key, &path);
            Ok(())
        }
    }
}

async fn make(client: &Client, place: &Place) -> Result<(), CommandError> {
    let path = place.path()?;
    // Asked before anything is made: a coordinator that is away must leave nothing half done.
    let first = roster::first(client).await?;
    if let (true, Some(first)) = (path.exists(), &first) {
        // An earlier try came this far.
        return roster::begin(client, first, place, &place.open()?, &mut randomness()).await;
    }
    if path.exists() {
        let text = format!("{} exists already; `nexusmon key show` says whose it is", path.display());
        return Err(CommandError::Usage(text));
    }
    let passphrase = new_passphrase()?;
    let mut rng = randomness();
    let key = OwnerKey::generate(&mut rng);
    let text = key.seal(&passphrase, Cost::default(), &mut rng).map_err(failed)?;
    write(&path, &text)?;
    say(client, &key.person_key(), PublicKey::of(key.signing_key()), &path);
    match first {
        Some(first) => roster::begin(client, &first, place, &key, &mut rng).await,
        None if client.json => Ok(()),
        None => {
            println!("\nThere is a roster already: hand the line above to the owner, who runs");
            println!(
                "    nexusmon roster add <your principal> --public-key {}",
                PublicKey::of(key.signing_key())
            );
            Ok(())
        }
    }
}

fn say(client: &Client, key: &PersonKey, public_key: PublicKey, path: &Path) {
    if client.json {
        render::json(&json!({"id": key.id(), "public_key": public_key, "file": path}));
        return;
    }
    println!("key         {}", key.id());
    println!("public key  {public_key}");
    println!("file        {}", path.display());
}

impl Place {
    pub(super) fn path(&self) -> Result<PathBuf, CommandError> {
        self.key_file.clone().or_else(|| Some(login::folder()?.join("owner.key"))).ok_or_else(|| {
            CommandError::Usage("neither XDG_CONFIG_HOME nor HOME is set: name --key-file".to_owned())
        })
    }

    /// The id of the key, without opening it.
    pub(super) fn id(&self) -> Result<KeyId, CommandError> {
        let public_key = public_half(&self.path()?)?;
        Ok(PersonKey::Cli { public_key }.id())
    }

    /// Opens the key, asking for its passphrase.
    pub(super) fn open(&self) -> Result<OwnerKey, CommandError> {
        let path = self.path()?;
        let bytes = read(&path)?;
        let passphrase = passphrase("Passphrase of the key: ")?;
        OwnerKey::open(&bytes, &passphrase).map_err(failed)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => CommandError::Usage(format!(
            "there is no key at {}: make one with `nexusmon key make`, or name another with --key-file",
            path.display()
        )),
        _ => CommandError::Usage(format!("cannot read {}: {error}", path.display())),
    })
}

fn public_half(path: &Path) -> Result<PublicKey, CommandError> {
    let file: Value = serde_json::from_slice(&read(path)?).unwrap_or_default();
    file["public_key"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| CommandError::Usage(format!("{} is not a key file", path.display())))
}

/// The local key's id, where there is a key: what a coordinator says about owner keys is held against it.
pub(super) fn local_id() -> Option<String> {
    let path = Place { key_file: std::env::var_os("NEXUSMON_KEY_FILE").map(PathBuf::from) }.path().ok()?;
    let public_key = path.exists().then(|| public_half(&path).ok())??;
    Some(PersonKey::Cli { public_key }.id().to_string())
}

/// All of it or nothing, and never over another key.
fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    let failed =
        |error: std::io::Error| CommandError::Failed(format!("cannot write {}: {error}", path.display()));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(path).map_err(|error| failed(error.error))?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn new_passphrase() -> Result<Zeroizing<String>, CommandError> {
    let first = passphrase(&format!("New passphrase for the key (at least {MIN_PASSPHRASE} characters): "))?;
    let typed = std::env::var_os(PASSPHRASE).is_none() && std::io::stdin().is_terminal();
    if typed && *first != *passphrase("The same again: ")? {
        return Err(CommandError::Usage("the two passphrases differ; nothing was made".to_owned()));
    }
    Ok(first)
}

/// From the environment, the terminal, or a line of standard input.
fn passphrase(question: &str) -> Result<Zeroizing<String>, CommandError> {
    if let Ok(text) = std::env::var(PASSPHRASE) {
        return Ok(Zeroizing::new(text));
    }
    let input = std::io::stdin();
    let line = if input.is_terminal() {
        eprint!("{question}");
        std::io::stderr().flush().ok();
        login::hidden_line()?
    } else {
        let mut line = String::new();
        let read = input.lock().read_line(&mut line);
        read.map_err(|error| CommandError::Usage(format!("cannot read the passphrase: {error}")))?;
        line
    };
    let line = Zeroizing::new(line);
    if line.trim_end_matches(['\r', '\n']).is_empty() {
        let text = format!("no passphrase: type it, pipe it in, or set {PASSPHRASE}");
        return Err(CommandError::Usage(text));
    }
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

pub(super) fn randomness() -> StdRng {
    StdRng::try_from_rng(&mut rand::rngs::SysRng).expect("the system gives random bytes")
}

pub(super) fn failed(error: impl std::fmt::Display) -> CommandError {
    CommandError::Usage(error.to_string())
}
