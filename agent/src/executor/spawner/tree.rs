//! One tree and when it must end. Time comes in as boot-clock milliseconds; acting on it is the supervisor's.

use rustix::process::Pid;

use crate::executor::protocol::{Confinement, Lease, Reason, Start, Status};

/// Between the end of what a leased tree may live and its SIGKILL at the latest, in milliseconds.
const LEASE_GRACE: u64 = 3_000;

/// A tree, from the order to start it until it is gone.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) key: String,
    /// Its first process, once there is one; the pid stays known after that has been reaped.
    pub(crate) main: Option<Pid>,
    /// Boot-clock milliseconds of the order, to tell which strangers can be its own.
    pub(crate) ordered: u64,
    /// How the first process ended, once it has.
    pub(crate) status: Option<Status>,
    /// Processes between the spawner and the task that must not see SIGTERM: bubblewrap's own two.
    pub(crate) shielded: usize,
    pub(crate) lease: Lease,
    /// Counted, and ended when it has grown too large.
    pub(crate) is_confined: bool,
    timeout: Option<u64>,
    timeout_at: Option<u64>,
    grace: u64,
    end: Option<End>,
}

/// An end that has begun.
#[derive(Debug, Clone, Copy)]
struct End {
    reason: Reason,
    kill_at: u64,
    killed: bool,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Terminate,
    Kill,
}

impl Tree {
    pub(crate) fn new(start: &Start, now: u64) -> Self {
        Self {
            key: start.key.clone(),
            main: None,
            ordered: now,
            status: None,
            shielded: match start.confinement {
                Confinement::Bubblewrap { .. } => 2,
                _ => 0,
            },
            lease: start.lease,
            is_confined: start.confinement != Confinement::Free,
            timeout: start.timeout,
            timeout_at: None,
            grace: start.grace,
            end: None,
        }
    }

    /// The first process exists; its time begins. True if its end has been asked for meanwhile.
    pub(crate) fn begin(&mut self, main: Pid, now: u64) -> bool {
        self.main = Some(main);
        self.timeout_at = self.timeout.map(|timeout| now.saturating_add(timeout));
        self.end.is_some()
    }

    /// Asks for the end. True if SIGTERM is to be sent now; a later call can only bring SIGKILL nearer.
    pub(crate) fn ask(&mut self, reason: Reason, grace: u64, now: u64) -> bool {
        let kill_at = now.saturating_add(grace);
        match &mut self.end {
            Some(end) => {
                end.kill_at = end.kill_at.min(kill_at);
                false
            }
            None => {
                self.end = Some(End { reason, kill_at, killed: false });
                true
            }
        }
    }

    /// What is due at `now`, given that leased trees may live until `live_until`. Changes state: ask once, then act.
    pub(crate) fn due(&mut self, live_until: Option<u64>, now: u64) -> Due {
        if self.status.is_some() || self.main.is_none() {
            return Due::Nothing;
        }
        let kill_at = self.kill_at(live_until);
        if let Some(end) = &mut self.end {
            if kill_at.is_some_and(|at| now >= at) {
                // Every later round kills again, should something have slipped through.
                end.killed = true;
                return Due::Kill;
            }
            return Due::Nothing;
        }
        let lease_at = self.lease_at(live_until);
        if lease_at.is_some_and(|at| now >= at) {
            self.ask(Reason::Lease, self.grace, now);
            return Due::Terminate;
        }
        if self.timeout_at.is_some_and(|at| now >= at) {
            self.ask(Reason::Timeout, self.grace, now);
            return Due::Terminate;
        }
        Due::Nothing
    }

    /// When [`Tree::due`] is worth asking again.
    pub(crate) fn next(&self, live_until: Option<u64>) -> Option<u64> {
        if self.status.is_some() || self.main.is_none() {
            return None;
        }
        match self.end {
            Some(end) if end.killed => None,
            Some(_) => self.kill_at(live_until),
            None => self.timeout_at.into_iter().chain(self.lease_at(live_until)).min(),
        }
    }

