//! `nexusmon agent confirm`: six words read on the machine's own screen, held against what the coordinator says of it.

use clap::Args;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, OrganismId};
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::key::KeyId;
use nexusmon_shared::trust::phrase::Phrase;
use serde_json::{Value, json};

use super::client::{Client, CommandError, escape};
use super::render;
use super::roster::{self, Signing};

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
    signing: Signing,
}

pub(super) async fn run(client: &Client, arguments: ConfirmArgs) -> Result<(), CommandError> {
    let ConfirmArgs { agent, words, no_roster, signing } = arguments;
    let path = format!("/v1/fleet/agents/{}", escape(&agent));
    let words = words.join(" ");
    let known = client.get(&path).await?;
    let current = roster::known(client).await?;
    let is_here = signing.place.path().is_ok_and(|path| path.exists());
    let mine = if is_here { Some(signing.place.id()?) } else { None };
    let owner = owner_key(current.as_ref(), signing.owner_key, mine)?;
    let (id, identity) = check(client, &known, owner, &words).await?;
    // Whoever has the owner's key may come after somebody who has let it in.
    let answer = if known["enrollment"]["words"].is_null() {
        known
    } else {
        client.post(&format!("{path}/confirm"), &json!({ "words": words })).await?
    };
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
    if is_here && roster::admit(client, &signing, id, identity).await? {
        return Ok(());
    }
    eprintln!(
        "The owner signs its identity into the roster: nexusmon agent confirm does that where the owner's key lies."
    );
    Ok(())
}

/// The owner key that the machine's words have to cover: the one the coordinator names, if that is the one said or known
/// here. Zeros where nobody has one.
fn owner_key(
    roster: Option<&Value>,
    said: Option<KeyId>,
    mine: Option<KeyId>,
) -> Result<KeyId, CommandError> {
    let Some(roster) = roster else { return Ok(said.unwrap_or(KeyId(Digest::from_bytes([0; 32])))) };
    let named: Option<KeyId> = roster["owner_key"].as_str().and_then(|text| text.parse().ok());
    let strange = || CommandError::Failed("the coordinator did not say the owner key".to_owned());
    let named = named.ok_or_else(strange)?;
    match said.or(mine) {
        Some(known) if known != named => Err(CommandError::Failed(format!(
            "the coordinator names the owner key {named}, and the one known here is {known}: nothing was confirmed. Where that is \
             another key of yours, as `nexusmon-agent roster show` names it on a machine, repeat this with --owner-key and \
             that one"
        ))),
        _ => Ok(named),
    }
}

/// Makes the words anew from what would be trusted: a coordinator that names another key, authority or owner cannot have
/// the words that the machine shows.
async fn check(
    client: &Client,
    known: &Value,
    owner: KeyId,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_owner_key_than_the_one_known_here_is_refused() {
        let key = |seed: u8| KeyId(Digest::of(&[seed]));
        let named = json!({"owner_key": key(1).to_string()});
        let (one, two) = (Some(key(1)), Some(key(2)));
        for (said, mine) in [(None, None), (None, one), (one, two)] {
            assert_eq!(owner_key(Some(&named), said, mine).unwrap(), key(1), "{said:?} {mine:?}");
        }
        for (said, mine) in [(None, two), (two, None), (two, one)] {
            let refused = owner_key(Some(&named), said, mine).unwrap_err().to_string();
            assert!(refused.contains(&key(1).to_string()) && refused.contains("--owner-key"), "{refused}");
        }
        assert!(owner_key(Some(&json!({"owner_key": "x"})), None, None).is_err());
        assert_eq!(owner_key(None, None, one).unwrap().to_string(), "0".repeat(64));
        assert_eq!(owner_key(None, two, one).unwrap(), key(2));
    }
}
