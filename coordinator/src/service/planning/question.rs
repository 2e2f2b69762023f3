//! A question to the model that states no goal: within the same budget of the day, and booked like a planner's.

use std::sync::Arc;

use nexusmon_shared::id::MissionId;
use nexusmon_store::PlanningOutcome;
use serde_json::Value;

use super::reading::{Reading, Unasked};
use super::spending::Purpose;
use super::work::begun;
use super::{Kind, keep};
use crate::app::App;
use crate::error::Result;
use crate::models::{Ask, Fault, Model};

/// What `fits` reads in the answer; the inner `Err` says in words why there is none. An answer that does not fit is not
/// kept for whoever asks the same again.
pub(in crate::service) async fn ask<T>(
    app: &App,
    model: &Model,
    prompt: &'static str,
    ask: &Ask<'_>,
    fits: impl FnOnce(&Value) -> Option<T> + Send,
) -> Result<std::result::Result<T, String>> {
    let (now, began) = (app.clock.now(), app.clock.boot());
    let mut step = begun(Kind::Companion, now);
    step.model = Some(model.label());
    step.prompt = Some(prompt);
    // It belongs to no mission: the id is its own.
    let own = app.rng.with(|rng| MissionId::new(now, rng));
    let (said, call) = Reading::of(app, false).ask(model, ask, Purpose::aside(app, own, prompt)).await?;
    step.calls.extend(call);
    let answer = match said {
        Ok(said) => {
            step.spent = said.spent;
            step.cached = said.cached;
            let read = fits(&said.value);
            if read.is_some() {
                step.outcome = PlanningOutcome::Planned;
            } else {
                model.unfit(&said.question);
            }
            read.ok_or_else(|| "its answer was none of those it may give".to_owned())
        }
        Err(Unasked::Budget(over)) => {
            step.outcome = PlanningOutcome::Barred;
            Err(over.said)
        }
        Err(Unasked::NoAnswer(no)) => {
            step.spent = no.spent;
            if no.fault == Fault::Open {
                step.outcome = PlanningOutcome::Barred;
            }
            Err(no.text)
        }
    };
    step.said = match &answer {
        Ok(_) => "what the question means".to_owned(),
        Err(why) => why.clone(),
    };
    step.took = app.clock.boot().saturating_sub(began);
    app.planning.unwritten.lock().expect("no holder panics").push((own, Arc::new(vec![step])));
    keep::book(app).await;
    Ok(answer)
}
