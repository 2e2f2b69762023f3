//! The master key: where it comes from, and wrapping other keys with it (XChaCha20-Poly1305, draft-irtf-cfrg-xchacha).
//!
//! It is never written to the database or a backup.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

const NONCE: usize = 24;
/// Name of the credential under systemd's `$CREDENTIALS_DIRECTORY`.
const CREDENTIAL: &str = "nexusmon-master-key";
/// Characters of a passphrase.
const LEAST_PASSPHRASE: usize = 16;
const HOW: &str = "32 bytes as base64 or as 64 hexadecimal digits (make one with `openssl rand -base64 32`)";

/// Where to look, in this order.
#[derive(Clone, Default)]
pub struct MasterKeySources {
    /// systemd's `$CREDENTIALS_DIRECTORY`.
    pub credentials: Option<PathBuf>,
    /// `NEXUSMON_MASTER_KEY`.
    pub value: Option<Zeroizing<String>>,
    /// `NEXUSMON_MASTER_KEY_FILE`.
    pub file: Option<PathBuf>,
    /// `NEXUSMON_MASTER_PASSPHRASE`, or what is in the file of `NEXUSMON_MASTER_PASSPHRASE_FILE`.
    pub passphrase: Option<Zeroizing<String>>,
    /// What the passphrase is stretched with, from the database.
    pub salt: Option<[u8; 16]>,
    /// Made at first start if nothing else is given.
    pub default_file: Option<PathBuf>,
}

impl std::fmt::Debug for MasterKeySources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterKeySources")
            .field("credentials", &self.credentials)
            .field("value", &self.value.as_ref().map(|_| "…"))
            .field("file", &self.file)
            .field("passphrase", &self.passphrase.as_ref().map(|_| "…"))
            .field("default_file", &self.default_file)
            .finish_non_exhaustive()
    }
}

impl MasterKeySources {
    /// Whether a passphrase is what counts, for which there is no salt yet.
    pub fn wants_salt(&self) -> bool {
        let credential = self.credentials.as_ref().is_some_and(|folder| folder.join(CREDENTIAL).exists());
        let better = credential || self.value.is_some() || self.file.is_some();
        self.passphrase.is_some() && self.salt.is_none() && !better
    }

    /// What the environment of this process offers.
    pub fn from_environment() -> Self {
        let path = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let config = path("XDG_CONFIG_HOME").or_else(|| path("HOME").map(|home| home.join(".config")));
        Self {
            credentials: path("CREDENTIALS_DIRECTORY"),
            value: std::env::var("NEXUSMON_MASTER_KEY").ok().filter(|v| !v.is_empty()).map(Zeroizing::new),
            file: path("NEXUSMON_MASTER_KEY_FILE"),
            passphrase: None,
            salt: None,
            default_file: config.map(|folder| folder.join("nexusmon/master.key")),
        }
    }
}

/// Why there is no master key, or why it opens nothing.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    #[error("the master key in {place} is not {HOW}")]
    Malformed { place: String },
    #[error("cannot read the master key file {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the master key file {} can be read by others (mode {mode:o}); run `chmod 600` on it", path.display())]
    Mode { path: PathBuf, mode: u32 },
    #[error("cannot keep a new master key in {}; set NEXUSMON_MASTER_KEY or NEXUSMON_MASTER_KEY_FILE", path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("NEXUSMON_MASTER_PASSPHRASE is shorter than {LEAST_PASSPHRASE} characters")]
    ShortPassphrase,
    #[error("there is no master key: set NEXUSMON_MASTER_KEY or NEXUSMON_MASTER_KEY_FILE to {HOW}")]
    Missing,
    #[error(
        "the master key{} is not the one this database was made with; its keys stay closed. Start with the original \
         one (NEXUSMON_MASTER_KEY, NEXUSMON_MASTER_KEY_FILE or the file of the first start)",
        place.as_ref().map(|place| format!(" from {place}")).unwrap_or_default()
    )]
    Wrong { place: Option<String> },
    #[error("the machine gives no randomness")]
    Randomness,
    #[error("what is sealed in the database was changed, or belongs to something else; restore a backup")]
    Changed,
}

/// 32 secret bytes.
#[derive(Clone)]
pub struct MasterKey {
    key: Zeroizing<[u8; 32]>,
    place: Option<String>,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterKey").field("place", &self.place).finish_non_exhaustive()
    }
}

