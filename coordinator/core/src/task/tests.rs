use std::time::Duration;

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::id::TaskId;
use nexusmon_shared::outcome::{Ending, Report};
use nexusmon_shared::task::TaskStatus;
use nexusmon_shared::time::Span;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::needs::Decision;
use crate::sim::strategies::{ending, rules, task_in};

fn now() -> Timestamp {
    Timestamp::from_micros(1_000_000_000)
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

fn rules_of(idempotent: bool, max: u32) -> TaskRules {
    let retry = Retry { max, backoff: Span::from_secs(5), jitter: 0.0, on: vec![] };
    TaskRules { idempotent, retry, rank: Rank::D }
}

fn report(fence: Fence, ending: Ending, started: bool) -> Report {
    Report {
        attempt: AttemptRef { task: TaskId::from_bits(1), fence },
        ending,
        started_at: started.then(now),
        finished_at: now(),
        artifacts: vec![],
        log_bytes: 0,
        sandbox_level: None,
        provenance: None,
    }
}

fn leased() -> Task {
    let ready = Task { state: TaskState::Ready, ..fresh(1) };
    grant(&ready, AgentId::from_bits(1), 3, None, 1).unwrap().0
}

fn apply(task: &Task, rules: &TaskRules, ending: Ending, mood: MissionMood) -> Settled {
    settle(task, rules, &report(task.fence, ending, true), mood, now(), &mut rng())
}

fn applied(settled: Settled) -> Settlement {
    match settled {
        Settled::Applied(settlement) => settlement,
        Settled::Stale => panic!("stale"),
    }
}

#[test]
fn a_task_lives_from_pending_to_success() {
    let pending = fresh(1);
    let ready = needs_decided(&pending, &Decision::Ready).unwrap().task;
    let (leased, lease) = grant(&ready, AgentId::from_bits(9), 4, None, 1).unwrap();
    assert_eq!((lease.attempt, lease.fence), (1, Fence { epoch: 1, number: 1 }));
    let running = started(&leased, lease.fence, now()).unwrap();
    assert_eq!(started(&running, lease.fence, now()), None, "told twice changes nothing");
    let done = applied(apply(
        &running,
        &rules_of(true, 0),
        Ending::Succeeded { outputs: Outputs::new() },
        MissionMood::Alive,
    ));
    assert!(done.finished && done.task.state.status() == TaskStatus::Succeeded);
}

#[test]
fn a_doubled_failure_counts_once() {
    let rules = rules_of(true, 3);
    let failure = report(leased().fence, Ending::Failed { cause: Cause::Timeout }, true);
    let once = applied(settle(&leased(), &rules, &failure, MissionMood::Alive, now(), &mut rng()));
    assert_eq!((once.task.retries, once.task.state.status()), (1, TaskStatus::Backoff));
    assert_eq!(settle(&once.task, &rules, &failure, MissionMood::Alive, now(), &mut rng()), Settled::Stale);
    let due = backoff_due(&once.task, None, now() + Duration::from_secs(5)).unwrap();
    assert_eq!(settle(&due, &rules, &failure, MissionMood::Alive, now(), &mut rng()), Settled::Stale);
    assert_eq!(backoff_due(&once.task, None, now() + Duration::from_secs(4)), None);
}

#[test]
fn a_late_report_under_the_current_fence_is_the_truth() {
    for idempotent in [true, false] {
        let rules = rules_of(idempotent, 0);
        let lost =
            lease_ended(&leased(), &rules, Ended::Unreported, MissionMood::Alive, now(), &mut rng()).unwrap();
        let expected = if idempotent { TaskStatus::Ready } else { TaskStatus::Uncertain };
        assert_eq!(lost.task.state.status(), expected);
        let late = applied(apply(
            &lost.task,
            &rules,
            Ending::Succeeded { outputs: Outputs::new() },
            MissionMood::Alive,
        ));
        assert_eq!(late.task.state.status(), TaskStatus::Succeeded);
        if idempotent {
            let (again, _) = grant(&lost.task, AgentId::from_bits(2), 1, None, 1).unwrap();
            let old = report(lost.task.fence, Ending::Succeeded { outputs: Outputs::new() }, true);
            assert_eq!(settle(&again, &rules, &old, MissionMood::Alive, now(), &mut rng()), Settled::Stale);
        }
    }
}

#[test]
fn what_never_started_is_granted_again_at_no_cost() {
    for ending in [Ending::Returned, Ending::Refused { reason: Refusal::Draining, detail: String::new() }] {
        let back = applied(apply(&leased(), &rules_of(false, 0), ending, MissionMood::Alive));
        assert_eq!((back.task.state.clone(), back.task.retries, back.bar), (TaskState::Ready, 0, None));
    }
    let never = lease_ended(
        &leased(),
        &rules_of(false, 0),
        Ended::NeverStarted,
        MissionMood::Alive,
        now(),
        &mut rng(),
    );
    assert_eq!(never.unwrap().task.state, TaskState::Ready);
}

#[test]
fn refusals_bar_gate_or_fail() {
    let refuse = |reason, rank| {
        let rules = TaskRules { rank, ..rules_of(false, 0) };
        applied(apply(
            &leased(),
            &rules,
            Ending::Refused { reason, detail: "why".into() },
            MissionMood::Alive,
        ))
    };
    let local = refuse(Refusal::LocalPolicy, Rank::D);
    assert_eq!(local.bar, Some(Bar { agent: AgentId::from_bits(1), reason: Refusal::LocalPolicy }));
    assert_eq!(local.task.state, TaskState::Ready);
    let forged = refuse(Refusal::BadProof, Rank::A);
    assert!(forged.alert.is_some() && forged.task.state == TaskState::Gated);
    let forged = refuse(Refusal::BadProof, Rank::B);
    assert!(forged.alert.is_some() && forged.finished);
    let wrong = refuse(Refusal::ParametersInvalid, Rank::A);
    assert!(matches!(wrong.task.state, TaskState::Failed { cause: Cause::BadParameters { .. } }));
}

#[test]
fn losses_back_off_but_do_not_count_as_failures() {
    let rules = rules_of(true, 0);
    let mut task = Task { state: TaskState::Ready, ..fresh(1) };
    let mut waits = Vec::new();
    for _ in 0..4 {
        let (leased, _) = grant(&task, AgentId::from_bits(1), 1, None, 1).unwrap();
        task = lease_ended(&leased, &rules, Ended::Unreported, MissionMood::Alive, now(), &mut rng())
            .unwrap()
            .task;
        if let TaskState::Backoff { until, .. } = task.state {
            waits.push(until.since(now()).as_secs());
            task = backoff_due(&task, None, until).unwrap();
        }
    }
    assert_eq!((task.retries, waits), (0, vec![5, 10, 20]));
}

#[test]
fn a_verify_that_does_not_hold_fails() {
    let verify = crate::expression::Expression::parse("outputs.lines > 0 && exit_code == 0").unwrap();
    let outputs = |lines: i64| Outputs::from_iter([("lines".to_owned(), lines.into())]);
    assert!(matches!(
        verified(Some(&verify), Ending::Succeeded { outputs: outputs(1) }),
        Ending::Succeeded { .. }
    ));
    for ending in [Ending::Succeeded { outputs: outputs(0) }, Ending::Succeeded { outputs: Outputs::new() }] {
        let found = verified(Some(&verify), ending);
        assert!(matches!(found, Ending::Failed { cause: Cause::VerifyFailed { .. } }), "{found:?}");
    }
    assert_eq!(verified(Some(&verify), Ending::Returned), Ending::Returned);
}

#[test]
fn a_person_decides_what_is_uncertain() {
    let rules = rules_of(false, 0);
    let uncertain = lease_ended(&leased(), &rules, Ended::Unreported, MissionMood::Alive, now(), &mut rng())
        .unwrap()
        .task;
    for (resolution, status) in [
        (Resolution::Succeeded { outputs: Outputs::new() }, TaskStatus::Succeeded),
        (Resolution::Failed { comment: "seen".into() }, TaskStatus::Failed),
        (Resolution::Retry, TaskStatus::Ready),
    ] {
        let settled = resolve(&uncertain, resolution, 1).unwrap();
        assert_eq!(settled.task.state.status(), status);
        assert!(settled.task.fence > uncertain.fence);
        let late = report(uncertain.fence, Ending::Succeeded { outputs: Outputs::new() }, true);
        assert_eq!(
            settle(&settled.task, &rules, &late, MissionMood::Alive, now(), &mut rng()),
            Settled::Stale
        );
    }
    assert_eq!(resolve(&leased(), Resolution::Retry, 1).unwrap_err().code, "not_uncertain");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    /// Every (state, ending) pair is met; fences only grow; terminal is terminal; an old fence changes nothing.
    #[test]
    fn every_report_is_met(task in task_in(), rules in rules(), ending in ending(), old: bool, cancelling: bool, started: bool, seed: u64) {
        let mood = if cancelling { MissionMood::Cancelling } else { MissionMood::Alive };
        let fence = if old { Fence { number: task.fence.number.saturating_sub(1), ..task.fence } } else { task.fence };
        let settled = settle(&task, &rules, &report(fence, ending.clone(), started), mood, now(), &mut StdRng::seed_from_u64(seed));
        if old || task.state.status().is_terminal() {
            prop_assert_eq!(settled, Settled::Stale);
            return Ok(());
        }
        let Settled::Applied(settlement) = settled else { return Ok(()) };
        let status = settlement.task.state.status();
        prop_assert!(settlement.task.fence >= task.fence);
        prop_assert_eq!(settlement.finished, status.is_terminal());
        prop_assert_eq!(settlement.task.attempts, task.attempts);
        prop_assert!(settlement.task.retries <= rules.retry.max.max(task.retries));
        prop_assert!(settlement.task.state.live_lease().is_none(), "a report ends the lease");
        if cancelling {
            prop_assert!(status.is_terminal(), "{ending:?} leaves {status:?} in a cancelled mission");
        }
        if !rules.idempotent && started && matches!(ending, Ending::Unknown) && !cancelling {
            prop_assert_eq!(status, TaskStatus::Uncertain);
        }
        // The same report again changes nothing.
        let again = settle(&settlement.task, &rules, &report(fence, ending, started), mood, now(), &mut StdRng::seed_from_u64(seed));
        match again {
            Settled::Stale => {}
            Settled::Applied(second) => prop_assert_eq!(second.task, settlement.task),
        }
    }

    #[test]
    fn every_other_command_is_met(task in task_in(), rules in rules(), cancelling: bool, seed: u64) {
        let mood = if cancelling { MissionMood::Cancelling } else { MissionMood::Alive };
        let status = task.state.status();
        let live = task.state.live_lease().is_some();
        prop_assert_eq!(grant(&task, AgentId::from_bits(5), 1, None, 1).is_ok(), status == TaskStatus::Ready);
        if let Ok((granted, lease)) = grant(&task, AgentId::from_bits(5), 1, None, 1) {
            prop_assert!(granted.fence > task.fence && lease.fence == granted.fence);
        }
        for ended in [Ended::NeverStarted, Ended::Unreported] {
            let answer = lease_ended(&task, &rules, ended, mood, now(), &mut StdRng::seed_from_u64(seed));
            prop_assert_eq!(answer.is_ok(), live);
            if let Ok(settlement) = answer {
                prop_assert_eq!(settlement.task.fence, task.fence, "a late report must still find its fence");
                prop_assert!(settlement.task.state.live_lease().is_none());
                let again = lease_ended(&settlement.task, &rules, ended, mood, now(), &mut StdRng::seed_from_u64(seed));
                prop_assert_eq!(again.unwrap_err().code, "no_lease");
                prop_assert!(!cancelling || settlement.finished);
            }
        }
        match cancel(&task, 1) {
            Cancelled::Now(cancelled) => {
                prop_assert!(!live && !status.is_terminal() && cancelled.fence > task.fence);
                let unknown = TaskState::Cancelled { effect_unknown: status == TaskStatus::Uncertain };
                prop_assert_eq!(cancelled.state, unknown);
            }
            Cancelled::AwaitReport(_) => prop_assert!(live),
            Cancelled::Already => prop_assert!(status.is_terminal()),
        }
        let others = [
            needs_decided(&task, &Decision::Ready).is_ok() == (status == TaskStatus::Pending),
            gate(&task).is_ok() == matches!(status, TaskStatus::Pending | TaskStatus::Ready),
            approve_instance(&task).is_ok() == (status == TaskStatus::Gated),
            deny_instance(&task, Cause::ApprovalExpired).is_ok() == (status == TaskStatus::Gated),
            resolve(&task, Resolution::Retry, 1).is_ok() == (status == TaskStatus::Uncertain),
            !status.is_terminal() || fail(&task, Cause::Timeout).is_err(),
            !status.is_terminal() || collect(&task, Ok(Outputs::new())).is_err(),
            !status.is_terminal() || started(&task, task.fence, now()).is_none(),
        ];
        prop_assert!(others.into_iter().all(|held| held), "{others:?} in {status:?}");
    }
}
