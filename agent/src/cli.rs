//! The command line of `nexusmon-agent`. Thin: each command calls the library and tells people what came of it.

mod doctor;
mod join;
mod join_from;
mod output;
mod plugin;
mod roster;
mod run;
mod service;
mod status;
mod witness;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::{Config, Settings};
use crate::error::AgentError;

const EXIT_CODES: &str = "\
Exit codes:
  0  done; for `run`: stopped when asked to
  1  it did not work; the message says why and what to do
  2  wrong flag, environment variable or configuration file
  3  this data folder is not enrolled
  4  the coordinator has revoked this agent
  5  another agent runs on this data folder";

/// Works for a NEXUSMON coordinator on this machine
#[derive(Debug, Parser)]
#[command(name = "nexusmon-agent", version, after_help = EXIT_CODES, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Become an agent: redeem the token that `nexusmon agent invite` printed
    Join {
        /// One line that starts with `nxj1.`
        token: String,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Work until told to stop (SIGTERM, SIGINT)
    Run,
    /// Tell how the agent on this data folder is
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Say nothing; exit with 1 unless an agent runs here and is connected, for health checks
        #[arg(long)]
        check: bool,
    },
    /// Check certificates, clock, reachability, sandbox, disk and folder, and say what to do
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take no new work, also after a restart; what runs finishes
    Pause,
    /// Take work again
    Resume,
    /// Show what this machine remembers of the coordinator's audit log; after an alarm, accept another one
    Witness {
        /// Begin anew with the log the coordinator has now, a restored one for example; what was known is kept as evidence
        #[arg(long)]
        accept_new_log: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Stop the agent and forget its identity; the operator then revokes it at the coordinator
    Leave {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Write, check and list plugins of this machine
    Plugin {
        #[command(subcommand)]
        command: plugin::PluginCommand,
    },
    /// Whose signatures this machine believes
    Roster {
        #[command(subcommand)]
        command: roster::RosterCommand,
    },
    /// Print a completion script
    Completions { shell: clap_complete::Shell },
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let Cli { command, settings } = Cli::parse();
    if let Command::Completions { shell } = command {
        clap_complete::generate(shell, &mut Cli::command(), "nexusmon-agent", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    let done = Config::load(settings).map_err(AgentError::from).and_then(|config| dispatch(command, config));
    match done {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(command: Command, config: Config) -> Result<ExitCode, AgentError> {
    // A quiet agent is small: two threads carry what an agent does.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // They come and go with need: pumps that wait for room in the spool must not keep the journal from its disk.
        .max_blocking_threads(512)
        .enable_all()
        .build()
        .map_err(|source| AgentError::Part { part: "the async runtime", source: source.into() })?;
    runtime.block_on(async move {
        match command {
            Command::Join { token, json } => join::join(&token, config, json).await,
            Command::Run => {
                if let Some(place) = config.join_from.clone()
                    && !join_from::join(&place, &config).await?
                {
                    return Ok(ExitCode::SUCCESS);
                }
                run::run(config).await
            }
            Command::Status { check: true, .. } => status::check(&config).await,
            Command::Status { json, .. } => status::status(&config, json).await,
            Command::Doctor { json } => doctor::doctor(&config, json).await,
            Command::Pause => service::pause(&config, true),
            Command::Resume => service::pause(&config, false),
            Command::Witness { accept_new_log, json } => witness::witness(&config, accept_new_log, json),
            Command::Leave { yes } => service::leave(&config, yes).await,
            Command::Plugin { command } => plugin::plugin(command, &config).await,
            Command::Roster { command } => roster::roster(&command, &config),
            Command::Completions { .. } => Ok(ExitCode::SUCCESS),
        }
    })
}
