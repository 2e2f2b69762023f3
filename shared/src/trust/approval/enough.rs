//! Whether signed decisions are enough for a piece of work. Whatever is not counted says why.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Nonce, SignedDecision, Statement, SubjectKind, Verdict};
use crate::digest::Digest;
use crate::id::{MissionId, OrganismId, PrincipalId};
use crate::plan::Author;
use crate::rank::Rank;
use crate::time::Timestamp;
use crate::trust::key::{KeyId, PersonKey, ProofError};
use crate::trust::roster::Roster;
use crate::trust::signable::Signable as _;

/// More than these are not looked at.
pub const MAX_DECISIONS: usize = 64;

/// A signer's clock may be ahead of the verifier's.
const CLOCK_DIFFERENCE: Duration = Duration::from_mins(10);

impl SubjectKind {
    /// The furthest ahead `valid_until` may lie. Seven days; a standing approval carries its own end within what is
    /// signed, so its signature may last as long as that.
    pub const fn longest_validity(self) -> Duration {
        match self {
            Self::StandingApproval => Duration::from_hours(366 * 24),
            _ => Duration::from_hours(7 * 24),
        }
    }
}

/// The work that wants to be approved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim<'a> {
    pub organism: OrganismId,
    pub subject: SubjectKind,
    pub digest: Digest,
    pub mission: Option<MissionId>,
    /// As the verifier assessed it, never as claimed.
    pub rank: Rank,
    /// From what the digest covers: the plan's header.
    pub author: &'a Author,
}

/// That enough persons agreed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Evidence {
    pub rank: Rank,
    /// As many as were needed: those whose signatures last longest.
    pub counted: Vec<Counted>,
    /// The earliest end among them.
    pub valid_until: Timestamp,
}

/// One person's approval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counted {
    pub person: PrincipalId,
    pub key: KeyId,
    pub nonce: Nonce,
    pub valid_until: Timestamp,
}

/// Why the work is not approved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0} decisions were sent; at most {MAX_DECISIONS} are looked at")]
    TooManyDecisions(usize),
    #[error("the roster is of another organism")]
    OtherRoster,
    #[error("nobody in the roster may approve this")]
    NobodyEligible,
    #[error("{person} rejected it")]
    Rejected { person: PrincipalId },
    #[error("{} of {needed} needed persons approved it{}", persons.len(), list(faults))]
    NotEnough { needed: usize, persons: Vec<PrincipalId>, faults: Vec<Fault> },
}

/// A decision that was not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Its place among the decisions, from 0.
    pub place: usize,
    pub reason: Reason,
}

/// Why a decision does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Reason {
    #[error("it is about another organism")]
    OtherOrganism,
    #[error("it is about another kind of subject")]
    OtherSubject,
    #[error("it is about another digest")]
    OtherDigest,
    #[error("it is about another mission")]
    OtherMission,
    #[error("it has expired")]
    Expired,
    #[error("it claims to be valid for longer than such an approval can be")]
    ValidTooLong,
    #[error("its key is not in the roster")]
    UnknownKey,
    #[error("its signer may not approve")]
    MayNotApprove,
    #[error("its signer is the author, and others may approve")]
    ByTheAuthor,
    #[error("it is not signed: {0}")]
    NotSigned(ProofError),
    #[error("its signer has been counted already")]
    SamePerson,
    #[error("it is by a passkey, and rank S wants a key of the command line where somebody has one")]
    NeedsCliKey,
    #[error("it is by a passkey, and this machine takes keys of the command line only (`cli_keys_only`)")]
    CliKeysOnly,
}

fn list(faults: &[Fault]) -> String {
    faults
        .iter()
        .fold(String::new(), |text, fault| format!("{text}; decision {}: {}", fault.place, fault.reason))
}

/// Whether `decisions` approve `claim` under `roster`.
///
/// `now` is the later of the wall clock and the newest verified signed time. Distinct persons are counted, whatever the
/// order and number of their keys; one valid rejection by an eligible person outweighs every approval. That the roster
/// itself holds is its caller's to have verified.
pub fn enough(
    roster: &Roster,
    decisions: &[SignedDecision],
    claim: &Claim<'_>,
    now: Timestamp,
) -> Result<Evidence, Refusal> {
    enough_by(roster, decisions, claim, now, Signers::default())
}

/// Whose signatures a machine takes beyond what the roster says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Signers {
    /// Passkeys, too, but for S where somebody has a key of the command line.
    #[default]
    Any,
    /// Keys of the command line alone: they were shown the plan by a program of the signer's own.
    CliOnly,
}

