//! Triggers: when work starts by itself, and with which values. Time, zones and what was fired before are parameters.

pub mod mapping;
mod schedule_body;
pub mod step;
pub mod timetable;
mod webhook_body;

#[cfg(test)]
mod tests;

pub use schedule_body::{NewSchedule, WORK_OF_SCHEDULES, Work, parse_schedule};
pub use step::{CatchUp, Clockwork, Overlap, Rule, Step, next_step};
pub use timetable::Timetable;
pub use webhook_body::{Format, HookRule, NewWebhook, WORK_OF_WEBHOOKS, parse_webhook};
