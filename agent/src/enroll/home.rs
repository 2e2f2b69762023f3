//! What an enrolled agent keeps: who it is, whom it trusts, its keys and its newest certificate.
//!
//! A folder `identity` in the data folder, made complete before it gets its name; files are 0600, the folder 0700.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, OrganismId};
use nexusmon_shared::join_token::Address;
use nexusmon_shared::message::{AuthorityNotice, CertificateIssued};
use nexusmon_shared::name::Name;
use nexusmon_shared::pki::{
    AgentCertificate, CertificateDer, IdentityKey, SealingKey, TlsKey, signed, spki_digest,
};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::selector::Labels;
use nexusmon_shared::time::{SharedClock, Timestamp};
use nexusmon_shared::tls::{ClientCredential, Connector, Trust};
use nexusmon_shared::trust::key::KeyId;

use super::EnrollError;
use super::authorities::{self, Followed, Kept};

const FOLDER: &str = "identity";
const MEMBERSHIP: &str = "membership.json";
const CREDENTIAL: &str = "credential.json";
const IDENTITY_KEY: &str = "identity.pem";
const SEALING_KEY: &str = "sealing.pem";

/// How far ahead of this machine's time a certificate may begin. What it begins with is believed from then on.
const AHEAD: Duration = Duration::from_mins(10);

/// What was agreed when joining.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Membership {
    pub agent: AgentId,
    pub name: Name,
    pub organism: OrganismId,
    pub address: Address,
    /// As enrolled.
    pub labels: Labels,
    pub max_rank: Rank,
    /// The organism's authority, hexadecimal DER.
    pub authority: String,
    /// Hexadecimal; all zero until there is one.
    pub owner_key: String,
    /// Six words to be compared with the coordinator's before it is offered anything; absent below rank B.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
}

impl Membership {
    /// The owner key named by the token; `None`: there was none yet.
    pub fn owner_key(&self) -> Option<KeyId> {
        let digest: Digest = self.owner_key.parse().ok()?;
        (digest != Digest::from_bytes([0; 32])).then_some(KeyId(digest))
    }
}

/// Changes with each certificate; written as one file, so that key, certificate and counter always belong together.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Credential {
    /// Hexadecimal DER, leaf first.
    pub(super) chain: Vec<String>,
    pub(super) tls_key: String,
    pub(super) join_counter: u64,
    /// Made for a renewal whose answer has not arrived: the next one asks with the same key, so that a lost answer does
    /// not look like a second machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pending_key: Option<String>,
}

/// The opened identity folder.
pub struct Home {
    folder: PathBuf,
    membership: Membership,
    identity: IdentityKey,
    sealing: SealingKey,
    credential: Mutex<Credential>,
    /// Newest first.
    authorities: Mutex<Kept>,
    /// Microseconds: when the newest certificate began, which its authority has signed.
    signed_time: AtomicI64,
}

/// When to renew, and until when the certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    pub begins: Timestamp,
    pub due: Timestamp,
    pub expires: Timestamp,
}

/// Everything a new identity folder holds.
pub(super) struct Fresh {
    pub(super) membership: Membership,
    pub(super) identity: IdentityKey,
    pub(super) sealing: SealingKey,
    pub(super) credential: Credential,
}

impl Home {
    /// Opens what joining made.
    pub fn open(data_dir: &Path) -> Result<Self, EnrollError> {
        let folder = data_dir.join(FOLDER);
        if !folder.is_dir() {
            return Err(EnrollError::NotEnrolled(data_dir.to_owned()));
        }
        let membership: Membership = read_json(&folder.join(MEMBERSHIP))?;
        let credential: Credential = read_json(&folder.join(CREDENTIAL))?;
        let identity = IdentityKey::from_pem(&read_secret(&folder.join(IDENTITY_KEY))?)?;
        let sealing = SealingKey::from_pem(&read_secret(&folder.join(SEALING_KEY))?)?;
        let authorities = authorities::read(&folder, &membership.authority)?;
        let signed_time = AtomicI64::new(signed_time(&credential.chain, &authorities));
        let authorities = Mutex::new(authorities);
        let credential = Mutex::new(credential);
        Ok(Self { folder, membership, identity, sealing, credential, authorities, signed_time })
    }

    /// Whose data folder this is, if anybody's.
    pub fn enrolled(data_dir: &Path) -> Result<Option<AgentId>, EnrollError> {
        let folder = data_dir.join(FOLDER);
        if !folder.exists() {
            return Ok(None);
        }
        read_json::<Membership>(&folder.join(MEMBERSHIP)).map(|membership| Some(membership.agent))
    }

    /// Forgets the identity; it cannot be had back.
    pub fn remove(data_dir: &Path) -> Result<(), EnrollError> {
        let folder = data_dir.join(FOLDER);
        std::fs::remove_dir_all(&folder).map_err(|error| EnrollError::io("remove", &folder, error))
    }

    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    pub fn identity(&self) -> &IdentityKey {
        &self.identity
    }

