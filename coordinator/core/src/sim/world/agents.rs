//! What agents and the network between do, with what goes wrong there.

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::outcome::{Cause, Ending, Report};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::task::{Outputs, TaskStatus};
use rand::RngExt as _;

use super::{Held, Message, Violation, World};
use crate::mission::MissionCommand;

impl World {
    /// One message arrives, from anywhere in the queue; with faults some are lost, some come twice.
    pub(super) fn deliver(&mut self, faults: bool) -> Result<(), Violation> {
        if self.network.is_empty() {
            return Ok(());
        }
        let place = if faults { self.rng.random_range(0..self.network.len()) } else { 0 };
        let Some(message) = self.network.remove(place) else { return Ok(()) };
        if faults && self.rng.random_ratio(1, 6) {
            // A stream loses messages only by breaking: its agent is cut off with it.
            let agent = match message {
                Message::Order { agent, .. }
                | Message::Started { agent, .. }
                | Message::Finished { agent, .. } => agent,
            };
            self.agents[agent].connected = false;
            self.note(format!("lost message, cut {agent}"));
            return Ok(());
        }
        if faults && self.rng.random_ratio(1, 6) {
            self.network.push_back(message.clone());
        }
        match message {
            Message::Order { agent, session, task, fence } => {
                let newer = self.agents[agent].seen.get(&task).is_none_or(|seen| fence > *seen);
                let agent = &mut self.agents[agent];
                if agent.connected && agent.session == session && newer {
                    agent.seen.insert(task, fence);
                    agent.held.push(Held { task, fence, started: false, report: None });
                }
            }
            Message::Started { task, fence, .. } => {
                if let Some(started) = crate::task::started(&self.tasks[task].task, fence, self.now) {
                    self.tasks[task].task = started;
                }
            }
            Message::Finished { agent, task, report } => {
                let fence = report.attempt.fence;
                self.report(task, report)?;
                // The acknowledgement may be lost too; then the journal sends it again.
                if !(faults && self.rng.random_ratio(1, 6)) {
                    self.agents[agent].held.retain(|held| held.task != task || held.fence != fence);
                }
            }
        }
        Ok(())
    }

    /// An agent moves each attempt it holds on by one phase.
    pub(super) fn agent_works(&mut self, faults: bool) -> Result<(), Violation> {
        let at = self.rng.random_range(0..self.agents.len());
        for place in 0..self.agents[at].held.len() {
            let Held { task, fence, started, report } = self.agents[at].held[place].clone();
            if report.is_some() {
                continue;
            }
            if started {
                let ending = match self.rng.random_range(0..10_u32) {
                    0..2 => Ending::Failed { cause: Cause::ExitStatus { code: 1 } },
                    2 if self.is_cancelling(task) => Ending::Cancelled,
                    _ => Ending::Succeeded { outputs: Outputs::new() },
                };
                self.end(at, place, ending);
            } else {
                if faults && self.rng.random_ratio(1, 10) {
                    self.end(at, place, Ending::Returned);
                    continue;
                }
                // Cut off it may finish what runs, never start anything.
                if !self.agents[at].connected {
                    continue;
                }
                let unmet = |need: &&usize| self.tasks[**need].task.state.status() != TaskStatus::Succeeded;
                if let Some(need) = self.tasks[task].needs.iter().find(unmet) {
                    let (task, need) = (self.tasks[task].id, self.tasks[*need].id);
                    return Err(self.violation(format!("{task} began, which needs {need}")));
                }
                self.agents[at].held[place].started = true;
                self.tasks[task].began += 1;
                self.network.push_back(Message::Started { agent: at, task, fence });
            }
        }
        self.send_reports(at);
        Ok(())
    }

    fn is_cancelling(&self, task: usize) -> bool {
        self.missions[self.tasks[task].mission].state.status() == MissionStatus::Cancelling
    }

    fn end(&mut self, agent: usize, place: usize, ending: Ending) {
        let now = self.now;
        let held = &mut self.agents[agent].held[place];
        let attempt = AttemptRef { task: self.tasks[held.task].id, fence: held.fence };
        held.report = Some(Report {
            attempt,
            ending,
            started_at: held.started.then_some(now),
            finished_at: now,
            artifacts: vec![],
            log_bytes: 0,
            sandbox_level: None,
            provenance: None,
        });
    }

    /// Everything the journal holds is sent again until it is acknowledged.
    fn send_reports(&mut self, agent: usize) {
        if !self.agents[agent].connected {
            return;
        }
        for held in self.agents[agent].held.clone() {
            if let Some(report) = held.report {
                self.network.push_back(Message::Finished { agent, task: held.task, report });
            }
        }
    }

    /// An agent dies and comes back later. Its journal says what had started; rarely the journal is lost as well.
    pub(super) fn crash(&mut self) {
        let at = self.rng.random_range(0..self.agents.len());
        self.note(format!("crash {at}"));
        self.agents[at].connected = false;
        if self.rng.random_ratio(1, 4) {
            // Fences in its memory go with the journal, but the session number has moved on.
            self.agents[at].held.clear();
            self.agents[at].seen.clear();
            return;
        }
        for place in 0..self.agents[at].held.len() {
            let held = &self.agents[at].held[place];
            if held.started && held.report.is_none() {
                self.end(at, place, Ending::Unknown);
            }
        }
        self.agents[at].held.retain(|held| held.started || held.report.is_some());
    }

    /// The line is cut; what runs goes on.
    pub(super) fn cut(&mut self) {
        let at = self.rng.random_range(0..self.agents.len());
        self.agents[at].connected = false;
        self.note(format!("cut {at}"));
    }

    /// The coordinator dies and comes back: what was committed stays, everything under way is gone.
    pub(super) fn restart(&mut self) {
        self.network.clear();
        for agent in &mut self.agents {
            agent.connected = false;
        }
        self.note("the coordinator restarts".to_owned());
    }

    /// A cut agent returns under a new session, drops what is no longer its own, and sends its journal.
    pub(super) fn heal(&mut self) {
        for at in 0..self.agents.len() {
            if !self.agents[at].connected {
                self.agents[at].connected = true;
                self.agents[at].session += 1;
                self.reconcile(at);
            }
        }
        for mission in 0..self.missions.len() {
            if self.rng.random_ratio(1, 4) {
                self.missions[mission].approved = Rank::B;
            }
            if self.missions[mission].state.status() == MissionStatus::Paused && self.rng.random_ratio(1, 3) {
                self.command(mission, MissionCommand::Resume);
            }
        }
    }

    /// Held attempts with a current fence are adopted, others are cancelled.
    fn reconcile(&mut self, at: usize) {
        let (id, session) = (self.agents[at].id, self.agents[at].session);
        let held = std::mem::take(&mut self.agents[at].held);
        for held in held {
            let task = &mut self.tasks[held.task].task;
            let current = task.fence == held.fence;
            if let Some(lease) = lease_of(task).filter(|lease| current && lease.agent == id) {
                lease.session = session;
            }
            if current || held.report.is_some() {
                self.agents[at].held.push(held);
            }
        }
        self.send_reports(at);
    }
}

fn lease_of(task: &mut nexusmon_shared::task::Task) -> Option<&mut nexusmon_shared::attempt::Lease> {
    match &mut task.state {
        nexusmon_shared::task::TaskState::Leased { lease }
        | nexusmon_shared::task::TaskState::Running { lease, .. } => Some(lease),
        _ => None,
    }
}
