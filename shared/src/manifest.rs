//! What a plugin declares about its capabilities. Manifests only raise: rank floor, approval, sandbox.

use crate::capability::Capability;
use crate::effects::Effects;
use crate::name::Name;
use crate::rank::Rank;
use crate::sandbox::Profile;

/// A plugin's declaration, as advertised by an agent.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub name: Name,
    pub version: String,
    pub capabilities: Vec<CapabilitySpec>,
}

/// One capability of a plugin.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapabilitySpec {
    pub name: Capability,
    #[serde(default)]
    pub description: String,
    /// Rank floor.
    #[serde(default)]
    pub risk_level: Rank,
    /// Holds and needs consent as A does, whatever the rank.
    #[serde(default)]
    pub requires_approval: bool,
    #[serde(default)]
    pub effects: Effects,
    /// JSON Schema of `with`; absent accepts any object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<serde_json::Value>,
    /// JSON Schema of the outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<serde_json::Value>,
    /// Absent: true for ranks E and D.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    #[serde(default)]
    pub dry_run: bool,
    /// The least confinement it runs in; `None` for capabilities that start no process of the task's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Profile>,
}
