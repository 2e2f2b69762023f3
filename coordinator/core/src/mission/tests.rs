use std::time::Duration;

use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::mission::{MissionStatus, ResumeTo};
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::task::TaskStatus;
use proptest::prelude::*;

use super::*;

fn now() -> Timestamp {
    Timestamp::from_micros(1_000_000_000)
}

fn by() -> PrincipalId {
    PrincipalId::from_bits(1)
}

fn digest(n: u8) -> Digest {
    Digest::of(&[n])
}

fn gate(verdict: Verdict, start: Start) -> Gate {
    Gate { digest: digest(1), verdict, decide_within: Duration::from_hours(1), start }
}

fn go(state: &MissionState, command: MissionCommand) -> MissionState {
    apply(state, command, now()).unwrap().state
}

fn code(state: &MissionState, command: MissionCommand) -> &'static str {
    apply(state, command, now()).unwrap_err().code
}

#[test]
fn verdicts_lead_where_they_should() {
    let first = |verdict, start| create(gate(verdict, start), now());
    let running = MissionState::Running { since: now() };
    assert_eq!(first(Verdict::Allow, Start::Auto).unwrap().state, running);
    assert_eq!(first(Verdict::Allow, Start::Manual).unwrap().state, MissionState::Ready);
    assert_eq!(first(Verdict::Allow, Start::At(now())).unwrap().state, running);
    let flagged = first(Verdict::Flag, Start::Auto).unwrap();
    assert!(flagged.effects.contains(&MissionEffect::OpenReview { digest: digest(1) }));
    let held = first(Verdict::Hold { needed: 2 }, Start::Auto).unwrap();
    assert_eq!(held.state.status(), MissionStatus::AwaitingApproval);
    assert!(matches!(held.effects[..], [MissionEffect::OpenApproval { needed: 2, .. }]));
    assert_eq!(first(Verdict::Deny, Start::Auto).unwrap_err().code, "denied_by_policy");
}

#[test]
fn an_approval_is_over_a_digest() {
    let held = create(gate(Verdict::Hold { needed: 1 }, Start::Auto), now()).unwrap().state;
    assert_eq!(
        code(&held, MissionCommand::Approve { digest: digest(2), start: Start::Auto }),
        "digest_changed"
    );
    assert_eq!(code(&held, MissionCommand::Reject { digest: digest(2), by: by() }), "digest_changed");
    assert_eq!(code(&held, MissionCommand::Run), "awaiting_approval");
    assert_eq!(code(&held, MissionCommand::Expire), "not_due");
    let approve = |start| MissionCommand::Approve { digest: digest(1), start };
    assert_eq!(go(&held, approve(Start::Auto)).status(), MissionStatus::Running);
    assert_eq!(go(&held, approve(Start::Manual)), MissionState::Ready);
    assert_eq!(
        go(&held, MissionCommand::Reject { digest: digest(1), by: by() }).status(),
        MissionStatus::Rejected
    );
    let late = apply(&held, MissionCommand::Expire, now() + Duration::from_hours(1)).unwrap();
    assert_eq!(late.state, MissionState::Expired);
}

#[test]
fn a_changed_plan_voids_what_was_approved() {
    let held = create(gate(Verdict::Hold { needed: 1 }, Start::Auto), now()).unwrap().state;
    let same = apply(&held, MissionCommand::PlanReady(gate(Verdict::Hold { needed: 1 }, Start::Auto)), now())
        .unwrap();
    assert_eq!((same.state, same.effects), (held.clone(), vec![]), "the identical plan keeps its approval");
    let other = Gate { digest: digest(2), ..gate(Verdict::Hold { needed: 1 }, Start::Auto) };
    let changed = apply(&held, MissionCommand::PlanReady(other), now()).unwrap();
    assert_eq!(changed.effects[0], MissionEffect::VoidApproval);
    assert_eq!(
        code(&changed.state, MissionCommand::Approve { digest: digest(1), start: Start::Auto }),
        "digest_changed"
    );
    let running = MissionState::Running { since: now() };
    assert_eq!(
        code(&running, MissionCommand::PlanReady(gate(Verdict::Allow, Start::Auto))),
        "already_running"
    );
}

