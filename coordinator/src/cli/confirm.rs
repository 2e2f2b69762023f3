//! `nexusmon agent confirm`: six words read on the machine's own screen, held against what the coordinator says of it.

use clap::Args;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, OrganismId};
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::key::KeyId;
use nexusmon_shared::trust::phrase::Phrase;
use serde_json::{Value, json};

use super::client::{Client, CommandError, escape};
use super::key::{self, Place};
use super::{render, roster};

#[derive(Debug, Args)]
pub struct ConfirmArgs {
    agent: String,
    /// The six words as `nexusmon-agent join` (or `status`) shows them on the machine itself
    #[arg(required = true, num_args = 1..=6)]
    words: Vec<String>,
    /// Let it in without signing its identity into the roster
    #[arg(long)]
    no_roster: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(client: &Client, arguments: ConfirmArgs) -> Result<(), CommandError> {
    let ConfirmArgs { agent, words, no_roster, place } = arguments;
    let path = format!("/v1/fleet/agents/{}", escape(&agent));
    let words = words.join(" ");
    let known = client.get(&path).await?;
    let current = roster::known(client).await?;
    let (id, identity) = check(client, &known, current.as_ref(), &words).await?;
    let answer = client.post(&format!("{path}/confirm"), &json!({ "words": words })).await?;
    if client.json {
        render::json(&answer);
    } else {
        println!(
            "{}  {}",
            render::text(&answer["name"]),
            render::status(answer["status"].as_str().unwrap_or("-"))
        );
    }
    if current.is_none() || no_roster {
        return Ok(());
    }
    let is_here = place.path().is_ok_and(|path| path.exists());
    if is_here {
        return roster::admit(client, &place, id, identity).await;
    }
    eprintln!(
        "The owner signs its identity into the roster: nexusmon agent confirm does that where the owner's key lies."
    );
    Ok(())
}

/// Makes the words anew from what would be trusted: a coordinator that names another key, authority or owner cannot have
/// the words that the machine shows.
async fn check(
    client: &Client,
    known: &Value,
    roster: Option<&Value>,
    words: &str,
) -> Result<(AgentId, PublicKey), CommandError> {
    let strange = |what: &str| CommandError::Failed(format!("the coordinator did not say {what}"));
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let status = client.get("/v1/nexusmon/organism/status").await?;
    let organism: OrganismId =
        text(&status["id"]).and_then(|id| id.parse().ok()).ok_or_else(|| strange("the organism's id"))?;
    let id = text(&known["id"]).and_then(|id| id.parse().ok()).ok_or_else(|| strange("the agent's id"))?;
    let enrollment = &known["enrollment"];
    let authority: Digest = text(&enrollment["authority"])
        .and_then(|digest| digest.parse().ok())
        .ok_or_else(|| strange("the authority's key"))?;
    let identity = text(&enrollment["identity_key"])
        .and_then(|key| hex::decode(key).ok())
        .and_then(|key| PublicKey::try_from(key.as_slice()).ok())
        .ok_or_else(|| strange("the agent's identity key"))?;
    let named = roster.and_then(|roster| text(&roster["owner_key"]));
    let owner = match (named, key::local_id()) {
        (Some(named), Some(mine)) if named != mine => {
            eprintln!("note: the coordinator names the owner key {named}; the key on this machine is {mine}");
            named
        }
        (Some(named), _) => named,
        (None, _) => "0".repeat(64),
    };
    let owner = KeyId(owner.parse().map_err(|_| strange("the owner key"))?);
    let made = Phrase::of(organism, &authority, &owner, &identity).to_string();
    let said: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
    if said.join(" ") == made {
        return Ok((id, identity));
    }
    Err(CommandError::Failed(format!(
        "these are not the words of what the coordinator calls `{}`. Read them again on the machine's own screen; if they stand \
         so there, somebody sits in between: nexusmon agent revoke {} --yes",
        render::text(&known["name"]),
        render::text(&known["name"])
    )))
}
