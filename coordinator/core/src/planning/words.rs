//! The words of a sentence, as far as comparing them goes.

use std::collections::BTreeSet;

/// Words of a goal that are looked at.
pub(super) const MOST: usize = 400;

const FILLER: [&str; 47] = [
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "could", "do", "does", "for", "from", "have",
    "i", "in", "into", "is", "it", "its", "just", "me", "my", "now", "of", "on", "one", "our", "out",
    "please", "should", "so", "that", "the", "then", "there", "this", "to", "up", "us", "was", "we", "will",
    "with", "you", "your",
];
const NEGATION: [&str; 12] = [
    "not", "don't", "dont", "never", "without", "except", "cannot", "can't", "doesn't", "no", "nothing",
    "instead",
];
const LINK: [&str; 7] = ["=", ":", "is", "to", "named", "called", "of"];

/// A word as it was said, and as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub stem: String,
    /// It stood between quotes and may hold anything.
    pub quoted: bool,
}

impl Word {
    fn new(text: &str, quoted: bool) -> Self {
        Self { text: text.to_owned(), stem: stem(&text.to_lowercase()), quoted }
    }
}

/// The words in order; `=` and `:` between a name and its value are words of their own, what stands in quotes is one.
pub fn of(text: &str) -> Vec<Word> {
    read(text, |word, words| {
        let plain = word.trim_matches(|c: char| ",;.!?()[]{}'".contains(c));
        if is_value(plain) {
            words.push(Word::new(plain, false));
        } else {
            words.extend(
                plain
                    .split(['-', '_', '/', ','])
                    .filter(|part| !part.is_empty())
                    .map(|part| Word::new(part, false)),
            );
        }
    })
}

/// As [`of`], with nothing taken from what may be a name: `.env` and `user_data` are one word as they are.
pub(super) fn whole(text: &str) -> Vec<Word> {
    read(text, |word, words| {
        let plain = word.trim_start_matches(['(', '\'', '[', '{']);
        let plain = plain.trim_end_matches(|c: char| ",;.!?()[]{}'".contains(c));
        words.push(Word::new(if plain.is_empty() { word } else { plain }, false));
    })
}

fn read(text: &str, put: impl Fn(&str, &mut Vec<Word>)) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = text;
    while words.len() < MOST {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { break };
        if matches!(first, '"' | '`' | '\'')
            && let Some(end) = rest[1..].find(first)
        {
            words.push(Word::new(&rest[1..=end], true));
            rest = &rest[end + 2..];
            continue;
        }
        if matches!(first, '=' | ':') {
            words.push(Word::new(&rest[..1], false));
            rest = &rest[1..];
            continue;
        }
        let end =
            rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | '"' | '`')).unwrap_or(rest.len());
        // A colon ends a name before a value; inside of `host:port` or an address it is a part.
        let end = match rest[..end].strip_suffix(':') {
            Some(name) if !name.is_empty() => name.len(),
            _ => end,
        };
        let (word, after) = rest.split_at(end.max(first.len_utf8()));
        rest = after;
        put(word, &mut words);
    }
    words.truncate(MOST);
    words
}

/// Hosts, paths, numbers with units, identifiers: kept whole, since they are what is meant.
pub(super) fn is_value(word: &str) -> bool {
    word.contains(|c: char| c.is_ascii_digit() || matches!(c, '.' | ':' | '@' | '/' | '\\' | '\''))
}

/// The stems that say something, each once; names of things fall into their parts.
pub fn significant(text: &str) -> BTreeSet<String> {
    of(&text.replace(['-', '_'], " "))
        .into_iter()
        .filter(|word| !is_filler(&word.text) && word.text.chars().any(char::is_alphanumeric))
        .map(|word| word.stem)
        .collect()
}

pub fn is_filler(word: &str) -> bool {
    let word = word.to_lowercase();
    FILLER.contains(&word.as_str()) || LINK.contains(&word.as_str())
}

pub(super) fn is_link(word: &str) -> bool {
    LINK.contains(&word.to_lowercase().as_str())
}

pub fn is_negation(word: &str) -> bool {
    NEGATION.contains(&word.to_lowercase().as_str())
}

/// Few endings: enough that `backups` is `backup` and `cleaning` is `clean`.
fn stem(word: &str) -> String {
    let long = |word: &str| word.chars().count() >= 3;
    for (ending, instead) in [("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", "e"), ("s", "")] {
        if let Some(start) = word.strip_suffix(ending).filter(|start| long(start) && !start.ends_with('s')) {
            return format!("{start}{instead}").trim_end_matches('e').to_owned();
        }
    }
    word.trim_end_matches('e').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_compared_by_their_stems_and_values_stay_whole() {
        let texts: Vec<String> = of("Back up db-main.example:5432, keep=7 copies of 'my file'")
            .into_iter()
            .map(|w| w.text)
            .collect();
        assert_eq!(
            texts,
            ["Back", "up", "db-main.example:5432", "keep", "=", "7", "copies", "of", "my file"]
        );
        let same = |left: &str, right: &str| significant(left) == significant(right);
        assert!(same("cleaning caches", "the clean cache"));
        assert!(same("rotate-logs", "rotated logs"));
        assert!(!same("deploy web", "deploy mail"));
        let named: Vec<String> = of("target: staging").into_iter().map(|w| w.text).collect();
        assert_eq!(named, ["target", ":", "staging"]);
    }

    proptest! {
        #[test]
        fn any_text_has_words(text in "\\PC{0,200}") {
            let words = of(&text);
            prop_assert!(words.len() <= MOST);
            prop_assert!(words.iter().all(|word| word.quoted || text.contains(&word.text)));
        }
    }
}
