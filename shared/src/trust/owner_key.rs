//! A person's signing key as a file: an Ed25519 secret sealed with a passphrase (Argon2id, XChaCha20-Poly1305).
//!
//! JSON, so that a person can see what it is; everything outside the sealed part is covered by the seal.

use std::fmt;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use super::base64_text;
use super::ed25519::PublicKey;
use super::key::{KeyId, PersonKey};
use super::signable::{self, ReadError, Signable};

/// Shorter passphrases are refused when a key is sealed.
pub const MIN_PASSPHRASE: usize = 8;
const MAX_FILE: usize = 4096;
const FORMAT: &str = "nexusmon-owner-key";
const VERSION: u32 = 1;
const TAG: usize = 16;

/// What opening the file costs: Argon2id with one lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    pub memory_kib: u32,
    pub passes: u32,
}

impl Default for Cost {
    /// The second recommendation of RFC 9106, with one lane: a third of a second.
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3 }
    }
}

impl Cost {
    /// A file must not make its reader spend more than 1 GiB and a minute.
    const fn is_sane(self) -> bool {
        self.memory_kib >= 8 && self.memory_kib <= 1024 * 1024 && self.passes >= 1 && self.passes <= 16
    }
}

/// The key, opened. `Debug` shows its public half only; the secret is wiped on drop.
pub struct OwnerKey(SigningKey);

/// Why a file gives no key.
#[derive(Debug, thiserror::Error)]
pub enum OwnerKeyError {
    #[error("this is not an owner key file")]
    NotAKeyFile(#[source] Option<ReadError>),
    #[error("the owner key file is of version {0}; this program knows version {VERSION}: upgrade it")]
    Newer(u32),
    #[error(
        "the owner key file asks for more memory or time than opening one may cost; it is damaged or forged"
    )]
    Cost,
    #[error("the owner key file is damaged: `{0}` has the wrong length")]
    Damaged(&'static str),
    #[error("the passphrase is wrong, or the file has been changed")]
    Passphrase,
    #[error("the passphrase has fewer than {MIN_PASSPHRASE} characters; choose a longer one")]
    PassphraseTooShort,
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    version: u32,
    public_key: PublicKey,
    cost: Cost,
    #[serde(with = "base64_text")]
    salt: Vec<u8>,
    #[serde(with = "base64_text")]
    nonce: Vec<u8>,
    #[serde(with = "base64_text")]
    sealed: Vec<u8>,
}

impl Signable for File {
    const DOMAIN: &'static str = "nexusmon/owner-key/v1";
}

impl File {
    /// What the seal covers: everything beside itself.
    fn covered(&self) -> Vec<u8> {
        Self { sealed: Vec::new(), ..self.clone() }.to_sign()
    }
}

#[derive(serde::Deserialize)]
struct Kind {
    format: String,
    version: u32,
}

impl OwnerKey {
    pub fn generate(rng: &mut impl rand::CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        Self(SigningKey::from_bytes(&seed))
    }

    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// What statements and rosters are signed with.
    pub fn signing_key(&self) -> &SigningKey {
        &self.0
    }

    /// As the roster lists it.
    pub fn person_key(&self) -> PersonKey {
        PersonKey::Cli { public_key: PublicKey::of(&self.0) }
    }

    pub fn id(&self) -> KeyId {
        self.person_key().id()
    }

    /// The file's text, ending in a newline.
    pub fn seal(
        &self,
        passphrase: &str,
        cost: Cost,
        rng: &mut impl rand::CryptoRng,
    ) -> Result<String, OwnerKeyError> {
        if passphrase.chars().count() < MIN_PASSPHRASE {
            return Err(OwnerKeyError::PassphraseTooShort);
        }
        let (mut salt, mut nonce) = (vec![0; 16], [0; 24]);
        rng.fill_bytes(&mut salt);
        rng.fill_bytes(&mut nonce);
        let public_key = PublicKey::of(&self.0);
        let mut file = File {
            format: FORMAT.to_owned(),
            version: VERSION,
            public_key,
            cost,
            salt,
            nonce: nonce.to_vec(),
            sealed: Vec::new(),
        };
        let seed = Zeroizing::new(self.0.to_bytes());
        file.sealed = cipher(passphrase, &file)?
            .encrypt(&XNonce::from(nonce), Payload { msg: seed.as_slice(), aad: &file.covered() })
            .expect("32 bytes are far below the cipher's message limit");
        let mut text = serde_json::to_string_pretty(&file).expect("text and small numbers only");
        text.push('\n');
        Ok(text)
    }

