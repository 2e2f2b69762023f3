//! Events: in order, none twice, none lost, resumed where the line broke.

use anyhow::Result;
use serde_json::{Value, json};

use crate::served::{Events, Served};

/// Reads until `wanted` missions have been told as created; gives the sequence numbers of all changes seen.
async fn until_created(events: &mut Events, wanted: usize) -> Result<Vec<i64>> {
    let (mut seen, mut created) = (Vec::new(), 0);
    while created < wanted {
        let event = events.next().await?;
        if event.name != "change" {
            continue;
        }
        let change: Value = serde_json::from_str(&event.data)?;
        if let Some(seq) = change["seq"].as_i64() {
            assert_eq!(event.id, Some(seq.to_string()));
            seen.push(seq);
        }
        created += usize::from(change["kind"] == "mission.created");
    }
    Ok(seen)
}

async fn create(served: &Served, goal: &str) -> Result<String> {
    let (status, mission) = served.call("POST", "/v1/engine/missions", Some(&json!({"goal": goal}))).await?;
    assert_eq!(status, 201, "{mission}");
    Ok(mission["id"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_line_goes_on_where_it_broke() -> Result<()> {
    let served = Served::start().await?;
    let mut first = served.events("/v1/events", None).await?;
    create(&served, "one").await?;
    let before = until_created(&mut first, 1).await?;
    drop(first);
    create(&served, "two").await?;
    create(&served, "three").await?;
    let last = before.last().copied().expect("an event");
    let mut resumed = served.events("/v1/events", Some(last)).await?;
    let after = until_created(&mut resumed, 2).await?;
    assert!(after.iter().all(|seq| *seq > last), "{after:?} after {last}");
    assert!(after.is_sorted(), "{after:?}");
    // From the beginning, everything is told again, in the same order.
    let mut whole = served.events("/v1/events?after=0", None).await?;
    let all = until_created(&mut whole, 3).await?;
    assert!(all.ends_with(&after) && all.is_sorted(), "{all:?} {after:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mission_has_its_own_stream() -> Result<()> {
    let served = Served::start().await?;
    let other = create(&served, "other").await?;
    let mine = create(&served, "mine").await?;
    let mut events = served.events(&format!("/v1/engine/missions/{mine}/events?after=0"), None).await?;
    let change = loop {
        let event = events.next().await?;
        if event.name == "change" {
            break serde_json::from_str::<Value>(&event.data)?;
        }
    };
    assert_eq!(change["mission"], mine.as_str());
    assert_ne!(change["mission"], other.as_str());
    let (status, _) =
        served.call("GET", "/v1/engine/missions/mis_00000000000000000000000000/events", None).await?;
    assert_eq!(status, 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_none_is_refused() -> Result<()> {
    let served = Served::start().await?;
    let response = served.authorized("GET", "/v1/events").header("last-event-id", "x").send().await?;
    assert_eq!(response.status(), 400);
    Ok(())
}
