//! A log that began again from a backup: whether the owner has signed for that, and whether the head that is shown grew
//! from what was signed. Pure.

use nexusmon_shared::id::OrganismId;
use nexusmon_shared::lifecycle::chain;
use nexusmon_shared::message::CheckpointNotice;
use nexusmon_shared::trust::checkpoint::{Checkpoint, SignedRestore};
use nexusmon_shared::trust::merkle::verify_consistency;
use nexusmon_shared::trust::note::VerifierKey;
use nexusmon_shared::trust::roster::Roster;

use super::Kept;
use super::judge::{known, open};

/// The head to keep in place of the one that is kept, with its key; `Err(None)` where nobody speaks of a restore.
pub(super) fn begins_again(
    kept: Option<&Kept>,
    notice: &CheckpointNotice,
    organism: OrganismId,
    roster: Option<&Roster>,
) -> Result<(Checkpoint, String), Option<String>> {
    if notice.restores.is_empty() {
        return Err(None);
    }
    let roster =
        roster.ok_or_else(|| "this machine has no roster to hold its signature against".to_owned())?;
    let kept = kept.and_then(|kept| known(kept, organism));
    // Of a file that was damaged nobody knows what it was: its admin looks.
    let (key, _, mut epoch) = kept.ok_or_else(|| "what was kept cannot be read".to_owned())?;
    let mut begun = None;
    for signed in &notice.restores {
        let signed = SignedRestore::read(signed).map_err(|error| chain(&error))?;
        if signed.record.new_epoch <= epoch {
            continue;
        }
        begun = Some(signed.verify(roster, epoch).map_err(|error| chain(&error))?);
        epoch = signed.record.new_epoch;
    }
    let begun = begun.ok_or_else(|| "it is of before the head that is kept".to_owned())?;
    let named: VerifierKey = notice.key.parse().map_err(|_| "its key is not a verifier key".to_owned())?;
    if *named.key() != key {
        return Err(Some("it is signed by another key than the one pinned".to_owned()));
    }
    let (head, of) = open(&notice.note, organism, key)?;
    if of < epoch {
        return Err(Some(format!("the head is of epoch {of}, the restore began {epoch}")));
    }
    let same = head.size == begun.size && head.root == begun.root;
    let grew = head.size > begun.size
        && verify_consistency(begun.size, head.size, &begun.root, &head.root, &notice.restore_proof);
    if same || grew {
        Ok((head, notice.key.clone()))
    } else {
        let size = begun.size;
        Err(Some(format!("the log does not begin with the {size} entries that the owner signed for")))
    }
}
