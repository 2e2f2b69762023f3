//! Whether a head follows from the one kept. Pure.

use nexusmon_shared::id::OrganismId;
use nexusmon_shared::message::CheckpointNotice;
use nexusmon_shared::trust::checkpoint::{self, Checkpoint};
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::merkle::verify_consistency;
use nexusmon_shared::trust::note::{Algorithm, Note, VerifierKey};

use super::Kept;

pub(super) enum Judgement {
    /// To be kept, with the key it is signed by.
    Follows {
        head: Checkpoint,
        key: String,
    },
    /// Nothing can be said; no evidence of anything.
    Unusable(String),
    Alarm(String),
}

pub(super) fn judge(kept: Option<&Kept>, notice: &CheckpointNotice, organism: OrganismId) -> Judgement {
    if let Some(Kept { alarm: Some(alarm), .. }) = kept {
        return Judgement::Alarm(alarm.clone());
    }
    let Ok(key) = notice.key.parse::<VerifierKey>() else {
        return Judgement::Unusable("its key is not a verifier key".to_owned());
    };
    let before = match kept.map(|kept| known(kept, organism)) {
        Some(None) => return Judgement::Alarm("what was kept of the audit log cannot be read".to_owned()),
        Some(Some(before)) => Some(before),
        None => None,
    };
    if let Some((pinned, _, _)) = &before
        && *pinned != *key.key()
    {
        return Judgement::Alarm(
            "heads of the audit log are signed by another key than the one pinned".to_owned(),
        );
    }
    let (head, epoch) = match open(&notice.note, organism, *key.key()) {
        Ok(opened) => opened,
        Err(reason) => return Judgement::Unusable(reason),
    };
    let follows = Judgement::Follows { key: notice.key.clone(), head: head.clone() };
    let Some((_, before, before_epoch)) = before else { return follows };
    if epoch < before_epoch {
        let reason = format!("the log went back from epoch {before_epoch} to {epoch}");
        return Judgement::Alarm(reason);
    }
    if head.size < before.size {
        return Judgement::Alarm(format!("the log has shrunk from {} entries to {}", before.size, head.size));
    }
    if head.size == before.size {
        return if head.root == before.root {
            follows
        } else {
            Judgement::Alarm(format!("the log has two different histories of {} entries", head.size))
        };
    }
    if notice.from != before.size {
        return Judgement::Unusable(format!(
            "the proof begins at {}, kept are {} entries",
            notice.from, before.size
        ));
    }
    // Asked for what is kept, an honest log can always prove it.
    if verify_consistency(before.size, head.size, &before.root, &head.root, &notice.proof) {
        follows
    } else {
        let (from, to) = (before.size, head.size);
        Judgement::Alarm(format!("the log of {to} entries does not begin with the {from} that were seen"))
    }
}

pub(super) fn known(kept: &Kept, organism: OrganismId) -> Option<(PublicKey, Checkpoint, u32)> {
    let key = *kept.key.parse::<VerifierKey>().ok()?.key();
    let (head, epoch) = open(&kept.note, organism, key).ok()?;
    Some((key, head, epoch))
}

/// Reads a signed head of this organism's log, of whatever epoch.
pub(super) fn open(note: &str, organism: OrganismId, key: PublicKey) -> Result<(Checkpoint, u32), String> {
    let read = Note::parse(note.as_bytes()).map_err(|error| error.to_string())?;
    let head = Checkpoint::parse_body(read.text()).map_err(|error| error.to_string())?;
    let epoch = head.origin.as_str().rsplit('/').next().and_then(|epoch| epoch.parse().ok());
    let epoch = epoch.filter(|epoch| checkpoint::origin(organism, *epoch) == head.origin);
    let epoch = epoch.ok_or_else(|| format!("it is of another log: {}", head.origin))?;
    let key = VerifierKey::new(head.origin, Algorithm::Ed25519, key);
    let (head, _) = Checkpoint::open(note.as_bytes(), &key).map_err(|error| error.to_string())?;
    Ok((head, epoch))
}
