//! `nexusmon belief …`: what was observed of the fleet, and what somebody holds to be true.

mod shown;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, CommandError, escape};
use super::render;

const BELIEFS: &str = "/v1/cognition/beliefs";

#[derive(Debug, Subcommand)]
pub enum BeliefCommand {
    /// What was counted of the fleet, with its effect on who gets work; and what is asserted
    #[command(visible_alias = "ls")]
    List,
    /// An asserted belief with its history, what it rests on and what rests on it
    Show {
        /// Its id (`blf_…`), as `belief list` prints it
        belief: String,
    },
    /// Assert something; it rests on evidence or on other beliefs
    #[command(
        after_help = "Examples:\n  nexusmon belief assert \"the disk of nas is sound\" --confidence 0.9 \\\n      \
                      --evidence mission:mis_… --note \"smart test of Sunday\"\n  \
                      nexusmon belief assert \"backups are whole\" --confidence 0.8 --rests-on blf_…"
    )]
    Assert(AssertArgs),
    /// Say what is different now; every revision is kept
    #[command(
        after_help = "Example:\n  nexusmon belief revise blf_… --status contradicted --evidence audit:4711 --revision 1"
    )]
    Revise(ReviseArgs),
    /// Withdraw it: what rests on it is marked
    #[command(after_help = "Example:\n  nexusmon belief retract blf_… --comment \"the disk was replaced\"")]
    Retract {
        /// Its id (`blf_…`), as `belief list` prints it
        belief: String,
        /// Why; kept with the revision
        #[arg(long, short)]
        comment: String,
    },
}

#[derive(Debug, Args)]
pub struct AssertArgs {
    statement: String,
    /// 0 to 1
    #[arg(long)]
    confidence: f64,
    #[command(flatten)]
    grounds: Grounds,
}

// What speaks for a statement, or against it. No text of a command's: that would become the help of whoever takes it in.
#[derive(Debug, Args)]
struct Grounds {
    /// A mission, task, artifact, review or agent by its id, or an entry of the audit log by its number (`audit:4711`);
    /// may be given several times
    #[arg(long, value_name = "KIND:ID")]
    evidence: Vec<String>,
    /// Evidence in words; may be given several times
    #[arg(long, value_name = "TEXT")]
    note: Vec<String>,
    /// Another belief that it rests on; may be given several times
    #[arg(long, value_name = "BELIEF")]
    rests_on: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ReviseArgs {
    /// Its id (`blf_…`), as `belief list` prints it
    belief: String,
    /// Other words for it
    #[arg(long)]
    statement: Option<String>,
    /// Another status needs evidence or a comment
    #[arg(long, value_parser = ["held", "contradicted", "withdrawn"])]
    status: Option<String>,
    /// 0 to 1
    #[arg(long)]
    confidence: Option<f64>,
    #[command(flatten)]
    grounds: Grounds,
    /// Why; kept with the revision
    #[arg(long, short)]
    comment: Option<String>,
    /// The revision you have read: refused where there is another by now
    #[arg(long)]
    revision: Option<i64>,
}

pub(super) async fn run(client: &Client, command: BeliefCommand) -> Result<(), CommandError> {
    match command {
        BeliefCommand::List => {
            let answer = client.get(BELIEFS).await?;
            if client.json {
                render::json(&answer);
            } else {
                shown::list(&answer);
            }
            Ok(())
        }
        BeliefCommand::Show { belief } => {
            let answer = client.get(&path(&belief)).await?;
            said(client, &answer).await
        }
        BeliefCommand::Assert(AssertArgs { statement, confidence, grounds }) => {
            let body = json!({"statement": statement, "confidence": confidence, "evidence": evidence(&grounds)?,
                "rests_on": grounds.rests_on});
            let answer = client.post(BELIEFS, &body).await?;
            said(client, &answer).await
        }
        BeliefCommand::Revise(arguments) => revise(client, &arguments).await,
        BeliefCommand::Retract { belief, comment } => {
            let body = json!({"status": "withdrawn", "comment": comment});
            let answer = client.post(&format!("{}/revisions", path(&belief)), &body).await?;
            said(client, &answer).await
        }
    }
}

fn path(belief: &str) -> String {
    format!("{BELIEFS}/{}", escape(belief))
}

async fn revise(client: &Client, arguments: &ReviseArgs) -> Result<(), CommandError> {
    let ReviseArgs { belief, statement, status, confidence, grounds, comment, revision } = arguments;
    let body = json!({"statement": statement, "status": status, "confidence": confidence,
        "evidence": evidence(grounds)?, "rests_on": grounds.rests_on, "comment": comment, "revision": revision});
    let answer = client.post(&format!("{}/revisions", path(belief)), &body).await?;
    said(client, &answer).await
}

/// `kind:id`, and notes.
fn evidence(grounds: &Grounds) -> Result<Vec<Value>, CommandError> {
    let mut found = Vec::new();
    for given in &grounds.evidence {
        let (kind, id) = given
            .split_once(':')
            .filter(|(kind, id)| !kind.is_empty() && !id.is_empty())
            .ok_or_else(|| {
                CommandError::Usage(format!("`{}` is not KIND:ID, as in mission:mis_…", render::plain(given)))
            })?;
        found.push(json!({"kind": kind, "id": id}));
    }
    found.extend(grounds.note.iter().map(|note| json!({"kind": "note", "note": note})));
    Ok(found)
}

/// One with its history and what it is tied to; the others tell what those say.
async fn said(client: &Client, answer: &Value) -> Result<(), CommandError> {
    if client.json {
        render::json(answer);
        return Ok(());
    }
    let all = client.get(BELIEFS).await?;
    shown::one(answer, &all["asserted"]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_names_its_kind() {
        let grounds = |evidence: &str| Grounds {
            evidence: vec![evidence.to_owned()],
            note: vec!["seen".to_owned()],
            rests_on: Vec::new(),
        };
        assert_eq!(
            evidence(&grounds("audit:7")).unwrap(),
            [json!({"kind": "audit", "id": "7"}), json!({"kind": "note", "note": "seen"})]
        );
        for wrong in ["mis_1", "mission:", ":mis_1"] {
            assert!(evidence(&grounds(wrong)).unwrap_err().to_string().contains("KIND:ID"), "{wrong}");
        }
    }
}