impl MasterKey {
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { key: Zeroizing::new(bytes), place: None }
    }

    /// The key of the first source that has one. Blocks. A new one is made only where `may_create`: for a database that
    /// already holds wrapped keys it could open nothing.
    pub fn load(
        sources: &MasterKeySources,
        may_create: bool,
        rng: &mut impl rand::CryptoRng,
    ) -> Result<Self, MasterKeyError> {
        if let Some(path) = sources.credentials.as_ref().map(|folder| folder.join(CREDENTIAL))
            && path.exists()
        {
            // systemd sets the modes in that folder itself.
            return Self::read(&path, false);
        }
        if let Some(value) = &sources.value {
            return Self::parse(value, "NEXUSMON_MASTER_KEY");
        }
        if let Some(path) = &sources.file {
            return Self::read(path, true);
        }
        if let Some(passphrase) = &sources.passphrase {
            let salt = sources.salt.ok_or(MasterKeyError::Missing)?;
            return Self::stretch(passphrase, salt);
        }
        let path = sources.default_file.as_ref().ok_or(MasterKeyError::Missing)?;
        match Self::read(path, true) {
            Err(MasterKeyError::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound && may_create =>
            {
                Self::create(path, rng)
            }
            Err(MasterKeyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(MasterKeyError::Missing)
            }
            other => other,
        }
    }

    /// Argon2id (RFC 9106), its second recommended choice: 64 MiB, three passes.
    fn stretch(passphrase: &str, salt: [u8; 16]) -> Result<Self, MasterKeyError> {
        let place = "NEXUSMON_MASTER_PASSPHRASE";
        if passphrase.chars().count() < LEAST_PASSPHRASE {
            return Err(MasterKeyError::ShortPassphrase);
        }
        let failed = |_| MasterKeyError::Malformed { place: place.to_owned() };
        let parameters = argon2::Params::new(64 * 1024, 3, 4, Some(32)).map_err(failed)?;
        let stretcher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, parameters);
        let mut key = Zeroizing::new([0_u8; 32]);
        stretcher.hash_password_into(passphrase.as_bytes(), &salt, key.as_mut_slice()).map_err(failed)?;
        Ok(Self { key, place: Some(place.to_owned()) })
    }

    /// The key in this file, which is made where there is none. Blocks.
    pub fn read_or_create(path: &Path, rng: &mut impl rand::CryptoRng) -> Result<Self, MasterKeyError> {
        match Self::read(path, true) {
            Err(MasterKeyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::create(path, rng)
            }
            other => other,
        }
    }

    /// Whether both are the same key.
    pub fn is(&self, other: &Self) -> bool {
        *self.key == *other.key
    }

    fn read(path: &Path, check_mode: bool) -> Result<Self, MasterKeyError> {
        let failed = |source| MasterKeyError::Read { path: path.to_owned(), source };
        let file = fs::File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if check_mode && mode & 0o077 != 0 {
            return Err(MasterKeyError::Mode { path: path.to_owned(), mode });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(256));
        file.take(4096).read_to_end(&mut bytes).map_err(failed)?;
        let place = path.display().to_string();
        if let Ok(key) = <[u8; 32]>::try_from(bytes.as_slice()) {
            return Ok(Self { key: Zeroizing::new(key), place: Some(place) });
        }
        let text =
            std::str::from_utf8(&bytes).map_err(|_| MasterKeyError::Malformed { place: place.clone() })?;
        Self::parse(text, &place)
    }

    fn parse(text: &str, place: &str) -> Result<Self, MasterKeyError> {
        let text = text.trim();
        let decoded = Zeroizing::new(
            hex::decode(text)
                .ok()
                .filter(|bytes| bytes.len() == 32)
                .or_else(|| STANDARD.decode(text).ok())
                .or_else(|| STANDARD_NO_PAD.decode(text).ok())
                .or_else(|| URL_SAFE_NO_PAD.decode(text).ok())
                .unwrap_or_default(),
        );
        match <[u8; 32]>::try_from(decoded.as_slice()) {
            Ok(key) => Ok(Self { key: Zeroizing::new(key), place: Some(place.to_owned()) }),
            Err(_) => Err(MasterKeyError::Malformed { place: place.to_owned() }),
        }
    }

    fn create(path: &Path, rng: &mut impl rand::CryptoRng) -> Result<Self, MasterKeyError> {
        let mut key = Zeroizing::new([0_u8; 32]);
        rng.fill_bytes(key.as_mut_slice());
        let text = Zeroizing::new(format!("{}\n", STANDARD.encode(key.as_slice())));
        let written = (|| {
            let folder = path.parent().unwrap_or(Path::new("."));
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            // Written aside and linked, so that two first starts at once agree on one whole key.
            let aside = path.with_extension(format!("new-{}", std::process::id()));
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            let linked = fs::hard_link(&aside, path);
            fs::remove_file(&aside)?;
            fs::File::open(folder)?.sync_all()?;
            match linked {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            }
        })();
        written.map_err(|source| MasterKeyError::Create { path: path.to_owned(), source })?;
        Self::read(path, true)
    }

    /// Seals `secret`; opens only under the same `context`, which says what it is and whose.
    pub fn wrap(&self, context: &str, secret: &[u8], rng: &mut impl rand::CryptoRng) -> Vec<u8> {
        let mut nonce = [0_u8; NONCE];
        rng.fill_bytes(&mut nonce);
        let sealed = self
            .cipher()
            .encrypt(&XNonce::from(nonce), Payload { msg: secret, aad: context.as_bytes() })
            .expect("keys are far below the cipher's message limit");
        [nonce.as_slice(), &sealed].concat()
    }

    pub fn unwrap(&self, context: &str, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
        let wrong = || MasterKeyError::Wrong { place: self.place.clone() };
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE>().ok_or_else(wrong)?;
        self.cipher()
            .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: context.as_bytes() })
            .map(Zeroizing::new)
            .map_err(|_| wrong())
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.key).into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn rng() -> StdRng {
        StdRng::seed_from_u64(7)
    }

    #[test]
    fn a_wrapped_key_opens_under_its_master_and_context_only() {
        let master = MasterKey::from_bytes([1; 32]);
        let wrapped = master.wrap("ca of org_1", b"secret", &mut rng());
        assert_eq!(master.unwrap("ca of org_1", &wrapped).unwrap().as_slice(), b"secret");
        assert!(!wrapped.windows(6).any(|window| window == b"secret"));
        for refused in [
            master.unwrap("ca of org_2", &wrapped),
            MasterKey::from_bytes([2; 32]).unwrap("ca of org_1", &wrapped),
            master.unwrap("ca of org_1", &wrapped[1..]),
        ] {
            let error = refused.expect_err("must not open").to_string();
            assert!(error.contains("not the one this database was made with"), "{error}");
        }
    }

    #[test]
    fn the_first_source_that_has_a_key_counts() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, byte: u8, mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, hex::encode([byte; 32])).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let mut sources = MasterKeySources {
            credentials: Some(folder.path().to_owned()),
            value: Some(Zeroizing::new(STANDARD.encode([2; 32]))),
            file: Some(write("file", 3, 0o600)),
            passphrase: Some(Zeroizing::new("five words that nobody says".to_owned())),
            salt: Some([5; 16]),
            default_file: Some(write("default", 4, 0o400)),
        };
        let load = |sources: &MasterKeySources| MasterKey::load(sources, true, &mut rng()).unwrap().key[0];
        assert_eq!(load(&sources), 2, "no such credential");
        write(CREDENTIAL, 1, 0o444);
        assert_eq!(load(&sources), 1);
        sources.credentials = None;
        assert_eq!(load(&sources), 2);
        sources.value = None;
        assert_eq!(load(&sources), 3);
        sources.file = None;
        let stretched = MasterKey::load(&sources, false, &mut rng()).unwrap();
        sources.salt = Some([6; 16]);
        let other = MasterKey::load(&sources, false, &mut rng()).unwrap();
        assert!(!stretched.is(&other), "the salt counts");
        sources.salt = Some([5; 16]);
        assert!(MasterKey::load(&sources, false, &mut rng()).unwrap().is(&stretched));
        sources.passphrase = Some(Zeroizing::new("too short".to_owned()));
        let error = MasterKey::load(&sources, true, &mut rng()).expect_err("too short").to_string();
        assert!(error.contains("16 characters"), "{error}");
        sources.passphrase = None;
        assert_eq!(load(&sources), 4);
    }

    #[test]
    fn a_key_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, hex::encode([1; 32])).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let sources = MasterKeySources { file: Some(path), ..MasterKeySources::default() };
        let error = MasterKey::load(&sources, true, &mut rng()).expect_err("mode 640");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn the_first_start_makes_one_and_later_ones_find_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nexusmon/master.key");
        let sources = MasterKeySources { default_file: Some(path.clone()), ..MasterKeySources::default() };
        let error = MasterKey::load(&sources, false, &mut rng()).expect_err("nothing may be made");
        assert!(matches!(error, MasterKeyError::Missing));
        let made = MasterKey::load(&sources, true, &mut rng()).unwrap();
        let found = MasterKey::load(&sources, false, &mut StdRng::seed_from_u64(8)).unwrap();
        assert_eq!(*made.key, *found.key);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    proptest! {
        #[test]
        fn outside_texts_and_wrappings_never_panic(text in ".{0,100}", wrapped: Vec<u8>) {
            let _ = MasterKey::parse(&text, "here");
            prop_assert!(MasterKey::from_bytes([1; 32]).unwrap("x", &wrapped).is_err());
        }
    }
}
