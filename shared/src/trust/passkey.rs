//! Passkeys (Web Authentication, level 3): the public half of one, and verifying what it answers.
//!
//! Only what logging in and signing need: no attestation, no CBOR.

mod credential;
mod registration;

use sha2::{Digest as _, Sha256};

pub use credential::{CredentialKey, SpkiError};
pub use registration::{Registration, RegistrationError};

use super::base64_text;
use crate::digest::Digest;

pub const MAX_CLIENT_DATA: usize = 4096;
pub const MAX_AUTHENTICATOR_DATA: usize = 2048;
/// A credential id is at most this long (section 4).
pub const MAX_CREDENTIAL_ID: usize = 1023;

const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const ATTESTED: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;

/// A passkey as the roster lists it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passkey {
    /// The domain it belongs to.
    pub rp_id: String,
    /// The one origin it may sign at, such as `https://nexusmon.example`.
    pub origin: String,
    #[serde(with = "base64_text")]
    pub credential_id: Vec<u8>,
    pub public_key: CredentialKey,
}

/// What a passkey answers to a challenge, as the browser gives it.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// `clientDataJSON`, to the byte.
    #[serde(with = "base64_text")]
    pub client_data: Vec<u8>,
    #[serde(with = "base64_text")]
    pub authenticator_data: Vec<u8>,
    /// DER for ES256, 64 bytes for `EdDSA`.
    #[serde(with = "base64_text")]
    pub signature: Vec<u8>,
}

/// What a verified answer tells beside its being right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verified {
    /// The authenticator's signature counter; always 0 for most passkeys.
    pub counter: u32,
}

/// Why an answer does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum AssertionError {
    #[error("it is longer than such an answer can be")]
    TooLarge,
    #[error("its client data are not the JSON they should be")]
    ClientData,
    #[error("it was made for something other than signing in or signing")]
    Type,
    #[error("it answers another challenge")]
    Challenge,
    #[error("it was made at another origin than the key was made for")]
    Origin,
    #[error("it was made inside a page of another origin")]
    CrossOrigin,
    #[error("its authenticator data are cut off or overlong")]
    AuthenticatorData,
    #[error("it was made for another domain")]
    RpId,
    #[error("its flags contradict each other")]
    Flags,
    #[error("nobody touched the authenticator")]
    NotPresent,
    #[error("the authenticator did not check who touched it")]
    NotVerified,
    #[error("the signature is not this passkey's")]
    Signature,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: Option<bool>,
    #[serde(default)]
    top_origin: Option<String>,
}

impl Passkey {
    /// Verifies an answer (section 7.2): type, challenge, origin, domain, presence, verification, signature.
    pub fn verify(&self, challenge: &Digest, assertion: &Assertion) -> Result<Verified, AssertionError> {
        let Assertion { client_data, authenticator_data, signature } = assertion;
        if client_data.len() > MAX_CLIENT_DATA || authenticator_data.len() > MAX_AUTHENTICATOR_DATA {
            return Err(AssertionError::TooLarge);
        }
        check_client_data("webauthn.get", &self.origin, challenge, client_data)?;
        let data = AuthenticatorData::read(authenticator_data)?;
        // An answer carries no new key. What extensions say is covered by the signature and not asked for here.
        if data.flags & ATTESTED != 0 {
            return Err(AssertionError::Flags);
        }
        if data.rest.is_empty() == (data.flags & EXTENSIONS != 0) {
            return Err(AssertionError::AuthenticatorData);
        }
        let verified = data.check(&self.rp_id)?;
        let signed = [authenticator_data.as_slice(), &Sha256::digest(client_data)].concat();
        if self.public_key.verify(&signed, signature) { Ok(verified) } else { Err(AssertionError::Signature) }
    }

    /// Whether the fields can belong together: the origin is HTTPS (or HTTP on localhost) and lies in the domain.
    pub fn is_plausible(&self) -> bool {
        let host = match self.origin.split_once("://") {
            Some(("https", rest)) => rest,
            Some(("http", rest)) if self.rp_id == "localhost" => rest,
            _ => return false,
        };
        let host = match host.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
            Some(_) => return false,
            None => host,
        };
        let good = |name: &str| {
            (1..=253).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
        };
        let inside = host == self.rp_id
            || host.strip_suffix(&self.rp_id).is_some_and(|front| front.len() > 1 && front.ends_with('.'));
        good(&self.rp_id)
            && good(host)
            && inside
            && (1..=MAX_CREDENTIAL_ID).contains(&self.credential_id.len())
    }
}

/// What the browser says of the page that asked.
fn check_client_data(
    kind: &str,
    origin: &str,
    challenge: &Digest,
    bytes: &[u8],
) -> Result<(), AssertionError> {
    let data: ClientData = serde_json::from_slice(bytes).map_err(|_| AssertionError::ClientData)?;
    if data.r#type != kind {
        return Err(AssertionError::Type);
    }
    if data.challenge != base64_text::encode(challenge.as_bytes()) {
        return Err(AssertionError::Challenge);
    }
    if data.origin != origin {
        return Err(AssertionError::Origin);
    }
    if data.cross_origin == Some(true) || data.top_origin.is_some() {
        return Err(AssertionError::CrossOrigin);
    }
    Ok(())
}

/// What the authenticator says, read but not believed (section 6.1).
struct AuthenticatorData<'a> {
    rp_id_hash: &'a [u8; 32],
    flags: u8,
    counter: u32,
    /// A new key, extensions.
    rest: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, AssertionError> {
        let (rp_id_hash, rest) = bytes.split_first_chunk::<32>().ok_or(AssertionError::AuthenticatorData)?;
        let (fixed, rest) = rest.split_first_chunk::<5>().ok_or(AssertionError::AuthenticatorData)?;
        let [flags, counter @ ..] = *fixed;
        Ok(Self { rp_id_hash, flags, counter: u32::from_be_bytes(counter), rest })
    }

    /// Domain, presence, verification.
    fn check(&self, rp_id: &str) -> Result<Verified, AssertionError> {
        if *self.rp_id_hash != *Digest::of(rp_id.as_bytes()).as_bytes() {
            return Err(AssertionError::RpId);
        }
        // A key that cannot be backed up is not backed up.
        if self.flags & (BACKUP_ELIGIBLE | BACKED_UP) == BACKED_UP {
            return Err(AssertionError::Flags);
        }
        if self.flags & PRESENT == 0 {
            return Err(AssertionError::NotPresent);
        }
        if self.flags & VERIFIED == 0 {
            return Err(AssertionError::NotVerified);
        }
        Ok(Verified { counter: self.counter })
    }
}

#[cfg(test)]
pub(crate) mod tests;