    /// Opens a file.
    pub fn open(bytes: &[u8], passphrase: &str) -> Result<Self, OwnerKeyError> {
        let unreadable = |error| OwnerKeyError::NotAKeyFile(Some(error));
        let kind: Kind = signable::read(bytes, MAX_FILE).map_err(unreadable)?;
        if kind.format != FORMAT {
            return Err(OwnerKeyError::NotAKeyFile(None));
        }
        if kind.version != VERSION {
            return Err(OwnerKeyError::Newer(kind.version));
        }
        let file: File = signable::read(bytes, MAX_FILE).map_err(unreadable)?;
        let nonce: [u8; 24] =
            file.nonce.as_slice().try_into().map_err(|_| OwnerKeyError::Damaged("nonce"))?;
        if file.salt.len() != 16 {
            return Err(OwnerKeyError::Damaged("salt"));
        }
        if file.sealed.len() != 32 + TAG {
            return Err(OwnerKeyError::Damaged("sealed"));
        }
        let opened = cipher(passphrase, &file)?
            .decrypt(&XNonce::from(nonce), Payload { msg: &file.sealed, aad: &file.covered() })
            .map(Zeroizing::new)
            .map_err(|_| OwnerKeyError::Passphrase)?;
        let seed: Zeroizing<[u8; 32]> =
            Zeroizing::new(opened.as_slice().try_into().map_err(|_| OwnerKeyError::Passphrase)?);
        let key = Self::from_seed(&seed);
        if PublicKey::of(&key.0) == file.public_key { Ok(key) } else { Err(OwnerKeyError::Passphrase) }
    }
}

fn cipher(passphrase: &str, file: &File) -> Result<XChaCha20Poly1305, OwnerKeyError> {
    let Cost { memory_kib, passes } = file.cost;
    if !file.cost.is_sane() {
        return Err(OwnerKeyError::Cost);
    }
    let parameters = argon2::Params::new(memory_kib, passes, 1, Some(32)).map_err(|_| OwnerKeyError::Cost)?;
    let mut key = Zeroizing::new([0; 32]);
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, parameters)
        .hash_password_into(passphrase.as_bytes(), &file.salt, key.as_mut_slice())
        .map_err(|_| OwnerKeyError::Cost)?;
    Ok(XChaCha20Poly1305::new(&(*key).into()))
}

impl fmt::Debug for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnerKey").field(&PublicKey::of(&self.0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 8, passes: 1 };
    const PASSPHRASE: &str = "correct horse";

    fn sealed() -> (OwnerKey, String) {
        let mut rng = StdRng::seed_from_u64(1);
        let key = OwnerKey::generate(&mut rng);
        let text = key.seal(PASSPHRASE, CHEAP, &mut rng).unwrap();
        (key, text)
    }

    #[test]
    fn a_sealed_key_opens_with_its_passphrase_only() {
        let (key, text) = sealed();
        let opened = OwnerKey::open(text.as_bytes(), PASSPHRASE).unwrap();
        assert_eq!(opened.id(), key.id());
        assert!(!text.contains(&base64_text::encode(&key.0.to_bytes())));
        assert!(!format!("{key:?}").contains(&hex::encode(key.0.to_bytes())));
        let error = OwnerKey::open(text.as_bytes(), "correct house").unwrap_err();
        assert!(matches!(error, OwnerKeyError::Passphrase), "{error}");
        let short = key.seal("short", CHEAP, &mut StdRng::seed_from_u64(2)).unwrap_err();
        assert!(matches!(short, OwnerKeyError::PassphraseTooShort), "{short}");
    }

    #[test]
    fn the_shipped_cost_opens_too() {
        let mut rng = StdRng::seed_from_u64(3);
        let key = OwnerKey::generate(&mut rng);
        let text = key.seal(PASSPHRASE, Cost::default(), &mut rng).unwrap();
        assert_eq!(OwnerKey::open(text.as_bytes(), PASSPHRASE).unwrap().id(), key.id());
    }

    #[test]
    fn what_is_wrong_with_a_file_is_named() {
        let (_, text) = sealed();
        let error = |text: String| OwnerKey::open(text.as_bytes(), PASSPHRASE).unwrap_err();
        assert!(matches!(error("hello".to_owned()), OwnerKeyError::NotAKeyFile(Some(_))));
        assert!(matches!(error(text.replace("\"version\": 1", "\"version\": 2")), OwnerKeyError::Newer(2)));
        assert!(matches!(
            error(text.replace("\"memory_kib\": 8", "\"memory_kib\": 4000000")),
            OwnerKeyError::Cost
        ));
        assert!(matches!(error(text.replace("\"passes\": 1", "\"passes\": 2")), OwnerKeyError::Passphrase));
        assert!(matches!(
            error(text.replace("nexusmon-owner", "nexusmon-other")),
            OwnerKeyError::NotAKeyFile(None)
        ));
        let cut = text.find("\"sealed\": \"").unwrap() + 11;
        let short = format!("{}{}", &text[..cut], &text[cut + 4..]);
        assert!(matches!(error(short), OwnerKeyError::Damaged("sealed")));
        assert!(matches!(error(" ".repeat(MAX_FILE + 1)), OwnerKeyError::NotAKeyFile(Some(_))));
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_refused(bit: usize) {
            let mut bytes = sealed().1.into_bytes();
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(OwnerKey::open(&bytes, PASSPHRASE).is_err());
        }

        #[test]
        fn outside_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[{}\":,a-z0-9_ ]{0,100}") {
            let _ = (OwnerKey::open(&bytes, "x"), OwnerKey::open(text.as_bytes(), "x"));
        }
    }
}
