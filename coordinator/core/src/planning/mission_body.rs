//! The body of `POST /v1/engine/missions` and of `mission.yaml`.

use std::collections::BTreeMap;

use nexusmon_shared::plan::{Budget, TaskDraft};
use nexusmon_shared::rank::Rank;
use serde_json::{Map, Value};

use super::Invalid;
use crate::mission::Start;

/// A mission as people write it, every field read.
#[derive(Debug, Clone, PartialEq)]
pub struct MissionDraft {
    /// Where only tasks are given, a summary of them.
    pub goal: String,
    /// `None`: a goal alone, for the planners.
    pub tasks: Option<Vec<TaskDraft>>,
    pub rank: Rank,
    pub start: Start,
    /// −100 to 100.
    pub priority: i32,
    pub budget: Budget,
    pub labels: BTreeMap<String, String>,
    pub metadata: Map<String, Value>,
}

/// Reads a mission's body. Unknown fields are refused by name, wrong types with their place; parts that are not built
/// yet are refused by name.
pub fn parse_mission(body: &Value) -> Result<MissionDraft, Vec<Invalid>> {
    let _ = body;
    todo!()
}

/// Reads the body of `PUT …/plan`: `{"tasks": […]}`.
pub fn parse_tasks(body: &Value) -> Result<Vec<TaskDraft>, Vec<Invalid>> {
    let _ = body;
    todo!()
}
