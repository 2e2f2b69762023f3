//! What a secret is bound to, and whether a use of it stays within that: inside it is rank C, outside rank A. The coordinator
//! ranks by it, and the agent that is handed a secret asks again.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::AgentId;
use crate::name::Name;
use crate::sandbox::{Profile, Sandbox};

/// Entries of one list.
pub const MAX_BOUND: usize = 256;
const MAX_TEXT: usize = 256;

/// Every secret by name, with what it is bound to.
pub type Bindings = BTreeMap<Name, Binding>;

/// Where a secret belongs. A list that is empty bounds nothing; one where all are empty belongs nowhere.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Binding {
    /// As `name@version`: what somebody writes later is none of them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub playbooks: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub agents: BTreeSet<AgentId>,
    /// As in a sandbox's `network`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts: BTreeSet<String>,
}

/// How a secret is about to be used.
#[derive(Clone, Copy, Debug)]
pub struct Using<'a> {
    /// As `name@version`.
    pub playbook: Option<&'a str>,
    /// The one agent it can come to; `None`: several could be given it.
    pub agent: Option<AgentId>,
    pub sandbox: &'a Sandbox,
    /// Whether what holds it can send anything anywhere.
    pub network: bool,
}

impl Binding {
    /// The binding whose [`Self::scope`] this is.
    pub fn read(scope: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_str(scope).map_err(|error| error.to_string())?;
        read.check().map_err(|(field, reason)| format!("{field}: {reason}"))?;
        Ok(read)
    }

    /// Canonical text (RFC 8785: keys and members are sorted), sealed along with the value.
    pub fn scope(&self) -> String {
        serde_json::to_string(self).expect("lists of text have a JSON form")
    }

    /// What is wrong with it, by field.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        for (field, length) in
            [("playbooks", self.playbooks.len()), ("agents", self.agents.len()), ("hosts", self.hosts.len())]
        {
            if length > MAX_BOUND {
                return Err((field, format!("{length} entries are more than {MAX_BOUND}")));
            }
        }
        let odd = |text: &&String| {
            text.is_empty() || text.len() > MAX_TEXT || text.chars().any(|c| c.is_control() || c == ' ')
        };
        for (field, list) in [("playbooks", &self.playbooks), ("hosts", &self.hosts)] {
            if let Some(text) = list.iter().find(odd) {
                let shown: String = text.chars().take(40).collect();
                return Err((field, format!("`{}` is no name", shown.escape_default())));
            }
        }
        Ok(())
    }

    pub fn is_unbound(&self) -> bool {
        self.playbooks.is_empty() && self.agents.is_empty() && self.hosts.is_empty()
    }

    /// Why this use lies outside; `None`: it does not.
    pub fn outside(&self, using: &Using<'_>) -> Option<String> {
        if self.is_unbound() {
            return Some("it is bound to no playbook, agent or host".to_owned());
        }
        if !self.playbooks.is_empty() && !using.playbook.is_some_and(|of| self.playbooks.contains(of)) {
            let bound = words("playbook", self.playbooks.iter());
            return Some(format!("it is bound to {bound}: set it again to bind it to another version"));
        }
        if !self.agents.is_empty() && !using.agent.is_some_and(|agent| self.agents.contains(&agent)) {
            let agents = self.agents.iter().map(ToString::to_string).collect::<Vec<_>>();
            return Some(format!("it is bound to {}: name one in `on.agent`", words("agent", agents.iter())));
        }
        (!self.reaches_only_hosts(using.sandbox, using.network))
            .then(|| format!("it may only be sent to {}", words("host", self.hosts.iter())))
    }

    /// Whether what holds it can send it to none but its hosts.
    pub fn reaches_only_hosts(&self, sandbox: &Sandbox, network: bool) -> bool {
        self.hosts.is_empty()
            || !network
            || (sandbox.profile == Profile::Network
                && !sandbox.network.is_empty()
                && sandbox.network.iter().all(|host| self.hosts.contains(host)))
    }
}

fn words<'a>(kind: &str, names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.take(5).map(|name| format!("`{name}`")).collect();
    format!("{kind} {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn binding(value: serde_json::Value) -> Binding {
        serde_json::from_value(value).unwrap()
    }

    fn sandbox(profile: Profile, hosts: &[&str]) -> Sandbox {
        let network = hosts.iter().map(|host| (*host).to_owned()).collect();
        Sandbox { profile, network, paths: Vec::new() }
    }

    fn using<'a>(sandbox: &'a Sandbox, playbook: Option<&'a str>, agent: Option<u128>) -> Using<'a> {
        let network = sandbox.profile != Profile::Strict;
        Using { playbook, agent: agent.map(AgentId::from_bits), sandbox, network }
    }

    #[test]
    fn a_secret_bound_to_nothing_is_outside_everywhere() {
        let strict = sandbox(Profile::Strict, &[]);
        assert!(Binding::default().outside(&using(&strict, Some("deploy"), Some(1))).is_some());
    }

    #[test]
    fn each_list_that_is_not_empty_must_hold() {
        let one = AgentId::from_bits(1).to_string();
        let all = binding(
            serde_json::json!({"playbooks": ["deploy@1"], "agents": [one], "hosts": ["api.example.org"]}),
        );
        let (strict, open) = (sandbox(Profile::Strict, &[]), sandbox(Profile::User, &[]));
        let listed = sandbox(Profile::Network, &["api.example.org"]);
        let more = sandbox(Profile::Network, &["api.example.org", "elsewhere.example.org"]);
        assert_eq!(all.outside(&using(&strict, Some("deploy@1"), Some(1))), None);
        assert_eq!(all.outside(&using(&listed, Some("deploy@1"), Some(1))), None);
        for outside in [
            using(&strict, None, Some(1)),
            using(&strict, Some("other@1"), Some(1)),
            using(&strict, Some("deploy@2"), Some(1)),
            using(&strict, Some("deploy"), Some(1)),
            using(&strict, Some("deploy@1"), None),
            using(&strict, Some("deploy@1"), Some(2)),
            using(&open, Some("deploy@1"), Some(1)),
            using(&more, Some("deploy@1"), Some(1)),
            using(&sandbox(Profile::Network, &[]), Some("deploy@1"), Some(1)),
        ] {
            assert!(all.outside(&outside).is_some(), "{outside:?}");
        }
    }

    proptest! {
        /// Wider use never becomes more inside: dropping the playbook, the agent or the confinement only leads out.
        #[test]
        fn loosening_a_use_never_leads_in(playbook: bool, agent: bool, host: bool, named: bool, placed: bool) {
            let list = |on: bool, text: &str| if on { vec![text.to_owned()] } else { Vec::new() };
            let bound = binding(serde_json::json!({"playbooks": list(playbook, "p"),
                "agents": list(agent, &AgentId::from_bits(1).to_string()), "hosts": list(host, "h")}));
            let strict = sandbox(Profile::Strict, &[]);
            let open = sandbox(Profile::None, &[]);
            let tight = using(&strict, named.then_some("p"), placed.then_some(1));
            for loose in [
                Using { playbook: None, ..tight }, Using { agent: None, ..tight },
                Using { sandbox: &open, network: true, ..tight },
            ] {
                prop_assert!(bound.outside(&tight).is_none() || bound.outside(&loose).is_some());
            }
        }
    }
}
