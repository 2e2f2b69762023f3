//! How a mission's goal became a plan, or what would help.

use super::shape::time;
use crate::service::planning as service;

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct MissionPlanning {
    /// Whose plan it is: `playbook`, `memory`, `model`; null where nobody had one.
    planner: Option<String>,
    said: String,
    /// The playbook or the mission the plan comes from.
    source: Option<String>,
    /// Against where it comes from.
    differs: Vec<String>,
    /// A planner asks for what is in `help`.
    asks: bool,
    help: Vec<PlanningHelp>,
    /// Every planner that was asked, in order.
    steps: Vec<PlanningStep>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PlanningHelp {
    /// `capability`, `playbook`, `key`, `input`, `trait`, `budget`, `endpoint`, `policy`, `clarity`, `plan`.
    kind: String,
    name: String,
    text: String,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PlanningStep {
    planner: String,
    /// `planned`, `asked`, `passed`, `failed`, `barred`.
    outcome: String,
    said: String,
    /// `provider/name` of the model.
    model: Option<String>,
    /// Version of what it was told.
    prompt: Option<String>,
    calls: u64,
    tokens: u64,
    cost_usd: f64,
    cached: bool,
    at: String,
    seconds: f64,
}

impl From<service::PlanningView> for MissionPlanning {
    fn from(view: service::PlanningView) -> Self {
        let service::PlanningView { planner, said, source, differs, asks, help, steps } = view;
        let help = help
            .into_iter()
            .map(|service::Help { kind, name, text }| PlanningHelp { kind, name, text })
            .collect();
        Self {
            planner,
            said,
            source,
            differs,
            asks,
            help,
            steps: steps.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<service::PlanningStep> for PlanningStep {
    fn from(step: service::PlanningStep) -> Self {
        let service::PlanningStep {
            planner,
            outcome,
            said,
            model,
            prompt,
            calls,
            tokens,
            cost_usd,
            cached,
            at,
            seconds,
        } = step;
        let at = time(at);
        Self { planner, outcome, said, model, prompt, calls, tokens, cost_usd, cached, at, seconds }
    }
}
