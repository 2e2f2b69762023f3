//! What is known of running attempts and not kept: when they started, what they last said of themselves.

use std::collections::{HashMap, VecDeque};
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

/// Attempts that are over and still known: whoever read their rows a moment before must not see them as never started.
const OVER: usize = 4096;

/// By task; the newest attempt only.
#[derive(Debug, Default)]
pub struct RunningCache {
    news: Mutex<HashMap<TaskId, (AttemptRef, News)>>,
    over: Mutex<VecDeque<AttemptRef>>,
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

    /// These are over: little by little they are forgotten.
    pub fn forget<'a>(&self, attempts: impl IntoIterator<Item = &'a AttemptRef>) {
        let mut known = self.news.lock().expect("no holder panics");
        let mut missions = self.missions.lock().expect("no holder panics");
        let mut over = self.over.lock().expect("no holder panics");
        for attempt in attempts {
            missions.remove(&attempt.task);
            if known.contains_key(&attempt.task) {
                over.push_back(*attempt);
            }
        }
        while over.len() > OVER
            && let Some(attempt) = over.pop_front()
        {
            if known.get(&attempt.task).is_some_and(|(of, _)| of.fence <= attempt.fence) {
                known.remove(&attempt.task);
            }
        }
    }
}
