//! The plan digest: one hash that names a whole plan, with a proof for each of its tasks.
//!
//! Tasks root: Merkle root over the canonical task specs. Plan digest: SHA-256 over a domain separator, the digest of
//! the canonical header and the tasks root.

use sha2::{Digest as _, Sha256};

use super::canonical::{self, CanonicalError};
use super::merkle::{self, Tree};
use crate::digest::Digest;
use crate::plan::{Plan, PlanHeader, TaskSpec};

const DOMAIN: &[u8] = b"nexusmon/plan/v1\n";

/// A plan in the forms that are stored, sent and proved.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// Canonical JSON of the header.
    pub header: Vec<u8>,
    /// Canonical JSON of each task, in plan order.
    pub leaves: Vec<Vec<u8>>,
    pub tree: Tree,
    pub tasks_root: Digest,
    pub digest: Digest,
}

/// Seals a plan.
pub fn seal(plan: &Plan) -> Result<Sealed, CanonicalError> {
    let header = canonical::to_bytes(&plan.header)?;
    let leaves = plan
        .tasks
        .iter()
        .map(|task| canonical::of(task).map(String::into_bytes))
        .collect::<Result<Vec<_>, _>>()?;
    let tree = Tree::new(leaves.iter().map(|leaf| merkle::leaf_hash(leaf)).collect());
    let tasks_root = tree.root();
    let digest = combine(&header, &tasks_root);
    Ok(Sealed { header, leaves, tree, tasks_root, digest })
}

/// The plan digest of a canonical header and a tasks root.
pub fn combine(header: &[u8], tasks_root: &Digest) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(DOMAIN);
    hasher.update(Digest::of(header).as_bytes());
    hasher.update(tasks_root.as_bytes());
    Digest::from_bytes(hasher.finalize().into())
}

/// Why an agent does not believe that a task belongs to a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("header and tasks root do not give the plan digest")]
    Digest,
    #[error("the inclusion proof does not lead from the task to the tasks root")]
    Inclusion,
    #[error("the task or header is not in canonical form")]
    NotCanonical,
}

/// Checks that `header` and `tasks_root` give `digest`, and reads the header.
pub fn open_header(header: &[u8], tasks_root: &Digest, digest: &Digest) -> Result<PlanHeader, ProofError> {
    if combine(header, tasks_root) != *digest {
        return Err(ProofError::Digest);
    }
    let read: PlanHeader = serde_json::from_slice(header).map_err(|_| ProofError::NotCanonical)?;
    match canonical::to_bytes(&read) {
        Ok(bytes) if bytes == header => Ok(read),
        _ => Err(ProofError::NotCanonical),
    }
}

/// Checks that `leaf` is task number `index` of the plan with this tasks root, and reads it.
pub fn open_leaf(
    leaf: &[u8],
    index: u64,
    size: u64,
    path: &[Digest],
    tasks_root: &Digest,
) -> Result<TaskSpec, ProofError> {
    if !merkle::verify_inclusion(&merkle::leaf_hash(leaf), index, size, path, tasks_root) {
        return Err(ProofError::Inclusion);
    }
    serde_json::from_slice(leaf).map_err(|_| ProofError::NotCanonical)
}
