//! `nexusmon-agent status`.

use std::process::ExitCode;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::output;
use crate::config::Config;
use crate::control::{self, Lock, Status};
use crate::enroll::{EnrollError, Home};
use crate::error::AgentError;
use crate::link::LineState;

/// How long a running agent is given to write its status anew.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn status(config: &Config, as_json: bool) -> Result<ExitCode, AgentError> {
    let data_dir = &config.data_dir;
    let Some(agent) = Home::enrolled(data_dir)? else {
        return Err(EnrollError::NotEnrolled(data_dir.clone()).into());
    };
    let running = Lock::holder(data_dir);
    let status = match running {
        Some(process) => fresh(config, process).await,
        None => None,
    };
    if as_json {
        output::json(&json!({
            "agent_id": agent,
            "data_dir": data_dir,
            "running": running.is_some(),
            "paused": control::is_paused(data_dir),
            "status": status,
            "words": words(config),
        }));
    } else {
        describe(config, &agent.to_string(), running, status.as_ref());
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether it runs and its line is up.
pub(super) async fn check(config: &Config) -> Result<ExitCode, AgentError> {
    let Some(process) = Lock::holder(&config.data_dir) else { return Ok(ExitCode::FAILURE) };
    let status = fresh(config, process).await;
    // What an earlier process left behind says nothing.
    let status = status.filter(|status| status.process == process);
    let connected = status.is_some_and(|status| matches!(status.line, LineState::Connected { .. }));
    Ok(if connected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks for a new status file and waits for it; an old one is better than none.
async fn fresh(config: &Config, process: u32) -> Option<Status> {
    let before = Status::read(&config.data_dir);
    super::service::signal(process, Signal::USR1);
    let newer = async {
        loop {
            let found = Status::read(&config.data_dir);
            if found.as_ref().map(|status| status.at) > before.as_ref().map(|status| status.at) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(ANSWER_WITHIN, newer).await.unwrap_or(before)
}

/// To be compared with the coordinator's; absent where nobody has to.
fn words(config: &Config) -> Option<String> {
    Home::open(&config.data_dir).ok()?.membership().words.clone()
}

fn describe(config: &Config, agent: &str, running: Option<u32>, status: Option<&Status>) {
    let folder = config.data_dir.display();
    output::line(format_args!("agent         {agent}"));
    output::line(format_args!("data folder   {folder}"));
    if let Some(words) = words(config) {
        output::line(format_args!("words         {words}"));
    }
    match running {
        Some(process) => output::line(format_args!("process       {process}")),
        None => output::line(format_args!(
            "process       none; start it with `nexusmon-agent run --data-dir {folder}`"
        )),
    }
    if control::is_paused(&config.data_dir) {
        output::line("paused        yes; `nexusmon-agent resume` lets it work again");
    }
    let Some(status) = status else { return };
    output::line(format_args!("name          {}", status.name));
    output::line(format_args!("coordinator   {}", status.coordinator));
    match &status.line {
        LineState::Connecting => output::line("line          connecting"),
        LineState::Connected { since, session } => {
            output::line(format_args!("line          session {session} since {since}"));
        }
        LineState::Cut { since, reason } => {
            output::line(format_args!("line          cut since {since}: {reason}"));
        }
    }
    if let Some(kept) = &status.witness {
        match &kept.alarm {
            Some(alarm) => output::line(format_args!(
                "ALARM         the audit log is not the one this machine knows: {alarm}; see `nexusmon-agent witness`"
            )),
            None => output::line(format_args!("audit log     {} entries witnessed", kept.size)),
        }
    }
    let attempts = &status.attempts;
    output::line(format_args!(
        "attempts      {} of {} slots running, {} queued, {} reports to be acknowledged",
        attempts.running, attempts.slots, attempts.queued, attempts.unacknowledged
    ));
    if attempts.draining || attempts.halted {
        let why = if attempts.halted { "halted" } else { "draining" };
        output::line(format_args!("coordinator says {why}"));
    }
    if let Some(expires) = status.certificate_expires {
        output::line(format_args!("certificate   until {expires}"));
    }
    output::line(format_args!("sandbox       {}", status.sandbox_levels.join(", ")));
    for (level, why) in &status.sandbox_missing {
        output::line(format_args!("no {level:<11}{why}"));
    }
    output::line(format_args!("capabilities  {}", status.capabilities.join(", ")));
}
