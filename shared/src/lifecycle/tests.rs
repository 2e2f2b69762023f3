use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_soft_shutdown_lets_tasks_finish() {
    let lifecycle = Lifecycle::new();
    let done = Arc::new(AtomicBool::new(false));
    let (soft, seen) = (lifecycle.soft(), done.clone());
    lifecycle.spawn("worker", async move {
        soft.cancelled().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        seen.store(true, Ordering::SeqCst);
        Ok::<_, Infallible>(())
    });
    assert_eq!(lifecycle.shutdown(Duration::from_secs(10)).await, Shutdown::Clean);
    assert!(done.load(Ordering::SeqCst));
    assert!(lifecycle.failure().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_hard_shutdown_cuts_off_what_does_not_end() {
    let lifecycle = Lifecycle::new();
    lifecycle.spawn("stubborn", std::future::pending::<Result<(), Infallible>>());
    let before = tokio::time::Instant::now();
    assert_eq!(lifecycle.shutdown(Duration::from_secs(10)).await, Shutdown::Forced(1));
    assert_eq!(before.elapsed(), Duration::from_secs(10));
    assert!(lifecycle.is_empty());
}

#[tokio::test(start_paused = true)]
async fn errors_and_panics_of_critical_tasks_are_the_processs() {
    let lifecycle = Lifecycle::new();
    lifecycle.spawn("broken", async { Err::<(), _>("no disk") });
    let failure = lifecycle.failed().await;
    assert_eq!(chain(failure.as_ref()), "the task `broken` went down: no disk");

    let lifecycle = Lifecycle::new();
    let waiting = {
        let lifecycle = lifecycle.clone();
        async move { lifecycle.failed().await }
    };
    lifecycle.spawn("broken", async {
        assert_eq!(1 + 1, 3, "arithmetic");
        Ok::<_, Infallible>(())
    });
    assert!(chain(waiting.await.as_ref()).contains("arithmetic"));
}

#[tokio::test(start_paused = true)]
async fn errors_of_quiet_tasks_are_normal_but_panics_are_not() {
    let lifecycle = Lifecycle::new();
    lifecycle.spawn_quiet("connection", async { Err::<(), _>("reset by peer") });
    assert_eq!(lifecycle.shutdown(Duration::from_secs(1)).await, Shutdown::Clean);
    assert!(lifecycle.failure().is_none());

    let lifecycle = Lifecycle::new();
    lifecycle.spawn_quiet("connection", async {
        panic!("defect");
        #[expect(unreachable_code, reason = "gives the block its type")]
        Ok::<_, Infallible>(())
    });
    assert_eq!(lifecycle.failed().await.task, "connection");
}