    /// A grace never reaches past the margin the agent kept back from the real end of the lease.
    fn kill_at(&self, live_until: Option<u64>) -> Option<u64> {
        let lease_at = self.lease_at(live_until).map(|at| at.saturating_add(LEASE_GRACE));
        self.end.map(|end| end.kill_at).into_iter().chain(lease_at).min()
    }

    fn lease_at(&self, live_until: Option<u64>) -> Option<u64> {
        match self.lease {
            Lease::Agent => None,
            Lease::Until { offline } => live_until.map(|until| until.saturating_add(offline)),
        }
    }

    /// Whether SIGKILL has been sent and the tree is not gone yet.
    #[cfg(test)]
    pub(crate) fn is_dying(&self) -> bool {
        self.status.is_some() || self.end.is_some_and(|end| end.killed)
    }

    pub(crate) fn reason(&self) -> Reason {
        self.end.map_or(Reason::Itself, |end| end.reason)
    }

    /// Whether it may go on when nobody is left to report to.
    pub(crate) fn outlives_agent(&self) -> bool {
        matches!(self.lease, Lease::Until { offline } if offline > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(timeout: Option<u64>, grace: u64, lease: Lease, now: u64) -> Tree {
        let start = Start {
            id: 1,
            key: "k".into(),
            program: String::new(),
            args: vec![],
            env: std::collections::BTreeMap::new(),
            cwd: String::new(),
            confinement: Confinement::Free,
            stdin: false,
            doorway: false,
            secrets: Vec::new(),
            timeout,
            grace,
            lease,
        };
        let mut tree = Tree::new(&start, now);
        tree.begin(Pid::INIT, now);
        tree
    }

    proptest! {
        /// Whatever comes in, a leased tree is killed before the five seconds the agent kept back are over.
        #[test]
        fn nothing_leased_outlives_its_lease(
            timeout in proptest::option::of(0_u64..100_000),
            grace in 0_u64..1_000_000,
            offline in 0_u64..50_000,
            until in 0_u64..100_000,
            steps in proptest::collection::vec(1_u64..2_000, 1..400),
        ) {
            let mut tree = tree(timeout, grace, Lease::Until { offline }, 0);
            let (mut now, mut killed) = (0, None);
            for step in steps {
                // The timer fires when asked to; other events come in between.
                now = tree.next(Some(until)).map_or(now + step, |next| next.clamp(now, now + step));
                if tree.due(Some(until), now) == Due::Kill {
                    killed.get_or_insert(now);
                }
            }
            if now >= until + offline + 3_000 {
                prop_assert!(killed.is_some_and(|at| at <= until + offline + 3_000));
            }
            if timeout.is_none() && now < until + offline {
                prop_assert!(killed.is_none());
            }
        }
    }

    #[test]
    fn a_timeout_terminates_and_then_kills() {
        let mut tree = tree(Some(1_000), 500, Lease::Agent, 100);
        assert_eq!(tree.due(None, 1_099), Due::Nothing);
        assert_eq!(tree.next(None), Some(1_100));
        assert_eq!(tree.due(None, 1_100), Due::Terminate);
        assert_eq!(tree.due(None, 1_599), Due::Nothing);
        assert_eq!(tree.due(None, 1_600), Due::Kill);
        assert_eq!(tree.reason(), Reason::Timeout);
        assert!(tree.is_dying());
    }

    #[test]
    fn a_second_request_only_shortens_the_grace() {
        let mut tree = tree(None, 0, Lease::Agent, 0);
        assert!(tree.ask(Reason::Asked, 5_000, 0));
        assert!(!tree.ask(Reason::Asked, 60_000, 0));
        assert_eq!(tree.next(None), Some(5_000));
        assert!(!tree.ask(Reason::Asked, 10, 100));
        assert_eq!(tree.due(None, 110), Due::Kill);
    }
}
