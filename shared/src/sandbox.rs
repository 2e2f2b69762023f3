//! The sandbox a task asks for, the levels an agent has measured, and the rank floor each profile gives.

use std::collections::BTreeSet;

use crate::egress::{self, Host, HostError};
use crate::rank::Rank;

/// What surrounds the process. Never silently weakened: an agent that has not measured it is not offered the task.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Own namespaces, read-only system, private workspace and `/tmp`, no network (L3, or L3-lite where measured).
    #[default]
    Strict,
    /// As `strict`, with an allow-listed network (L2).
    Network,
    /// Another uid, or Landlock and seccomp: listed host paths, open egress, the agent's own files hidden (L1).
    User,
    /// No confinement (L0).
    None,
}

impl Profile {
    pub const ALL: [Self; 4] = [Self::Strict, Self::Network, Self::User, Self::None];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Network => "network",
            Self::User => "user",
            Self::None => "none",
        }
    }
}

/// A host path a task may see.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPath {
    /// Absolute, without `..`.
    pub path: String,
    #[serde(default)]
    pub write: bool,
}

/// A task's `sandbox`: a profile name, or an object with what it opens.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, serde::Serialize)]
pub struct Sandbox {
    pub profile: Profile,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<HostPath>,
}

impl Sandbox {
    /// The least rank a task in this sandbox can have. `has_inputs`: artifacts are fetched into the workspace.
    pub fn rank_floor(&self, has_inputs: bool) -> Rank {
        match self.profile {
            Profile::Strict if !self.paths.is_empty() => Rank::B,
            Profile::Strict if has_inputs => Rank::D,
            Profile::Strict => Rank::E,
            Profile::Network if !self.paths.is_empty() || self.names_neighbours() => Rank::B,
            Profile::Network => Rank::C,
            Profile::User => Rank::B,
            Profile::None => Rank::A,
        }
    }

    /// The hosts listed, or the first that is none.
    pub fn hosts(&self) -> Result<Vec<Host>, HostError> {
        self.network.iter().map(|text| text.parse()).collect()
    }

    /// Whether a listed host says by itself that it lies in the machine's neighbourhood.
    fn names_neighbours(&self) -> bool {
        self.hosts().is_ok_and(|hosts| egress::reaches_neighbours(&hosts, &[]))
    }
}

impl<'de> serde::Deserialize<'de> for Sandbox {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Full {
            profile: Profile,
            #[serde(default)]
            network: Vec<String>,
            #[serde(default)]
            paths: Vec<HostPath>,
        }
        struct Either;
        impl<'de> serde::de::Visitor<'de> for Either {
            type Value = Sandbox;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`strict`, `network`, `user`, `none`, or {profile, network, paths}")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Sandbox, E> {
                let profile = Profile::ALL.into_iter().find(|p| p.as_str() == text);
                let profile = profile
                    .ok_or_else(|| E::unknown_variant(text, &["strict", "network", "user", "none"]))?;
                Ok(Sandbox { profile, ..Sandbox::default() })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Sandbox, A::Error> {
                let full = <Full as serde::Deserialize>::deserialize(
                    serde::de::value::MapAccessDeserializer::new(map),
                )?;
                Ok(Sandbox { profile: full.profile, network: full.network, paths: full.paths })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// One confinement an agent has found, by trying it at start, that it can give.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// None.
    L0,
    /// Another uid, or Landlock with seccomp.
    L1,
    /// L3 with allow-listed egress.
    L2,
    /// Landlock with seccomp without sockets, where namespaces are refused.
    L3Lite,
    /// bubblewrap: namespaces, read-only system, no network, seccomp.
    L3,
}

impl Level {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L0 => "l0",
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::L3Lite => "l3_lite",
            Self::L3 => "l3",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::L0, Self::L1, Self::L2, Self::L3Lite, Self::L3]
            .into_iter()
            .find(|level| level.as_str() == text)
    }
}

/// Whether an agent that measured `levels` can give `profile`.
pub fn provides(levels: &BTreeSet<Level>, profile: Profile) -> bool {
    match profile {
        Profile::Strict => levels.contains(&Level::L3) || levels.contains(&Level::L3Lite),
        Profile::Network => levels.contains(&Level::L2),
        Profile::User => levels.contains(&Level::L1),
        Profile::None => levels.contains(&Level::L0),
    }
}
