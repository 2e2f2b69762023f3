//! What the audit trail is told of a mission that was created.

use serde_json::json;

use super::Prepared;
use crate::service::unit::{SYSTEM, Unit};

pub(super) fn audit(unit: &mut Unit<'_>, prepared: &Prepared) {
    let row = &prepared.new.mission;
    let mut body = json!({
            "goal": row.goal,
            "status": row.status.as_str(),
            "rank": row.rank,
            "requested_rank": row.requested_rank,
            "plan_digest": row.plan_digest,
            "tasks": row.tasks_total,
            "policies": prepared.policies,
            "judged": prepared.judged,
            "author": row.author.0,
            "origin": row.origin,
            "rerun_of": row.rerun_of,
    });
    if let (Some(inputs), Some(body)) = (&prepared.inputs, body.as_object_mut()) {
        body.insert("playbook".to_owned(), json!(format!("{}@{}", inputs.playbook, inputs.version)));
        body.insert("inputs_digest".to_owned(), json!(inputs.inputs_digest));
        if let Some(standing) = inputs.standing {
            body.insert("standing".to_owned(), json!(standing));
        }
    }
    unit.audit_mission(&prepared.actor, "mission.created", row.id, body);
    if let Some(approval) = &prepared.approval {
        unit.audit(
            SYSTEM,
            "approval.requested",
            ("approval", approval.id.to_string()),
            Some(row.id),
            json!({"subject_kind": "mission_plan", "subject": row.id, "digest": approval.digest,
                "rank": row.rank, "needed": approval.needed, "author": row.author.0}),
        );
    }
    if let Some(review) = &prepared.review {
        unit.audit(
            SYSTEM,
            "review.opened",
            ("review", review.id.to_string()),
            Some(row.id),
            json!({"rank": row.rank, "shape": review.shape}),
        );
    }
}
