use p256::ecdsa::SigningKey as Es256;
use p256::ecdsa::signature::Signer as _;
use proptest::prelude::*;

use super::*;
use crate::trust::ed25519::PublicKey;

/// An authenticator in software.
pub(crate) struct Authenticator {
    key: Secret,
    pub(crate) passkey: Passkey,
}

enum Secret {
    Es256(Es256),
    Eddsa(ed25519_dalek::SigningKey),
}

/// What a test may make it do wrong.
pub(crate) struct Answer<'a> {
    pub(crate) kind: &'a str,
    pub(crate) origin: &'a str,
    pub(crate) rp_id: &'a str,
    pub(crate) flags: u8,
    pub(crate) more: &'a str,
}

impl Authenticator {
    pub(crate) fn es256(seed: u8) -> Self {
        let key = Es256::from_slice(&[seed; 32]).unwrap();
        let public = CredentialKey::es256(key.verifying_key().to_sec1_point(false).as_bytes()).unwrap();
        Self { key: Secret::Es256(key), passkey: passkey(seed, public) }
    }

    pub(crate) fn eddsa(seed: u8) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
        let public = CredentialKey::Eddsa(PublicKey::of(&key));
        Self { key: Secret::Eddsa(key), passkey: passkey(seed, public) }
    }

    pub(crate) fn answer(&self, challenge: &Digest, answer: &Answer<'_>) -> Assertion {
        let Answer { kind, origin, rp_id, flags, more } = answer;
        let challenge = base64_text::encode(challenge.as_bytes());
        let client_data =
            format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}"{more}}}"#)
                .into_bytes();
        let mut authenticator_data = Digest::of(rp_id.as_bytes()).as_bytes().to_vec();
        authenticator_data.extend([*flags, 0, 0, 0, 7]);
        let signed = [authenticator_data.as_slice(), &Sha256::digest(&client_data)].concat();
        let signature = match &self.key {
            Secret::Es256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(&signed);
                signature.to_der().as_bytes().to_vec()
            }
            Secret::Eddsa(key) => key.sign(&signed).to_bytes().to_vec(),
        };
        Assertion { client_data, authenticator_data, signature }
    }

    /// As a browser makes it at the usual place.
    pub(crate) fn register(&self, challenge: &Digest) -> Registration {
        let Assertion { client_data, mut authenticator_data, .. } = self.answer(
            challenge,
            &Answer { kind: "webauthn.create", flags: PRESENT | VERIFIED | ATTESTED, ..GOOD },
        );
        authenticator_data.extend([0; 16]);
        let id = &self.passkey.credential_id;
        authenticator_data.extend(u16::try_from(id.len()).unwrap().to_be_bytes());
        authenticator_data.extend(id);
        match &self.key {
            Secret::Es256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                authenticator_data.extend(b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20");
                authenticator_data.extend(&point.as_bytes()[1..33]);
                authenticator_data.extend(b"\x22\x58\x20");
                authenticator_data.extend(&point.as_bytes()[33..]);
            }
            Secret::Eddsa(key) => {
                authenticator_data.extend(b"\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20");
                authenticator_data.extend(key.verifying_key().as_bytes());
            }
        }
        Registration { client_data, authenticator_data }
    }

    pub(crate) fn sign(&self, challenge: &Digest) -> Assertion {
        self.answer(challenge, &GOOD)
    }
}

pub(crate) const GOOD: Answer<'static> = Answer {
    kind: "webauthn.get",
    origin: "https://nexusmon.example",
    rp_id: "nexusmon.example",
    flags: PRESENT | VERIFIED,
    more: r#","crossOrigin":false"#,
};

fn passkey(seed: u8, public_key: CredentialKey) -> Passkey {
    Passkey {
        rp_id: "nexusmon.example".to_owned(),
        origin: "https://nexusmon.example".to_owned(),
        credential_id: vec![seed; 16],
        public_key,
    }
}

#[test]
fn a_good_answer_holds_for_its_challenge_only() {
    for authenticator in [Authenticator::es256(1), Authenticator::eddsa(2)] {
        let challenge = Digest::of(b"statement");
        let assertion = authenticator.sign(&challenge);
        assert_eq!(authenticator.passkey.verify(&challenge, &assertion), Ok(Verified { counter: 7 }));
        assert_eq!(
            authenticator.passkey.verify(&Digest::of(b"another"), &assertion),
            Err(AssertionError::Challenge)
        );
        assert_eq!(
            Authenticator::es256(9).passkey.verify(&challenge, &assertion),
            Err(AssertionError::Signature)
        );
    }
}

