//! `nexusmon-agent roster`: whom this machine believes, and beginning anew.

use std::process::ExitCode;

use clap::Subcommand;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::time::{Clock as _, SystemClock};
use nexusmon_shared::trust::key::KeyId;
use rustix::process::Signal;

use super::{output, service};
use crate::config::Config;
use crate::control::Lock;
use crate::enroll::Home;
use crate::error::AgentError;
use crate::roster::{Believed, reset};

#[derive(Debug, Subcommand)]
pub(super) enum RosterCommand {
    /// The owner key this machine believes, and the persons of the roster that key leads to
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Forget the roster and believe another owner key from now on; written down in audit.log in the data folder
    ///
    /// For a machine that joined before there was an owner key, or whose owner lost every key and the recovery words.
    Reset {
        /// The owner key's id, as `nexusmon key show` prints it on the owner's own device; without one this machine
        /// refuses A and S
        #[arg(long, value_name = "ID")]
        owner_key: Option<Digest>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

pub(super) fn roster(command: &RosterCommand, config: &Config) -> Result<ExitCode, AgentError> {
    let home = Home::open(&config.data_dir)?;
    let membership = home.membership();
    match command {
        RosterCommand::Show { json } => {
            let mut believed = Believed::open(&config.data_dir, membership.organism, membership.owner_key())?;
            show(&mut believed, *json);
            Ok(ExitCode::SUCCESS)
        }
        RosterCommand::Reset { owner_key, yes } => {
            let question = "Forget whose signatures this machine believes? [y/N] ";
            if !yes && !service::confirm(question) {
                output::line("Nothing changed. (Without a terminal, say --yes.)");
                return Ok(ExitCode::FAILURE);
            }
            reset(&config.data_dir, owner_key.map(KeyId), SystemClock.now())?;
            let told =
                Lock::holder(&config.data_dir).is_some_and(|process| service::signal(process, Signal::USR1));
            match owner_key {
                Some(id) => output::line(format_args!("This machine believes owner key {id} from now on.")),
                None => output::line("This machine believes nobody from now on; it refuses A and S work."),
            }
            if !told {
                output::line("No agent runs now; the next one begins with that.");
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn show(believed: &mut Believed, json: bool) {
    let roster = believed.in_force(SystemClock.now());
    if json {
        return output::json(&serde_json::json!({
            "owner_key": believed.owner_key(), "roster": roster.as_deref(),
            "pending": believed.pending().map(|(number, from)| serde_json::json!({"number": number, "from": from})),
        }));
    }
    match believed.owner_key() {
        Some(id) => output::line(format_args!("owner key  {id}")),
        None => {
            output::line("owner key  none: this machine joined before there was one, and refuses A and S");
        }
    }
    let Some(roster) = roster else {
        return output::line("roster     none yet; the coordinator brings it");
    };
    output::line(format_args!(
        "roster     {}; A needs {}, S needs {}",
        roster.number, roster.need.a, roster.need.s
    ));
    for (id, person) in &roster.persons {
        let role = format!("{:?}", person.role).to_lowercase();
        output::line(format_args!("  {id}  {role:<9} {} keys  {}", person.keys.len(), person.name));
    }
    if let Some((number, from)) = believed.pending() {
        output::line(format_args!(
            "ALERT      roster {number}, signed by the recovery key, decides from {from}"
        ));
    }
}
