use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nexusmon_shared::lifecycle::{Lifecycle, Shutdown};
use nexusmon_shared::time::{ManualClock, SharedClock, Timestamp};
use tokio::sync::Notify;

use super::driver::{Activation, Background, Next};
use crate::error::Error;

const NEVER: Duration = Duration::from_secs(1_000_000);

fn clock() -> SharedClock {
    Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)))
}

#[tokio::test(start_paused = true)]
async fn a_run_asked_for_is_one_that_began_afterwards() {
    let lifecycle = Lifecycle::new();
    let runs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    let count = Activation::new("count", NEVER, move || {
        let counted = Arc::clone(&counted);
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(Next::Period)
        }
    });
    let background = Background::start(vec![count], &lifecycle, &clock());
    for _ in 0..5 {
        let before = runs.load(Ordering::SeqCst);
        background.run_now("count").await.unwrap();
        assert!(runs.load(Ordering::SeqCst) > before);
    }
    assert!(background.run_now("other").await.is_err());
    assert_eq!(lifecycle.shutdown(Duration::from_secs(1)).await, Shutdown::Clean);
}

#[tokio::test(start_paused = true)]
async fn failures_are_visible_and_tried_again_and_waking_does_not_spin() {
    let lifecycle = Lifecycle::new();
    let broken = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&broken);
    let flaky = Activation::new("flaky", NEVER, move || {
        let broken = seen.load(Ordering::SeqCst);
        async move { if broken { Err(Error::unavailable("the disk is away")) } else { Ok(Next::Period) } }
    })
    .woken_by(|| async {});
    let background = Background::start(vec![flaky], &lifecycle, &clock());
    // Paused time runs ahead whenever everything waits: many backoffs pass.
    tokio::time::sleep(Duration::from_hours(1)).await;
    let status = background.status().remove(0);
    assert_eq!(status.last_error.as_deref(), Some("the disk is away"));
    assert_eq!(status.failures, status.runs);
    assert!((2..60).contains(&status.runs), "{} runs in an hour", status.runs);
    assert!(lifecycle.failure().is_none(), "a failed run is not the end of the process");
    lifecycle.begin_shutdown();
    assert_eq!(lifecycle.shutdown(Duration::from_secs(1)).await, Shutdown::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_the_current_run_end_and_begins_no_other() {
    let lifecycle = Lifecycle::new();
    let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let ended = Arc::new(AtomicU64::new(0));
    let (b, g, e) = (Arc::clone(&began), Arc::clone(&go_on), Arc::clone(&ended));
    let slow = Activation::new("slow", NEVER, move || {
        let (b, g, e) = (Arc::clone(&b), Arc::clone(&g), Arc::clone(&e));
        async move {
            b.notify_one();
            g.notified().await;
            e.fetch_add(1, Ordering::SeqCst);
            Ok(Next::AtOnce)
        }
    });
    Background::start(vec![slow], &lifecycle, &clock());
    began.notified().await;
    lifecycle.begin_shutdown();
    tokio::task::yield_now().await;
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    go_on.notify_one();
    assert_eq!(lifecycle.shutdown(Duration::from_secs(10)).await, Shutdown::Clean);
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_runs_it_and_more_to_do_runs_it_again() {
    let lifecycle = Lifecycle::new();
    let (wake, left, done) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let (w, l, d) = (Arc::clone(&wake), Arc::clone(&left), Arc::clone(&done));
    let drain = Activation::new("drain", NEVER, move || {
        let (l, d) = (Arc::clone(&l), Arc::clone(&d));
        async move {
            let before = l.load(Ordering::SeqCst);
            if before == 0 {
                return Ok(Next::Period);
            }
            if l.fetch_sub(1, Ordering::SeqCst) == 1 {
                d.notify_one();
            }
            Ok(Next::AtOnce)
        }
    })
    .woken_by(move || {
        let w = Arc::clone(&w);
        async move { w.notified().await }
    });
    let background = Background::start(vec![drain], &lifecycle, &clock());
    background.run_now("drain").await.unwrap();
    left.store(10, Ordering::SeqCst);
    wake.notify_one();
    done.notified().await;
    assert_eq!(left.load(Ordering::SeqCst), 0);
    lifecycle.shutdown(Duration::from_secs(1)).await;
}
