//! `nexusmon-agent`.

use std::process::ExitCode;

fn main() -> ExitCode {
    nexusmon_agent::cli::main()
}