/// As [`enough`], for a machine that may want more.
pub fn enough_by(
    roster: &Roster,
    decisions: &[SignedDecision],
    claim: &Claim<'_>,
    now: Timestamp,
    signers: Signers,
) -> Result<Evidence, Refusal> {
    if decisions.len() > MAX_DECISIONS {
        return Err(Refusal::TooManyDecisions(decisions.len()));
    }
    if roster.organism != claim.organism {
        return Err(Refusal::OtherRoster);
    }
    let eligible = roster.eligible(claim.author);
    if eligible.is_empty() {
        return Err(Refusal::NobodyEligible);
    }
    let needed = roster.needed(claim.rank, eligible.len());
    let mut faults = Vec::new();
    let mut approved: BTreeMap<PrincipalId, Counted> = BTreeMap::new();
    for (place, decision) in decisions.iter().enumerate() {
        match judge(roster, decision, claim, Some(now), signers) {
            Ok((person, Verdict::Reject)) => return Err(Refusal::Rejected { person }),
            Ok((person, Verdict::Approve)) => {
                let Statement { nonce, valid_until, .. } = decision.statement;
                let counted = Counted { person, key: decision.key, nonce, valid_until };
                if let Some(before) = approved.get_mut(&person) {
                    faults.push(Fault { place, reason: Reason::SamePerson });
                    if (before.valid_until, before.nonce) < (valid_until, nonce) {
                        *before = counted;
                    }
                } else {
                    approved.insert(person, counted);
                }
            }
            Err(reason) => faults.push(Fault { place, reason }),
        }
    }
    let mut counted: Vec<_> = approved.into_values().collect();
    counted.sort_by_key(|one| (std::cmp::Reverse(one.valid_until), one.person));
    counted.truncate(needed);
    match counted.last() {
        Some(last) if counted.len() == needed => {
            let valid_until = last.valid_until;
            Ok(Evidence { rank: claim.rank, counted, valid_until })
        }
        _ => {
            let persons = counted.into_iter().map(|one| one.person).collect();
            Err(Refusal::NotEnough { needed, persons, faults })
        }
    }
}

/// How many times over the claim has been approved: each time as many persons as are needed signed anew. Work may start
/// 1 + `retry.max` times for each. Counts expired decisions too, so that a new approval adds to what was used up; and
/// more persons than needed are not more times.
pub fn rounds(roster: &Roster, decisions: &[SignedDecision], claim: &Claim<'_>) -> u32 {
    rounds_by(roster, decisions, claim, Signers::default())
}

/// As [`rounds`], for a machine that may want more.
pub fn rounds_by(roster: &Roster, decisions: &[SignedDecision], claim: &Claim<'_>, signers: Signers) -> u32 {
    let mut nonces: BTreeMap<PrincipalId, BTreeSet<Nonce>> = BTreeMap::new();
    for decision in decisions.iter().take(MAX_DECISIONS) {
        if let Ok((person, Verdict::Approve)) = judge(roster, decision, claim, None, signers) {
            nonces.entry(person).or_default().insert(decision.statement.nonce);
        }
    }
    let needed = roster.needed(claim.rank, roster.eligible(claim.author).len());
    let mut counts: Vec<usize> = nonces.values().map(BTreeSet::len).collect();
    counts.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
    counts.get(needed - 1).map_or(0, |count| u32::try_from(*count).unwrap_or(u32::MAX))
}

/// What is cheap to see comes before the signature. Without `now` it may have expired.
fn judge(
    roster: &Roster,
    decision: &SignedDecision,
    claim: &Claim<'_>,
    now: Option<Timestamp>,
    signers: Signers,
) -> Result<(PrincipalId, Verdict), Reason> {
    let Statement { organism, subject, digest, mission, verdict, valid_until, nonce: _ } = decision.statement;
    if organism != claim.organism {
        return Err(Reason::OtherOrganism);
    }
    if subject != claim.subject {
        return Err(Reason::OtherSubject);
    }
    if digest != claim.digest {
        return Err(Reason::OtherDigest);
    }
    if mission != claim.mission {
        return Err(Reason::OtherMission);
    }
    if let Some(now) = now {
        if valid_until <= now {
            return Err(Reason::Expired);
        }
        if valid_until.since(now) > subject.longest_validity() + CLOCK_DIFFERENCE {
            return Err(Reason::ValidTooLong);
        }
    }
    let holder = roster.holder(&decision.key).ok_or(Reason::UnknownKey)?;
    if !holder.person.role.may_approve() {
        return Err(Reason::MayNotApprove);
    }
    if !roster.eligible(claim.author).contains(&holder.id) {
        return Err(Reason::ByTheAuthor);
    }
    // A page of the coordinator's could have shown a person something else than what the passkey signs. A rejection needs
    // no such care.
    if verdict == Verdict::Approve && matches!(holder.key, PersonKey::Passkey(_)) {
        if claim.rank == Rank::S && roster.has_cli_key() {
            return Err(Reason::NeedsCliKey);
        }
        if signers == Signers::CliOnly {
            return Err(Reason::CliKeysOnly);
        }
    }
    holder.key.verify(&decision.statement.to_sign(), &decision.proof).map_err(Reason::NotSigned)?;
    Ok((holder.id, verdict))
}
