//! Six words that a person compares on two screens before a machine is trusted with rank B and above.
//!
//! They cover the CA, the owner key and the agent's identity. Six words are 66 bits, and whoever sits between the two
//! screens may try keys for both sides at once; so the words are made slowly (Argon2id, 64 MiB, three passes), which
//! turns the search for two that look alike from hours into decades.

use std::fmt;

use bip39::Language;

use super::ed25519::PublicKey;
use super::key::KeyId;
use crate::digest::Digest;
use crate::id::OrganismId;

const DOMAIN: &[u8] = b"nexusmon/phrase/v1\n";
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const BITS: usize = 11;

/// Six words of the BIP-39 English list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Phrase([&'static str; 6]);

impl Phrase {
    /// `authority` is the SHA-256 of the CA's public key, `owner` the owner key's id, as in the join token.
    ///
    /// Takes a tenth of a second and 64 MiB: not for an async thread.
    pub fn of(organism: OrganismId, authority: &Digest, owner: &KeyId, agent: &PublicKey) -> Self {
        let covered = [
            DOMAIN,
            &organism.to_bits().to_be_bytes(),
            authority.as_bytes(),
            owner.0.as_bytes(),
            agent.as_bytes(),
        ]
        .concat();
        let parameters =
            argon2::Params::new(MEMORY_KIB, PASSES, 1, Some(9)).expect("parameters within limits");
        let mut hash = [0; 9];
        argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, parameters)
            .hash_password_into(&covered, DOMAIN, &mut hash)
            .expect("salt and input are within limits");
        let mut bits = [0; 16];
        bits[7..].copy_from_slice(&hash);
        let bits = u128::from_be_bytes(bits);
        let list = Language::English.word_list();
        Self(std::array::from_fn(|place| {
            let index = bits >> (72 - BITS * (place + 1)) & 0x7ff;
            list[usize::try_from(index).expect("11 bits")]
        }))
    }

    pub fn words(&self) -> &[&'static str; 6] {
        &self.0
    }
}

impl fmt::Display for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    #[test]
    fn the_words_cover_every_part_and_stay_the_same() {
        let agent = |seed| PublicKey::of(&SigningKey::from_bytes(&[seed; 32]));
        let (organism, authority, owner) =
            (OrganismId::from_bits(1), Digest::of(b"ca"), KeyId(Digest::of(b"owner")));
        let phrase = Phrase::of(organism, &authority, &owner, &agent(1));
        // Computed independently: both screens may run different versions.
        assert_eq!(phrase.to_string(), "chunk enforce true few galaxy sniff");
        for other in [
            Phrase::of(OrganismId::from_bits(2), &authority, &owner, &agent(1)),
            Phrase::of(organism, &Digest::of(b"cb"), &owner, &agent(1)),
            Phrase::of(organism, &authority, &KeyId(Digest::of(b"other")), &agent(1)),
            Phrase::of(organism, &authority, &owner, &agent(2)),
        ] {
            assert_ne!(other, phrase);
        }
    }
}
