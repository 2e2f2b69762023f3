//! Version 1 of the API, a file per resource: shapes, their schemas, and handlers that only translate.

pub(super) mod agents;
pub(super) mod approvals;
pub(super) mod artifact_content;
pub(super) mod artifacts;
pub(super) mod audit;
pub(super) mod auth;
pub(super) mod cognition;
pub(super) mod events;
pub(super) mod fleet;
pub(super) mod house;
pub(super) mod logs;
pub(super) mod mission_acts;
pub(super) mod mission_body;
pub(super) mod mission_view;
pub(super) mod missions;
pub(super) mod organism;
pub(super) mod plans;
pub(super) mod reviews;
pub(super) mod roster;
mod shape;
pub(super) mod stats;
pub(super) mod task_view;
pub(super) mod tasks;