#[test]
fn cancelling_waits_for_leases() {
    let running = MissionState::Running { since: now() };
    let cancelling = apply(&running, MissionCommand::Cancel { by: by() }, now()).unwrap();
    assert_eq!(cancelling.state, MissionState::Cancelling { by: by() });
    let settle = |counts: &[TaskStatus]| {
        let command = MissionCommand::Settle { counts: counts.iter().copied().collect(), failure: None };
        go(&cancelling.state, command)
    };
    assert_eq!(settle(&[TaskStatus::Running, TaskStatus::Cancelled]).status(), MissionStatus::Cancelling);
    assert_eq!(settle(&[TaskStatus::Failed, TaskStatus::Cancelled]).status(), MissionStatus::Cancelled);
    let again = apply(&cancelling.state, MissionCommand::Cancel { by: by() }, now()).unwrap();
    assert_eq!((again.state, again.effects), (cancelling.state.clone(), vec![]));
    let killed = apply(&cancelling.state, MissionCommand::Kill { by: by() }, now()).unwrap();
    assert_eq!(
        (killed.state, killed.effects),
        (cancelling.state.clone(), vec![MissionEffect::CancelRunning])
    );
    let held = create(gate(Verdict::Hold { needed: 1 }, Start::Auto), now()).unwrap().state;
    assert_eq!(go(&held, MissionCommand::Cancel { by: by() }).status(), MissionStatus::Cancelled);
}

#[test]
fn a_paused_mission_may_end() {
    let paused = go(&MissionState::Running { since: now() }, MissionCommand::Pause { by: by() });
    let counts: TaskCounts = [(TaskStatus::Succeeded, 3), (TaskStatus::Skipped, 1)].into_iter().collect();
    assert_eq!(go(&paused, MissionCommand::Settle { counts, failure: None }), MissionState::Succeeded);
    assert_eq!(go(&paused, MissionCommand::Resume), MissionState::Running { since: now() });
}

#[test]
fn pausing_and_resuming_leads_back() {
    for state in [
        MissionState::NeedsPlan { reason: "x".into() },
        MissionState::AwaitingApproval { digest: digest(1), since: now(), decide_by: now() },
        MissionState::Ready,
        MissionState::Running { since: now() },
    ] {
        let paused = go(&state, MissionCommand::Pause { by: by() });
        assert_eq!(paused.status(), MissionStatus::Paused);
        assert_eq!(go(&paused, MissionCommand::Resume), state);
    }
}

fn state() -> impl Strategy<Value = MissionState> {
    let waiting = MissionState::AwaitingApproval { digest: digest(1), since: now(), decide_by: now() };
    let paused = |resume_to| MissionState::Paused { by: by(), since: now(), resume_to };
    prop::sample::select(vec![
        MissionState::Planning { owner: "x".into(), deadline: now() },
        MissionState::NeedsPlan { reason: "x".into() },
        waiting,
        MissionState::Ready,
        MissionState::Running { since: now() },
        paused(ResumeTo::NeedsPlan { reason: "x".into() }),
        paused(ResumeTo::AwaitingApproval { digest: digest(1), since: now(), decide_by: now() }),
        paused(ResumeTo::Ready),
        paused(ResumeTo::Running { since: now() }),
        MissionState::Cancelling { by: by() },
        MissionState::Succeeded,
        MissionState::Failed { cause: MissionFailure::Budget { budget: "x".into() } },
        MissionState::Cancelled { by: by() },
        MissionState::Rejected { by: by() },
        MissionState::Expired,
    ])
}

