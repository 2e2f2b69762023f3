//! Rank: how much harm a piece of work could do. Computed from what it declares, never just claimed.

use std::fmt;
use std::str::FromStr;

/// E is harmless, S is the gravest. Ordered by risk.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize,
)]
pub enum Rank {
    #[default]
    E,
    D,
    C,
    B,
    A,
    S,
}

impl Rank {
    pub const ALL: [Self; 6] = [Self::E, Self::D, Self::C, Self::B, Self::A, Self::S];

    /// The word the API shows beside the letter.
    pub const fn risk(self) -> &'static str {
        match self {
            Self::E => "trivial",
            Self::D => "low",
            Self::C => "medium",
            Self::B => "elevated",
            Self::A => "high",
            Self::S => "critical",
        }
    }

    /// 0 for E up to 5 for S.
    pub const fn level(self) -> u8 {
        self as u8
    }

    pub fn from_level(level: u8) -> Option<Self> {
        Self::ALL.get(usize::from(level)).copied()
    }

    pub const fn letter(self) -> &'static str {
        match self {
            Self::E => "E",
            Self::D => "D",
            Self::C => "C",
            Self::B => "B",
            Self::A => "A",
            Self::S => "S",
        }
    }

    /// A and S wait for people; an agent demands signatures for them.
    pub const fn needs_approval(self) -> bool {
        matches!(self, Self::A | Self::S)
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.letter())
    }
}

/// Why a text is not a rank.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a rank: expected one of E, D, C, B, A, S")]
pub struct RankError(String);

impl FromStr for Rank {
    type Err = RankError;

    fn from_str(text: &str) -> Result<Self, RankError> {
        Self::ALL
            .into_iter()
            .find(|rank| rank.letter() == text)
            .ok_or_else(|| RankError(text.chars().take(16).collect()))
    }
}
