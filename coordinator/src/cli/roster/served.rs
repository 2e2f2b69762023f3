//! The roster that a change begins with. The coordinator serves it and can make none: it counts if the owner's key signed
//! it, and if it follows from the last one that was known here.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::OrganismId;
use nexusmon_shared::lifecycle;
use nexusmon_shared::trust::key::KeyId;
use nexusmon_shared::trust::roster::{Roster, RosterError, SignedRoster};
use nexusmon_shared::trust::signable::Signable as _;
use serde_json::{Value, json};

use crate::cli::client::{Client, CommandError};
use crate::cli::key::Place;

/// The key that signs the next roster, and the one that signed the last.
#[derive(Debug, Args)]
pub struct Signing {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    /// Owner key that signed the roster there is, where it is not the one in the key's file: as `nexusmon-agent roster show`
    /// names it on a machine of yours
    #[arg(long, value_name = "DIGITS")]
    pub(in crate::cli) owner_key: Option<KeyId>,
}

/// The newest roster of an organism that this machine has seen and verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    number: u64,
    digest: Digest,
}

type Note = BTreeMap<OrganismId, Known>;

/// Why nothing is built on what the coordinator serves.
#[derive(Debug, thiserror::Error)]
enum Unfounded {
    #[error(transparent)]
    Signature(#[from] RosterError),
    #[error(
        "it is roster {number} ({digest}), and does not follow from the last one known here, {} ({})",
        .known.number, .known.digest
    )]
    Strange { number: u64, digest: Digest, known: Known },
}

/// A roster with its signatures, out of an answer of the coordinator; nothing is verified.
pub(in crate::cli) fn signed(answer: &Value) -> Result<SignedRoster, serde_json::Error> {
    serde_json::from_value(json!({"roster": answer["roster"], "signatures": answer["signatures"]}))
}

/// The roster in force, if it can be built on.
pub(super) async fn get(client: &Client, signing: &Signing) -> Result<Roster, CommandError> {
    let answer = client.get(super::PATH).await?;
    let unreadable =
        |error| CommandError::Failed(format!("the coordinator's roster cannot be read: {error}"));
    let signed = signed(&answer).map_err(unreadable)?;
    let own = signing.place.id()?;
    let pinned = signing.owner_key.unwrap_or(own);
    let path = path(&signing.place)?;
    let known = read(&path)?.get(&signed.roster.organism).copied();
    check(&signed, pinned, known).map_err(|why| CommandError::Failed(advice(&why, pinned, &path)))?;
    keep(&signing.place, &signed.roster)?;
    Ok(signed.roster)
}

fn check(signed: &SignedRoster, pinned: KeyId, known: Option<Known>) -> Result<(), Unfounded> {
    let roster = signed.verify_first(signed.roster.organism, pinned)?;
    let Some(known) = known else { return Ok(()) };
    let (number, digest) = (roster.number, roster.digest());
    let follows = digest == known.digest
        || (known.number.checked_add(1) == Some(number) && roster.predecessor == Some(known.digest));
    if follows { Ok(()) } else { Err(Unfounded::Strange { number, digest, known }) }
}

fn advice(why: &Unfounded, pinned: KeyId, note: &Path) -> String {
    let what = match why {
        Unfounded::Signature(_) => format!(
            "It was held against the owner key {pinned}. Where `nexusmon-agent roster show` names another one of yours on \
             your machines, repeat this with --owner-key and that one"
        ),
        Unfounded::Strange { .. } => format!(
            "Hold it against `nexusmon-agent roster show` on your machines. If you have changed it on another device, or the \
             coordinator was put back from a backup, remove {} and repeat this; machines that know a later roster need \
             `nexusmon-agent roster reset`",
            note.display()
        ),
    };
    let why = lifecycle::chain(why);
    format!("the roster that the coordinator serves must not be built on: {why}. Nothing was signed. {what}")
}

/// Beside the key's file.
fn path(place: &Place) -> Result<PathBuf, CommandError> {
    let mut path = place.path()?.into_os_string();
    path.push(".roster.json");
    Ok(path.into())
}

fn read(path: &Path) -> Result<Note, CommandError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            let path = path.display();
            CommandError::Usage(format!("{path}, the note of the last known roster, is damaged: {error}"))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Note::new()),
        Err(error) => Err(CommandError::Usage(format!("cannot read {}: {error}", path.display()))),
    }
}

/// Notes a roster that was verified or signed here: an older one is not built on any more.
pub(super) fn keep(place: &Place, roster: &Roster) -> Result<(), CommandError> {
    let path = path(place)?;
    let mut note = read(&path)?;
    let known = Known { number: roster.number, digest: roster.digest() };
    if note.insert(roster.organism, known) == Some(known) {
        return Ok(());
    }
    let failed = |error: std::io::Error| {
        CommandError::Failed(format!("cannot note the roster in {}: {error}", path.display()))
    };
    let text = serde_json::to_string_pretty(&note).expect("text and numbers only");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    writeln!(file, "{text}").map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests;
