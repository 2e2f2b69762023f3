//! The transitions. Every (state, command) pair is met: either a next state, or a refusal with a stable code.

use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::mission::{MissionFailure, MissionState as State, ResumeTo};
use nexusmon_shared::time::Timestamp;

use super::{Gate, MissionCommand as Command, MissionEffect as Effect, Start, TaskCounts, Transition};
use super::{completion, digest_changed};
use crate::Refused;
use crate::policy::Verdict;

/// The first state of a mission that came with an explicit plan. Refused with `denied_by_policy` where governance
/// denies it.
pub fn create(gate: Gate, now: Timestamp) -> Result<Transition, Refused> {
    gated(gate, now, false)
}

/// Applies a command to a state. Pause and cancel work in every state that is not terminal.
pub fn apply(state: &State, command: Command, now: Timestamp) -> Result<Transition, Refused> {
    if state.status().is_terminal() {
        return terminal(state, &command);
    }
    match command {
        Command::PlanReady(gate) => plan_ready(state, gate, now),
        Command::Plan { owner, deadline } => match state {
            State::NeedsPlan { .. } => to(State::Planning { owner, deadline }, vec![]),
            _ => Err(not_now(state, "not_planless", "planners are asked for a mission that needs a plan")),
        },
        Command::NoPlan { reason } => match state {
            State::Planning { .. } => to(State::NeedsPlan { reason }, vec![]),
            _ => Err(not_now(state, "planning", "only a mission being planned can be left without a plan")),
        },
        Command::Approve { digest, start } => match state {
            State::AwaitingApproval { digest: current, .. } if *current == digest => {
                to_start(start, now, vec![])
            }
            State::AwaitingApproval { digest: current, .. } => Err(digest_changed(&digest, current)),
            State::Paused { by, since, resume_to: ResumeTo::AwaitingApproval { digest: current, .. } } => {
                if *current != digest {
                    return Err(digest_changed(&digest, current));
                }
                let started = to_start(start, now, vec![])?.state;
                let resume_to = match started {
                    State::Running { since } => ResumeTo::Running { since },
                    _ => ResumeTo::Ready,
                };
                to(State::Paused { by: *by, since: *since, resume_to }, vec![])
            }
            _ => Err(not_awaiting(state)),
        },
        Command::Reject { digest, by } => match waiting_digest(state) {
            Some(current) if current == digest => finish(State::Rejected { by }, true),
            Some(current) => Err(digest_changed(&digest, &current)),
            None => Err(not_awaiting(state)),
        },
        Command::Expire => match decide_by(state) {
            Some(deadline) if deadline <= now => finish(State::Expired, true),
            Some(_) => Err(Refused::new("not_due", "the approval can still be decided")),
            None => Err(not_awaiting(state)),
        },
        Command::Run => run(state, now),
        Command::StartDue { at } => match state {
            State::Ready if at <= now => running(now),
            State::Ready => Err(Refused::new("not_due", format!("the mission starts at {at}"))),
            _ => Err(not_now(state, "not_ready", "only a ready mission can start")),
        },
        Command::Pause { by } | Command::BudgetExceeded { by } => pause(state, by, now),
        Command::Resume => resume(state),
        Command::Cancel { by } => cancel(state, by),
        Command::Kill { by } => match state {
            // Told again, and harder.
            State::Cancelling { .. } => to(state.clone(), vec![Effect::CancelRunning]),
            _ => cancel(state, by),
        },
        Command::Settle { counts, failure } => settle(state, &counts, failure),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every arm of a transition answers a Result")]
fn to(state: State, effects: Vec<Effect>) -> Result<Transition, Refused> {
    Ok(Transition { state, effects })
}

fn running(now: Timestamp) -> Result<Transition, Refused> {
    to(State::Running { since: now }, vec![Effect::UnlockTasks, Effect::WakeScheduler])
}

fn to_start(start: Start, now: Timestamp, mut effects: Vec<Effect>) -> Result<Transition, Refused> {
    let due = match start {
        Start::Auto => true,
        Start::Manual => false,
        Start::At(time) => time <= now,
    };
    if !due {
        return to(State::Ready, effects);
    }
    let mut started = running(now)?;
    effects.append(&mut started.effects);
    to(started.state, effects)
}

/// The state a gate leads to. `replaces`: an earlier plan's approval may be open.
fn gated(gate: Gate, now: Timestamp, replaces: bool) -> Result<Transition, Refused> {
    let Gate { digest, verdict, decide_within, start } = gate;
    let effects = if replaces { vec![Effect::VoidApproval] } else { vec![] };
    match verdict {
        Verdict::Allow => to_start(start, now, effects),
        Verdict::Flag => {
            to_start(start, now, effects.into_iter().chain([Effect::OpenReview { digest }]).collect())
        }
        Verdict::Hold { needed } => {
            let decide_by = now + decide_within;
            let open = Effect::OpenApproval { digest, needed, decide_by };
            to(
                State::AwaitingApproval { digest, since: now, decide_by },
                effects.into_iter().chain([open]).collect(),
            )
        }
        Verdict::Deny => Err(Refused::new(
            "denied_by_policy",
            "policy denies this plan; the decision names the policies that determined it",
        )),
    }
}

fn plan_ready(state: &State, gate: Gate, now: Timestamp) -> Result<Transition, Refused> {
    match state {
        State::Planning { .. } | State::NeedsPlan { .. } => gated(gate, now, false),
        // Re-planning to the identical digest keeps the approval.
        State::AwaitingApproval { digest, .. }
            if *digest == gate.digest && matches!(gate.verdict, Verdict::Hold { .. }) =>
        {
            to(state.clone(), vec![])
        }
        State::AwaitingApproval { .. } | State::Ready => gated(gate, now, true),
        State::Paused { by, since, resume_to } => {
            let (inner, replaces) = match resume_to {
                ResumeTo::NeedsPlan { reason } => (State::NeedsPlan { reason: reason.clone() }, false),
                ResumeTo::AwaitingApproval { digest, since, decide_by } => {
                    let (digest, since, decide_by) = (*digest, *since, *decide_by);
                    (State::AwaitingApproval { digest, since, decide_by }, true)
                }
                ResumeTo::Ready => (State::Ready, true),
                ResumeTo::Running { .. } => return Err(already_running(state)),
            };
            // While paused nothing starts: a plan that may start is ready at most.
            let gate = Gate { start: Start::Manual, ..gate };
            let next = match inner {
                State::AwaitingApproval { .. } => plan_ready(&inner, gate, now)?,
                _ => gated(gate, now, replaces)?,
            };
            let resume_to = resume_point(&next.state).unwrap_or_else(|| resume_to.clone());
            to(State::Paused { by: *by, since: *since, resume_to }, next.effects)
        }
        State::Running { .. } | State::Cancelling { .. } => Err(already_running(state)),
        _ => terminal(state, &Command::Resume),
    }
}

fn run(state: &State, now: Timestamp) -> Result<Transition, Refused> {
    match state {
        State::Ready => running(now),
        State::AwaitingApproval { digest, .. } => Err(Refused::new(
            "awaiting_approval",
            format!("the mission waits for an approval over {digest}: approve it, and it starts"),
        )),
        State::Paused { .. } => Err(Refused::new("paused", "the mission is paused: resume it instead")),
        State::Running { .. } => Err(Refused::new("already_running", "the mission is running already")),
        State::Planning { .. } | State::NeedsPlan { .. } => {
            Err(Refused::new("not_ready", "the mission has no plan yet"))
        }
        State::Cancelling { .. } => Err(cancelling()),
        _ => terminal(state, &Command::Run),
    }
}

fn resume_point(state: &State) -> Option<ResumeTo> {
    match state {
        State::NeedsPlan { reason } => Some(ResumeTo::NeedsPlan { reason: reason.clone() }),
        State::AwaitingApproval { digest, since, decide_by } => {
            Some(ResumeTo::AwaitingApproval { digest: *digest, since: *since, decide_by: *decide_by })
        }
        State::Ready => Some(ResumeTo::Ready),
        State::Running { since } => Some(ResumeTo::Running { since: *since }),
        _ => None,
    }
}

fn pause(state: &State, by: PrincipalId, now: Timestamp) -> Result<Transition, Refused> {
    match state {
        // The planner's answer is lost with its lease; planning starts over on resume.
        State::Planning { .. } => {
            let reason = "paused while it was being planned".to_owned();
            to(State::Paused { by, since: now, resume_to: ResumeTo::NeedsPlan { reason } }, vec![])
        }
        State::Paused { .. } => to(state.clone(), vec![]),
        State::Cancelling { .. } => Err(cancelling()),
        _ => {
            let Some(resume_to) = resume_point(state) else { return terminal(state, &Command::Resume) };
            let effects = match resume_to {
                ResumeTo::Running { .. } => vec![Effect::RecallUnstarted],
                _ => vec![],
            };
            to(State::Paused { by, since: now, resume_to }, effects)
        }
    }
}

fn resume(state: &State) -> Result<Transition, Refused> {
    let State::Paused { resume_to, .. } = state else {
        return Err(match state {
            State::Cancelling { .. } => cancelling(),
            _ => {
                Refused::new("not_paused", format!("the mission is {}, not paused", state.status().as_str()))
            }
        });
    };
    match resume_to.clone() {
        ResumeTo::NeedsPlan { reason } => to(State::NeedsPlan { reason }, vec![]),
        ResumeTo::AwaitingApproval { digest, since, decide_by } => {
            to(State::AwaitingApproval { digest, since, decide_by }, vec![])
        }
        ResumeTo::Ready => to(State::Ready, vec![]),
        ResumeTo::Running { since } => {
            to(State::Running { since }, vec![Effect::UnlockTasks, Effect::WakeScheduler])
        }
    }
}

fn cancel(state: &State, by: PrincipalId) -> Result<Transition, Refused> {
    let has_run = match state {
        State::Running { .. } | State::Paused { resume_to: ResumeTo::Running { .. }, .. } => true,
        State::Cancelling { .. } => return to(state.clone(), vec![]),
        _ => false,
    };
    if has_run {
        let effects = vec![Effect::CancelWaitingTasks, Effect::RecallUnstarted, Effect::CancelRunning];
        return to(State::Cancelling { by }, effects);
    }
    finish(State::Cancelled { by }, waiting_digest(state).is_some())
}

fn settle(
    state: &State,
    counts: &TaskCounts,
    failure: Option<MissionFailure>,
) -> Result<Transition, Refused> {
    match state {
        State::Cancelling { by } if counts.all_terminal() => {
            to(State::Cancelled { by: *by }, vec![Effect::Finished])
        }
        // Work that ran on while paused may end the mission.
        State::Running { .. } | State::Paused { resume_to: ResumeTo::Running { .. }, .. } => {
            match completion(counts, failure) {
                Some(end) => to(end, vec![Effect::Finished]),
                None => to(state.clone(), vec![]),
            }
        }
        _ => to(state.clone(), vec![]),
    }
}

/// Ends a mission none of whose tasks was ever granted.
fn finish(state: State, approval_open: bool) -> Result<Transition, Refused> {
    let void = approval_open.then_some(Effect::VoidApproval);
    to(state, void.into_iter().chain([Effect::CancelWaitingTasks, Effect::Finished]).collect())
}

fn waiting_digest(state: &State) -> Option<nexusmon_shared::digest::Digest> {
    match state {
        State::AwaitingApproval { digest, .. }
        | State::Paused { resume_to: ResumeTo::AwaitingApproval { digest, .. }, .. } => Some(*digest),
        _ => None,
    }
}

fn decide_by(state: &State) -> Option<Timestamp> {
    match state {
        State::AwaitingApproval { decide_by, .. }
        | State::Paused { resume_to: ResumeTo::AwaitingApproval { decide_by, .. }, .. } => Some(*decide_by),
        _ => None,
    }
}

/// Terminal is terminal. Settling and cancelling what is over changes nothing and is no error for the former.
fn terminal(state: &State, command: &Command) -> Result<Transition, Refused> {
    if matches!(command, Command::Settle { .. }) {
        return to(state.clone(), vec![]);
    }
    Err(Refused::new(
        "already_terminal",
        format!("the mission is over ({}): `rerun` makes a new one from it", state.status().as_str()),
    ))
}

fn cancelling() -> Refused {
    Refused::new("cancelling", "the mission is being cancelled")
}

fn already_running(state: &State) -> Refused {
    Refused::new(
        "already_running",
        format!("the mission is {}: its plan can no longer change", state.status().as_str()),
    )
}

fn not_awaiting(state: &State) -> Refused {
    not_now(state, "not_awaiting_approval", "there is nothing to approve")
}

fn not_now(state: &State, code: &'static str, detail: &str) -> Refused {
    Refused::new(code, format!("the mission is {}: {detail}", state.status().as_str()))
}
