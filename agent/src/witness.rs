//! What this agent remembers of the coordinator's audit log, so that nobody can cut or rewrite what it has seen: the
//! log's key and the newest head, on this machine's own disk.
//!
//! A head that does not follow from the one kept raises an alarm, which stays until the owner has signed for a restore
//! that explains it, or the machine's admin accepts the new log; until then the agent takes no work.

mod judge;
mod restored;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nexusmon_shared::id::{AgentId, OrganismId};
use nexusmon_shared::message::{CheckpointNotice, Cosignature};
use nexusmon_shared::pki::IdentityKey;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::checkpoint::{self, Checkpoint};
use nexusmon_shared::trust::roster::Roster;

use judge::Judgement;

const FILE: &str = "witness.json";
/// The coordinator takes no longer explanation.
const ALARM_BYTES: usize = 1_000;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Kept {
    /// The log's verifier key: give it to `nexusmon audit verify --key`.
    pub key: String,
    /// The newest head that was verified, as its signed note: give it to `nexusmon audit verify --checkpoint`.
    pub note: String,
    /// Entries it covers.
    pub size: u64,
    /// Why the log is no longer believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<String>,
}

/// What came of a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    pub answer: Cosignature,
    /// The owner has signed for a restore: what was known before is kept in this file.
    pub begun_again: Option<PathBuf>,
}

/// The memory of one agent.
#[derive(Debug)]
pub struct Witness {
    path: PathBuf,
    kept: Mutex<Option<Kept>>,
}