fn command() -> impl Strategy<Value = MissionCommand> {
    let verdict =
        prop::sample::select(vec![Verdict::Allow, Verdict::Flag, Verdict::Hold { needed: 1 }, Verdict::Deny]);
    let start =
        prop::sample::select(vec![Start::Auto, Start::Manual, Start::At(now() + Duration::from_secs(9))]);
    let statuses = prop::collection::vec(prop::sample::select(TaskStatus::ALL.to_vec()), 0..5);
    let failure = || Some(MissionFailure::Task { task: "t".into(), cause: Cause::Timeout });
    prop_oneof![
        (verdict, start.clone(), 0_u8..3).prop_map(|(verdict, start, n)| {
            MissionCommand::PlanReady(Gate { digest: digest(n), ..gate(verdict, start) })
        }),
        Just(MissionCommand::NoPlan { reason: "x".into() }),
        Just(MissionCommand::Plan { owner: "n".into(), deadline: now() }),
        (0_u8..3, start).prop_map(|(n, start)| MissionCommand::Approve { digest: digest(n), start }),
        (0_u8..3).prop_map(|n| MissionCommand::Reject { digest: digest(n), by: by() }),
        Just(MissionCommand::Expire),
        Just(MissionCommand::Run),
        Just(MissionCommand::StartDue { at: now() }),
        Just(MissionCommand::Pause { by: by() }),
        Just(MissionCommand::Resume),
        Just(MissionCommand::Cancel { by: by() }),
        Just(MissionCommand::Kill { by: by() }),
        Just(MissionCommand::BudgetExceeded { by: by() }),
        statuses.prop_map(move |s| MissionCommand::Settle {
            counts: s.into_iter().collect(),
            failure: failure()
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn every_pair_is_met(state in state(), command in command()) {
        let status = state.status();
        match apply(&state, command.clone(), now()) {
            Ok(next) if status.is_terminal() => {
                prop_assert_eq!(next.state, state, "terminal is terminal");
                let settles = matches!(command, MissionCommand::Settle { .. });
                prop_assert!(settles);
            }
            Ok(next) => {
                prop_assert_eq!(next.effects.contains(&MissionEffect::Finished), next.state.status().is_terminal());
                let unlocks = next.effects.contains(&MissionEffect::UnlockTasks);
                let runs = next.state.status() == MissionStatus::Running;
                prop_assert!(!unlocks || runs, "only a running mission lets tasks loose");
                prop_assert!(!(runs && status != MissionStatus::Running) || unlocks, "{status:?} by {command:?}");
            }
            Err(refused) => {
                prop_assert!(!refused.code.is_empty() && !refused.detail.is_empty());
                if status.is_terminal() {
                    prop_assert_eq!(refused.code, "already_terminal");
                    prop_assert!(refused.detail.contains("rerun"));
                }
                // Cancel and kill are never refused before the end, and pause only while cancelling.
                let cancels = matches!(command, MissionCommand::Cancel { .. } | MissionCommand::Kill { .. });
                prop_assert!(status.is_terminal() || !cancels);
                let pauses = matches!(command, MissionCommand::Pause { .. });
                prop_assert!(status.is_terminal() || status == MissionStatus::Cancelling || !pauses);
            }
        }
    }

    #[test]
    fn a_mission_ends_exactly_when_its_tasks_do(statuses in prop::collection::vec(prop::sample::select(TaskStatus::ALL.to_vec()), 1..6)) {
        let counts: TaskCounts = statuses.iter().copied().collect();
        let running = MissionState::Running { since: now() };
        let next = go(&running, MissionCommand::Settle { counts, failure: None });
        let over = statuses.iter().all(|status| status.is_terminal());
        prop_assert_eq!(next.status().is_terminal(), over);
        let failed = statuses.contains(&TaskStatus::Failed);
        prop_assert_eq!(next.status() == MissionStatus::Failed, over && failed);
    }
}
