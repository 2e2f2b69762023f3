//! Typed, prefixed identifiers: one newtype per entity, made from one list.
//!
//! The text form is `<prefix>_<26 characters>`: a `UUIDv7` (RFC 9562) in lower-case Crockford base 32, so that
//! ids sort by creation time. Ids never carry authority.

use std::fmt;
use std::str::FromStr;

use crate::time::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// What each byte stands for; 255 for none.
const DIGITS: [u8; 256] = {
    let mut digits = [255; 256];
    let mut digit: u8 = 0;
    while digit < 32 {
        digits[ALPHABET[digit as usize] as usize] = digit;
        digit += 1;
    }
    digits
};
/// Digits of the high part; the middle and the low part have twelve each, which are 60 bits.
const HIGH: usize = 2;
const LOW_BITS: u128 = (1 << 60) - 1;

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind} id: expected `{prefix}_` and 26 characters of Crockford base 32")]
pub struct IdError {
    pub kind: &'static str,
    pub prefix: &'static str,
    pub text: String,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            /// A fresh id: `UUIDv7` of `at` with randomness from `rng`.
            pub fn new(at: Timestamp, rng: &mut impl rand::Rng) -> Self {
                Self(uuid_v7(at, rng))
            }

            /// The id with exactly these bits; for storage and tests.
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            pub const fn to_bits(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, "_"))?;
                f.write_str(std::str::from_utf8(&encode(self.0)).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(concat!($prefix, "_")).and_then(decode).map(Self).ok_or_else(|| IdError {
                    kind: $kind,
                    prefix: $prefix,
                    text: text.chars().take(64).collect(),
                })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// The whole installation: one coordinator database and everything enrolled with it.
    OrganismId, "org", "organism";
    MissionId, "mis", "mission";
    TaskId, "tsk", "task";
    AgentId, "agt", "agent";
    /// An artifact series: all versions of one named output.
    ArtifactId, "art", "artifact";
    /// One immutable version of an artifact.
    VersionId, "ver", "artifact version";
    ApprovalId, "apr", "approval";
    ReviewId, "rev", "review";
    StandingId, "sta", "standing approval";
    /// A person, a token, the system itself.
    PrincipalId, "prn", "principal";
    SessionId, "ses", "login session";
    InviteId, "inv", "invite";
    AuditId, "aud", "audit entry";
    PredictionId, "prd", "prediction";
    /// One agent's journal; a new one means the agent lost its memory.
    JournalId, "jrn", "journal";
    UploadId, "upl", "upload";
    FilterId, "flt", "saved filter";
    PushId, "psh", "push subscription";
    /// A schedule, a webhook, or an event trigger.
    TriggerId, "trg", "trigger";
    /// Once that a trigger was due, and what came of it.
    FiringId, "fir", "firing";
    /// Something the organism remembers.
    MemoryId, "mem", "memory";
    /// Something somebody holds to be true.
    BeliefId, "blf", "belief";
    /// Where a person wants to be told.
    ChannelId, "chn", "notification channel";
    RuleId, "rul", "notification rule";
    NotificationId, "ntf", "notification";
    /// A mission the system would start because of how another ended.
    ProposalId, "prp", "proposal";
    /// One question to a language model.
    ModelCallId, "mcl", "model call";
}

fn uuid_v7(at: Timestamp, rng: &mut impl rand::Rng) -> u128 {
    let millis = u128::from(u64::try_from(at.as_micros() / 1_000).unwrap_or(0)) & 0xffff_ffff_ffff;
    let mut random = [0_u8; 16];
    rng.fill_bytes(&mut random);
    let random = u128::from_be_bytes(random);
    let mask: u128 = (0x0fff_u128 << 64) | 0x3fff_ffff_ffff_ffff_u128;
    (millis << 80) | (0x7_u128 << 76) | (0b10_u128 << 62) | (random & mask)
}

fn encode(bits: u128) -> [u8; 26] {
    let mut out = [b'0'; 26];
    let (high, rest) = out.split_at_mut(HIGH);
    let (middle, low) = rest.split_at_mut(12);
    write_digits(bits >> 120, high);
    write_digits((bits >> 60) & LOW_BITS, middle);
    write_digits(bits & LOW_BITS, low);
    out
}

/// Of 60 bits at most: half a register is enough.
fn write_digits(bits: u128, out: &mut [u8]) {
    let mut bits = u64::try_from(bits).unwrap_or(0);
    for place in out.iter_mut().rev() {
        *place = ALPHABET[(bits & 31) as usize];
        bits >>= 5;
    }
}

fn decode(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    if bytes.len() != 26 || bytes[0] > b'7' {
        return None;
    }
    let (high, rest) = bytes.split_at(HIGH);
    let (middle, low) = rest.split_at(12);
    let part = |digits: &[u8]| read_digits(digits).map(u128::from);
    Some((part(high)? << 120) | (part(middle)? << 60) | part(low)?)
}

fn read_digits(bytes: &[u8]) -> Option<u64> {
    let mut bits = 0;
    // One look at the end: nearly every text is good.
    let mut seen = 0;
    for byte in bytes {
        let digit = DIGITS[usize::from(*byte)];
        seen |= digit;
        bits = (bits << 5) | u64::from(digit & 31);
    }
    (seen < 32).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    proptest! {
        #[test]
        fn text_form_round_trips(bits: u128) {
            let id = MissionId::from_bits(bits);
            prop_assert_eq!(id.to_string().parse::<MissionId>(), Ok(id));
        }

        #[test]
        fn each_character_stands_for_five_bits(bits: u128) {
            let slow: String = (0..26)
                .rev()
                .map(|place| char::from(ALPHABET[usize::try_from(bits >> (place * 5) & 31).unwrap()]))
                .collect();
            prop_assert_eq!(TaskId::from_bits(bits).to_string(), format!("tsk_{slow}"));
        }

        #[test]
        fn any_other_character_is_refused(bits: u128, place in 0_usize..26, other in "[ilou\\-A-Zé ]") {
            let mut text: Vec<char> = TaskId::from_bits(bits).to_string().chars().collect();
            text[4 + place] = other.chars().next().unwrap();
            prop_assert!(text.into_iter().collect::<String>().parse::<TaskId>().is_err());
        }

        #[test]
        fn outside_text_never_panics(text in ".{0,80}") {
            let _ = text.parse::<TaskId>();
        }
    }

    #[test]
    fn ids_sort_by_time() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let early = TaskId::new(Timestamp::from_micros(1_000_000), &mut rng);
        let late = TaskId::new(Timestamp::from_micros(2_000_000), &mut rng);
        assert!(early.to_string() < late.to_string());
        assert!(early < late);
    }

    #[test]
    fn kinds_do_not_mix() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let mission = MissionId::new(Timestamp::from_micros(1), &mut rng);
        assert!(mission.to_string().parse::<TaskId>().is_err());
    }
}