impl Witness {
    /// What an earlier life has kept. A file that cannot be read is an alarm: somebody may want it forgotten.
    pub fn open(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE);
        let kept = Mutex::new(read(&path));
        Self { path, kept }
    }

    /// Reads the file anew, after the machine's admin may have changed it. True while there is an alarm.
    pub fn reload(&self) -> bool {
        let fresh = read(&self.path);
        let alarmed = fresh.as_ref().is_some_and(|kept| kept.alarm.is_some());
        *self.lock() = fresh;
        alarmed
    }

    pub fn kept(&self) -> Option<Kept> {
        self.lock().clone()
    }

    /// Entries under the head that is kept; 0 for none.
    pub fn size(&self) -> u64 {
        self.lock().as_ref().map_or(0, |kept| kept.size)
    }

    pub fn is_alarmed(&self) -> bool {
        self.lock().as_ref().is_some_and(|kept| kept.alarm.is_some())
    }

    /// Verifies a head against the one kept; keeps it on the disk, then cosigns it. `roster` is the one in force here:
    /// its owner may have signed for a restore. Blocks.
    pub fn consider(
        &self,
        notice: &CheckpointNotice,
        who: (OrganismId, AgentId),
        identity: &IdentityKey,
        roster: Option<&Roster>,
        now: Timestamp,
    ) -> Considered {
        let mut kept = self.lock();
        let plain = |answer| Considered { answer, begun_again: None };
        match judge::judge(kept.as_ref(), notice, who.0) {
            Judgement::Follows { head, key } => {
                plain(self.agree(&mut kept, notice, (&head, key), who, identity, now))
            }
            Judgement::Unusable(reason) => {
                tracing::warn!(reason, "a head of the audit log that cannot be judged");
                plain(silent(kept.as_ref()))
            }
            Judgement::Alarm(reason) => {
                let mut reason = reason;
                match restored::begins_again(kept.as_ref(), notice, who.0, roster) {
                    Ok((head, key)) => match self.keep_evidence(now) {
                        Ok(begun_again) => {
                            tracing::warn!(
                                size = head.size,
                                was = reason,
                                "the audit log began again from a backup, as the owner has signed"
                            );
                            // Until the new head is written, the old one and its alarm stay.
                            let answer = self.agree(&mut kept, notice, (&head, key), who, identity, now);
                            let begun_again = Some(begun_again).filter(|_| !answer.line.is_empty());
                            return Considered { answer, begun_again };
                        }
                        Err(error) => {
                            tracing::error!(%error, "cannot keep what was known before the restore");
                            return plain(silent(kept.as_ref()));
                        }
                    },
                    Err(Some(why)) => tracing::warn!(why, "a signed restore that does not explain the log"),
                    Err(None) => {}
                }
                reason.truncate(reason.floor_char_boundary(ALARM_BYTES));
                tracing::error!(
                    reason,
                    "THE AUDIT LOG IS NOT THE ONE THIS AGENT KNOWS; no more work is taken until its owner has signed for a \
                     restore (`nexusmon audit restored --sign`) or the machine's admin has run \
                     `nexusmon-agent witness --accept-new-log`"
                );
                let size = kept.as_ref().map_or(0, |kept| kept.size);
                // What is alarmed already stays as it is: it is evidence.
                if let Some(known) = &mut *kept
                    && known.alarm.is_none()
                {
                    known.alarm = Some(reason.clone());
                    if let Err(error) = self.write(known) {
                        tracing::error!(%error, "cannot keep the alarm; it is raised again with the next head");
                    }
                }
                plain(Cosignature { size, line: String::new(), alarm: reason })
            }
        }
    }

    /// Keeps a head that was verified, and cosigns it.
    fn agree(
        &self,
        kept: &mut Option<Kept>,
        notice: &CheckpointNotice,
        (head, key): (&Checkpoint, String),
        (organism, agent): (OrganismId, AgentId),
        identity: &IdentityKey,
        now: Timestamp,
    ) -> Cosignature {
        let fresh = Kept { key, note: notice.note.clone(), size: head.size, alarm: None };
        if let Err(error) = self.write(&fresh) {
            // What would be forgotten in a crash is not vouched for.
            tracing::error!(path = %self.path.display(), %error, "cannot keep a head of the audit log");
            return silent(kept.as_ref());
        }
        *kept = Some(fresh);
        let seconds = u64::try_from(now.as_micros() / 1_000_000).unwrap_or(0);
        let line = identity.cosign(head, checkpoint::witness(organism, agent), seconds);
        Cosignature { size: head.size, line: line.to_string(), alarm: String::new() }
    }

    /// A copy of what is kept, before another head takes its place.
    fn keep_evidence(&self, now: Timestamp) -> std::io::Result<PathBuf> {
        let evidence = evidence(self.folder(), now);
        std::fs::copy(&self.path, &evidence)?;
        File::open(&evidence)?.sync_all()?;
        Ok(evidence)
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    fn write(&self, kept: &Kept) -> std::io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(kept).map_err(std::io::Error::other)?)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)?;
        File::open(self.folder())?.sync_all()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn evidence(folder: &Path, now: Timestamp) -> PathBuf {
    folder.join(format!("witness-until-{}.json", now.as_micros() / 1_000_000))
}

/// By the machine's admin: what was kept becomes evidence, and the next head is the first of a new log. Gives the file
/// that holds the evidence; none if nothing was kept.
pub fn accept_new_log(data_dir: &Path, now: Timestamp) -> std::io::Result<Option<PathBuf>> {
    let path = data_dir.join(FILE);
    let evidence = evidence(data_dir, now);
    match std::fs::rename(&path, &evidence) {
        Ok(()) => Ok(Some(evidence)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Neither agrees nor accuses; says what is kept, so that the next proof begins there.
fn silent(kept: Option<&Kept>) -> Cosignature {
    Cosignature { size: kept.map_or(0, |kept| kept.size), line: String::new(), alarm: String::new() }
}

fn read(path: &Path) -> Option<Kept> {
    let damaged = |reason: String| {
        let alarm = Some(format!("{} cannot be read: {reason}", path.display()));
        Some(Kept { key: String::new(), note: String::new(), size: 0, alarm })
    };
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_or_else(|error| damaged(error.to_string()), Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => damaged(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
