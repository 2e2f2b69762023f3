//! Capability flags: what is switched off, and where. A flag only ever takes away; where two speak, off wins.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use nexusmon_shared::capability::Capability;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::selector::Labels;

/// What is switched off: `shell.run`, or `shell.*` for everything of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    Capability(Capability),
    Plugin(String),
}

/// Where: `fleet`, `label:key=value`, or an agent's id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Fleet,
    Label { key: String, value: String },
    Agent(AgentId),
}

/// One thing switched off in one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flag {
    pub target: Target,
    pub scope: Scope,
}

/// Why a text names no target or scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    #[error("expected a capability, for example `shell.run`, or `shell.*` for a whole plugin")]
    Target,
    #[error("expected `fleet`, `label:key=value`, or an agent's id")]
    Scope,
}

impl FromStr for Target {
    type Err = FlagError;

    fn from_str(text: &str) -> Result<Self, FlagError> {
        let capability = |text: &str| text.parse::<Capability>().map_err(|_| FlagError::Target);
        match text.strip_suffix(".*") {
            // A plugin's name is what may stand before the first dot.
            Some(plugin) if !plugin.contains('.') => {
                capability(&format!("{plugin}.x"))?;
                Ok(Self::Plugin(plugin.to_owned()))
            }
            Some(_) => Err(FlagError::Target),
            None => Ok(Self::Capability(capability(text)?)),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability(capability) => capability.fmt(f),
            Self::Plugin(plugin) => write!(f, "{plugin}.*"),
        }
    }
}

impl FromStr for Scope {
    type Err = FlagError;

    fn from_str(text: &str) -> Result<Self, FlagError> {
        if text == "fleet" {
            return Ok(Self::Fleet);
        }
        if let Some(label) = text.strip_prefix("label:") {
            let (key, value) = label.split_once('=').ok_or(FlagError::Scope)?;
            let good = !key.is_empty() && key.len() <= 64 && value.len() <= 256;
            let pair = Self::Label { key: key.to_owned(), value: value.to_owned() };
            return good.then_some(pair).ok_or(FlagError::Scope);
        }
        text.parse().map(Self::Agent).map_err(|_| FlagError::Scope)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => f.write_str("fleet"),
            Self::Label { key, value } => write!(f, "label:{key}={value}"),
            Self::Agent(agent) => agent.fmt(f),
        }
    }
}

impl Target {
    pub fn covers(&self, capability: &Capability) -> bool {
        match self {
            Self::Capability(named) => named == capability,
            Self::Plugin(plugin) => plugin == capability.plugin(),
        }
    }
}

impl Scope {
    pub fn covers(&self, agent: AgentId, labels: &Labels) -> bool {
        match self {
            Self::Fleet => true,
            Self::Label { key, value } => labels.get(key) == Some(value),
            Self::Agent(named) => *named == agent,
        }
    }
}

impl Flag {
    pub fn covers(&self, capability: &Capability, agent: AgentId, labels: &Labels) -> bool {
        self.target.covers(capability) && self.scope.covers(agent, labels)
    }
}

/// Of what an agent offers, what it must not do.
pub fn disabled<'a>(
    flags: &[Flag],
    agent: AgentId,
    labels: &Labels,
    offered: impl Iterator<Item = &'a Capability>,
) -> BTreeSet<Capability> {
    if flags.is_empty() {
        return BTreeSet::new();
    }
    let here: Vec<&Flag> = flags.iter().filter(|flag| flag.scope.covers(agent, labels)).collect();
    offered.filter(|capability| here.iter().any(|flag| flag.target.covers(capability))).cloned().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flag(target: &str, scope: &str) -> Flag {
        Flag { target: target.parse().unwrap(), scope: scope.parse().unwrap() }
    }

    fn offered() -> Vec<Capability> {
        ["shell.run", "http.request", "http.post", "mcp.files.read"]
            .map(|name| name.parse().unwrap())
            .to_vec()
    }

    fn off(flags: &[Flag], labels: &[(&str, &str)]) -> Vec<String> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let found = disabled(flags, AgentId::from_bits(1), &labels, offered().iter());
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn flags_reach_as_far_as_they_say() {
        assert_eq!(off(&[flag("shell.run", "fleet")], &[]), ["shell.run"]);
        assert_eq!(off(&[flag("http.*", "fleet")], &[]), ["http.post", "http.request"]);
        assert_eq!(off(&[flag("mcp.*", "fleet")], &[]), ["mcp.files.read"]);
        assert_eq!(off(&[flag("shell.run", "label:region=home")], &[("region", "home")]), ["shell.run"]);
        assert!(off(&[flag("shell.run", "label:region=home")], &[("region", "away")]).is_empty());
        let (me, other) = (AgentId::from_bits(1).to_string(), AgentId::from_bits(2).to_string());
        assert_eq!(off(&[flag("shell.run", &me)], &[]), ["shell.run"]);
        assert!(off(&[flag("shell.run", &other)], &[]).is_empty());
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for wrong in ["", "shell", "*", ".*", "a.b.*", "Shell.run", "shell.*.x", "shell.run "] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
        for wrong in ["", "all", "label:", "label:x", "label:=y", "agt_x"] {
            assert!(wrong.parse::<Scope>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,40}") {
            if let Ok(target) = text.parse::<Target>() {
                prop_assert_eq!(target.to_string(), text.clone());
            }
            if let Ok(scope) = text.parse::<Scope>() {
                prop_assert_eq!(scope.to_string(), text);
            }
        }

        /// One flag more never gives anything back.
        #[test]
        fn flags_only_take_away(
            targets in prop::collection::vec(prop::sample::select(vec!["shell.run", "http.*", "mcp.*", "http.post"]), 0..5),
            scopes in prop::collection::vec(prop::sample::select(vec!["fleet", "label:a=b", "label:a=c"]), 5),
        ) {
            let flags: Vec<Flag> = targets.iter().zip(&scopes).map(|(target, scope)| flag(target, scope)).collect();
            let mut before = 0;
            for count in 0..=flags.len() {
                let now = off(&flags[..count], &[("a", "b")]).len();
                prop_assert!(now >= before);
                before = now;
            }
        }
    }
}
