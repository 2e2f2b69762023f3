//! The recovery key as 24 words (BIP-39, English): shown once, written down, typed back.
//!
//! The words *are* the key: 256 bits and a checksum of 8. No passphrase, no derivation.

use std::fmt;

use bip39::{Language, Mnemonic};
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

pub const WORDS: usize = 24;
/// Longer than 24 of the longest words with generous spaces.
const MAX_TEXT: usize = 1_000;

/// The secret. `Debug` shows nothing of it; memory is wiped on drop.
#[derive(Clone)]
pub struct RecoveryKey(Zeroizing<[u8; 32]>);

/// Why words are not a recovery key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    #[error("these are {0} words; a recovery key has {WORDS}")]
    Count(usize),
    #[error("word {place}, `{word}`, is not in the list{}", hint(*.suggestion))]
    Unknown {
        /// From 1.
        place: usize,
        word: String,
        suggestion: Option<&'static str>,
    },
    #[error(
        "every word is in the list, but together they are not a key: one is another than was shown, or two changed places \
         (the last word is `{last}`)"
    )]
    Checksum { last: String },
    #[error("that is too long to be {WORDS} words")]
    TooLong,
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |word| format!(" (did you mean `{word}`?)"))
}

impl RecoveryKey {
    pub fn generate(rng: &mut impl rand::CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self(bytes)
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// 24 words with single spaces.
    pub fn words(&self) -> Zeroizing<String> {
        let mnemonic = Mnemonic::from_entropy(self.0.as_slice()).expect("32 bytes are 24 words");
        let mut words = Zeroizing::new(String::with_capacity(WORDS * 9));
        for word in mnemonic.words() {
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(word);
        }
        words
    }

    /// Reads words in any case with any white space between them.
    pub fn from_words(text: &str) -> Result<Self, WordsError> {
        if text.len() > MAX_TEXT {
            return Err(WordsError::TooLong);
        }
        let lower = Zeroizing::new(text.to_lowercase());
        let words: Vec<&str> = lower.split_whitespace().collect();
        if words.len() != WORDS {
            return Err(WordsError::Count(words.len()));
        }
        if let Some(at) = words.iter().position(|word| Language::English.find_word(word).is_none()) {
            let word: String = words[at].chars().take(20).collect();
            return Err(WordsError::Unknown { place: at + 1, suggestion: nearest(&word), word });
        }
        let joined = Zeroizing::new(words.join(" "));
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, &joined)
            .map_err(|_| WordsError::Checksum { last: words[WORDS - 1].to_owned() })?;
        let (bytes, _) = mnemonic.to_entropy_array();
        let bytes = Zeroizing::new(bytes);
        let (key, _) = bytes.split_first_chunk::<32>().expect("24 words are 32 bytes");
        Ok(Self(Zeroizing::new(*key)))
    }

    /// The Ed25519 key with these bytes as its seed (RFC 8032): its public half goes into the roster.
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.0)
    }
}

/// The one word of the list that begins alike: the first four letters decide in BIP-39.
fn nearest(word: &str) -> Option<&'static str> {
    (3..=4).rev().find_map(|length| {
        let prefix = word.get(..length)?;
        let mut alike = Language::English.words_by_prefix_iter(prefix);
        alike.next().filter(|_| alike.next().is_none())
    })
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKey")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Four vectors of 256 bits from the reference implementation's list.
    #[test]
    fn the_published_vectors_hold() {
        let repeated = |word: &str, last: &str| format!("{}{last}", format!("{word} ").repeat(23));
        let vectors = [
            ("00".repeat(32), repeated("abandon", "art")),
            ("ff".repeat(32), repeated("zoo", "vote")),
            (
                "7f".repeat(32),
                "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth useful \
                 legal winner thank year wave sausage worth title"
                    .to_owned(),
            ),
            (
                "68a79eaca2324873eacc50cb9c6eca8cc68ea5d936f98787c60c7ebc74e6ce7c".to_owned(),
                "hamster diagram private dutch cause delay private meat slide toddler razor book happy fancy gospel \
                 tennis maple dilemma loan word shrug inflict delay length"
                    .to_owned(),
            ),
        ];
        for (bytes, words) in vectors {
            let key = RecoveryKey::from_bytes(hex::decode(bytes).unwrap().try_into().unwrap());
            assert_eq!(*key.words(), words);
            assert_eq!(*RecoveryKey::from_words(&words).unwrap().0, *key.0);
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_word() {
        let good = "hamster diagram private dutch cause delay private meat slide toddler razor book happy fancy \
                    gospel tennis maple dilemma loan word shrug inflict delay length";
        let error = |text: &str| RecoveryKey::from_words(text).unwrap_err();
        assert_eq!(error("hamster diagram"), WordsError::Count(2));
        let unknown = error(&good.replace("toddler", "toddlers"));
        assert_eq!(
            unknown,
            WordsError::Unknown { place: 10, word: "toddlers".to_owned(), suggestion: Some("toddler") }
        );
        assert_eq!(unknown.to_string(), "word 10, `toddlers`, is not in the list (did you mean `toddler`?)");
        assert_eq!(
            error(&good.replace("toddler", "today")),
            WordsError::Checksum { last: "length".to_owned() }
        );
        assert_eq!(error(&"x".repeat(1_001)), WordsError::TooLong);
        let spaced = format!("  {}\n", good.to_uppercase().replace(' ', "\t "));
        assert!(RecoveryKey::from_words(&spaced).is_ok());
    }

    proptest! {
        #[test]
        fn every_key_round_trips(bytes: [u8; 32]) {
            let key = RecoveryKey::from_bytes(bytes);
            let read = RecoveryKey::from_words(&key.words()).unwrap();
            prop_assert_eq!(*read.0, bytes);
        }

        #[test]
        fn outside_text_never_panics(text in ".{0,200}", words in prop::collection::vec("(abandon|zoo|[a-zß]{1,6})", 24)) {
            let _ = (RecoveryKey::from_words(&text), RecoveryKey::from_words(&words.join(" ")));
        }
    }
}
