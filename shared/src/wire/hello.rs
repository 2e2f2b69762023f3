//! What an agent says about itself: facts, capabilities, local policy, Hello.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use super::field::{self, Read, WireError};
use super::{proto, report};
use crate::id::JournalId;
use crate::manifest::Manifest;
use crate::message::{Facts, HeldAttempt, Hello, LocalPolicy, MAX_HELD_ATTEMPTS, ProtocolRange};
use crate::sandbox::Level;

const MAX_FACT_BYTES: usize = 256;
const MAX_MANIFESTS: usize = 256;
const MAX_MANIFEST_BYTES: usize = 512 * 1024;
const MAX_POLICY_CAPABILITIES: usize = 1024;
/// More than there are, so that a newer agent may know some.
const MAX_LEVELS: usize = 16;

impl TryFrom<proto::Range> for ProtocolRange {
    type Error = WireError;

    fn try_from(range: proto::Range) -> Read<Self> {
        let proto::Range { lowest, highest } = range;
        if lowest > highest {
            return Err(WireError::invalid("lowest", "is above `highest`"));
        }
        Ok(Self { lowest, highest })
    }
}

impl From<ProtocolRange> for proto::Range {
    fn from(ProtocolRange { lowest, highest }: ProtocolRange) -> Self {
        Self { lowest, highest }
    }
}

impl TryFrom<proto::Facts> for Facts {
    type Error = WireError;

    fn try_from(facts: proto::Facts) -> Read<Self> {
        let proto::Facts { hostname, os, arch, build, cpus, memory_bytes } = facts;
        Ok(Self {
            hostname: field::text("hostname", hostname, MAX_FACT_BYTES)?,
            os: field::text("os", os, MAX_FACT_BYTES)?,
            arch: field::text("arch", arch, MAX_FACT_BYTES)?,
            build: field::text("build", build, MAX_FACT_BYTES)?,
            cpus,
            memory_bytes,
        })
    }
}

impl From<Facts> for proto::Facts {
    fn from(facts: Facts) -> Self {
        let Facts { hostname, os, arch, build, cpus, memory_bytes } = facts;
        Self { hostname, os, arch, build, cpus, memory_bytes }
    }
}

/// Reads manifests, one JSON text each.
pub(super) fn manifests(capabilities: proto::Capabilities) -> Read<Vec<Manifest>> {
    let proto::Capabilities { manifests } = capabilities;
    field::bounded("manifests", manifests.len(), MAX_MANIFESTS)?;
    let read = |json: &Bytes| {
        field::bounded("manifests", json.len(), MAX_MANIFEST_BYTES)?;
        serde_json::from_slice(json).map_err(|error| WireError::invalid("manifests", error))
    };
    manifests.iter().map(read).collect()
}

pub(super) fn capabilities(manifests: &[Manifest]) -> proto::Capabilities {
    proto::Capabilities { manifests: manifests.iter().map(report::json).collect() }
}

impl TryFrom<proto::LocalPolicy> for LocalPolicy {
    type Error = WireError;

    fn try_from(policy: proto::LocalPolicy) -> Read<Self> {
        let proto::LocalPolicy { max_rank, capabilities, unsigned_consent } = policy;
        Ok(Self {
            max_rank: field::parse("max_rank", &max_rank)?,
            capabilities: field::parsed_list("capabilities", &capabilities, MAX_POLICY_CAPABILITIES)?,
            unsigned_consent,
        })
    }
}

impl From<LocalPolicy> for proto::LocalPolicy {
    fn from(policy: LocalPolicy) -> Self {
        let LocalPolicy { max_rank, capabilities, unsigned_consent } = policy;
        Self {
            max_rank: max_rank.letter().to_owned(),
            capabilities: capabilities.iter().map(ToString::to_string).collect(),
            unsigned_consent,
        }
    }
}

impl TryFrom<proto::HeldAttempt> for HeldAttempt {
    type Error = WireError;