    pub fn sealing(&self) -> &SealingKey {
        &self.sealing
    }

    /// For sessions, with the newest certificate. `address` overrides the one joined at.
    pub fn connector(&self, address: Option<&Address>, clock: SharedClock) -> Result<Connector, EnrollError> {
        let credential = self.lock().clone();
        let chain = decode_chain(&credential.chain).ok_or_else(|| self.damaged("no certificate"))?;
        let key = TlsKey::from_pem(&credential.tls_key)?;
        let client = ClientCredential::new(&chain, &key);
        self.connector_with(address, Some(client), clock)
    }

    /// For renewing: without a certificate of its own.
    pub fn anonymous_connector(
        &self,
        address: Option<&Address>,
        clock: SharedClock,
    ) -> Result<Connector, EnrollError> {
        self.connector_with(address, None, clock)
    }

    fn connector_with(
        &self,
        address: Option<&Address>,
        credential: Option<ClientCredential>,
        clock: SharedClock,
    ) -> Result<Connector, EnrollError> {
        let trust = Trust::Authorities(self.trusted().clone());
        let address = address.unwrap_or(&self.membership.address).clone();
        Ok(Connector::new(address, trust, credential, clock)?)
    }

    /// Believes a new authority that one believed so far vouches for, and forgets one that is no longer in force.
    pub fn follow(&self, told: &[AuthorityNotice], now: Timestamp) -> Result<Followed, EnrollError> {
        let mut kept = self.trusted();
        let (next, followed) = authorities::follow(&kept, told, self.membership.organism, now)?;
        if followed != Followed::Nothing {
            let path = self.folder.join(authorities::FILE);
            replace(&self.folder, &path, &authorities::text(&next))?;
            *kept = next;
        }
        Ok(followed)
    }

    /// The authority that it trusts and has its certificate of, by its key; the newest trusted one where its certificate
    /// is of another.
    pub fn authority(&self) -> Option<Digest> {
        let issuer = self.issuer();
        let kept = self.trusted();
        let of_certificate = kept.iter().find(|known| Some(*known) == issuer.as_ref());
        spki_digest(of_certificate.or(kept.last())?).ok()
    }

    /// How many authorities it trusts.
    pub fn authorities(&self) -> u32 {
        u32::try_from(self.trusted().len()).unwrap_or(u32::MAX)
    }

    /// Whether a newer authority than that of its certificate is trusted.
    pub fn is_outdated(&self) -> bool {
        self.issuer().as_ref() != self.trusted().first()
    }

    fn issuer(&self) -> Option<CertificateDer<'static>> {
        hex::decode(self.lock().chain.get(1)?).ok().map(CertificateDer::from)
    }

    /// `jitter` from 0 to 1 spreads a fleet that was started at once.
    pub fn renewal(&self, jitter: f64) -> Result<Renewal, EnrollError> {
        let leaf = self.lock().chain.first().cloned().unwrap_or_default();
        let leaf = hex::decode(leaf).map_err(|_| self.damaged("the certificate is not hexadecimal"))?;
        let certificate = AgentCertificate::read(&leaf)?;
        let life = certificate.not_after.since(certificate.not_before);
        let due = certificate.not_before + life.mul_f64(0.3 + 0.1 * jitter.clamp(0.0, 1.0));
        Ok(Renewal { begins: certificate.not_before, due, expires: certificate.not_after })
    }

    /// The newest time that the organism's authority has signed for this agent.
    pub fn signed_time(&self) -> Timestamp {
        Timestamp::from_micros(self.signed_time.load(Ordering::Relaxed))
    }

    pub fn join_counter(&self) -> u64 {
        self.lock().join_counter
    }

    /// A signing request for the next certificate. The key is on the disk before the request leaves.
    pub fn prepare(&self) -> Result<Bytes, EnrollError> {
        let mut credential = self.lock();
        let key = match &credential.pending_key {
            Some(pem) => TlsKey::from_pem(pem)?,
            None => {
                let key = TlsKey::generate()?;
                let pending_key = Some(key.to_pem().to_string());
                let next = Credential { pending_key, ..credential.clone() };
                self.save(&next)?;
                *credential = next;
                key
            }
        };
        Ok(key.signing_request()?.into())
    }

    /// Takes a certificate into use: counter and key are on the disk before it is.
    pub fn install(&self, issued: &CertificateIssued, now: Timestamp) -> Result<(), EnrollError> {
        let mut credential = self.lock();
        let Some(pem) = &credential.pending_key else {
            return Err(EnrollError::WrongAnswer("a certificate that was not asked for"));
        };
        let now = now.max(self.signed_time());
        check_issued(issued, &TlsKey::from_pem(pem)?, self.membership.agent, now)?;
        let next = Credential {
            chain: issued.chain.iter().map(hex::encode).collect(),
            tls_key: pem.clone(),
            join_counter: issued.join_counter,
            pending_key: None,
        };
        self.save(&next)?;
        self.signed_time.fetch_max(signed_time(&next.chain, &self.trusted()), Ordering::Relaxed);
        *credential = next;
        Ok(())
    }

    fn save(&self, credential: &Credential) -> Result<(), EnrollError> {
        replace(&self.folder, &self.folder.join(CREDENTIAL), &json(credential))
    }

    fn damaged(&self, reason: &str) -> EnrollError {
        EnrollError::Damaged { path: self.folder.clone(), reason: reason.to_owned() }
    }

    fn trusted(&self) -> MutexGuard<'_, Kept> {
        self.authorities.lock().expect("no holder of this lock panics")
    }

    fn lock(&self) -> MutexGuard<'_, Credential> {
        self.credential.lock().expect("no holder of this lock panics")
    }
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Home").field("membership", &self.membership).finish_non_exhaustive()
    }
}

