//! What is worth remembering first: how alike two goals are, and how text, age and outcome weigh against each other.

use std::collections::BTreeSet;
use std::time::Duration;

/// How a remembered mission came out; what came out better is worth more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Its work was rejected by a person.
    Rejected,
    Cancelled,
    Failed,
    Succeeded,
    /// It counted for the ledger.
    Verified,
}

impl Quality {
    pub const ALL: [Self; 5] =
        [Self::Rejected, Self::Cancelled, Self::Failed, Self::Succeeded, Self::Verified];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Succeeded => "succeeded",
            Self::Verified => "verified",
        }
    }

    /// As it is stored: more is better.
    pub const fn number(self) -> i64 {
        self as i64
    }

    /// What the number stands for; an unknown one is the least.
    pub fn of(number: i64) -> Self {
        Self::ALL.into_iter().find(|known| known.number() == number).unwrap_or(Self::Rejected)
    }

    /// 0 to 1.
    const fn weight(self) -> f64 {
        match self {
            Self::Rejected => 0.05,
            Self::Cancelled => 0.2,
            Self::Failed => 0.4,
            Self::Succeeded => 0.8,
            Self::Verified => 1.0,
        }
    }
}

/// After so long a memory is worth half of what its age gave it.
const HALF_LIFE: Duration = Duration::from_hours(60 * 24);

/// Shares of text, outcome and age in [`worth`].
const SHARES: [f64; 3] = [0.6, 0.25, 0.15];

/// 0 to 1: how much a memory is worth showing. `text` (0 to 1) is how well it fits; what does not fit at all is worth
/// nothing, however new and however good.
pub fn worth(text: f64, age: Duration, quality: Quality) -> f64 {
    let text = text.clamp(0.0, 1.0);
    let halvings = age.as_secs_f64() / HALF_LIFE.as_secs_f64();
    let [by_text, by_outcome, by_age] = SHARES;
    text * (by_text + by_outcome * quality.weight() + by_age * 0.5_f64.powf(halvings))
}

/// Words that say nothing about what is wanted.
const EMPTY: [&str; 30] = [
    "a", "all", "an", "and", "are", "as", "at", "be", "by", "do", "every", "for", "from", "in", "into", "is",
    "it", "me", "my", "of", "on", "or", "please", "that", "the", "then", "this", "to", "us", "with",
];

/// The words of a goal that say what is wanted, in one form.
pub fn words(goal: &str) -> BTreeSet<String> {
    let words = goal.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words
        .take(64)
        .map(str::to_lowercase)
        .filter(|word| !EMPTY.contains(&word.as_str()))
        // Plurals of English are the one ending worth the trouble.
        .map(|word| match word.strip_suffix('s') {
            Some(stem) if stem.len() > 2 && !stem.ends_with('s') => stem.to_owned(),
            _ => word,
        })
        .collect()
}

/// 0 to 1: how alike two goals are, by the words they share (Sørensen and Dice). Without any word nothing is alike.
#[expect(clippy::cast_precision_loss, reason = "a ratio of a few words")]
pub fn likeness(left: &str, right: &str) -> f64 {
    let (left, right) = (words(left), words(right));
    let all = left.len() + right.len();
    if all == 0 {
        return 0.0;
    }
    2.0 * left.intersection(&right).count() as f64 / all as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn goals_are_alike_by_what_they_say() {
        assert!(
            (likeness("Count the lines of report.csv", "please count all lines in report.csv") - 1.0).abs()
                < 1e-9
        );
        assert!(likeness("count today's lines", "count yesterday's lines") > 0.5);
        assert!(likeness("count lines", "restart the mail server") < f64::EPSILON);
        assert!(likeness("the of", "the of") < f64::EPSILON);
    }

    #[test]
    fn what_is_stored_is_what_was_meant() {
        for quality in Quality::ALL {
            assert_eq!(Quality::of(quality.number()), quality);
        }
        assert_eq!(Quality::of(99), Quality::Rejected);
    }

    proptest! {
        #[test]
        fn better_newer_and_fitting_is_worth_more(text in 0.01_f64..1.0, days in 0_u64..2_000, at in 0_usize..4) {
            let age = Duration::from_hours(days * 24);
            let value = worth(text, age, Quality::ALL[at]);
            prop_assert!((0.0..=1.0).contains(&value));
            prop_assert!(worth(text, age, Quality::ALL[at + 1]) > value);
            prop_assert!(worth(text, age + Duration::from_hours(24), Quality::ALL[at]) < value);
            prop_assert!(worth(text / 2.0, age, Quality::ALL[at]) < value);
        }

        #[test]
        fn likeness_has_no_sides(left in ".{0,80}", right in ".{0,80}") {
            let value = likeness(&left, &right);
            prop_assert!((0.0..=1.0).contains(&value));
            prop_assert!((value - likeness(&right, &left)).abs() < 1e-12);
            prop_assert!(words(&left).is_empty() || (likeness(&left, &left) - 1.0).abs() < 1e-12);
        }
    }
}
