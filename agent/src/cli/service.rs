//! Small commands on the data folder: pause, resume, leave.

use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::output;
use crate::config::Config;
use crate::control::{self, Lock};
use crate::enroll::{EnrollError, Home};
use crate::error::AgentError;

/// Beyond the agent's own grace, before `leave` gives up waiting for it.
const STOP_WITHIN: Duration = Duration::from_secs(30);

pub(super) fn pause(config: &Config, on: bool) -> Result<ExitCode, AgentError> {
    if Home::enrolled(&config.data_dir)?.is_none() {
        return Err(EnrollError::NotEnrolled(config.data_dir.clone()).into());
    }
    control::set_paused(&config.data_dir, on)?;
    let told = Lock::holder(&config.data_dir).is_some_and(|process| signal(process, Signal::USR1));
    output::line(match (on, told) {
        (true, true) => "Paused. What runs finishes; nothing new starts.",
        (true, false) => "Paused. No agent runs now; the next one will take no work until `resume`.",
        (false, true) => "Resumed.",
        (false, false) => "Resumed. No agent runs now; start it with `nexusmon-agent run`.",
    });
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn leave(config: &Config, yes: bool) -> Result<ExitCode, AgentError> {
    let data_dir = &config.data_dir;
    let Some(agent) = Home::enrolled(data_dir)? else {
        return Err(EnrollError::NotEnrolled(data_dir.clone()).into());
    };
    if !yes && !confirm(&format!("Forget the identity of {agent} in {}? [y/N] ", data_dir.display())) {
        output::line("Nothing changed. (Without a terminal, say --yes.)");
        return Ok(ExitCode::FAILURE);
    }
    if let Some(process) = Lock::holder(data_dir) {
        signal(process, Signal::TERM);
        let gone = tokio::time::timeout(config.stop_grace + STOP_WITHIN, gone(config)).await;
        if gone.is_err() {
            return Err(AgentError::Running { path: data_dir.clone(), process });
        }
    }
    // Nobody may start in between.
    let _lock = Lock::take(data_dir)?;
    Home::remove(data_dir)?;
    for name in ["journal", "spool", "cache", "work", "uploads", "plugins-work"] {
        let path = data_dir.join(name);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(AgentError::io("remove", &path, error));
            }
            _ => {}
        }
    }
    for name in ["status.json", "paused", "plugins.json"] {
        let _ = std::fs::remove_file(data_dir.join(name));
    }
    output::line(format_args!(
        "Left. The coordinator still lists it: run `nexusmon agent revoke {agent}` there."
    ));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn signal(process: u32, signal: Signal) -> bool {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

async fn gone(config: &Config) {
    while Lock::holder(&config.data_dir).is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(super) fn confirm(question: &str) -> bool {
    use std::io::Write as _;
    if !std::io::stdin().is_terminal() {
        return false;
    }
    let _ = write!(std::io::stderr(), "{question}");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
