//! `nexusmon artifact verify`: a file, what an agent signed about it, and that agent's key. No coordinator, no network.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::lifecycle;
use nexusmon_shared::trust::dsse::{Envelope, MAX_ENVELOPE_BYTES};
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::key::KeyId;
use nexusmon_shared::trust::provenance::Provenance;
use nexusmon_shared::trust::roster::{MAX_ROSTER_BYTES, Roster};
use serde_json::{Value, json};
use sha2::Digest as _;

use super::client::CommandError;
use super::render;

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The artifact, as it was downloaded
    file: PathBuf,
    /// What `nexusmon artifact provenance` wrote, or the envelope alone
    #[arg(long, short)]
    provenance: PathBuf,
    /// Identity key of the agent that made it, as `nexusmon-agent status` shows it on that machine
    #[arg(long, conflicts_with = "roster")]
    key: Option<PublicKey>,
    /// A signed roster, as `nexusmon roster show --json` gives it: takes the agent's key from there
    #[arg(long, requires = "owner_key")]
    roster: Option<PathBuf>,
    /// The owner key that has to have signed the roster, as `nexusmon key show` prints it on its own machine
    #[arg(long, value_name = "DIGITS", requires = "roster")]
    owner_key: Option<KeyId>,
}

fn read(path: &Path, most: usize) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    let opened =
        std::fs::File::open(path).and_then(|file| file.take(most as u64 * 2).read_to_end(&mut bytes));
    opened.map_err(|error| CommandError::Usage(format!("cannot read {}: {error}", path.display())))?;
    Ok(bytes)
}

fn digest(path: &Path) -> Result<Digest, CommandError> {
    let unreadable = |error| CommandError::Usage(format!("cannot read {}: {error}", path.display()));
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let (mut hasher, mut block) = (sha2::Sha256::new(), vec![0_u8; 256 * 1024]);
    loop {
        match file.read(&mut block).map_err(unreadable)? {
            0 => return Ok(Digest::from_bytes(hasher.finalize().into())),
            read => hasher.update(&block[..read]),
        }
    }
}

fn lies(why: impl std::fmt::Display) -> CommandError {
    CommandError::DoesNotHold(format!("the provenance does not hold: {why}"))
}

/// The roster of a file, if the owner's key signed it.
fn owners(path: &Path, owner_key: KeyId) -> Result<Roster, CommandError> {
    let bytes = read(path, MAX_ROSTER_BYTES)?;
    let unreadable =
        |error| CommandError::Usage(format!("{} is not a signed roster: {error}", path.display()));
    let answer: Value = serde_json::from_slice(&bytes).map_err(unreadable)?;
    let signed = super::roster::signed(&answer).map_err(unreadable)?;
    match signed.verify_first(signed.roster.organism, owner_key) {
        Ok(roster) => Ok(roster.clone()),
        Err(error) => Err(CommandError::DoesNotHold(format!(
            "the roster in {} does not hold against the owner key {owner_key}: {}",
            path.display(),
            lifecycle::chain(&error)
        ))),
    }
}

pub(super) fn verify(arguments: &VerifyArgs, json: bool) -> Result<(), CommandError> {
    let VerifyArgs { file, provenance, key, roster, owner_key } = arguments;
    let found = digest(file)?;
    let bytes = read(provenance, MAX_ENVELOPE_BYTES)?;
    let answer: Option<Value> = serde_json::from_slice(&bytes).ok();
    let inner = answer.as_ref().and_then(|answer| answer.get("envelope"));
    let envelope = match inner {
        Some(inner) => Envelope::read(inner.to_string().as_bytes()),
        None => Envelope::read(&bytes),
    };
    let envelope = envelope.map_err(lies)?;
    let roster = match (roster, owner_key) {
        (Some(path), Some(owner_key)) => Some(owners(path, *owner_key)?),
        _ => None,
    };
    let told = answer.as_ref().and_then(|answer| answer["identity_key"].as_str()?.parse::<PublicKey>().ok());
    let known = |agent: AgentId| match (&roster, key) {
        (Some(roster), _) => roster.agents.get(&agent).copied(),
        (None, Some(key)) => Some(*key),
        (None, None) => told,
    };
    let said = Provenance::open(&envelope, known).map_err(lies)?;
    if roster.as_ref().is_some_and(|roster| roster.organism != said.organism) {
        return Err(lies("it is of another organism than the roster"));
    }
    let artifact = said.produced(&found).map_err(lies)?;
    let by = match (&roster, key) {
        (Some(_), _) => "the roster",
        (None, Some(_)) => "--key",
        (None, None) => "the coordinator's word",
    };
    tell(&said, &artifact.name, found, by, json);
    Ok(())
}

fn tell(said: &Provenance, name: &str, found: Digest, by: &str, json: bool) {
    if json {
        render::json(&json!({
            "holds": true, "name": name, "digest": found, "agent": said.agent, "mission": said.mission,
            "task": said.task, "task_id": said.attempt.task, "fence": said.attempt.fence.to_string(),
            "plan_digest": said.plan_digest, "rank": said.rank, "sandbox": said.level.as_str(),
            "log_digest": said.log, "key_by": by,
        }));
        return;
    }
    println!("{name} was made by {}", said.agent);
    println!("  sha-256    {found}");
    println!("  task       {} of {}, fence {}", said.task, said.mission, said.attempt.fence);
    println!("  plan       {}", said.plan_digest);
    println!("  sandbox    {} ({})", said.profile.as_str(), said.level.as_str());
    println!("  rank       {}, {} approvals", said.rank, said.approvals.len());
    for input in &said.inputs {
        println!("  input      {} {}", input.digest, render::plain(&input.name));
    }
    if let Some(log) = said.log {
        println!("  log        {log}");
    }
    println!("  signed     by the agent's key, known by {by}");
    if by == "the coordinator's word" {
        println!(
            "Name the key (--key, --roster) to rest this on something the coordinator does not say itself."
        );
    }
}
