//! Secrets at rest: each version under a key of its own, that key under the master key; both bound to what they are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nexusmon_shared::id::OrganismId;
use nexusmon_shared::name::Name;
use zeroize::Zeroizing;

use super::master::{MasterKey, MasterKeyError};

/// What a sealed value is, and where it may be used: under anything else it does not open.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    pub organism: OrganismId,
    pub name: &'a Name,
    pub version: i64,
    /// The binding, as canonical text.
    pub scope: &'a str,
}

/// Both as base64.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sealed {
    pub key_wrapped: String,
    pub value: String,
}

impl Label<'_> {
    fn of_key(&self) -> String {
        format!("nexusmon/secret-key/v1 {} {} of {}", self.name, self.version, self.organism)
    }

    fn of_value(&self) -> String {
        format!("nexusmon/secret/v1 {} {} of {}\n{}", self.name, self.version, self.organism, self.scope)
    }
}

pub fn seal(master: &MasterKey, label: &Label<'_>, value: &[u8], rng: &mut impl rand::CryptoRng) -> Sealed {
    let mut key = Zeroizing::new([0_u8; 32]);
    rng.fill_bytes(key.as_mut_slice());
    let own = MasterKey::from_bytes(*key);
    Sealed {
        key_wrapped: STANDARD.encode(master.wrap(&label.of_key(), key.as_slice(), rng)),
        value: STANDARD.encode(own.wrap(&label.of_value(), value, rng)),
    }
}

pub fn open(
    master: &MasterKey,
    label: &Label<'_>,
    sealed: &Sealed,
) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
    let own = MasterKey::from_bytes(*key(master, label, sealed)?);
    // Its key opened: what is wrong now is the value, or what it is said to be.
    own.unwrap(&label.of_value(), &decode(&sealed.value)).map_err(|_| MasterKeyError::Changed)
}

/// The same value under another master key; what is inside is not touched.
pub fn rewrap(
    old: &MasterKey,
    new: &MasterKey,
    label: &Label<'_>,
    sealed: &Sealed,
    rng: &mut impl rand::CryptoRng,
) -> Result<Sealed, MasterKeyError> {
    let key = key(old, label, sealed)?;
    let key_wrapped = STANDARD.encode(new.wrap(&label.of_key(), key.as_slice(), rng));
    Ok(Sealed { key_wrapped, value: sealed.value.clone() })
}

fn key(
    master: &MasterKey,
    label: &Label<'_>,
    sealed: &Sealed,
) -> Result<Zeroizing<[u8; 32]>, MasterKeyError> {
    let opened = master.unwrap(&label.of_key(), &decode(&sealed.key_wrapped))?;
    <[u8; 32]>::try_from(opened.as_slice()).map(Zeroizing::new).map_err(|_| MasterKeyError::Changed)
}

fn decode(text: &str) -> Vec<u8> {
    // What is no base64 opens as little as nothing at all.
    STANDARD.decode(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn rng() -> StdRng {
        StdRng::seed_from_u64(3)
    }

    #[test]
    fn a_value_opens_as_what_it_was_sealed_as_only() {
        let master = MasterKey::from_bytes([1; 32]);
        let (name, other): (Name, Name) = ("token".parse().unwrap(), "tokem".parse().unwrap());
        let label = Label {
            organism: OrganismId::from_bits(1),
            name: &name,
            version: 2,
            scope: r#"{"hosts":["a"]}"#,
        };
        let sealed = seal(&master, &label, b"hunter2", &mut rng());
        assert_eq!(open(&master, &label, &sealed).unwrap().as_slice(), b"hunter2");
        for wrong in [
            Label { organism: OrganismId::from_bits(2), ..label },
            Label { name: &other, ..label },
            Label { version: 3, ..label },
            Label { scope: "{}", ..label },
        ] {
            assert!(open(&master, &wrong, &sealed).is_err(), "{wrong:?}");
        }
        let another = seal(&master, &label, b"hunter3", &mut rng());
        let crossed = Sealed { key_wrapped: sealed.key_wrapped.clone(), value: another.value };
        let same_key = open(&master, &label, &crossed);
        assert!(same_key.is_err() || another.key_wrapped == sealed.key_wrapped, "keys are per secret");
    }

    #[test]
    fn another_master_key_opens_it_once_it_is_wrapped_anew_and_the_old_one_no_more() {
        let (old, new) = (MasterKey::from_bytes([1; 32]), MasterKey::from_bytes([2; 32]));
        let name: Name = "token".parse().unwrap();
        let label = Label { organism: OrganismId::from_bits(1), name: &name, version: 1, scope: "{}" };
        let sealed = seal(&old, &label, b"hunter2", &mut rng());
        let again = rewrap(&old, &new, &label, &sealed, &mut rng()).unwrap();
        assert_eq!(open(&new, &label, &again).unwrap().as_slice(), b"hunter2");
        assert!(open(&old, &label, &again).is_err());
        assert!(rewrap(&new, &old, &label, &sealed, &mut rng()).is_err());
    }

    proptest! {
        #[test]
        fn any_changed_bit_keeps_it_closed(bit: usize, of_key: bool) {
            let master = MasterKey::from_bytes([1; 32]);
            let name: Name = "token".parse().unwrap();
            let label = Label { organism: OrganismId::from_bits(1), name: &name, version: 1, scope: "{}" };
            let mut sealed = seal(&master, &label, b"hunter2", &mut rng());
            let part = if of_key { &mut sealed.key_wrapped } else { &mut sealed.value };
            let mut bytes = decode(part);
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            *part = STANDARD.encode(bytes);
            prop_assert!(open(&master, &label, &sealed).is_err());
        }
    }
}
