//! Work under a standing approval: people signed a shape and its bounds once, and this machine holds each use against
//! them itself. A near miss names the bound.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::message::StandingUse;
use nexusmon_shared::outcome::Refusal;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval::{Claim, StandingApproval, SubjectKind, Use, enough_by, is_closed};
use nexusmon_shared::trust::plan_digest;
use nexusmon_shared::trust::roster::Roster;
use nexusmon_shared::trust::signable::Signable as _;
use serde_json::{Map, Value};

use super::approved::{Approved, Wanted, read, used};
use super::{Refused, Standing, refused};

impl Standing {
    pub(super) fn check_standing(
        &self,
        wanted: &Wanted<'_>,
        given: &StandingUse,
        roster: &Roster,
        now: Timestamp,
    ) -> Result<Approved, Refused> {
        let bad = |detail: String| Refused { reason: Refusal::BadSignature, detail };
        let standing = StandingApproval::read(&given.standing).map_err(|error| bad(error.to_string()))?;
        if self.revoked.contains(&standing.digest()) {
            return refused(Refusal::MissingConsent, "the standing approval was taken back");
        }
        let claim = Claim {
            organism: self.organism,
            subject: SubjectKind::StandingApproval,
            digest: standing.digest(),
            mission: None,
            rank: standing.max_rank,
            author: &standing.author,
        };
        let evidence = enough_by(roster, &read(&given.decisions), &claim, now, self.signers())
            .map_err(|refusal| bad(format!("the standing approval: {refusal}")))?;
        let inputs: Map<String, Value> = serde_json::from_slice(&given.inputs)
            .map_err(|_| bad("the inputs of the standing approval are not a JSON object".to_owned()))?;
        check_leaf(wanted, given, &standing, &inputs)?;
        if let Err(not_admitted) = wanted.spec.admits(wanted.parameters, &wanted.order.inputs) {
            return Err(bad(format!("the standing approval covers no values of run time: {not_admitted}")));
        }
        // Labels are the coordinator's to give; only an id names this machine.
        if !standing.selector.agents.as_ref().is_some_and(|named| named.contains(&self.agent)) {
            let detail = "the standing approval does not name this agent among its machines";
            return refused(Refusal::SelectorDiffers, detail);
        }
        let wish = Use {
            organism: self.organism,
            shape: standing.shape,
            inputs: &inputs,
            agent: self.agent,
            labels: &self.labels,
            rank: wanted.rank,
            at: now,
            // Starts so far are the journal's to know: the supervisor holds them against `uses`.
            used: 0,
        };
        standing.covers(&wish).map_err(|miss| bad(miss.to_string()))?;
        let approvals = used(&evidence, SubjectKind::StandingApproval, standing.digest());
        Ok(Approved { instance: Some((counted_by(&standing), standing.uses)), approvals })
    }
}

/// The task is a leaf of the approved shape, with these inputs put in.
fn check_leaf(
    wanted: &Wanted<'_>,
    given: &StandingUse,
    standing: &StandingApproval,
    inputs: &Map<String, Value>,
) -> Result<(), Refused> {
    let place = wanted.order.leaf_index;
    let open: TaskSpec =
        plan_digest::open_leaf(&given.open_leaf, place, given.size, &given.proof, &standing.shape).or_else(
            |error| {
                refused(Refusal::BadProof, format!("the open leaf is not of the approved shape: {error}"))
            },
        )?;
    let detail = match is_closed(&open, inputs, wanted.spec) {
        Ok(true) => return Ok(()),
        Ok(false) => "the work is not the approved leaf with these inputs".to_owned(),
        Err(error) => error.to_string(),
    };
    refused(Refusal::BadSignature, detail)
}

fn counted_by(standing: &StandingApproval) -> Digest {
    let mut bytes = b"nexusmon/standing-uses/v1\n".to_vec();
    bytes.extend_from_slice(standing.digest().as_bytes());
    Digest::of(&bytes)
}
