//! Writes an export, line by line.

use std::fmt::Write as _;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, OrganismId};
use nexusmon_shared::trust::note::VerifierKey;
use serde_json::json;

use super::words::Openings;

/// What `format` of the header says.
pub(super) const FORMAT: &str = "nexusmon-audit/2";
/// Of before words were sealed.
pub(super) const OLD_FORMAT: &str = "nexusmon-audit/1";

/// What an export begins with.
#[derive(Debug, Clone)]
pub struct Header<'a> {
    pub organism: OrganismId,
    /// Signs the checkpoints.
    pub key: &'a VerifierKey,
    /// Texts of the policy sets that verdicts in the log were given by.
    pub policies: &'a [&'a str],
}

/// Writes an export into strings; each call adds whole lines.
#[derive(Debug)]
pub struct Exporter {
    chain: Digest,
    seq: u64,
}

impl Exporter {
    pub fn begin(header: &Header<'_>, out: &mut String) -> Self {
        let line = json!({
            "kind": "header", "format": FORMAT, "organism": header.organism.to_string(),
            "key": header.key.to_string(), "policies": header.policies,
        });
        let _ = writeln!(out, "{line}");
        Self { chain: first_chain(), seq: 0 }
    }

    /// Entries written.
    pub fn size(&self) -> u64 {
        self.seq
    }

    /// A roster, as canonical JSON, that the next entry names by its digest because it is too large for it.
    pub fn roster(&self, signed: &str, out: &mut String) {
        let _ = writeln!(out, "{{\"kind\":\"roster\",\"signed\":{signed}}}");
    }

    /// The next entry: its canonical form, the digest that is kept of it, and what there still is of the words it sealed.
    pub fn entry(&mut self, canonical: &str, digest: &Digest, openings: &Openings, out: &mut String) {
        self.seq += 1;
        self.chain = chained(&self.chain, digest);
        let (seq, chain) = (self.seq, &self.chain);
        let _ = write!(
            out,
            "{{\"kind\":\"entry\",\"seq\":{seq},\"digest\":\"{digest}\",\"chain\":\"{chain}\",\"entry\":{canonical}"
        );
        beside(openings, out);
    }

    /// A checkpoint over all entries so far.
    pub fn checkpoint(&self, note: &str, out: &mut String) {
        let _ = writeln!(out, "{}", json!({"kind": "checkpoint", "size": self.seq, "note": note}));
    }

    /// An agent's cosignature of the checkpoint just written.
    pub fn witness(&self, agent: AgentId, apart: bool, line: &str, out: &mut String) {
        let line = json!({"kind": "witness", "agent": agent.to_string(), "apart": apart, "line": line});
        let _ = writeln!(out, "{line}");
    }

    pub fn end(&self, out: &mut String) {
        let _ = writeln!(out, "{}", json!({"kind": "end", "size": self.seq}));
    }
}

/// Ends the line of an entry.
pub(super) fn beside(openings: &Openings, out: &mut String) {
    if !openings.is_empty() {
        let _ = write!(out, ",\"openings\":{}", json!(openings));
    }
    out.push_str("}\n");
}

/// Before the first entry.
pub(super) fn first_chain() -> Digest {
    Digest::of(b"")
}

pub(super) fn chained(chain: &Digest, digest: &Digest) -> Digest {
    let mut both = [0; 64];
    both[..32].copy_from_slice(chain.as_bytes());
    both[32..].copy_from_slice(digest.as_bytes());
    Digest::of(&both)
}
