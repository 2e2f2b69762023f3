//! Standing approvals: work of one shape, within bounds, approved ahead of time.
//!
//! Approved like anything else, by persons over its digest ([`SubjectKind::StandingApproval`]); then every use is held
//! against its bounds by the agent itself. A near miss names the bound.
//!
//! [`SubjectKind::StandingApproval`]: super::SubjectKind::StandingApproval

use serde_json::{Map, Value};

use super::closing::{OpenLeafError, close};
use crate::digest::Digest;
use crate::id::{AgentId, OrganismId};
use crate::plan::{Author, TaskSpec};
use crate::rank::Rank;
use crate::schema::{Schema, SchemaError, Violation};
use crate::selector::{Labels, Selector};
use crate::time::Timestamp;
use crate::trust::canonical::{self, CanonicalError};
use crate::trust::merkle::{Tree, leaf_hash};
use crate::trust::signable::{self, ReadError, Signable};

pub const MAX_STANDING_BYTES: usize = 128 * 1024;
const MAX_USES: u32 = 1_000_000;

/// What may be done again and again. Its canonical form (RFC 8785) is what is approved.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingApproval {
    pub organism: OrganismId,
    /// Whose text it is: an author never approves its own where others may.
    pub author: Author,
    /// See [`shape`].
    pub shape: Digest,
    /// JSON Schema that the inputs satisfy.
    pub input_schema: Value,
    /// The agents that may do it.
    pub selector: Selector,
    /// The highest rank it covers; never S.
    pub max_rank: Rank,
    pub expires_at: Timestamp,
    /// How often: exact at the coordinator, and for each agent at that agent.
    pub uses: u32,
}

impl Signable for StandingApproval {
    const DOMAIN: &'static str = "nexusmon/standing-approval/v1";
}

/// The Merkle root (RFC 9162) over open leaves in plan order: defaults resolved, `inputs.*` left open, and without the
/// machines that were there when a plan was made: a standing approval names its own.
pub fn shape<'a>(leaves: impl IntoIterator<Item = &'a TaskSpec>) -> Result<Tree, CanonicalError> {
    let leaves = leaves.into_iter().map(|leaf| Ok(leaf_hash(&canonical::to_bytes(&anywhere(leaf))?)));
    Ok(Tree::new(leaves.collect::<Result<_, _>>()?))
}

fn anywhere(leaf: &TaskSpec) -> TaskSpec {
    let mut leaf = leaf.clone();
    leaf.on.agents.clear();
    leaf
}

/// Whether the leaf of a plan is an approved open leaf with these inputs put in, on whatever machines it names.
pub fn is_closed(
    open: &TaskSpec,
    inputs: &Map<String, Value>,
    leaf: &TaskSpec,
) -> Result<bool, OpenLeafError> {
    let closed = anywhere(&close(open, inputs)?);
    Ok(canonical::to_bytes(&closed).ok() == canonical::to_bytes(&anywhere(leaf)).ok())
}

/// Why a text cannot be a standing approval.
#[derive(Debug, thiserror::Error)]
pub enum InvalidStanding {
    #[error("the standing approval cannot be read")]
    Unreadable(#[from] ReadError),
    #[error("`max_rank` is S, which always needs people")]
    RankS,
    #[error("`uses` must be 1 to {MAX_USES}")]
    Uses,
    #[error("`input_schema` cannot be used")]
    Schema(#[from] SchemaError),
}

/// One wish to use a standing approval.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    pub organism: OrganismId,
    /// Of the open leaves; that the work's own leaf is one of them, closed with `inputs`, is `close`'s to show.
    pub shape: Digest,
    pub inputs: &'a Map<String, Value>,
    pub agent: AgentId,
    pub labels: &'a Labels,
    /// As assessed here.
    pub rank: Rank,
    pub at: Timestamp,
    /// Uses so far, as counted here.
    pub used: u32,
}

/// The bound a use missed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NearMiss {
    #[error("the standing approval is of another organism")]
    Organism,
    #[error("the work has another shape than the approved one")]
    Shape,
    #[error("the standing approval expired at {0}")]
    Expired(Timestamp),
    #[error("the standing approval covers {0} uses, and all are spent")]
    UsesSpent(u32),
    #[error("the standing approval is for other agents")]
    Selector,
    #[error("the work is rank {rank}; the standing approval covers up to {most}")]
    Rank { rank: Rank, most: Rank },
    #[error("the inputs do not fit the approved schema: {}", text(.0))]
    Inputs(Vec<Violation>),
    #[error("the approved schema cannot be used: {0}")]
    Schema(SchemaError),
}

fn text(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl StandingApproval {
    /// Reads canonical JSON of at most [`MAX_STANDING_BYTES`] and validates it.
    pub fn read(bytes: &[u8]) -> Result<Self, InvalidStanding> {
        let standing: Self = signable::read_canonical(bytes, MAX_STANDING_BYTES)?;
        standing.validate()?;
        Ok(standing)
    }

    pub fn validate(&self) -> Result<(), InvalidStanding> {
        if self.max_rank == Rank::S {
            return Err(InvalidStanding::RankS);
        }
        if !(1..=MAX_USES).contains(&self.uses) {
            return Err(InvalidStanding::Uses);
        }
        Schema::compile(&self.input_schema)?;
        Ok(())
    }

    /// Whether this use lies within every bound. Says nothing of signatures: see [`enough`].
    ///
    /// [`enough`]: super::enough
    pub fn covers(&self, wish: &Use<'_>) -> Result<(), NearMiss> {
        if wish.organism != self.organism {
            return Err(NearMiss::Organism);
        }
        if wish.shape != self.shape {
            return Err(NearMiss::Shape);
        }
        if wish.at >= self.expires_at {
            return Err(NearMiss::Expired(self.expires_at));
        }
        if wish.used >= self.uses {
            return Err(NearMiss::UsesSpent(self.uses));
        }
        if !self.selector.matches(wish.agent, wish.labels) {
            return Err(NearMiss::Selector);
        }
        // Whatever the text says: S always needs people.
        let most = self.max_rank.min(Rank::A);
        if wish.rank > most {
            return Err(NearMiss::Rank { rank: wish.rank, most });
        }
        let schema = Schema::compile(&self.input_schema).map_err(NearMiss::Schema)?;
        schema.check(&Value::Object(wish.inputs.clone())).map_err(NearMiss::Inputs)
    }
}
