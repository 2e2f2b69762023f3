//! `nexusmon`: the coordinator, and the command line that talks to one.

use std::panic;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use nexusmon_coordinator::config::Settings;
use nexusmon_coordinator::{cli, configured, doctor, serve, up, upkeep};
use nexusmon_shared::lifecycle::chain;

/// NEXUSMON: work on your machines, and proof of it.
#[derive(Parser)]
#[command(name = "nexusmon", version, about)]
struct Arguments {
    #[command(flatten)]
    connection: cli::Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a coordinator. Exit codes: 0 stopped by a signal, 1 broke, 2 configuration, 3 port, 4 data folder or disk,
    /// 5 database, 6 master key
    Serve(Settings),
    /// Run a coordinator with an agent on this machine, to try it or for one machine alone (exit code 7: the agent)
    Up {
        #[command(flatten)]
        settings: Settings,
        /// Run a sample mission and show what it did
        #[arg(long)]
        demo: bool,
    },
    /// Take a backup while the coordinator works: the database as it is at one moment, and every byte it refers to.
    /// The master key is not in it. Exit codes as of `serve`
    Backup(upkeep::BackupArgs),
    /// Come back from a backup, into an empty database and blob store, with a new epoch: log-ins, invites, leases and
    /// approvals of before are void. Stop the coordinator first
    Restore(upkeep::RestoreArgs),
    /// Move to another database: every table is copied and compared. Stop the coordinator first
    Migrate(upkeep::MigrateArgs),
    /// The owner's key, by whoever has this host
    #[command(subcommand)]
    OperatorKey(upkeep::OperatorKeyCommand),
    /// The master key: change it
    #[command(subcommand)]
    MasterKey(upkeep::MasterKeyCommand),
    /// Find what is the matter with this host's coordinator, or with the one at --url, and say what to do. Give it the
    /// settings `serve` has. Exit codes: 0 nothing fails, 1 something does
    Doctor(Settings),
    #[command(flatten)]
    Client(cli::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    end_with_the_reader();
    let Arguments { connection, command } = Arguments::parse();
    let json = connection.json;
    let done = match command {
        Command::Serve(settings) => {
            configured(settings, async |config| Box::pin(serve(config, json)).await).await
        }
        Command::Up { settings, demo } => {
            configured(settings, async |config| Box::pin(up::run(config, up::Options { demo, json })).await)
                .await
        }
        Command::Backup(upkeep::BackupArgs { to, settings }) => {
            configured(settings, async |config| upkeep::backup(config, to, json).await).await
        }
        Command::Restore(upkeep::RestoreArgs { from, backup, settings }) => {
            configured(settings, async |config| upkeep::restore(config, from, backup, json).await).await
        }
        Command::Migrate(upkeep::MigrateArgs { from, to, from_blobs, to_blobs, settings }) => {
            let moving = upkeep::Moving { from, to, from_blobs, to_blobs };
            configured(settings, async |config| upkeep::migrate(config, moving, json).await).await
        }
        Command::OperatorKey(upkeep::OperatorKeyCommand::Rotate(settings)) => {
            configured(settings, async |config| upkeep::rotate_operator_key(config, json).await).await
        }
        Command::MasterKey(upkeep::MasterKeyCommand::Rotate(upkeep::RotateArgs { to, settings })) => {
            configured(settings, async |config| upkeep::rotate_master_key(config, to, json).await).await
        }
        Command::Doctor(settings) => {
            return match doctor::run(&connection, settings).await {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(error) => failed(&error.to_string(), error.exit_code()),
            };
        }
        Command::Client(command) => {
            let done = cli::run(connection, command, &mut Arguments::command()).await;
            return done
                .map_or_else(|error| failed(&error.to_string(), error.exit_code()), |()| ExitCode::SUCCESS);
        }
    };
    done.map_or_else(|error| failed(&chain(&error), error.exit_code()), |()| ExitCode::SUCCESS)
}

/// Ends quietly where nobody reads standard output any more (`nexusmon mission list | head -1`), as other commands do.
fn end_with_the_reader() {
    let shown = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        let text = what.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(0);
        }
        shown(what);
    }));
}

fn failed(reason: &str, code: u8) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::from(code)
}
