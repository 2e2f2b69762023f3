//! Cosignatures (C2SP `tlog-cosignature`, version 1): a witness says that, at a time, this was the largest consistent
//! head it had seen.

use ed25519_dalek::SigningKey;

use super::Checkpoint;
use crate::trust::ed25519::Signature;
use crate::trust::note::{Algorithm, KeyName, Note, NoteError, NoteSignature, VerifierKey};

/// A verified cosignature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cosigned {
    pub witness: KeyName,
    /// Seconds since the Unix epoch, by the witness's clock.
    pub at: u64,
}

fn message(checkpoint: &Checkpoint, at: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {at}\n{}", checkpoint.body()).into_bytes()
}

/// Cosigns a checkpoint that the witness has verified. `at` is in seconds since the Unix epoch.
///
/// The message names no witness, so a key cosigns under one name only.
pub fn cosign(checkpoint: &Checkpoint, witness: KeyName, key: &SigningKey, at: u64) -> NoteSignature {
    let signature = Signature::sign(key, &message(checkpoint, at));
    let id = VerifierKey::of(witness.clone(), Algorithm::Cosignature, key).id();
    let signature = [at.to_be_bytes().as_slice(), signature.as_bytes()].concat();
    NoteSignature { name: witness, id, signature }
}

/// Which of `witnesses` have cosigned the checkpoint, as far as the note shows. One that does not hold is an error: it
/// claims a key that we know.
pub fn cosigned<'a>(
    checkpoint: &Checkpoint,
    note: &Note,
    witnesses: impl IntoIterator<Item = &'a VerifierKey>,
) -> Result<Vec<Cosigned>, NoteError> {
    let mut found = Vec::new();
    for witness in witnesses.into_iter().filter(|key| key.algorithm() == Algorithm::Cosignature) {
        if let Some(line) = note.by(witness) {
            found.push(verify(checkpoint, line, witness)?);
        }
    }
    Ok(found)
}

fn verify(
    checkpoint: &Checkpoint,
    line: &NoteSignature,
    witness: &VerifierKey,
) -> Result<Cosigned, NoteError> {
    let (at, signature) = line.signature.split_first_chunk::<8>().ok_or(NoteError::Signature)?;
    let at = u64::from_be_bytes(*at);
    let signature = Signature::from_bytes(signature.try_into().map_err(|_| NoteError::Signature)?);
    // The format's own limit.
    if at >> 63 == 0 && witness.key().verify(&message(checkpoint, at), &signature) {
        Ok(Cosigned { witness: witness.name().clone(), at })
    } else {
        Err(NoteError::Signature)
    }
}
