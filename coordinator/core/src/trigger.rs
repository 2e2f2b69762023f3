//! Triggers: when work starts by itself, and with which values. Time, zones and what was fired before are parameters.

mod echo;
mod event_body;
pub(crate) mod event_mapping;
pub mod mapping;
pub mod repeats;
mod schedule_body;
pub mod step;
pub mod timetable;
mod webhook_body;

#[cfg(test)]
mod tests;

pub use echo::echoed;
pub use event_body::{EventKind, EventRule, NewEventTrigger, parse_event_trigger};
pub use event_mapping::{condition, fill as event_inputs};
pub use repeats::{Repeated, Run, repeated};
pub use schedule_body::{NewSchedule, WORK_OF_SCHEDULES, Work, parse_schedule};
pub use step::{CatchUp, Clockwork, Overlap, Rule, Step, next_step};
pub use timetable::Timetable;
pub use webhook_body::{Format, HookRule, NewWebhook, WORK_OF_WEBHOOKS, parse_webhook};
