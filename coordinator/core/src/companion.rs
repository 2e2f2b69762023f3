//! What a question asks for, without a model: which of the things the companion can answer, and about what.
//!
//! Words decide, in order; whatever else a question holds is text to search for and is never obeyed. Every text is some
//! question, if only one that cannot be answered.

use std::time::Duration;

use nexusmon_shared::time::{Span, Timestamp};
use serde_json::{Value, json};

#[cfg(test)]
mod tests;

/// Characters of a question.
pub const LONGEST: usize = 2000;
/// Ids that are looked at.
const MOST_IDS: usize = 4;

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// An id as it stands in the question: `mis_…`, `tsk_…`, `apr_…`.
    Id(String),
    /// Words to find it by.
    Words(String),
    /// Nothing was named: what the asker looks at, or the newest that fits.
    This,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    Status,
    WhyWaiting(About),
    WhyFailed(About),
    WhyRank(About),
    ChangedSince(Timestamp),
    WhatNext,
    NeedsMe,
    Compare(About, About),
    FindArtifact(String),
    /// A mission to be written down, not sent.
    Draft(String),
    /// None of these.
    Unknown,
}

/// Words that name nothing.
const EMPTY: &[&str] = &[
    "a",
    "about",
    "again",
    "all",
    "and",
    "any",
    "are",
    "artifact",
    "artifacts",
    "at",
    "be",
    "because",
    "did",
    "do",
    "does",
    "explain",
    "failed",
    "fail",
    "failing",
    "file",
    "files",
    "find",
    "for",
    "from",
    "get",
    "has",
    "have",
    "how",
    "i",
    "in",
    "is",
    "it",
    "its",
    "me",
    "mission",
    "missions",
    "my",
    "not",
    "of",
    "on",
    "please",
    "rank",
    "ranked",
    "run",
    "runs",
    "so",
    "still",
    "stuck",
    "task",
    "tasks",
    "that",
    "the",
    "this",
    "to",
    "waiting",
    "wait",
    "waits",
    "was",
    "what",
    "when",
    "where",
    "which",
    "why",
    "with",
    "you",
    "your",
    "can",
    "show",
    "went",
    "wrong",
];

/// Words that ask how two things differ.
const COMPARING: [&str; 7] = ["compare", "versus", "vs", "difference", "differs", "differ", "between"];
/// Words that stand between the two, those first that stand for nothing else.
const BETWEEN: [&str; 6] = ["versus", "vs", "with", "and", "from", "to"];

/// What `text` asks for, at this moment.
pub fn read(text: &str, now: Timestamp) -> Intent {
    let text: String = text.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect();
    let lower = text.to_lowercase();
    let words = split(&lower);
    let ids = ids(&lower);
    let has = |any: &[&str]| words.iter().any(|word| any.contains(word));
    let first = words.first().copied().unwrap_or_default();
    if matches!(first, "draft" | "write" | "prepare" | "plan") && words.len() > 1 {
        return Intent::Draft(after_first_word(&text));
    }
    if has(&["compare", "versus", "vs", "difference", "differs", "differ"]) {
        return compared(ids, &words);
    }
    let about = || about(&ids, &words);
    if has(&["rank", "ranked"]) {
        return Intent::WhyRank(about());
    }
    if has(&["fail", "failed", "fails", "failing", "failure", "broke", "broken", "wrong", "error"]) {
        return Intent::WhyFailed(about());
    }
    if has(&["wait", "waits", "waiting", "stuck", "blocked", "hang", "hangs", "hanging", "pending", "queued"])
        && !has(&["me", "i"])
    {
        return Intent::WhyWaiting(about());
    }
    if has(&["changed", "change", "changes", "happened", "new", "news", "missed"]) {
        return Intent::ChangedSince(since(&lower, &words, now));
    }
    if has(&["next", "upcoming", "soon", "scheduled"]) {
        return Intent::WhatNext;
    }
    if has(&["me", "i", "attention", "approvals", "todo"])
        && has(&[
            "need",
            "needs",
            "waiting",
            "waits",
            "attention",
            "approve",
            "approvals",
            "decide",
            "todo",
            "do",
        ])
    {
        return Intent::NeedsMe;
    }
    if has(&["find", "where", "search", "artifact", "artifacts", "file", "files", "locate"]) {
        let wanted = named(&words);
        return if wanted.is_empty() { Intent::Unknown } else { Intent::FindArtifact(wanted) };
    }
    if has(&["status", "doing", "going", "running", "state", "overview", "up", "well", "healthy"]) {
        return Intent::Status;
    }
    match ids.first() {
        Some(id) if first == "why" => Intent::WhyWaiting(About::Id(id.clone())),
        _ => Intent::Unknown,
    }
}

fn split(lower: &str) -> Vec<&str> {
    lower
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '-')
        .filter(|word| !word.is_empty())
        .collect()
}

/// What a model may choose for a question that its words alone do not say.
const CHOICES: [&str; 10] =
    ["status", "waiting", "failed", "rank", "changed", "next", "needs_me", "compare", "find", "none"];
/// Hours back, and the most of them.
const HOURS: (u64, u64) = (24, 8760);

/// What a model's choice looks like, as JSON Schema.
pub fn choice_schema() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["ask"],
        "properties": {
            "ask": {"enum": CHOICES},
            "about": {"type": "string",
                "description": "An id, or words of a goal or a file, as the question has them; left out where it names nothing."},
            "other": {"type": "string", "description": "The second of two that are compared."},
            "hours": {"type": "integer", "minimum": 1, "maximum": HOURS.1, "description": "How far back, for `changed`."},
        },
    })
}

