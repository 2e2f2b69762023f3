//! What whoever verifies knows beforehand: the log's key, heads seen earlier.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::OrganismId;
use nexusmon_shared::trust::checkpoint::{self, Checkpoint};
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::key::KeyId;
use nexusmon_shared::trust::note::{Algorithm, KeyName, Note, VerifierKey};

use super::super::bad::Bad;

/// A head of the log seen earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub size: u64,
    pub root: Digest,
}

/// Nothing of it need be there, but then the file vouches for itself.
#[derive(Debug, Clone, Default)]
pub struct Trusted {
    pub(super) key: Option<VerifierKey>,
    /// The smallest first.
    pub(super) heads: Vec<Known>,
    notes: Vec<Vec<u8>>,
    pub(super) owner_key: Option<KeyId>,
}

/// Why something cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableTrust {
    #[error(
        "`{0}` is not a verifier key: expected `name+id+base64`, as `nexusmon audit checkpoint` prints it"
    )]
    Key(String),
    #[error("`{0}` is not an owner key: expected 64 hexadecimal digits, as `nexusmon key show` prints them")]
    OwnerKey(String),
    #[error("the checkpoint cannot be read: {0}")]
    Checkpoint(String),
}

impl Trusted {
    /// The log's key, as `nexusmon audit checkpoint` or an agent's status prints it.
    pub fn with_key(mut self, text: &str) -> Result<Self, UnusableTrust> {
        let key: VerifierKey = text.trim().parse().map_err(|_| UnusableTrust::Key(text.trim().to_owned()))?;
        self.key = Some(key);
        Ok(self)
    }

    /// The key that signed the first roster, as `nexusmon key show` prints it on its owner's machine, or
    /// `nexusmon-agent roster show` on a machine that pinned it.
    pub fn with_owner_key(mut self, text: &str) -> Result<Self, UnusableTrust> {
        let key = text.trim().parse().map_err(|_| UnusableTrust::OwnerKey(text.trim().to_owned()))?;
        self.owner_key = Some(key);
        Ok(self)
    }

    /// A signed note kept from earlier; its signature is checked once the export has named the key.
    pub fn with_checkpoint(mut self, note: &[u8]) -> Result<Self, UnusableTrust> {
        let unreadable = |reason: String| UnusableTrust::Checkpoint(reason);
        let read = Note::parse(note).map_err(|error| unreadable(error.to_string()))?;
        Checkpoint::parse_body(read.text()).map_err(|error| unreadable(error.to_string()))?;
        self.notes.push(note.to_vec());
        Ok(self)
    }

    /// Takes the key that an export names, if it is the one that is known.
    pub(super) fn judge(&mut self, organism: OrganismId, named: &str) -> Result<PublicKey, Bad> {
        let bad = |reason: String| Err(Bad::new("key", reason));
        let Ok(named) = named.parse::<VerifierKey>() else {
            return bad("the header's key is not a verifier key".to_owned());
        };
        if named.algorithm() != Algorithm::Ed25519 || epoch_of(named.name(), organism).is_none() {
            return bad("the header's key is not that of this organism's log".to_owned());
        }
        let key = *named.key();
        if let Some(known) = &self.key
            && (*known.key() != key || epoch_of(known.name(), organism).is_none())
        {
            return bad(format!("signed by {named}, not by the key you trust ({known})"));
        }
        for note in std::mem::take(&mut self.notes) {
            let head = open(organism, key, &note)?;
            self.heads.push(head);
        }
        self.heads.sort_by_key(|head| head.size);
        // An empty log is the beginning of every log.
        self.heads.retain(|head| head.size > 0);
        Ok(key)
    }
}

fn open(organism: OrganismId, key: PublicKey, note: &[u8]) -> Result<Known, Bad> {
    let bad = |reason: String| Bad::new("key", reason);
    let read = Note::parse(note).ok().and_then(|note| Checkpoint::parse_body(note.text()).ok());
    let epoch = read.and_then(|checkpoint| epoch_of(&checkpoint.origin, organism));
    let epoch =
        epoch.ok_or_else(|| bad("the checkpoint you know is of another organism's log".to_owned()))?;
    let (checkpoint, _) = Checkpoint::open(note, &log_key(organism, epoch, key)).map_err(|error| {
        bad(format!("the checkpoint you know is not signed by the key that signed this export: {error}"))
    })?;
    Ok(Known { size: checkpoint.size, root: checkpoint.root })
}

/// The log's key under the name of one epoch.
pub(super) fn log_key(organism: OrganismId, epoch: u32, key: PublicKey) -> VerifierKey {
    VerifierKey::new(checkpoint::origin(organism, epoch), Algorithm::Ed25519, key)
}

/// The epoch that a log's name speaks of, if it is this organism's.
pub(super) fn epoch_of(origin: &KeyName, organism: OrganismId) -> Option<u32> {
    let epoch = origin.as_str().rsplit('/').next()?.parse().ok()?;
    (checkpoint::origin(organism, epoch) == *origin).then_some(epoch)
}
