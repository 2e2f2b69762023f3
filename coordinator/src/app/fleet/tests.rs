use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;

use nexusmon_core::schedule::{Availability, Offer};
use nexusmon_shared::rank::Rank;
use serde_json::json;
use tokio::sync::Notify;

use super::*;

fn member(id: u128, version: i64, name: &str, capability: &str) -> Member {
    let manifest = json!({"name": "demo", "version": "1", "capabilities": [{"name": capability}]});
    let offer = Offer {
        name: name.to_owned(),
        capabilities: BTreeMap::new(),
        labels: BTreeMap::new(),
        slots: 4,
        levels: BTreeSet::new(),
        max_rank: Rank::B,
        allowed: None,
        consents: false,
        spawns: true,
    };
    Member {
        version,
        name: name.to_owned(),
        revoked: false,
        admitted: true,
        view: AgentView {
            id: AgentId::from_bits(id),
            offer: Arc::new(offer),
            session: 0,
            availability: Availability::Offline,
            free_slots: 0,
            prefetch: 0,
            barred: BTreeSet::new(),
            disabled: BTreeSet::new(),
            rate: None,
        },
        manifests: vec![serde_json::from_value(manifest).unwrap()],
    }
}

fn offers(cache: &FleetCache, capability: &str) -> bool {
    cache.get().catalog.get(&capability.parse().unwrap()).is_some()
}

#[test]
fn what_changes_is_put_in_place_and_what_is_older_is_ignored() {
    let cache = FleetCache::default();
    cache.put(member(1, 1, "one", "demo.a"));
    cache.put(member(2, 1, "two", "demo.a"));
    let catalog = Arc::clone(&cache.get().catalog);
    cache.put(member(3, 1, "three", "demo.a"));
    assert!(
        Arc::ptr_eq(&catalog, &cache.get().catalog),
        "nothing new is offered: no schema is compiled again"
    );
    cache.put(member(3, 2, "renamed", "demo.b"));
    assert!(offers(&cache, "demo.b"));
    cache.put(member(3, 1, "three", "demo.c"));
    assert!(!offers(&cache, "demo.c"));
    let fleet = cache.get();
    assert_eq!(fleet.by_name.keys().collect::<Vec<_>>(), ["one", "renamed", "two"]);
    cache.put(Member { revoked: true, ..member(3, 3, "renamed", "demo.b") });
    assert!(!offers(&cache, "demo.b") && offers(&cache, "demo.a"));
    assert!(!cache.get().admitted.contains(&AgentId::from_bits(3)));
    assert!(!cache.get().by_name.contains_key("renamed"));
}

#[tokio::test]
async fn a_reading_keeps_what_was_put_in_place_meanwhile_and_drops_what_is_gone() {
    let cache = FleetCache::default();
    cache.put(member(1, 1, "gone", "demo.a"));
    cache.put(member(2, 1, "changes", "demo.b"));
    cache
        .refresh(|| async {
            let read = vec![member(2, 1, "changes", "demo.b"), member(4, 1, "other node's", "demo.d")];
            cache.put(member(2, 2, "changed", "demo.b"));
            cache.put(member(3, 1, "joined", "demo.c"));
            Ok::<_, Infallible>(read)
        })
        .await
        .unwrap();
    let fleet = cache.get();
    assert_eq!(fleet.by_name.keys().collect::<Vec<_>>(), ["changed", "joined", "other node's"]);
    assert!(!offers(&cache, "demo.a") && offers(&cache, "demo.c") && offers(&cache, "demo.d"));
}

#[tokio::test]
async fn who_waits_shares_one_reading() {
    let cache = FleetCache::default();
    let (begun, go) = (Notify::new(), Notify::new());
    let readings = AtomicUsize::new(0);
    let first = cache.refresh(|| async {
        readings.fetch_add(1, Ordering::SeqCst);
        begun.notify_one();
        go.notified().await;
        Ok::<_, Infallible>(Vec::new())
    });
    let many = async {
        begun.notified().await;
        let asking = (0..100).map(|_| {
            cache.refresh(|| async {
                readings.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Infallible>(Vec::new())
            })
        });
        let asking = futures::future::join_all(asking);
        let (answers, ()) = tokio::join!(asking, async { go.notify_one() });
        for answer in answers {
            answer.unwrap();
        }
    };
    let (answer, ()) = tokio::join!(first, many);
    answer.unwrap();
    assert_eq!(readings.load(Ordering::SeqCst), 2, "the one under way, and one for all who came meanwhile");
}
