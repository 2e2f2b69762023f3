//! Checkpoints of the audit log (C2SP `tlog-checkpoint`): a signed note of origin, size and root; and what a witness
//! does with the next one.

mod cosignature;
mod restore;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;

pub use cosignature::{Cosigned, cosign, cosigned};
pub use restore::{MAX_RESTORE_BYTES, Restore, RestoreError, RestoreRecord, SignedRestore};

use super::merkle::verify_consistency;
use super::note::{KeyName, Note, NoteError, VerifierKey};
use crate::digest::Digest;
use crate::id::{AgentId, OrganismId};

/// The head of a log at one size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    pub origin: KeyName,
    /// Number of entries.
    pub size: u64,
    /// Merkle root (RFC 9162) over the entries.
    pub root: Digest,
}

/// Why bytes are not a checkpoint of this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error("the checkpoint's text is not origin, size and root, a line each")]
    Text,
    #[error("the checkpoint is of another log than the key that signed it")]
    Origin,
}

/// What is wrong with a checkpoint that should follow another. All but a bad proof are evidence against the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    #[error("it is of another log: `{0}`")]
    OtherLog(KeyName),
    #[error("the log has shrunk from {from} entries to {to}")]
    Shrunken { from: u64, to: u64 },
    #[error("the log has two different histories of {0} entries")]
    Forked(u64),
    #[error("the proof does not show that the log of {from} entries grew to {to}")]
    Unproved { from: u64, to: u64 },
}

/// The name of an organism's log. A restored backup begins a new one under its new epoch.
pub fn origin(organism: OrganismId, epoch: u32) -> KeyName {
    KeyName::new(format!("nexusmon/{organism}/{epoch}")).expect("ids and numbers hold no spaces")
}

/// The name an agent cosigns under.
pub fn witness(organism: OrganismId, agent: AgentId) -> KeyName {
    KeyName::new(format!("nexusmon/{organism}/{agent}")).expect("ids hold no spaces")
}

impl Checkpoint {
    /// The note's text.
    pub fn body(&self) -> String {
        let mut text = String::new();
        write!(text, "{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.as_bytes()))
            .expect("writing to a string does not fail");
        text
    }

    /// Reads a note's text: three lines, each written in its one way; no extension lines, which nobody could audit.
    pub fn parse_body(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Text)?.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Text);
        };
        let origin = KeyName::new(origin).map_err(|_| CheckpointError::Text)?;
        let size = size.parse().map_err(|_| CheckpointError::Text)?;
        let root = STANDARD.decode(root).map_err(|_| CheckpointError::Text)?;
        let root = Digest::try_from(root.as_slice()).map_err(|_| CheckpointError::Text)?;
        let read = Self { origin, size, root };
        // Leading zeroes and signs are other ways to write a number.
        if read.body() == text { Ok(read) } else { Err(CheckpointError::Text) }
    }

    /// The note, signed by the log under its origin.
    pub fn sign(&self, key: &SigningKey) -> Note {
        let note = Note::new(self.body()).expect("a checkpoint's text is three plain lines");
        note.signed_by(self.origin.clone(), key)
    }

    /// Reads a note and verifies the log's signature.
    pub fn open(bytes: &[u8], log: &VerifierKey) -> Result<(Self, Note), CheckpointError> {
        let note = Note::parse(bytes)?;
        note.verify(log)?;
        let read = Self::parse_body(note.text())?;
        if read.origin == *log.name() { Ok((read, note)) } else { Err(CheckpointError::Origin) }
    }

    /// Whether this one follows `before` by a consistency proof (RFC 9162, section 2.1.4).
    pub fn follows(&self, before: &Self, proof: &[Digest]) -> Result<(), Break> {
        let (from, to) = (before.size, self.size);
        if self.origin != before.origin {
            return Err(Break::OtherLog(self.origin.clone()));
        }
        if to < from {
            return Err(Break::Shrunken { from, to });
        }
        if to == from && self.root != before.root {
            return Err(Break::Forked(to));
        }
        if verify_consistency(from, to, &before.root, &self.root, proof) {
            Ok(())
        } else {
            Err(Break::Unproved { from, to })
        }
    }
}

#[cfg(test)]
mod tests;
