//! What other coordinators hold: agents' sessions as last read, and what their tasks last said of themselves. For what
//! people see, never for what is decided.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::id::{AgentId, TaskId};
use nexusmon_shared::time::Timestamp;

use super::running::News;

/// Attempts remembered; beyond it all are forgotten, and their next word comes soon.
const KEPT: usize = 50_000;

#[derive(Debug, Default)]
pub struct Elsewhere {
    agents: RwLock<Arc<HashMap<AgentId, Timestamp>>>,
    news: Mutex<HashMap<TaskId, (AttemptRef, News)>>,
}

impl Elsewhere {
    /// When an agent was heard of last, if another node holds its session.
    pub fn get(&self, agent: AgentId) -> Option<Timestamp> {
        self.agents.read().expect("no holder panics").get(&agent).copied()
    }

    pub(crate) fn set(&self, agents: HashMap<AgentId, Timestamp>) {
        *self.agents.write().expect("no holder panics") = Arc::new(agents);
    }

    pub fn news(&self, attempt: &AttemptRef) -> Option<News> {
        let known = self.news.lock().expect("no holder panics");
        known.get(&attempt.task).filter(|(of, _)| of == attempt).map(|(_, news)| news.clone())
    }

    pub fn update(&self, attempt: AttemptRef, change: impl FnOnce(&mut News)) {
        let mut known = self.news.lock().expect("no holder panics");
        if known.len() >= KEPT {
            known.clear();
        }
        let place = known.entry(attempt.task).or_insert_with(|| (attempt, News::default()));
        if place.0.fence > attempt.fence {
            return;
        }
        if place.0 != attempt {
            *place = (attempt, News::default());
        }
        change(&mut place.1);
    }
}
