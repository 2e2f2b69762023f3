//! A new passkey, as a browser hands it over (Web Authentication, section 7.1) without attestation.
//!
//! The authenticator's data hold the key in the canonical form of CTAP2, which leaves no choice: a fixed frame around the
//! coordinates for each of the two algorithms. So there is no CBOR to parse here. Nothing is signed yet; the key proves
//! itself with its first answer.

use super::{
    ATTESTED, AssertionError, AuthenticatorData, CredentialKey, EXTENSIONS, MAX_AUTHENTICATOR_DATA,
    MAX_CLIENT_DATA, MAX_CREDENTIAL_ID, Passkey, Verified, check_client_data,
};
use crate::digest::Digest;
use crate::trust::base64_text;

/// `COSE_Key` of ES256: EC2, -7, P-256, then x and y.
const ES256_HEAD: &[u8] = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20";
const ES256_MIDDLE: &[u8] = b"\x22\x58\x20";
/// `COSE_Key` of `EdDSA`: OKP, -8, Ed25519, then x.
const EDDSA_HEAD: &[u8] = b"\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20";

/// What `navigator.credentials.create()` answers.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// `clientDataJSON`, to the byte.
    #[serde(with = "base64_text")]
    pub client_data: Vec<u8>,
    /// `getAuthenticatorData()`.
    #[serde(with = "base64_text")]
    pub authenticator_data: Vec<u8>,
}

/// Why a passkey is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum RegistrationError {
    #[error(transparent)]
    Answer(#[from] AssertionError),
    #[error("it holds no new key")]
    NoKey,
    #[error("its id is empty or too long")]
    CredentialId,
    #[error("its key is neither ES256 nor EdDSA")]
    Algorithm,
    #[error("the domain does not belong to the origin")]
    Place,
}

impl Registration {
    /// The passkey it made for this domain and origin, in answer to `challenge`.
    pub fn accept(
        &self,
        rp_id: &str,
        origin: &str,
        challenge: &Digest,
    ) -> Result<(Passkey, Verified), RegistrationError> {
        let Self { client_data, authenticator_data } = self;
        if client_data.len() > MAX_CLIENT_DATA || authenticator_data.len() > MAX_AUTHENTICATOR_DATA {
            return Err(AssertionError::TooLarge.into());
        }
        check_client_data("webauthn.create", origin, challenge, client_data)?;
        let data = AuthenticatorData::read(authenticator_data)?;
        let verified = data.check(rp_id)?;
        if data.flags & ATTESTED == 0 {
            return Err(RegistrationError::NoKey);
        }
        let (credential_id, rest) = credential(data.rest).ok_or(RegistrationError::CredentialId)?;
        let (public_key, rest) = key(rest).ok_or(RegistrationError::Algorithm)?;
        if rest.is_empty() == (data.flags & EXTENSIONS != 0) {
            return Err(AssertionError::AuthenticatorData.into());
        }
        let passkey = Passkey {
            rp_id: rp_id.to_owned(),
            origin: origin.to_owned(),
            credential_id: credential_id.to_vec(),
            public_key,
        };
        if passkey.is_plausible() { Ok((passkey, verified)) } else { Err(RegistrationError::Place) }
    }
}

/// The id behind the authenticator's model, and what follows it.
fn credential(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_model, rest) = bytes.split_first_chunk::<16>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    if !(1..=MAX_CREDENTIAL_ID).contains(&length) {
        return None;
    }
    rest.split_at_checked(length)
}