impl Fresh {
    /// Writes the folder complete, then gives it its name. Nothing is left behind when it fails.
    pub(super) fn write(&self, data_dir: &Path) -> Result<(), EnrollError> {
        let folder = data_dir.join(FOLDER);
        let fresh = data_dir.join(format!("{FOLDER}.{}", std::process::id()));
        let write = || {
            std::fs::DirBuilder::new().mode(0o700).create(&fresh)?;
            write_private(&fresh.join(MEMBERSHIP), &json(&self.membership))?;
            write_private(&fresh.join(CREDENTIAL), &json(&self.credential))?;
            write_private(&fresh.join(IDENTITY_KEY), self.identity.to_pem().as_bytes())?;
            write_private(&fresh.join(SEALING_KEY), self.sealing.to_pem().as_bytes())?;
            File::open(&fresh)?.sync_all()?;
            // Fails if somebody else was faster: a folder that holds something is never replaced.
            std::fs::rename(&fresh, &folder)?;
            File::open(data_dir)?.sync_all()
        };
        write().map_err(|error| {
            let _ = std::fs::remove_dir_all(&fresh);
            EnrollError::io("write", &folder, error)
        })
    }
}

/// Refuses a certificate that is not of this key and this agent, or of a time to come.
pub(super) fn check_issued(
    issued: &CertificateIssued,
    key: &TlsKey,
    agent: AgentId,
    now: Timestamp,
) -> Result<(), EnrollError> {
    let leaf = issued.chain.first().ok_or(EnrollError::WrongAnswer("no certificate"))?;
    if !key.is_of(leaf) {
        return Err(EnrollError::WrongAnswer("the certificate is of another key"));
    }
    let certificate = AgentCertificate::read(leaf)?;
    if certificate.agent != agent {
        return Err(EnrollError::WrongAnswer("the certificate is of another agent"));
    }
    if certificate.not_before > now + AHEAD {
        return Err(EnrollError::WrongAnswer(
            "the certificate begins in the future, by this machine's clock",
        ));
    }
    Ok(())
}

/// Zero where it cannot be read, or where nobody trusted has signed it: then nothing is known.
fn signed_time(chain: &[String], trusted: &[CertificateDer<'static>]) -> i64 {
    let leaf = chain.first().and_then(|leaf| hex::decode(leaf).ok()).map(CertificateDer::from);
    let leaf = leaf.filter(|leaf| trusted.iter().any(|authority| signed(authority, leaf)));
    let read = leaf.and_then(|leaf| AgentCertificate::read(&leaf).ok());
    read.map_or(0, |certificate| certificate.not_before.as_micros())
}

fn decode_chain(chain: &[String]) -> Option<Vec<Vec<u8>>> {
    let chain: Vec<Vec<u8>> = chain.iter().map(hex::decode).collect::<Result<_, _>>().ok()?;
    (!chain.is_empty()).then_some(chain)
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain fields always serialize");
    bytes.push(b'\n');
    bytes
}

/// Either what was there or all of this, whenever the machine stops.
fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> Result<(), EnrollError> {
    let fresh = path.with_extension("new");
    let write = || {
        write_private(&fresh, bytes)?;
        std::fs::rename(&fresh, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| EnrollError::io("write", path, error))
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, EnrollError> {
    let text = std::fs::read(path).map_err(|error| EnrollError::io("read", path, error))?;
    serde_json::from_slice(&text)
        .map_err(|error| EnrollError::Damaged { path: path.to_owned(), reason: error.to_string() })
}

fn read_secret(path: &Path) -> Result<String, EnrollError> {
    let mode =
        std::fs::metadata(path).map_err(|error| EnrollError::io("read", path, error))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(EnrollError::Exposed { path: path.to_owned() });
    }
    std::fs::read_to_string(path).map_err(|error| EnrollError::io("read", path, error))
}
