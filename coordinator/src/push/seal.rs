//! Message encryption for Web Push (RFC 8291) over `aes128gcm` (RFC 8188), one record a message.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;

/// Bytes of a P-256 point, uncompressed.
pub const PUBLIC: usize = 65;
/// Bytes of the secret that a browser makes for its subscription.
pub const AUTH: usize = 16;
/// Bytes of a message; push services must take 4096 with everything around it.
pub const LARGEST: usize = 3000;
const RECORD: u32 = 4096;

/// What a browser gives out for those who may send to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    pub public: [u8; PUBLIC],
    pub auth: [u8; AUTH],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// Reads what a browser sent; a point that is not on the curve is none.
    pub fn read(public: &[u8], auth: &[u8]) -> Option<Self> {
        let keys = Self { public: public.try_into().ok()?, auth: auth.try_into().ok()? };
        let own = PrivateKey::generate(&ECDH_P256).ok()?;
        shared(&own, &keys.public).ok().map(|_| keys)
    }
}

/// A length that `hkdf` is asked for.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Result<[u8; N], Unspecified> {
    let mut out = [0_u8; N];
    Salt::new(HKDF_SHA256, salt).extract(secret).expand(info, Bytes(N))?.fill(&mut out)?;
    Ok(out)
}

fn shared(own: &PrivateKey, public: &[u8; PUBLIC]) -> Result<Vec<u8>, Unspecified> {
    let public = UnparsedPublicKey::new(&ECDH_P256, public);
    agreement::agree(own, public, Unspecified, |secret| Ok(secret.to_vec()))
}

/// Seals a message with a key and a salt that are used once.
pub(super) fn seal(keys: &Keys, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let mut salt = [0_u8; 16];
    rand::fill(&mut salt)?;
    seal_with(&PrivateKey::generate(&ECDH_P256)?, salt, keys, message)
}

fn seal_with(own: &PrivateKey, salt: [u8; 16], keys: &Keys, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
    if message.len() > LARGEST {
        return Err(Unspecified);
    }
    let public = own.compute_public_key()?;
    let secret = shared(own, &keys.public)?;
    let input: [u8; 32] = derive(&keys.auth, &secret, &[b"WebPush: info\0", &keys.public, public.as_ref()])?;
    let key: [u8; 16] = derive(&salt, &input, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: [u8; 12] = derive(&salt, &input, &[b"Content-Encoding: nonce\0"])?;
    // The delimiter of the last record.
    let mut sealed = [message, &[2]].concat();
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)?;
    let length = u8::try_from(public.as_ref().len()).map_err(|_| Unspecified)?;
    Ok([salt.as_slice(), &RECORD.to_be_bytes(), &[length], public.as_ref(), &sealed].concat())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        URL_SAFE_NO_PAD.decode(text).unwrap().try_into().unwrap()
    }

    /// RFC 8291, appendix A.
    #[test]
    fn the_example_of_the_standard_comes_out_to_the_byte() {
        let keys = Keys {
            public: bytes(
                "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            ),
            auth: bytes("BTBZMqHH6r4Tts7J_aSIgg"),
        };
        let own: [u8; 32] = bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let own = PrivateKey::from_private_key(&ECDH_P256, &own).unwrap();
        let sealed = seal_with(
            &own,
            bytes("DGv6ra1nlYgDCS1FRnbzlw"),
            &keys,
            b"When I grow up, I want to be a watermelon",
        );
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz\
                        AC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(URL_SAFE_NO_PAD.encode(sealed.unwrap()), expected);
    }

    #[test]
    fn what_a_browser_sent_is_a_point_of_the_curve_or_nothing() {
        let own = PrivateKey::generate(&ECDH_P256).unwrap();
        let public = own.compute_public_key().unwrap();
        assert!(Keys::read(public.as_ref(), &[1; AUTH]).is_some());
        let mut bent = public.as_ref().to_vec();
        bent[40] ^= 1;
        assert!(Keys::read(&bent, &[1; AUTH]).is_none());
        assert!(Keys::read(&[0; PUBLIC], &[1; AUTH]).is_none());
        assert!(Keys::read(&public.as_ref()[..33], &[1; AUTH]).is_none());
        assert!(Keys::read(public.as_ref(), &[1; 15]).is_none());
    }

    #[test]
    fn no_two_messages_look_alike_and_none_is_too_large() {
        let own = PrivateKey::generate(&ECDH_P256).unwrap();
        let public = own.compute_public_key().unwrap();
        let keys = Keys::read(public.as_ref(), &[1; AUTH]).unwrap();
        assert_ne!(seal(&keys, b"a").unwrap(), seal(&keys, b"a").unwrap());
        assert!(seal(&keys, &[0; LARGEST]).unwrap().len() <= RECORD as usize);
        assert!(seal(&keys, &[0; LARGEST + 1]).is_err());
    }
}