    fn try_from(held: proto::HeldAttempt) -> Read<Self> {
        let proto::HeldAttempt { attempt, started, finished } = held;
        Ok(Self { attempt: field::required("attempt", attempt)?, started, finished })
    }
}

impl From<HeldAttempt> for proto::HeldAttempt {
    fn from(held: HeldAttempt) -> Self {
        let HeldAttempt { attempt, started, finished } = held;
        Self { attempt: Some(attempt.into()), started, finished }
    }
}

impl TryFrom<proto::Hello> for Hello {
    type Error = WireError;

    fn try_from(hello: proto::Hello) -> Read<Self> {
        let proto::Hello {
            protocol,
            build,
            capabilities,
            labels,
            slots,
            sandbox_levels,
            journal_id,
            held,
            local_policy,
            paused,
            facts,
            checkpoint_size,
            roster_number,
            sandbox_missing,
            authority,
            authorities,
            spawns,
        } = hello;
        let capabilities = capabilities.ok_or_else(|| WireError::missing("capabilities"))?;
        Ok(Self {
            protocol: field::required("protocol", protocol)?,
            build: field::text("build", build, MAX_FACT_BYTES)?,
            manifests: manifests(capabilities).map_err(|error| error.within("capabilities"))?,
            labels: field::labels("labels", labels)?,
            slots,
            sandbox_levels: levels(&sandbox_levels)?,
            sandbox_missing: missing(sandbox_missing)?,
            journal: JournalId::from_bits(field::id_bits("journal_id", &journal_id)?),
            held: field::list("held", held, MAX_HELD_ATTEMPTS)?,
            local_policy: field::required("local_policy", local_policy)?,
            paused,
            facts: field::required("facts", facts)?,
            checkpoint_size,
            roster: roster_number,
            authority: if authority.is_empty() {
                None
            } else {
                Some(field::digest("authority", &authority)?)
            },
            authorities,
            spawns,
        })
    }
}

/// Levels a newer agent knows and this build does not are left out: nothing here would ask for them.
fn levels(texts: &[String]) -> Read<BTreeSet<Level>> {
    field::bounded("sandbox_levels", texts.len(), MAX_LEVELS)?;
    Ok(texts.iter().filter_map(|text| Level::parse(text)).collect())
}

fn missing(texts: HashMap<String, String>) -> Read<BTreeMap<Level, String>> {
    field::bounded("sandbox_missing", texts.len(), MAX_LEVELS)?;
    let known = texts.into_iter().filter_map(|(level, why)| Some((Level::parse(&level)?, why)));
    known.map(|(level, why)| Ok((level, field::text("sandbox_missing", why, MAX_FACT_BYTES)?))).collect()
}

impl From<Hello> for proto::Hello {
    fn from(hello: Hello) -> Self {
        let Hello {
            protocol,
            build,
            manifests,
            labels,
            slots,
            sandbox_levels,
            sandbox_missing,
            journal,
            held,
            local_policy,
            paused,
            facts,
            checkpoint_size,
            roster,
            authority,
            authorities,
            spawns,
        } = hello;
        Self {
            protocol: Some(protocol.into()),
            build,
            capabilities: Some(capabilities(&manifests)),
            labels: labels.into_iter().collect(),
            slots,
            sandbox_levels: sandbox_levels.iter().map(|level| level.as_str().to_owned()).collect(),
            journal_id: field::id_bytes(journal.to_bits()),
            held: held.into_iter().map(Into::into).collect(),
            local_policy: Some(local_policy.into()),
            paused,
            facts: Some(facts.into()),
            checkpoint_size,
            roster_number: roster,
            authority: authority.as_ref().map(field::digest_bytes).unwrap_or_default(),
            authorities,
            spawns,
            sandbox_missing: sandbox_missing
                .into_iter()
                .map(|(level, why)| (level.as_str().to_owned(), why))
                .collect(),
        }
    }
}
