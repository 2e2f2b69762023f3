//! The whole way from drafts to a bound plan.

use super::{BoundPlan, Invalid, PlanFacts, PlanRequest};

/// Checks drafts and resolves every default. Answers every mistake found, each with its place.
pub fn bind(request: &PlanRequest<'_>, facts: &PlanFacts<'_>) -> Result<BoundPlan, Vec<Invalid>> {
    let _ = (request, facts);
    todo!()
}
