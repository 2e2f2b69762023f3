//! `nexusmon-agent witness`.

use std::process::ExitCode;

use nexusmon_shared::time::{Clock as _, SystemClock};
use rustix::process::Signal;
use serde_json::json;

use super::output;
use crate::config::Config;
use crate::control::Lock;
use crate::enroll::{EnrollError, Home};
use crate::error::AgentError;
use crate::witness::{Witness, accept_new_log};

pub(super) fn witness(config: &Config, accept: bool, as_json: bool) -> Result<ExitCode, AgentError> {
    let data_dir = &config.data_dir;
    if Home::enrolled(data_dir)?.is_none() {
        return Err(EnrollError::NotEnrolled(data_dir.clone()).into());
    }
    if accept {
        let evidence = accept_new_log(data_dir, SystemClock.now())
            .map_err(|error| AgentError::io("set the old log aside in", data_dir, error))?;
        if let Some(process) = Lock::holder(data_dir) {
            super::service::signal(process, Signal::USR1);
        }
        match (as_json, evidence) {
            (true, evidence) => output::json(&json!({"accepted": true, "evidence": evidence})),
            (false, Some(evidence)) => output::line(format_args!(
                "The next head of the coordinator's audit log is the first of a new one. What was known is kept as {}.",
                evidence.display()
            )),
            (false, None) => output::line("Nothing was known; the next head is the first one."),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let kept = Witness::open(data_dir).kept();
    if as_json {
        output::json(&json!({"kept": kept}));
        return Ok(ExitCode::SUCCESS);
    }
    let Some(kept) = kept else {
        output::line("No head of the coordinator's audit log has been seen yet.");
        return Ok(ExitCode::SUCCESS);
    };
    output::line(format_args!("{}", kept.note));
    output::line(format_args!("key: {}", kept.key));
    if let Some(alarm) = kept.alarm {
        output::line(format_args!(
            "ALARM: {alarm}\nThis machine takes no work. If the coordinator was restored from a backup, its owner \
             signs for that with `nexusmon audit restored --sign`, and this machine goes on by itself; where there is no roster, \
             run `nexusmon-agent witness --accept-new-log` here. If it was not, somebody has rewritten history: keep this file."
        ));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