/// What a model chose; `None` where it chose nothing that there is. What it names is searched for, like anybody's words.
pub fn chosen(answer: &Value, now: Timestamp) -> Option<Intent> {
    let fields = answer.as_object()?;
    if fields.keys().any(|name| !["ask", "about", "other", "hours"].contains(&name.as_str())) {
        return None;
    }
    let text = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Some(String::new()),
        Some(Value::String(text)) => Some(text.chars().take(LONGEST).collect::<String>().to_lowercase()),
        Some(_) => None,
    };
    let (one, other) = (text("about")?, text("other")?);
    let meant = |text: &str| about(&ids(text), &split(text));
    let hours = match fields.get("hours") {
        None | Some(Value::Null) => HOURS.0,
        Some(given) => given.as_u64().filter(|hours| (1..=HOURS.1).contains(hours))?,
    };
    Some(match fields.get("ask")?.as_str()? {
        "status" => Intent::Status,
        "waiting" => Intent::WhyWaiting(meant(&one)),
        "failed" => Intent::WhyFailed(meant(&one)),
        "rank" => Intent::WhyRank(meant(&one)),
        "changed" => Intent::ChangedSince(now - Duration::from_hours(hours)),
        "next" => Intent::WhatNext,
        "needs_me" => Intent::NeedsMe,
        "compare" => match (meant(&one), meant(&other)) {
            (About::This, About::This) => return None,
            (About::This, named) | (named, About::This) => Intent::Compare(named, About::This),
            (first, second) => Intent::Compare(first, second),
        },
        "find" => Intent::FindArtifact(Some(named(&split(&one))).filter(|words| !words.is_empty())?),
        "none" => Intent::Unknown,
        _ => return None,
    })
}

fn after_first_word(text: &str) -> String {
    let rest = text.trim_start().split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim());
    let rest = ["a mission that ", "a mission to ", "a mission: ", "a mission "]
        .iter()
        .find_map(|lead| rest.strip_prefix(lead))
        .unwrap_or(rest);
    rest.chars().take(500).collect()
}

/// Which two are meant: two ids, or what stands on both sides of a word between them; else one, and what is looked at.
fn compared(ids: Vec<String>, words: &[&str]) -> Intent {
    let mut named_ids = ids.into_iter().map(About::Id);
    if let (Some(first), Some(second)) = (named_ids.next(), named_ids.next()) {
        return Intent::Compare(first, second);
    }
    for between in BETWEEN {
        for (place, _) in words.iter().enumerate().filter(|(_, word)| **word == between) {
            match (side(&words[..place]), side(&words[place + 1..])) {
                (About::This, _) | (_, About::This) => {}
                (first, second) => return Intent::Compare(first, second),
            }
        }
    }
    match side(words) {
        About::This => Intent::Unknown,
        one => Intent::Compare(one, About::This),
    }
}

fn side(words: &[&str]) -> About {
    let words: Vec<&str> = words.iter().copied().filter(|word| !COMPARING.contains(word)).collect();
    about(&ids(&words.join(" ")), &words)
}

fn about(ids: &[String], words: &[&str]) -> About {
    if let Some(id) = ids.first() {
        return About::Id(id.clone());
    }
    let named = named(words);
    if named.is_empty() { About::This } else { About::Words(named) }
}

/// The words that name something.
fn named(words: &[&str]) -> String {
    let named: Vec<_> = words.iter().filter(|word| !EMPTY.contains(word)).take(12).copied().collect();
    named.join(" ")
}

fn ids(text: &str) -> Vec<String> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.len() == 30 && word.as_bytes().get(3) == Some(&b'_'))
        .filter(|word| word.bytes().take(3).all(|b| b.is_ascii_lowercase()))
        .take(MOST_IDS)
        .map(str::to_owned)
        .collect()
}

const DAY: Duration = Duration::from_hours(24);

/// The moment that is meant; a day ago where none is named.
fn since(text: &str, words: &[&str], now: Timestamp) -> Timestamp {
    let named = text.split_whitespace().find_map(|word| {
        let word = word.trim_matches(|letter: char| !letter.is_alphanumeric()).to_uppercase();
        word.parse::<Timestamp>().or_else(|_| format!("{word}T00:00:00Z").parse()).ok()
    });
    if let Some(at) = named {
        return at.min(now);
    }
    let span = words.iter().find_map(|word| {
        word.bytes().next().filter(u8::is_ascii_digit)?;
        word.parse::<Span>().ok().map(|span| span.0)
    });
    let counted = words.windows(2).find_map(|pair| {
        let count: u32 = pair[0].parse().ok().filter(|count| *count <= 1000)?;
        Some(match pair[1].trim_end_matches('s') {
            "minute" => Duration::from_mins(u64::from(count)),
            "hour" => Duration::from_hours(u64::from(count)),
            "day" => DAY * count,
            "week" => DAY * 7 * count,
            _ => return None,
        })
    });
    let one = words.iter().find_map(|word| match *word {
        "hour" => Some(Duration::from_hours(1)),
        "week" => Some(DAY * 7),
        "month" => Some(DAY * 30),
        "yesterday" => Some(DAY * 2),
        _ => None,
    });
    now - span.or(counted).or(one).unwrap_or(DAY)
}
