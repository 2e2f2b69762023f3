//! Answers to questions that were asked before, for an hour: a goal stated twice is paid for once.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use nexusmon_shared::digest::Digest;
use serde_json::Value;

const MOST: usize = 64;
const KEPT: Duration = Duration::from_hours(1);

#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<Digest, (Duration, Value)>>);

impl Cache {
    pub(super) fn get(&self, key: &Digest, now: Duration) -> Option<Value> {
        let known = self.0.lock().expect("no holder panics");
        known.get(key).filter(|(at, _)| now.saturating_sub(*at) < KEPT).map(|(_, value)| value.clone())
    }

    pub(super) fn put(&self, key: Digest, value: Value, now: Duration) {
        let mut known = self.0.lock().expect("no holder panics");
        known.retain(|_, (at, _)| now.saturating_sub(*at) < KEPT);
        if known.len() >= MOST
            && let Some(oldest) = known.iter().min_by_key(|(_, (at, _))| *at).map(|(key, _)| *key)
        {
            known.remove(&oldest);
        }
        known.insert(key, (now, value));
    }

    /// What did not stand the test is not given again.
    pub(super) fn forget(&self, key: &Digest) {
        self.0.lock().expect("no holder panics").remove(key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_kept_for_an_hour_and_the_oldest_leaves_first() {
        let cache = Cache::default();
        let key = |number: usize| Digest::of(&number.to_le_bytes());
        for number in 0..=MOST {
            cache.put(key(number), json!(number), Duration::from_secs(number as u64));
        }
        let now = Duration::from_mins(2);
        assert_eq!(cache.get(&key(0), now), None);
        assert_eq!(cache.get(&key(MOST), now), Some(json!(MOST)));
        assert_eq!(cache.get(&key(MOST), now + KEPT), None);
        cache.forget(&key(MOST));
        assert_eq!(cache.get(&key(MOST), now), None);
    }
}
