//! Decisions as signatures: made whole from what was given, held against the roster by the agents' own function.

use nexusmon_shared::id::MissionId;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval::{
    Claim, Nonce, Reason, Refusal, SignedDecision, Statement, SubjectKind, Verdict as Signed, enough,
};
use nexusmon_shared::trust::key::{KeyId, Proof};
use nexusmon_shared::trust::roster::Roster;
use nexusmon_store::{ApprovalRow, ApprovalSubject, DecisionVerdict};

use super::super::consent;
use super::super::roster::NO_ROSTER;
use super::super::unit::Unit;
use super::{NewDecision, Verdict};
use crate::error::{Error, Result};
use crate::service::Caller;

/// What of a signed decision is the signer's to say; the rest is the approval's.
#[derive(Debug, Clone)]
pub struct GivenSignature {
    pub key: KeyId,
    pub valid_until: Timestamp,
    pub nonce: Nonce,
    pub proof: Proof,
}

/// The policy that holds work for the sake of a capability: its agents want signatures at any rank.
const CAPABILITY: &str = "guard-capability-demands-approval";

/// Whether agents will want signatures for what this allows.
pub(super) fn is_needed(row: &ApprovalRow) -> bool {
    row.rank.needs_approval()
        || matches!(row.subject_kind, ApprovalSubject::TaskInstance | ApprovalSubject::Standing)
        || row.policies.0.iter().any(|policy| policy == CAPABILITY)
}

/// The word that is signed for a kind of subject.
pub(super) const fn subject(kind: ApprovalSubject) -> SubjectKind {
    match kind {
        ApprovalSubject::MissionPlan => SubjectKind::MissionPlan,
        ApprovalSubject::TaskInstance => SubjectKind::TaskInstance,
        ApprovalSubject::Budget => SubjectKind::Budget,
        ApprovalSubject::PolicyChange => SubjectKind::PolicyChange,
        ApprovalSubject::Standing => SubjectKind::StandingApproval,
        ApprovalSubject::TraitGrant => SubjectKind::TraitGrant,
        ApprovalSubject::RosterChange => SubjectKind::RosterChange,
        ApprovalSubject::Release => SubjectKind::HaltRelease,
    }
}

/// The same word, as text.
pub(super) const fn word(kind: ApprovalSubject) -> &'static str {
    match kind {
        ApprovalSubject::Standing => "standing_approval",
        ApprovalSubject::Release => "halt_release",
        other => other.as_str(),
    }
}

fn claim<'a>(unit: &Unit<'_>, row: &'a ApprovalRow) -> Claim<'a> {
    Claim {
        organism: unit.app.organism,
        subject: subject(row.subject_kind),
        digest: row.digest,
        mission: row.mission,
        rank: row.rank,
        author: &row.author.0,
    }
}

/// The signature of this decision, if one was given. One that is needed must be, and must count.
pub(super) async fn verify(
    unit: &mut Unit<'_>,
    caller: &Caller,
    row: &ApprovalRow,
    decision: &NewDecision,
) -> Result<Option<SignedDecision>> {
    let approves = decision.verdict == Verdict::Approve;
    let Some(given) = &decision.signature else {
        if !(approves && is_needed(row)) {
            return Ok(None);
        }
        if consent::roster(unit.tx, unit.now).await?.is_none() {
            return Err(Error::conflict("no_roster", NO_ROSTER));
        }
        let message = format!(
            "rank {} needs a signature: `nexusmon mission approve` makes one with your key; `to_sign` of the approval \
             says what it covers",
            row.rank
        );
        return Err(Error::field("/signature", "missing_field", message));
    };
    let Some(roster) = consent::roster(unit.tx, unit.now).await? else {
        return Err(Error::conflict("no_roster", NO_ROSTER));
    };
    let statement = Statement {
        organism: unit.app.organism,
        subject: subject(row.subject_kind),
        digest: row.digest,
        mission: row.mission,
        verdict: if approves { Signed::Approve } else { Signed::Reject },
        valid_until: given.valid_until,
        nonce: given.nonce,
    };
    let signed = SignedDecision { statement, key: given.key, proof: given.proof.clone() };
    counts(&roster, &signed, &claim(unit, row), unit.now)?;
    if roster.holder(&given.key).is_none_or(|holder| holder.id != caller.principal) {
        let detail = "this is another person's key: each signs and sends their own decision".to_owned();
        return Err(Error::Forbidden { code: "not_your_key", detail });
    }
    if let Some(mission) = row.mission {
        fresh(unit, mission, &signed).await?;
    }
    Ok(Some(signed))
}

