//! `nexusmon-agent`.

use std::process::ExitCode;

fn main() -> ExitCode {
    nexusmon_agent::executor::hidden_command().unwrap_or_else(nexusmon_agent::cli::main)
}
