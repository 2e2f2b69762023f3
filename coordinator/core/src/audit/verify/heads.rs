//! Signed heads: each root is that of the entries before it, in an epoch that a restore began.

use nexusmon_shared::id::OrganismId;
use nexusmon_shared::trust::checkpoint::{Checkpoint, cosigned, witness};
use nexusmon_shared::trust::note::{Algorithm, Note, NoteSignature, VerifierKey};

use super::super::bad::Bad;
use super::super::line::Line;
use super::trust::{epoch_of, log_key};
use super::{Head, Verifier, lacks};

impl Verifier {
    pub(super) fn checkpoint(&mut self, line: &Line<'_>, head: &Head) -> Result<(), Bad> {
        let note = line.note.as_deref().ok_or_else(|| lacks("note"))?;
        let (size, last_good) = (self.frontier.size(), self.good);
        let unsigned = |code, reason: String| {
            let bad = Bad::new(code, reason);
            if size > last_good { bad.of(last_good + 1, size) } else { bad }
        };
        let read = Note::parse(note.as_bytes()).map_err(|error| unsigned("checkpoint", error.to_string()))?;
        let unverified = Checkpoint::parse_body(read.text());
        let unverified = unverified.map_err(|error| unsigned("checkpoint", error.to_string()))?;
        let epoch = epoch_of(&unverified.origin, head.organism)
            .ok_or_else(|| unsigned("checkpoint", format!("of another log: {}", unverified.origin)))?;
        let key = log_key(head.organism, epoch, head.key);
        let (checkpoint, note) = Checkpoint::open(note.as_bytes(), &key)
            .map_err(|error| unsigned("signature", format!("the checkpoint does not hold: {error}")))?;
        if checkpoint.size != size {
            let reason = format!("a checkpoint over {} entries stands after entry {size}", checkpoint.size);
            return Err(Bad::new("checkpoint", reason).of(last_good + 1, checkpoint.size.max(size)));
        }
        if checkpoint.root != self.frontier.root() {
            let mut reason = format!(
                "these are not the entries whose root was signed at {size}; up to {last_good} all is as it was signed"
            );
            if let Some(suspect) = &self.suspect {
                reason.push_str(&format!("; among them, {suspect}"));
            }
            return Err(unsigned("root", reason));
        }
        // The entries are those that were written; what they mean counts now.
        if let Some(suspect) = self.suspect.take() {
            return Err(suspect);
        }
        self.check_epoch(epoch)?;
        self.good = size;
        self.ids.clear();
        self.checkpoints += 1;
        self.newest = Some((checkpoint, note));
        Ok(())
    }

    fn check_epoch(&mut self, epoch: u32) -> Result<(), Bad> {
        match self.epoch {
            Some(before) if epoch < before => {
                return Err(Bad::new(
                    "epoch",
                    format!("a checkpoint of epoch {epoch} after one of {before}"),
                ));
            }
            Some(before) if epoch > before && self.meaning.epoch != Some(epoch) => {
                let reason = format!("epoch {epoch} begins without an entry of the restore that began it");
                return Err(Bad::new("epoch", reason));
            }
            _ => {}
        }
        self.epoch = Some(epoch);
        Ok(())
    }

    /// Heads that were known beforehand must be heads of this log.
    pub(super) fn compare_known(&mut self, size: u64) -> Result<(), Bad> {
        while self.trusted.heads.first().is_some_and(|known| known.size == size) {
            let known = self.trusted.heads.remove(0);
            if known.root != self.frontier.root() {
                let reason = format!(
                    "the log of {size} entries that you know has another root: history was rewritten"
                );
                return Err(Bad::new("forked", reason).of(self.known_good + 1, size));
            }
            self.known_good = size;
            self.known_heads += 1;
        }
        Ok(())
    }

    pub(super) fn witness(&mut self, line: &Line<'_>, organism: OrganismId) -> Result<(), Bad> {
        let agent = line.agent.ok_or_else(|| lacks("agent"))?;
        let text = line.cosignature.as_deref().ok_or_else(|| lacks("line"))?;
        let bad = |reason: &str| Bad::new("witness", format!("the cosignature of {agent} {reason}"));
        let (checkpoint, note) = self.newest.as_ref().ok_or_else(|| bad("stands before any checkpoint"))?;
        let key = self.identities.get(&agent).ok_or_else(|| bad("is by nobody who was enrolled"))?;
        let key = VerifierKey::new(witness(organism, agent), Algorithm::Cosignature, *key);
        let signature = NoteSignature::parse(text).ok_or_else(|| bad("is malformed"))?;
        let mut note = note.clone();
        note.signatures = vec![signature];
        match cosigned(checkpoint, &note, [&key]) {
            Ok(found) if !found.is_empty() => {}
            _ => return Err(bad("does not hold over the checkpoint before it")),
        }
        let apart = self.witnesses.entry(agent).or_default();
        *apart |= line.apart.unwrap_or(false);
        Ok(())
    }
}
