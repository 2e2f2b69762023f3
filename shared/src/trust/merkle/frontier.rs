//! The right edge of a growing tree: all that appending and the root need, in at most 64 hashes.

use super::node_hash;
use super::stored::Node;
use crate::digest::Digest;

/// A tree that is only appended to. Holds the roots of its complete subtrees, largest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Digest>,
}

/// Why bytes are not a frontier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the frontier of a tree: expected its size in 8 bytes, then 32 bytes for each one bit of it")]
pub struct FrontierError;

impl Frontier {
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf (its hash, see `leaf_hash`) and gives the nodes that it completed, from the leaf upwards: what is
    /// to be stored for proofs. Two for each leaf on average.
    pub fn append(&mut self, leaf: Digest) -> Vec<(Node, Digest)> {
        let mut node = Node { level: 0, index: self.size };
        let mut hash = leaf;
        let mut completed = vec![(node, hash)];
        while node.index & 1 == 1 {
            let left = self.peaks.pop().expect("a one bit of the size stands for a peak");
            hash = node_hash(&left, &hash);
            node = Node { level: node.level + 1, index: node.index >> 1 };
            completed.push((node, hash));
        }
        self.peaks.push(hash);
        self.size = self.size.checked_add(1).expect("no log has 2^64 leaves");
        completed
    }

    /// The root; that of an empty tree is the hash of nothing.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            Some(smallest) => peaks.fold(*smallest, |right, left| node_hash(left, &right)),
            None => Digest::of(b""),
        }
    }

    /// Size in 8 bytes, big-endian, then the peaks.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_be_bytes().to_vec();
        bytes.extend(self.peaks.iter().flat_map(Digest::as_bytes));
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FrontierError> {
        let (size, peaks) = bytes.split_first_chunk::<8>().ok_or(FrontierError)?;
        let size = u64::from_be_bytes(*size);
        // Far more than any log has, and far enough from the end of the number.
        if size >> 62 != 0 || peaks.len() != size.count_ones() as usize * 32 {
            return Err(FrontierError);
        }
        let peaks = peaks.chunks_exact(32).map(|peak| Digest::try_from(peak).map_err(|_| FrontierError));
        Ok(Self { size, peaks: peaks.collect::<Result<_, _>>()? })
    }
}
