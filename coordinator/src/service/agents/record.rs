//! What is kept of an agent's newest Hello.

use std::collections::{BTreeMap, BTreeSet};

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::JournalId;
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::message::{Hello, LocalPolicy};
use nexusmon_shared::name::Name;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::selector::Labels;
use nexusmon_store::AgentRow;

/// As kept on the agent's row, as JSON.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(in crate::service) struct HelloRecord {
    pub build: String,
    pub manifests: Vec<Manifest>,
    pub labels: Labels,
    pub slots: u32,
    pub sandbox_levels: BTreeSet<Level>,
    #[serde(default)]
    pub sandbox_missing: BTreeMap<Level, String>,
    pub journal: JournalId,
    pub local_policy: LocalPolicy,
    pub paused: bool,
    /// Number of the roster it holds; 0: none.
    #[serde(default)]
    pub roster: u64,
    /// Of the authority that it trusts and has its certificate of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Digest>,
    /// Its build knows tasks that add tasks.
    #[serde(default)]
    pub spawns: bool,
}

impl Default for HelloRecord {
    fn default() -> Self {
        Self {
            build: String::new(),
            manifests: Vec::new(),
            labels: Labels::new(),
            slots: 0,
            sandbox_levels: BTreeSet::new(),
            sandbox_missing: BTreeMap::new(),
            journal: JournalId::from_bits(0),
            local_policy: LocalPolicy {
                max_rank: Rank::S,
                capabilities: Vec::new(),
                unsigned_consent: false,
            },
            paused: false,
            roster: 0,
            authority: None,
            spawns: false,
        }
    }
}

impl HelloRecord {
    pub(super) fn of(hello: &Hello) -> Self {
        Self {
            build: hello.build.clone(),
            manifests: hello.manifests.clone(),
            labels: hello.labels.clone(),
            slots: hello.slots,
            sandbox_levels: hello.sandbox_levels.clone(),
            sandbox_missing: hello.sandbox_missing.clone(),
            journal: hello.journal,
            local_policy: hello.local_policy.clone(),
            paused: hello.paused,
            roster: hello.roster,
            authority: hello.authority,
            spawns: hello.spawns,
        }
    }

    pub(in crate::service) fn read(agent: &AgentRow) -> Option<Self> {
        serde_json::from_str(agent.hello.as_deref()?).ok()
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("a Hello is JSON")
    }

    /// Whether what it refused before may be asked again.
    pub(super) fn offers_differ(&self, other: &Self) -> bool {
        self.manifests != other.manifests
            || self.local_policy != other.local_policy
            || self.labels != other.labels
            || self.sandbox_levels != other.sandbox_levels
            || self.roster != other.roster
            || self.spawns != other.spawns
    }

    pub(super) fn fallback_name() -> Name {
        "agent".parse().expect("a constant name")
    }
}
