//! What is known of running attempts and not kept: when they started, what they last said of themselves.

use std::collections::HashMap;
use std::sync::Mutex;

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::id::{MissionId, TaskId};
use nexusmon_shared::time::Timestamp;

/// News of one attempt.
#[derive(Debug, Clone, Default)]
pub struct News {
    pub started_at: Option<Timestamp>,
    pub fraction: Option<f64>,
    pub text: String,
}

/// By task; the newest attempt only.
#[derive(Debug, Default)]
pub struct RunningCache {
    news: Mutex<HashMap<TaskId, (AttemptRef, News)>>,
    missions: Mutex<HashMap<TaskId, MissionId>>,
}

impl RunningCache {
    pub fn update(&self, attempt: AttemptRef, change: impl FnOnce(&mut News)) {
        let mut known = self.news.lock().expect("no holder panics");
        let place = known.entry(attempt.task).or_insert_with(|| (attempt, News::default()));
        if place.0.fence > attempt.fence {
            return;
        }
        if place.0 != attempt {
            *place = (attempt, News::default());
        }
        change(&mut place.1);
    }

    /// The mission of a task that was granted here.
    pub fn mission(&self, task: TaskId) -> Option<MissionId> {
        self.missions.lock().expect("no holder panics").get(&task).copied()
    }

    pub fn granted(&self, tasks: impl IntoIterator<Item = (TaskId, MissionId)>) {
        self.missions.lock().expect("no holder panics").extend(tasks);
    }

    pub fn get(&self, attempt: &AttemptRef) -> Option<News> {
        let known = self.news.lock().expect("no holder panics");
        known.get(&attempt.task).filter(|(of, _)| of == attempt).map(|(_, news)| news.clone())
    }

    pub fn forget<'a>(&self, attempts: impl IntoIterator<Item = &'a AttemptRef>) {
        let mut known = self.news.lock().expect("no holder panics");
        let mut missions = self.missions.lock().expect("no holder panics");
        for attempt in attempts {
            missions.remove(&attempt.task);
            if known.get(&attempt.task).is_some_and(|(of, _)| of.fence <= attempt.fence) {
                known.remove(&attempt.task);
            }
        }
    }
}
