//! Whom this machine believes: the owner key it was told of when it joined, and the newest roster that key leads to.
//!
//! One file, `roster.json`, in the data folder, which tasks are not shown. A roster is on the disk before it decides
//! anything. The coordinator brings rosters and cannot make one; only the machine's own admin may begin anew.

mod reset;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::OrganismId;
use nexusmon_shared::message::RevokedApproval;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::key::KeyId;
use nexusmon_shared::trust::roster::{InForce, Roster, RosterError, SignedRoster};

pub use reset::reset;

const FILE: &str = "roster.json";
/// An honest organism does not take back more at a time.
const MOST_REVOKED: usize = 10_000;

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// None: this machine joined before there was an owner key.
    owner_key: Option<KeyId>,
    roster: Option<SignedRoster>,
    /// Signed by the recovery key: in force later.
    pending: Option<Pending>,
    /// Standing approvals that were taken back, with the ends they would have had.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    revoked: BTreeMap<Digest, Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    roster: SignedRoster,
    from: Timestamp,
}

/// The keeper of the file.
#[derive(Debug)]
pub struct Believed {
    folder: PathBuf,
    organism: OrganismId,
    kept: Kept,
    current: Option<Arc<Roster>>,
    revoked: Arc<BTreeSet<Digest>>,
}

/// What came of a roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is the one this agent has.
    Known,
    InForce {
        number: u64,
    },
    /// The people who could object have been told by then.
    From {
        number: u64,
        at: Timestamp,
    },
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot {what} {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is damaged: {reason}; `nexusmon-agent roster reset --owner-key …` begins anew")]
    Damaged { path: PathBuf, reason: String },
}

impl FileError {
    fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }
}

/// Why a roster was not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    #[error(
        "this machine knows no owner key, for it joined before there was one: its admin names it with \
         `nexusmon-agent roster reset --owner-key …`"
    )]
    NoOwnerKey,
    #[error(transparent)]
    Roster(#[from] RosterError),
    #[error("the roster could not be kept")]
    Keep(#[from] FileError),
}

impl Believed {
    /// Reads what is kept; where nothing is, the owner key that was agreed on at joining counts.
    pub fn open(
        data_dir: &Path,
        organism: OrganismId,
        joined_with: Option<KeyId>,
    ) -> Result<Self, FileError> {
        let kept = read(data_dir)?.unwrap_or_else(|| Kept { owner_key: joined_with, ..Kept::default() });
        // The file is as trustworthy as the keys beside it, but a broken one must not become a weaker one.
        if let Some(roster) = &kept.roster {
            let valid = roster.roster.organism == organism && roster.roster.validate().is_ok();
            if !valid {
                return Err(damaged(data_dir, "the roster in it is not one of this organism".to_owned()));
            }
        }
        let current = kept.roster.as_ref().map(|signed| Arc::new(signed.roster.clone()));
        let revoked = Arc::new(kept.revoked.keys().copied().collect());
        Ok(Self { folder: data_dir.to_owned(), organism, kept, current, revoked })
    }

    pub fn owner_key(&self) -> Option<KeyId> {
        self.kept.owner_key
    }

    /// The number of the newest roster it has taken, 0 for none: the next one is asked for by it.
    pub fn number(&self) -> u64 {
        self.current.as_ref().map_or(0, |roster| roster.number)
    }

    /// Standing approvals under which nothing begins here any more.
    pub fn revoked(&self) -> Arc<BTreeSet<Digest>> {
        Arc::clone(&self.revoked)
    }

    /// Writes down what was taken back; gives how many of them are news. Those that have ended by themselves are forgotten.
    pub fn revoke(&mut self, approvals: &[RevokedApproval], now: Timestamp) -> Result<usize, FileError> {
        let mut next = self.kept.clone();
        next.revoked.retain(|_, expires_at| *expires_at > now);
        let before = next.revoked.len();
        for RevokedApproval { digest, expires_at } in approvals {
            if *expires_at > now && next.revoked.len() < MOST_REVOKED {
                next.revoked.entry(*digest).or_insert(*expires_at);
            }
        }
        let news = next.revoked.len() - before;
        if news > 0 {
            self.keep(next)?;
        }
        Ok(news)
    }

    /// One that comes into force later.
    pub fn pending(&self) -> Option<(u64, Timestamp)> {
        self.kept.pending.as_ref().map(|pending| (pending.roster.roster.number, pending.from))
    }

    /// The roster that decides now.
    pub fn in_force(&mut self, now: Timestamp) -> Option<Arc<Roster>> {
        if self.kept.pending.as_ref().is_some_and(|pending| pending.from <= now)
            && let Some(Pending { roster, .. }) = self.kept.pending.clone()
        {
            let next = Kept { roster: Some(roster), pending: None, ..self.kept.clone() };
            match self.keep(next) {
                Ok(()) => tracing::warn!(number = self.number(), "the recovered roster is in force"),
                Err(error) => tracing::error!(%error, "the recovered roster could not be kept"),
            }
        }
        self.current.clone()
    }

    /// Takes what the coordinator brings, if it follows from what this machine believes.
    pub fn take(&mut self, bytes: &[u8], now: Timestamp) -> Result<Taken, TakeError> {
        let signed = SignedRoster::read(bytes)?;
        let number = signed.roster.number;
        if self.kept.roster.as_ref() == Some(&signed) {
            return Ok(Taken::Known);
        }
        let in_force = match &self.current {
            Some(current) => signed.verify_successor(current)?,
            None => {
                let pinned = self.kept.owner_key.ok_or(TakeError::NoOwnerKey)?;
                signed.verify_first(self.organism, pinned)?;
                InForce::AtOnce
            }
        };
        match in_force {
            InForce::AtOnce => {
                self.keep(Kept { roster: Some(signed), pending: None, ..self.kept.clone() })?;
                Ok(Taken::InForce { number })
            }
            InForce::After(delay) => {
                // Shown again, it does not come later; another recovered one does not come sooner.
                let from = match &self.kept.pending {
                    Some(pending) if pending.roster == signed => pending.from,
                    _ => now + delay,
                };
                let pending = Some(Pending { roster: signed, from });
                self.keep(Kept { pending, ..self.kept.clone() })?;
                Ok(Taken::From { number, at: from })
            }
        }
    }

    fn keep(&mut self, next: Kept) -> Result<(), FileError> {
        write(&self.folder, &next)?;
        self.current = next.roster.as_ref().map(|signed| Arc::new(signed.roster.clone()));
        self.revoked = Arc::new(next.revoked.keys().copied().collect());
        self.kept = next;
        Ok(())
    }
}

fn damaged(data_dir: &Path, reason: String) -> FileError {
    FileError::Damaged { path: data_dir.join(FILE), reason }
}

fn read(data_dir: &Path) -> Result<Option<Kept>, FileError> {
    let path = data_dir.join(FILE);
    match std::fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(data_dir, error.to_string()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::io("read", &path, error)),
    }
}

fn write(data_dir: &Path, kept: &Kept) -> Result<(), FileError> {
    let (path, fresh) = (data_dir.join(FILE), data_dir.join("roster.new"));
    let bytes = serde_json::to_vec(kept).expect("plain fields always serialize");
    let done = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)?;
        File::open(data_dir)?.sync_all()
    };
    done().map_err(|error| FileError::io("write", &path, error))
}

#[cfg(test)]
mod tests;
