//! `nexusmon-agent join`.

use std::process::ExitCode;
use std::sync::Arc;

use nexusmon_shared::join_token::JoinToken;
use nexusmon_shared::time::{Clock as _, SystemClock};
use serde_json::json;

use super::output;
use crate::config::Config;
use crate::enroll::{self, EnrollError};
use crate::error::AgentError;
use crate::facts;
use crate::witness::Witness;

/// Keeps the audit log's key and newest head from the first moment: what is cut off later is noticed here.
pub(super) fn pin(data_dir: &std::path::Path, joined: &enroll::Joined) -> Result<(), AgentError> {
    if let Some(notice) = &joined.checkpoint {
        let home = enroll::Home::open(data_dir)?;
        let (membership, now) = (&joined.membership, SystemClock.now());
        let own = (membership.organism, membership.agent);
        Witness::open(data_dir).consider(notice, own, home.identity(), None, now);
    }
    Ok(())
}

pub(super) async fn join(token: &str, config: Config, as_json: bool) -> Result<ExitCode, AgentError> {
    let token: JoinToken = token.parse().map_err(EnrollError::from)?;
    let mut rng = super::run::seeded_rng()?;
    let clock = Arc::new(SystemClock);
    let joined =
        enroll::join(&token, &config.data_dir, config.labels, facts::gather(), clock, &mut rng).await?;
    pin(&config.data_dir, &joined)?;
    let membership = joined.membership;
    if as_json {
        output::json(&json!({
            "agent_id": membership.agent,
            "name": membership.name,
            "data_dir": config.data_dir,
            "words": membership.words,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    let folder = config.data_dir.display();
    output::line(format_args!(
        "Joined {} as `{}` ({}).",
        membership.address, membership.name, membership.agent
    ));
    output::line(format_args!(
        "It is offered work up to rank {}. Keys are in {folder}.",
        membership.max_rank
    ));
    if !membership.labels.is_empty() {
        let labels: Vec<_> = membership.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        output::line(format_args!("Labels: {}", labels.join(", ")));
    }
    if let Some(words) = &membership.words {
        output::line(format_args!("\n    {words}\n"));
        output::line("Until a person has compared these words with the coordinator's, nothing is offered:");
        output::line(format_args!("    nexusmon agent confirm {} {words}\n", membership.name));
    }
    output::line(format_args!("Start it with: nexusmon-agent run --data-dir {folder}"));
    Ok(ExitCode::SUCCESS)
}