fn key(bytes: &[u8]) -> Option<(CredentialKey, &[u8])> {
    if let Some(rest) = bytes.strip_prefix(EDDSA_HEAD) {
        let (x, rest) = rest.split_first_chunk::<32>()?;
        let key = crate::trust::ed25519::PublicKey::try_from(x.as_slice()).ok()?;
        return Some((CredentialKey::Eddsa(key), rest));
    }
    let (x, rest) = bytes.strip_prefix(ES256_HEAD)?.split_first_chunk::<32>()?;
    let (y, rest) = rest.strip_prefix(ES256_MIDDLE)?.split_first_chunk::<32>()?;
    let point = [[4].as_slice(), x, y].concat();
    Some((CredentialKey::es256(&point).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::Authenticator;
    use super::*;

    const ORIGIN: &str = "https://nexusmon.example";
    const RP: &str = "nexusmon.example";

    fn challenge() -> Digest {
        Digest::of(b"registration")
    }

    fn both() -> [Authenticator; 2] {
        [Authenticator::es256(3), Authenticator::eddsa(4)]
    }

    #[test]
    fn a_new_passkey_is_read_and_then_signs() {
        for authenticator in both() {
            let made = authenticator.register(&challenge());
            let (passkey, _) = made.accept(RP, ORIGIN, &challenge()).unwrap();
            assert_eq!(passkey, authenticator.passkey);
            let later = Digest::of(b"log-in");
            assert!(passkey.verify(&later, &authenticator.sign(&later)).is_ok());
        }
    }

    #[test]
    fn wrong_registrations_are_told_apart() {
        let authenticator = Authenticator::es256(3);
        let good = authenticator.register(&challenge());
        let refused = |made: &Registration, rp: &str, origin: &str, challenge: &Digest| {
            made.accept(rp, origin, challenge).unwrap_err()
        };
        let answer = RegistrationError::Answer;
        assert_eq!(refused(&good, RP, ORIGIN, &Digest::of(b"x")), answer(AssertionError::Challenge));
        assert_eq!(refused(&good, RP, "https://evil.example", &challenge()), answer(AssertionError::Origin));
        assert_eq!(refused(&good, "example", ORIGIN, &challenge()), answer(AssertionError::RpId));
        // An answer to a log-in is no registration.
        let assertion = authenticator.sign(&challenge());
        let login = Registration {
            client_data: assertion.client_data,
            authenticator_data: assertion.authenticator_data,
        };
        assert_eq!(refused(&login, RP, ORIGIN, &challenge()), answer(AssertionError::Type));
        let with = |edit: &dyn Fn(&mut Vec<u8>)| {
            let mut made = good.clone();
            edit(&mut made.authenticator_data);
            refused(&made, RP, ORIGIN, &challenge())
        };
        assert_eq!(with(&|data| data[32] &= !0x04), answer(AssertionError::NotVerified));
        assert_eq!(with(&|data| data[32] &= !0x01), answer(AssertionError::NotPresent));
        assert_eq!(with(&|data| data[32] &= !ATTESTED), RegistrationError::NoKey);
        assert_eq!(with(&|data| data[54] = 0), RegistrationError::CredentialId);
        assert_eq!(with(&|data| data[53] = 0xff), RegistrationError::CredentialId);
        // Another algorithm, a point that is on no curve, something behind the key.
        assert_eq!(with(&|data| data[71 + 4] = 0x27), RegistrationError::Algorithm);
        assert_eq!(with(&|data| data[71 + 12] ^= 1), RegistrationError::Algorithm);
        assert_eq!(with(&|data| data.push(0)), answer(AssertionError::AuthenticatorData));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_answered(
            client in proptest::collection::vec(any::<u8>(), 0..200),
            data in proptest::collection::vec(any::<u8>(), 0..200),
            cut in 0..200_usize,
        ) {
            let good = Authenticator::eddsa(4).register(&challenge());
            let outside = Registration { client_data: client, authenticator_data: data };
            prop_assert!(outside.accept(RP, ORIGIN, &challenge()).is_err());
            let mut short = good.clone();
            if cut < short.authenticator_data.len() {
                short.authenticator_data.truncate(cut);
                prop_assert!(short.accept(RP, ORIGIN, &challenge()).is_err());
            }
        }
    }
}
