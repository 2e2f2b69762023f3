//! `nexusmon`: the coordinator, and the command line that talks to one.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use nexusmon_coordinator::config::Settings;
use nexusmon_coordinator::{cli, configured, doctor, serve, up};
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
    /// Find what is the matter with this host's coordinator, or with the one at --url, and say what to do. Give it the
    /// settings `serve` has. Exit codes: 0 nothing fails, 1 something does
    Doctor(Settings),
    #[command(flatten)]
    Client(cli::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { connection, command } = Arguments::parse();
    let json = connection.json;
    let done = match command {
        Command::Serve(settings) => configured(settings, async |config| serve(config, json).await).await,
        Command::Up { settings, demo } => {
            configured(settings, async |config| up::run(config, up::Options { demo, json }).await).await
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

fn failed(reason: &str, code: u8) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::from(code)
}