#[test]
fn every_wrong_answer_is_told_apart() {
    let authenticator = Authenticator::es256(1);
    let challenge = Digest::of(b"statement");
    let wrong = [
        (Answer { kind: "webauthn.create", ..GOOD }, AssertionError::Type),
        (Answer { kind: "payment.get", ..GOOD }, AssertionError::Type),
        (Answer { origin: "https://nexusmon.example.evil", ..GOOD }, AssertionError::Origin),
        (Answer { origin: "https://www.nexusmon.example", ..GOOD }, AssertionError::Origin),
        (Answer { rp_id: "example", ..GOOD }, AssertionError::RpId),
        (Answer { flags: VERIFIED, ..GOOD }, AssertionError::NotPresent),
        (Answer { flags: PRESENT, ..GOOD }, AssertionError::NotVerified),
        (Answer { flags: PRESENT | VERIFIED | ATTESTED, ..GOOD }, AssertionError::Flags),
        (Answer { flags: PRESENT | VERIFIED | BACKED_UP, ..GOOD }, AssertionError::Flags),
        (Answer { flags: PRESENT | VERIFIED | EXTENSIONS, ..GOOD }, AssertionError::AuthenticatorData),
        (Answer { more: r#","crossOrigin":true"#, ..GOOD }, AssertionError::CrossOrigin),
        (Answer { more: r#","topOrigin":"https://a.example""#, ..GOOD }, AssertionError::CrossOrigin),
        (Answer { more: r#","origin":"https://nexusmon.example""#, ..GOOD }, AssertionError::ClientData),
    ];
    for (answer, error) in wrong {
        let assertion = authenticator.answer(&challenge, &answer);
        assert_eq!(authenticator.passkey.verify(&challenge, &assertion), Err(error));
    }
    let good = authenticator.sign(&challenge);
    let long = Assertion { client_data: vec![b' '; MAX_CLIENT_DATA + 1], ..good.clone() };
    assert_eq!(authenticator.passkey.verify(&challenge, &long), Err(AssertionError::TooLarge));
    let cut = Assertion { authenticator_data: good.authenticator_data[..36].to_vec(), ..good.clone() };
    assert_eq!(authenticator.passkey.verify(&challenge, &cut), Err(AssertionError::AuthenticatorData));
    let backed_up = Answer { flags: PRESENT | VERIFIED | BACKUP_ELIGIBLE | BACKED_UP, more: "", ..GOOD };
    assert!(authenticator.passkey.verify(&challenge, &authenticator.answer(&challenge, &backed_up)).is_ok());
}

#[test]
fn an_origin_lies_within_its_domain() {
    let with = |rp_id: &str, origin: &str| Passkey {
        rp_id: rp_id.to_owned(),
        origin: origin.to_owned(),
        ..Authenticator::eddsa(1).passkey
    };
    for (rp_id, origin) in [
        ("nexusmon.example", "https://nexusmon.example"),
        ("nexusmon.example", "https://desk.nexusmon.example:8443"),
        ("localhost", "http://localhost:7300"),
    ] {
        assert!(with(rp_id, origin).is_plausible(), "{origin}");
    }
    for (rp_id, origin) in [
        ("nexusmon.example", "http://nexusmon.example"),
        ("nexusmon.example", "https://notnexusmon.example"),
        ("nexusmon.example", "https://nexusmon.example/path"),
        ("nexusmon.example", "https://nexusmon.example:"),
        ("nexusmon.example", "https://.nexusmon.example"),
        ("nexusmon.example", "https://user@nexusmon.example"),
        ("", "https://nexusmon.example"),
    ] {
        assert!(!with(rp_id, origin).is_plausible(), "{origin}");
    }
}

#[test]
fn public_keys_come_from_browsers_and_have_one_form() {
    // As `getPublicKey()` gives them: made with another tool.
    let p256 = "3059301306072a8648ce3d020106082a8648ce3d03010703420004\
                6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let der = hex::decode(p256).unwrap();
    let key = CredentialKey::from_spki(&der).unwrap();
    assert_eq!(
        hex::encode(key.as_bytes()),
        "036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    );
    let ed25519 = "302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    assert!(matches!(CredentialKey::from_spki(&hex::decode(ed25519).unwrap()), Ok(CredentialKey::Eddsa(_))));
    let text = serde_json::to_string(&key).unwrap();
    assert_eq!(serde_json::from_str::<CredentialKey>(&text).unwrap(), key);
    let uncompressed = format!(r#"{{"algorithm":"es256","key":"{}"}}"#, base64_text::encode(&der[26..]));
    assert!(serde_json::from_str::<CredentialKey>(&uncompressed).is_err());
    let mut off_curve = der.clone();
    off_curve[90] ^= 1;
    for bad in [&der[..90], &der[1..], &off_curve, &hex::decode("302a300506032b6570032100").unwrap()] {
        assert_eq!(CredentialKey::from_spki(bad), Err(SpkiError));
    }
}

proptest! {
    // Curves without optimization are slow.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_changed_bit_is_refused(bit: usize, eddsa: bool) {
        let authenticator = if eddsa { Authenticator::eddsa(3) } else { Authenticator::es256(3) };
        let challenge = Digest::of(b"statement");
        let mut assertion = authenticator.sign(&challenge);
        let parts = [&mut assertion.client_data, &mut assertion.authenticator_data, &mut assertion.signature];
        let bits: usize = parts.iter().map(|part| part.len() * 8).sum();
        let mut place = bit % bits;
        for part in parts {
            if place < part.len() * 8 {
                part[place / 8] ^= 1 << (place % 8);
                break;
            }
            place -= part.len() * 8;
        }
        prop_assert!(authenticator.passkey.verify(&challenge, &assertion).is_err());
    }

    #[test]
    fn outside_bytes_never_panic(
        client_data in prop::collection::vec(any::<u8>(), 0..200),
        authenticator_data in prop::collection::vec(any::<u8>(), 0..100),
        signature in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let challenge = Digest::of(b"statement");
        for authenticator in [Authenticator::es256(3), Authenticator::eddsa(3)] {
            let good = authenticator.sign(&challenge);
            let outside = Assertion {
                client_data: client_data.clone(),
                authenticator_data: authenticator_data.clone(),
                signature: signature.clone(),
            };
            let passkey = &authenticator.passkey;
            prop_assert!(passkey.verify(&challenge, &outside).is_err());
            let unsigned = Assertion { signature: signature.clone(), ..good.clone() };
            prop_assert!(passkey.verify(&challenge, &unsigned).is_err());
            let unfounded = Assertion { authenticator_data: authenticator_data.clone(), ..good };
            prop_assert!(passkey.verify(&challenge, &unfounded).is_err());
        }
        let _ = CredentialKey::from_spki(&client_data);
    }
}
