//! `nexusmon backup`, `restore` and `migrate`: run on the coordinator's host with the coordinator's own settings.

use std::path::PathBuf;
use std::sync::Arc;

use nexusmon_shared::time::SystemClock;
use rand::SeedableRng as _;
use rand::rngs::{StdRng, SysRng};

use crate::blobs::BlobsConfig;
use crate::config::{Config, Settings};
use crate::keys;
use crate::ops::{self, Place, Tell};
use crate::{StartError, object_store};

#[derive(Debug, clap::Subcommand)]
pub enum MasterKeyCommand {
    /// Wrap everything anew under another master key: the keys of the organism and of every secret. Stop the
    /// coordinators first. Invites that nobody has used are void afterwards
    Rotate(RotateArgs),
}

#[derive(Debug, clap::Args)]
pub struct RotateArgs {
    /// File of the new key, mode 0600; made if absent
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    #[command(flatten)]
    pub settings: Settings,
}

/// Take a backup, while the coordinator works
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    /// Folder of backups; made if absent
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
    #[command(flatten)]
    pub settings: Settings,
}

/// Come back from a backup, into an empty database
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// Folder of backups
    #[arg(long, value_name = "FOLDER")]
    pub from: PathBuf,
    /// Which of them [default: the newest]
    #[arg(long, value_name = "NAME")]
    pub backup: Option<String>,
    #[command(flatten)]
    pub settings: Settings,
}

/// Move to another database
#[derive(Debug, clap::Args)]
pub struct MigrateArgs {
    /// `sqlite:///absolute/file` or `postgres://…`; its coordinator is stopped
    #[arg(long, value_name = "URL")]
    pub from: String,
    /// An empty database
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// Where blobs and logs are, if they move too: `file:///absolute/folder` or `s3://bucket/prefix`
    #[arg(long, value_name = "URL", requires = "to_blobs")]
    pub from_blobs: Option<String>,
    /// Where blobs and logs go
    #[arg(long, value_name = "URL", requires = "from_blobs")]
    pub to_blobs: Option<String>,
    #[command(flatten)]
    pub settings: Settings,
}

/// The owner's key
#[derive(Debug, clap::Subcommand)]
pub enum OperatorKeyCommand {
    /// Put another in its place, shown once; every session of the owner's is over. Stop the coordinator first
    Rotate(Settings),
}

pub async fn rotate_operator_key(config: Config, json: bool) -> Result<(), StartError> {
    let rng = StdRng::try_from_rng(&mut SysRng).map_err(|_| StartError::Randomness)?;
    let key = ops::rotate_operator_key(&config.database_url, Arc::new(SystemClock), rng).await?;
    if json {
        println!("{}", serde_json::json!({ "operator_key": key }));
        return Ok(());
    }
    println!("operator key  {key}");
    println!(
        "It is shown once. Sessions of the owner are over; an OPERATOR_KEY in the environment is not looked at again."
    );
    Ok(())
}

pub async fn backup(config: Config, arguments_to: PathBuf, json: bool) -> Result<(), StartError> {
    let folder = absolute(arguments_to)?;
    let place = place(&config);
    let done = ops::backup(&place, &folder, Arc::new(SystemClock), tell(json)).await?;
    if json {
        println!("{}", serde_json::to_string(&done).expect("a report is JSON"));
        return Ok(());
    }
    let manifest = &done.manifest;
    println!("backup      {}", done.path.display());
    println!("rows        {}", manifest.tables.iter().map(|table| table.rows).sum::<u64>());
    println!(
        "blobs       {} and {} log segments, {} bytes",
        manifest.blobs, manifest.segments, manifest.bytes
    );
    println!("not in it   the master key: keep it elsewhere, nothing can be restored without it");
    Ok(())
}

pub async fn restore(
    config: Config,
    from: PathBuf,
    name: Option<String>,
    json: bool,
) -> Result<(), StartError> {
    let folder = absolute(from)?;
    let place = place(&config);
    let done = ops::restore(&folder, name.as_deref(), &place, Arc::new(SystemClock), tell(json)).await?;
    if json {
        println!("{}", serde_json::to_string(&done).expect("a report is JSON"));
        return Ok(());
    }
    println!("restored    {} of {}", done.backup, done.manifest.made_at);
    println!("epoch       {} (was {})", done.epoch, done.manifest.epoch);
    println!("void now    log-ins, tokens, invites, leases and approvals of before");
    println!("look at     agents revoked or enrolled after {}: nothing knows of it", done.manifest.made_at);
    println!(
        "next        start the coordinator, with the master key it had; then, where there is a roster, on the"
    );
    println!("            machine with the owner's key: nexusmon audit restored --sign");
    println!(
        "            (agents that have seen more of the audit log than came back take no work until then)"
    );
    Ok(())
}

pub async fn migrate(config: Config, arguments: Moving, json: bool) -> Result<(), StartError> {
    let blobs = |url: &String| BlobsConfig { url: url.clone(), ..place(&config).blobs };
    let (old, new) = (arguments.from_blobs.as_ref().map(blobs), arguments.to_blobs.as_ref().map(blobs));
    let both = old.as_ref().zip(new.as_ref());
    let done = ops::migrate(&arguments.from, &arguments.to, both, Arc::new(SystemClock), tell(json)).await?;
    if json {
        println!("{}", serde_json::to_string(&done).expect("a report is JSON"));
        return Ok(());
    }
    for table in &done.tables {
        println!("{:<20} {:>10} rows  {}", table.table, table.rows, table.digest);
    }
    match done.bytes {
        Some(moved) => {
            println!("{} blobs and {} log segments, {} bytes", moved.blobs, moved.segments, moved.bytes);
        }
        None => println!("blobs and logs stay where they are: keep NEXUSMON_BLOBS_URL as it is"),
    }
    println!(
        "every table is the same in both; start the coordinator with the new database_url and never again"
    );
    println!("with the old one: two would both believe themselves to be the one");
    Ok(())
}

/// The settings name the key that is there now.
pub async fn rotate_master_key(config: Config, to: PathBuf, json: bool) -> Result<(), StartError> {
    let path = absolute(to)?;
    let rotated = keys::rotate(config, path.clone(), Arc::new(SystemClock)).await?;
    if json {
        println!("{}", serde_json::to_string(&rotated).expect("a report is JSON"));
        return Ok(());
    }
    println!("wrapped     {} keys and {} secrets anew", rotated.keys, rotated.secrets);
    println!("void now    {} invites that nobody had used", rotated.invites);
    println!("next        start every coordinator with NEXUSMON_MASTER_KEY_FILE={}", path.display());
    println!("            and keep the old key for as long as you keep backups of before");
    Ok(())
}

/// What [`migrate`] moves.
#[derive(Debug)]
pub struct Moving {
    pub from: String,
    pub to: String,
    pub from_blobs: Option<String>,
    pub to_blobs: Option<String>,
}

fn place(config: &Config) -> Place {
    Place {
        database_url: config.database_url.clone(),
        blobs: BlobsConfig {
            url: config.blobs_url.clone(),
            staging: config.data_dir.join("staging"),
            several_nodes: false,
            object_store: object_store(config),
        },
    }
}

fn absolute(path: PathBuf) -> Result<PathBuf, StartError> {
    std::path::absolute(&path).map_err(|source| StartError::DataFolder { path, source })
}

/// Progress goes to standard error, for people only.
fn tell(json: bool) -> Tell<'static> {
    if json { &|_| {} } else { &|line| eprintln!("{line}") }
}
