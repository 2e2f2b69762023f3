//! A task that a running task adds to its mission: what its agent signs with its identity key, so that whoever runs it
//! can tell that no coordinator made it up.

use super::canonical;
use super::ed25519::{PublicKey, Signature, SigningKey};
use super::signable::{ReadError, Signable, read_canonical};
use crate::attempt::AttemptRef;
use crate::digest::Digest;
use crate::id::{AgentId, OrganismId, TaskId};
use crate::plan::TaskSpec;

/// A signed one as JSON.
pub const MAX_SPAWNED_BYTES: usize = 768 * 1024;

/// What is signed.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spawned {
    pub organism: OrganismId,
    /// Who signs: the agent that runs the attempt.
    pub agent: AgentId,
    pub plan_digest: Digest,
    /// The attempt that adds it, with the fence it runs under.
    pub parent: AttemptRef,
    /// Its place among those this attempt adds, from 0.
    pub number: u32,
    pub leaf: TaskSpec,
}

impl Signable for Spawned {
    const DOMAIN: &'static str = "nexusmon/spawned/v1";
}

impl Spawned {
    /// The task's id, which follows from what is signed: nobody can show one signature for two tasks, and adding twice
    /// adds once.
    pub fn task(&self) -> TaskId {
        let digest = self.digest();
        let first = digest.as_bytes().first_chunk::<16>().expect("a digest has 32 bytes");
        TaskId::from_bits(u128::from_be_bytes(*first))
    }

    /// Signs; `None` where a value has no canonical form, such as a number JSON cannot carry.
    pub fn sign(self, identity: &SigningKey) -> Option<SignedSpawned> {
        canonical::to_bytes(&self).ok()?;
        let signature = Signature::sign(identity, &self.to_sign());
        Some(SignedSpawned { document: self, signature })
    }
}

/// A document with the signature of the agent it names.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedSpawned {
    pub document: Spawned,
    pub signature: Signature,
}

impl SignedSpawned {
    /// Reads the canonical form; nothing is verified yet.
    pub fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        read_canonical(bytes, MAX_SPAWNED_BYTES)
    }

    /// The canonical form.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self).expect("the document was signed or read in its canonical form")
    }

    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verify(&self.document.to_sign(), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::attempt::Fence;

    fn document(script: &str) -> Spawned {
        let leaf = json!({
            "id": "child", "uses": "shell.run", "with": {"script": script}, "needs": ["parent"], "if": null,
            "for_each": null, "on": {}, "timeout": "60s", "idempotent": true, "offline": "0s",
            "retry": {"max": 0, "backoff": "5s", "jitter": 0.2, "on": []}, "sandbox": {"profile": "strict"},
            "inputs": [], "artifacts": [], "verify": null, "effects": {}, "limits": {},
        });
        Spawned {
            organism: OrganismId::from_bits(1),
            agent: AgentId::from_bits(2),
            plan_digest: Digest::of(b"plan"),
            parent: AttemptRef { task: TaskId::from_bits(3), fence: Fence { epoch: 1, number: 4 } },
            number: 0,
            leaf: serde_json::from_value(leaf).unwrap(),
        }
    }

    #[test]
    fn a_signature_is_over_every_part() {
        let (key, other) = (SigningKey::from_bytes(&[7; 32]), SigningKey::from_bytes(&[8; 32]));
        let signed = document("true").sign(&key).unwrap();
        assert_eq!(SignedSpawned::read(&signed.to_bytes()).unwrap(), signed);
        assert!(signed.is_signed_by(&PublicKey::of(&key)));
        assert!(!signed.is_signed_by(&PublicKey::of(&other)));
        let fence = Fence { epoch: 1, number: 5 };
        let forgeries = [
            Spawned { organism: OrganismId::from_bits(9), ..document("true") },
            Spawned { agent: AgentId::from_bits(9), ..document("true") },
            Spawned { plan_digest: Digest::of(b"other"), ..document("true") },
            Spawned { parent: AttemptRef { fence, ..signed.document.parent }, ..document("true") },
            Spawned {
                parent: AttemptRef { task: TaskId::from_bits(9), ..signed.document.parent },
                ..document("true")
            },
            Spawned { number: 1, ..document("true") },
            document("false"),
        ];
        for document in forgeries {
            let forged = SignedSpawned { document, ..signed.clone() };
            assert!(!forged.is_signed_by(&PublicKey::of(&key)), "{:?}", forged.document);
            assert_ne!(forged.document.task(), signed.document.task());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..900, to: u8) {
            prop_assert!(SignedSpawned::read(&bytes).is_err());
            let key = SigningKey::from_bytes(&[7; 32]);
            let mut text = document("true").sign(&key).unwrap().to_bytes();
            let place = at % text.len();
            let same = text[place] == to;
            text[place] = to;
            let holds = SignedSpawned::read(&text).is_ok_and(|read| read.is_signed_by(&PublicKey::of(&key)));
            prop_assert_eq!(holds, same);
        }
    }
}
