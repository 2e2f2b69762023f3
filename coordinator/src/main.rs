//! `nexusmon`: the coordinator, and the command line that talks to one.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use nexusmon_coordinator::config::{Config, ProcessEnvironment, Settings};
use nexusmon_coordinator::{StartError, cli, telemetry, up};
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
    #[command(flatten)]
    Client(cli::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { connection, command } = Arguments::parse();
    let json = connection.json;
    let (result, code) = match command {
        Command::Serve(settings) => run(settings, async |config| nexusmon_coordinator::serve(config, json).await).await,
        Command::Up { settings, demo } => {
            run(settings, async |config| up::run(config, up::Options { demo, json }).await).await
        }
        Command::Client(command) => {
            let done = cli::run(connection, command, &mut Arguments::command()).await;
            done.map_or_else(|e| (Err(e.to_string()), e.exit_code()), |()| (Ok(()), 0))
        }
    };
    if let Err(error) = result {
        eprintln!("error: {error}");
    }
    ExitCode::from(code)
}

async fn run(settings: Settings, body: impl AsyncFnOnce(Config) -> Result<(), StartError>) -> (Result<(), String>, u8) {
    let done = async {
        let config = Config::load(settings, &ProcessEnvironment)?;
        let _telemetry = telemetry(&config)?;
        body(config).await
    };
    done.await.map_or_else(|e| (Err(chain(&e)), e.exit_code()), |()| (Ok(()), 0))
}