/// Whether the decision would be counted, were there enough others.
fn counts(roster: &Roster, signed: &SignedDecision, claim: &Claim<'_>, now: Timestamp) -> Result<()> {
    let fault = match enough(roster, std::slice::from_ref(signed), claim, now) {
        Ok(_) | Err(Refusal::Rejected { .. }) => return Ok(()),
        Err(Refusal::NotEnough { faults, .. }) => match faults.first() {
            None => return Ok(()),
            Some(fault) => fault.reason,
        },
        Err(Refusal::NobodyEligible) => {
            let detail = "nobody in the roster may approve this; the owner signs another roster".to_owned();
            return Err(Error::Forbidden { code: "nobody_eligible", detail });
        }
        Err(other) => return Err(Error::internal(other)),
    };
    Err(match fault {
        Reason::ByTheAuthor => Error::Forbidden {
            code: "author_may_not_approve",
            detail: "you typed this plan, and somebody else may approve it: an author does not".to_owned(),
        },
        Reason::UnknownKey => Error::Forbidden {
            code: "unknown_key",
            detail: "this key is not in the roster: the owner has to sign one that lists it".to_owned(),
        },
        Reason::MayNotApprove => Error::Forbidden {
            code: "may_not_approve",
            detail: "your role in the roster does not approve".to_owned(),
        },
        Reason::NeedsCliKey => Error::Forbidden {
            code: "needs_cli_key",
            detail: "rank S wants a key of the command line: `nexusmon mission approve`".to_owned(),
        },
        Reason::Expired | Reason::ValidTooLong => Error::field(
            "/signature/valid_until",
            "out_of_range",
            format!("{fault}; sign for at most 7 days from now"),
        ),
        other => Error::field("/signature", "bad_signature", other.to_string()),
    })
}

/// A signature counts once: shown again, it would be no new decision.
async fn fresh(unit: &mut Unit<'_>, mission: MissionId, signed: &SignedDecision) -> Result<()> {
    for known in unit.tx.signed_decisions(&[mission]).await? {
        let known = SignedDecision::read(known.signature.as_bytes()).map_err(Error::internal)?;
        if known.statement.nonce == signed.statement.nonce {
            return Err(Error::conflict("nonce_used", "this signature was given before: sign anew"));
        }
    }
    Ok(())
}

/// Whether those who may sign, less this one, are as many as it needs.
pub(super) async fn enough_beside(unit: &mut Unit<'_>, caller: &Caller, row: &ApprovalRow) -> Result<bool> {
    let Some(roster) = consent::roster(unit.tx, unit.now).await? else { return Ok(false) };
    let mut eligible = roster.eligible(&row.author.0);
    let needed = roster.needed(row.rank, eligible.len());
    eligible.remove(&caller.principal);
    Ok(eligible.len() >= needed)
}

/// Takes back what this caller approved by a signature that has ended, or by a key that is not theirs any more: others
/// may have signed since, and the approval would wait in vain for one that counts.
pub(super) async fn lapse(unit: &mut Unit<'_>, caller: &Caller, row: &ApprovalRow) -> Result<()> {
    let Some(roster) = consent::roster(unit.tx, unit.now).await? else { return Ok(()) };
    let own = unit.tx.decisions(row.id).await?.into_iter().find(|one| one.principal == caller.principal);
    let Some(text) = own.filter(|one| one.verdict == DecisionVerdict::Approve).and_then(|one| one.signature)
    else {
        return Ok(());
    };
    let signed = SignedDecision::read(text.as_bytes()).map_err(Error::internal)?;
    if counts(&roster, &signed, &claim(unit, row), unit.now).is_err() {
        unit.tx.forget_decision(row.id, caller.principal).await?;
    }
    Ok(())
}

/// Until when the approval holds, if enough persons have signed.
pub(super) async fn complete(unit: &mut Unit<'_>, row: &ApprovalRow) -> Result<Option<Timestamp>> {
    let Some(roster) = consent::roster(unit.tx, unit.now).await? else { return Ok(None) };
    let decisions: Vec<SignedDecision> = unit
        .tx
        .decisions(row.id)
        .await?
        .iter()
        .filter_map(|one| SignedDecision::read(one.signature.as_ref()?.as_bytes()).ok())
        .collect();
    Ok(enough(&roster, &decisions, &claim(unit, row), unit.now).ok().map(|evidence| evidence.valid_until))
}
