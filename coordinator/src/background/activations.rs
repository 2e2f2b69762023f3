//! The list of what runs in the background, and how often.

use std::time::Duration;

use super::driver::{Activation, Next};
use crate::app::App;
use crate::error::Result;
use crate::service::leases::TimerResult;
use crate::service::{
    audit, beliefs, dispatch, evolution, house, learned, leases, logs, memory, notifications, planning,
    retention, sub_missions, triggers,
};

/// Wake-ups make dispatch prompt; this only bounds what a lost one costs.
const DISPATCH_PERIOD: Duration = Duration::from_secs(1);
/// A checkpoint while entries come.
const AUDIT_PERIOD: Duration = Duration::from_secs(1);
const TIMER_PERIOD: Duration = Duration::from_secs(1);
/// Wake-ups make it prompt.
const PLANNING_PERIOD: Duration = Duration::from_secs(5);
const TRIGGER_PERIOD: Duration = Duration::from_secs(1);
/// Nobody waits for it; what it writes, others wait for.
const MEMORY_PERIOD: Duration = Duration::from_secs(2);
/// So many times as long as it took it rests, however much there is to remember: a tenth of the writer at most.
const MEMORY_REST: u32 = 9;
/// How long a trait that opened or closed may stay unseen by the scheduler.
const BELIEF_PERIOD: Duration = Duration::from_secs(1);
const LOG_PERIOD: Duration = Duration::from_millis(500);
const LEARNED_PERIOD: Duration = Duration::from_mins(1);
const EVOLUTION_PERIOD: Duration = Duration::from_mins(10);
const SUB_MISSION_PERIOD: Duration = Duration::from_secs(1);
/// As often as work is dispatched: what has lost its trait is held within a tick.
const TRAIT_PERIOD: Duration = DISPATCH_PERIOD;
const HOUSE_PERIOD: Duration = Duration::from_mins(1);
const NOTIFICATION_PERIOD: Duration = Duration::from_secs(1);
const LOST_PERIOD: Duration = Duration::from_secs(30);
const RETENTION_PERIOD: Duration = Duration::from_hours(1);

/// Everything a coordinator runs. Of several on one database each dispatches to its own sessions and stores the logs
/// it takes in; the rest is done by whichever node holds the duty.
pub fn standard(app: &App) -> Vec<Activation> {
    vec![
        of(app, "dispatch", DISPATCH_PERIOD, |app| async move {
            let ticked = dispatch::tick(&app).await?;
            Ok(if ticked.more { Next::AtOnce } else { Next::Period })
        })
        .woken_by({
            let app = app.clone();
            move || {
                let app = app.clone();
                async move { dispatch::woken(&app).await }
            }
        }),
        of(app, "balance", DISPATCH_PERIOD, |app| async move {
            dispatch::balance(&app).await?;
            Ok(Next::Period)
        }),
        of(app, "leases", TIMER_PERIOD, |app| async move {
            let done = app.store.on_duty("leases", leases::expire(&app)).await?;
            done.map_or(Ok(Next::Period), |done| Ok(timer(done?)))
        }),
        of(app, "timers", TIMER_PERIOD, |app| async move {
            let done = app.store.on_duty("timers", leases::due(&app)).await?;
            done.map_or(Ok(Next::Period), |done| Ok(timer(done?)))
        }),
        of(app, "planning", PLANNING_PERIOD, |app| async move {
            planning::work(&app).await?;
            Ok(Next::Period)
        })
        .woken_by({
            let app = app.clone();
            move || {
                let app = app.clone();
                async move { planning::woken(&app).await }
            }
        }),
        of(app, "triggers", TRIGGER_PERIOD, |app| async move {
            let done = app.store.on_duty("triggers", Box::pin(triggers::look(&app))).await?.transpose()?;
            Ok(if done.is_some_and(|done| done.more) { Next::AtOnce } else { Next::Period })
        }),
        of(app, "audit", AUDIT_PERIOD, |app| async move {
            audit::publish(&app).await?;
            audit::ask_witnesses(&app).await?;
            Ok(Next::Period)
        }),
        of(app, "logs", LOG_PERIOD, |app| async move {
            logs::flush(&app).await?;
            Ok(Next::Period)
        }),
        of(app, "evolution", EVOLUTION_PERIOD, |app| async move {
            app.store.on_duty(evolution::DUTY, evolution::settle(&app)).await?.transpose()?;
            Ok(Next::Period)
        }),
        of(app, "learned", LEARNED_PERIOD, |app| async move {
            app.store.on_duty(learned::DUTY, Box::pin(learned::learn(&app))).await?.transpose()?;
            Ok(Next::Period)
        }),
        of(app, "beliefs", BELIEF_PERIOD, |app| async move {
            beliefs::refresh(&app).await?;
            Ok(Next::Period)
        }),
        of(app, "memory", MEMORY_PERIOD, |app| async move {
            let began = app.clock.now();
            let done = app.store.on_duty("memory", memory::learn(&app)).await?.transpose()?;
            let more = done.is_some_and(|done| done.more);
            Ok(if more { Next::Within(app.clock.now().since(began) * MEMORY_REST) } else { Next::Period })
        }),
        of(app, "sub-missions", SUB_MISSION_PERIOD, |app| async move {
            app.store.on_duty(sub_missions::DUTY, Box::pin(sub_missions::look(&app))).await?.transpose()?;
            Ok(Next::Period)
        }),
        of(app, "traits", TRAIT_PERIOD, |app| async move {
            app.store.on_duty("traits", evolution::watch(&app)).await?.transpose()?;
            Ok(Next::Period)
        }),
        of(app, "house", HOUSE_PERIOD, |app| async move {
            house::tidy(&app).await?;
            Ok(Next::Period)
        }),
        of(app, "notifications", NOTIFICATION_PERIOD, |app| async move {
            let more = app.store.on_duty("notifications", notifications::gather(&app)).await?.transpose()?;
            Ok(if more == Some(true) { Next::AtOnce } else { Next::Period })
        }),
        // Whoever claims a message sends it: this needs no duty.
        of(app, "notifications.send", NOTIFICATION_PERIOD, |app| async move {
            Ok(match notifications::look(&app).await? {
                notifications::Look::Idle => Next::Period,
                notifications::Look::Within(pause) => Next::Within(pause),
            })
        })
        .woken_by({
            let app = app.clone();
            move || {
                let app = app.clone();
                async move { notifications::woken(&app).await }
            }
        }),
        of(app, "lost", LOST_PERIOD, |app| async move {
            app.store.on_duty("lost", notifications::look_for_lost(&app)).await?.transpose()?;
            Ok(Next::Period)
        }),
        of(app, "retention", RETENTION_PERIOD, |app| async move {
            app.store.on_duty("retention", retention::sweep(&app)).await?.transpose()?;
            Ok(Next::Period)
        }),
    ]
}

fn of<F, R>(app: &App, name: &'static str, period: Duration, run: F) -> Activation
where
    F: Fn(App) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Next>> + Send + 'static,
{
    let app = app.clone();
    Activation::new(name, period, move || run(app.clone()))
}

fn timer(done: TimerResult) -> Next {
    done.next_in.map_or(Next::Period, Next::Within)
}
