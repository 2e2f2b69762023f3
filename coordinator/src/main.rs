//! `nexusmon`: the coordinator, and the command line that talks to one.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use nexusmon_coordinator::config::Settings;
use nexusmon_coordinator::{cli, configured, serve, up};
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
    let done = match command {
        Command::Serve(settings) => configured(settings, async |config| serve(config, json).await).await,
        Command::Up { settings, demo } => {
            configured(settings, async |config| up::run(config, up::Options { demo, json }).await).await
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
