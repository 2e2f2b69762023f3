//! What the ledger holds.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, PrincipalId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;

use super::Trait;

/// One entry, in the order of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LedgerEntry {
    pub at: Timestamp,
    #[serde(flatten)]
    pub entry: Entry,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// A verified completion.
    Verified {
        mission: MissionId,
        rank: Rank,
        xp: u64,
        shape: Option<Digest>,
    },
    /// Its work was rejected afterwards: the XP goes back.
    TakenBack {
        mission: MissionId,
        reason: String,
    },
    Suspended {
        r#trait: Trait,
        evidence: String,
    },
    /// The operator's flag.
    Disabled {
        r#trait: Trait,
        by: PrincipalId,
    },
    Enabled {
        r#trait: Trait,
        by: PrincipalId,
    },
    /// The operator's signed override; shown as not earned.
    Granted {
        r#trait: Trait,
        by: PrincipalId,
        until: Timestamp,
    },
}
