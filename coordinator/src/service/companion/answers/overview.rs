//! Answers about everything: how it goes, what happened, what comes, and what waits for people.

use std::collections::BTreeMap;
use std::time::Duration;

use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::time::Timestamp;

use super::super::eyes::Eyes;
use super::super::found;
use super::super::{Citation, Voice};
use crate::error::Result;

/// Things named one by one.
const FEW: usize = 8;
const DAY: Duration = Duration::from_hours(24);

fn things(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

pub(super) async fn status(eyes: &Eyes, voice: &Voice) -> Result<()> {
    let organism = eyes.organism().await?;
    let of = |counts: &BTreeMap<String, u64>, key: &str| counts.get(key).copied().unwrap_or(0);
    let agents = of(&organism.fleet, "enrolled");
    voice
        .say(
            format!(
                "{} at stage {}, {} verified. {} of {} connected, {} of {} busy.",
                organism.name,
                organism.stage,
                things(organism.verified_missions, "mission", "missions"),
                of(&organism.fleet, "online"),
                things(agents, "agent", "agents"),
                of(&organism.workers, "busy"),
                things(of(&organism.workers, "total"), "slot", "slots"),
            ),
            Vec::new(),
        )
        .await;
    let running = eyes.missions(vec![MissionStatus::Running], 5).await?;
    let count = of(&organism.missions, "running");
    if count == 0 {
        voice.say("No mission is running.", Vec::new()).await;
    } else {
        let cited = running.iter().map(found::mission).collect();
        voice.say(format!("{} running.", things(count, "mission is", "missions are")), cited).await;
    }
    let failed = eyes.missions(vec![MissionStatus::Failed], 50).await?;
    let recent: Vec<_> =
        failed.iter().filter(|one| one.finished_at.is_some_and(|at| eyes.now().since(at) < DAY)).collect();
    if !recent.is_empty() {
        let cited = recent.iter().take(5).map(|one| found::mission(one)).collect();
        let more = if recent.len() == 50 { " or more" } else { "" };
        voice
            .say(
                format!(
                    "{}{more} failed in the last 24 hours.",
                    things(recent.len() as u64, "mission", "missions")
                ),
                cited,
            )
            .await;
    }
    let waiting: u64 = organism.operator_load.values().sum();
    if waiting > 0 {
        voice
            .say(
                format!(
                    "{} for a person; ask me what needs you.",
                    things(waiting, "thing waits", "things wait")
                ),
                Vec::new(),
            )
            .await;
    }
    Ok(())
}

pub(super) async fn needs_me(eyes: &Eyes, voice: &Voice) -> Result<()> {
    let mut quiet = true;
    let approvals = eyes.approvals().await?;
    for approval in approvals.iter().take(FEW) {
        quiet = false;
        let text = format!(
            "An approval of rank {} waits until {}: {}.",
            approval.rank,
            approval.decide_by,
            found::quoted(&approval.goal)
        );
        voice.say(text, vec![found::approval(approval.id, &approval.goal)]).await;
    }
    let reviews = eyes.reviews().await?;
    if !reviews.is_empty() {
        quiet = false;
        let cited = reviews.iter().take(FEW).map(|review| Citation {
            kind: "review",
            id: review.id.to_string(),
            title: found::plain(&review.goal),
            href: "/organism/reviews".to_owned(),
        });
        voice
            .say(
                format!("{} to be judged.", things(reviews.len() as u64, "review waits", "reviews wait")),
                cited.collect(),
            )
            .await;
    }
    for (mission, task, key) in eyes.uncertain().await?.into_iter().take(FEW) {
        quiet = false;
        let text =
            format!("Nobody knows how task {} ended: look at the machine and say so.", found::quoted(&key));
        voice.say(text, vec![found::task_of(mission, task, &key)]).await;
    }
    let unplanned = eyes.missions(vec![MissionStatus::NeedsPlan], 5).await?;
    if !unplanned.is_empty() {
        quiet = false;
        let cited = unplanned.iter().map(found::mission).collect();
        voice.say("These missions have a goal and no plan.", cited).await;
    }
    if approvals.len() > FEW {
        voice.say(format!("And {} more approvals.", approvals.len() - FEW), Vec::new()).await;
    }
    if quiet {
        voice.say("Nothing waits for a person.", Vec::new()).await;
    }
    Ok(())
}

pub(super) async fn next(eyes: &Eyes, voice: &Voice) -> Result<()> {
    let mut quiet = true;
    let ready = eyes.missions(vec![MissionStatus::Ready], 5).await?;
    if !ready.is_empty() {
        quiet = false;
        voice.say("Ready and not started yet:", ready.iter().map(found::mission).collect()).await;
    }
    for schedule in eyes.schedules().await?.into_iter().take(5) {
        let Some(next) = schedule.next.first() else { continue };
        quiet = false;
        let cited = Citation {
            kind: "schedule",
            id: schedule.id.to_string(),
            title: found::plain(schedule.name.as_str()),
            href: "/organism/schedules".to_owned(),
        };
        voice
            .say(
                format!("{} runs at {}.", found::quoted(schedule.name.as_str()), found::plain(&next.local)),
                vec![cited],
            )
            .await;
    }
    let approvals = eyes.approvals().await?;
    if !approvals.is_empty() {
        quiet = false;
        let cited = approvals.iter().take(5).map(|one| found::approval(one.id, &one.goal)).collect();
        voice.say("Once approved, these run:", cited).await;
    }
    if quiet {
        voice
            .say("Nothing is due: no schedule is active, no mission is ready, no approval waits.", Vec::new())
            .await;
    }
    Ok(())
}

/// What is worth a line of its own.
const NOTABLE: [&str; 12] = [
    "mission.completed",
    "mission.cancelled",
    "mission.rejected",
    "approval.decided",
    "alert.raised",
    "agent.lost",
    "agent.enrolled",
    "agent.quarantined",
    "halt.pulled",
    "halt.released",
    "policy.changed",
    "trait.suspended",
];

pub(super) async fn changed(eyes: &Eyes, voice: &Voice, since: Timestamp) -> Result<()> {
    let entries = eyes.entries(None, None, Some(since), 200).await?;
    if entries.is_empty() {
        voice.say(format!("Nothing was written down since {since}."), Vec::new()).await;
        return Ok(());
    }
    let mut counts = BTreeMap::<&str, u64>::new();
    for entry in &entries {
        *counts.entry(entry.action.as_str()).or_default() += 1;
    }
    let mut counted: Vec<_> = counts.into_iter().collect();
    counted.sort_by_key(|(action, count)| (std::cmp::Reverse(*count), *action));
    let named: Vec<_> = counted
        .iter()
        .take(10)
        .map(|(action, count)| format!("{count} × {}", found::plain(action)))
        .collect();
    let head = if entries.len() == 200 { "The newest 200 entries" } else { "Entries" };
    voice.say(format!("{head} since {since}: {}.", named.join(", ")), Vec::new()).await;
    let notable = entries.iter().filter(|entry| NOTABLE.contains(&entry.action.as_str()));
    for entry in notable.take(FEW) {
        let came = entry.body["status"]
            .as_str()
            .or_else(|| entry.body["verdict"].as_str())
            .map(|word| format!(", {}", found::plain(word)));
        let text = format!("{}: {}{}.", entry.at, found::plain(&entry.action), came.unwrap_or_default());
        voice.say(text, vec![found::entry(entry)]).await;
    }
    Ok(())
}
