//! Acts beside work that people approve: each is a document, and its digest is what is signed. Whoever signs reads the
//! document and computes the digest from what they read.

use crate::digest::Digest;
use crate::id::{MissionId, OrganismId};
use crate::plan::Budget;
use crate::time::Timestamp;
use crate::trust::signable::{self, ReadError, Signable};

use super::SubjectKind;

/// Policies are the largest thing proposed.
pub const MAX_PROPOSAL_BYTES: usize = 2 * 1024 * 1024;

/// What is asked for.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Proposal {
    pub organism: OrganismId,
    /// Makes every proposal another one: a signature for one is none for the next that asks for the same.
    pub at: Timestamp,
    /// Why, in the words of whoever asks.
    pub comment: String,
    pub act: Act,
}

#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Act {
    /// Another set of policies in place of `from`.
    PolicyChange { from: Digest, to: Digest, text: String },
    /// Letting work go on after this pull of the kill switch; a later pull makes it void.
    HaltRelease { number: u64 },
    /// A trait before it is earned, or in spite of a suspension.
    TraitGrant { r#trait: String, until: Timestamp },
    /// Other ceilings for a mission under this plan.
    Budget { mission: MissionId, plan: Digest, from: Budget, to: Budget },
}

impl Act {
    pub const fn subject(&self) -> SubjectKind {
        match self {
            Self::PolicyChange { .. } => SubjectKind::PolicyChange,
            Self::HaltRelease { .. } => SubjectKind::HaltRelease,
            Self::TraitGrant { .. } => SubjectKind::TraitGrant,
            Self::Budget { .. } => SubjectKind::Budget,
        }
    }

    pub const fn mission(&self) -> Option<MissionId> {
        match self {
            Self::Budget { mission, .. } => Some(*mission),
            _ => None,
        }
    }
}

impl Signable for Proposal {
    const DOMAIN: &'static str = "nexusmon/proposal/v1";
}

impl Proposal {
    /// Reads canonical JSON of at most [`MAX_PROPOSAL_BYTES`].
    pub fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        signable::read_canonical(bytes, MAX_PROPOSAL_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::canonical;

    fn proposal(act: Act) -> Proposal {
        let at = Timestamp::from_micros(1);
        Proposal { organism: OrganismId::from_bits(1), at, comment: "why".to_owned(), act }
    }

    #[test]
    fn what_is_read_back_has_the_same_digest_and_nothing_else_is_read() {
        let one = proposal(Act::HaltRelease { number: 3 });
        let bytes = canonical::to_bytes(&one).unwrap();
        let read = Proposal::read(&bytes).unwrap();
        assert_eq!((&read, read.digest()), (&one, one.digest()));
        let text = String::from_utf8(bytes).unwrap();
        for wrong in [
            text.replace("\"number\":3", "\"extra\":1,\"number\":3"),
            text.replace("\"number\":3", "\"number\":3.0"),
            text.replace("halt_release", "halt_everything"),
            format!(" {text}"),
        ] {
            assert!(Proposal::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let later = Proposal { at: Timestamp::from_micros(2), ..one.clone() };
        assert_ne!(later.digest(), one.digest());
        assert_ne!(proposal(Act::HaltRelease { number: 4 }).digest(), one.digest());
    }
}
