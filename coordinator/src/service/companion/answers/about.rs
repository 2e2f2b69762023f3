//! Answers about one thing, or two: why it waits, failed, has its rank; how two runs differ; where an artifact is.

use std::collections::BTreeMap;

use nexusmon_core::companion::About;
use nexusmon_shared::mission::{MissionState, MissionStatus};
use nexusmon_shared::task::TaskStatus;
use serde_json::Value;

use super::super::super::missions::{DryRunTask, MissionView, TaskView};
use super::super::Voice;
use super::super::eyes::Eyes;
use super::super::found;
use crate::error::Result;

const FEW: usize = 8;
/// Missions that wait, whatever for.
const WAITING: [MissionStatus; 5] = [
    MissionStatus::AwaitingApproval,
    MissionStatus::NeedsPlan,
    MissionStatus::Ready,
    MissionStatus::Running,
    MissionStatus::Paused,
];

/// The mission that is meant, or a word that there is none.
async fn meant(
    eyes: &Eyes,
    voice: &Voice,
    about: &About,
    looked_at: Option<&str>,
    status: &[MissionStatus],
) -> Result<Option<MissionView>> {
    let found = eyes.find(about, looked_at, status).await?;
    if found.is_none() {
        let text = match about {
            About::Id(id) => format!("There is no mission {}, or you may not see it.", found::plain(id)),
            About::Words(words) => format!("No mission's goal holds {}.", found::quoted(words)),
            About::This => "There is no such mission; name one by its id or by words of its goal.".to_owned(),
        };
        voice.say(text, Vec::new()).await;
    }
    Ok(found)
}

pub(super) async fn waiting(
    eyes: &Eyes,
    voice: &Voice,
    about: &About,
    looked_at: Option<&str>,
) -> Result<()> {
    let Some(view) = meant(eyes, voice, about, looked_at, &WAITING).await? else { return Ok(()) };
    let goal = found::quoted(&view.summary.goal);
    let cited = vec![found::mission(&view.summary)];
    match &view.state {
        MissionState::AwaitingApproval { decide_by, .. } => {
            let mut cited = cited;
            cited.extend(view.approval.map(|id| found::approval(id, &view.summary.goal)));
            let text = format!(
                "{goal} waits for an approval of rank {}, until {decide_by} at the latest.",
                view.summary.rank
            );
            voice.say(text, cited).await;
            return Ok(());
        }
        MissionState::NeedsPlan { reason } => {
            voice.say(format!("{goal} has no plan yet: {}.", found::plain(reason)), cited).await;
            return Ok(());
        }
        MissionState::Paused { .. } => {
            let why = eyes.entries(Some(view.summary.id), Some("mission.paused"), None, 1).await?;
            let text = why
                .first()
                .and_then(|entry| entry.body["text"].as_str().or_else(|| entry.body["reason"].as_str()));
            let text = text.map(|text| format!(": {}", found::plain(text))).unwrap_or_default();
            let cited = cited.into_iter().chain(why.first().map(found::entry)).collect();
            voice.say(format!("{goal} is paused{text}. It goes on when somebody resumes it."), cited).await;
            return Ok(());
        }
        _ if view.summary.status.is_terminal() => {
            voice.say(format!("{goal} does not wait: it {}.", ended(view.summary.status)), cited).await;
            return Ok(());
        }
        _ => {}
    }
    if let Some(at) = view.start_at.filter(|at| *at > eyes.now()) {
        voice.say(format!("{goal} starts at {at}."), cited.clone()).await;
    }
    // Many tasks wait for the same.
    let mut reasons = BTreeMap::<String, Vec<&TaskView>>::new();
    for task in &view.tasks {
        if let Some(waiting) = &task.waiting {
            reasons.entry(waiting.text.clone()).or_default().push(task);
        }
    }
    if reasons.is_empty() {
        voice
            .say(
                format!(
                    "{goal} is {}, and none of its tasks waits for anything.",
                    view.summary.status.as_str().replace('_', " ")
                ),
                cited,
            )
            .await;
        return Ok(());
    }
    voice.say(format!("{goal} is {}.", view.summary.status.as_str().replace('_', " ")), cited).await;
    for (reason, tasks) in reasons.iter().take(FEW) {
        let names: Vec<_> = tasks.iter().take(4).map(|task| found::plain(&task.id)).collect();
        let more = if tasks.len() > 4 { format!(" and {} more", tasks.len() - 4) } else { String::new() };
        let cited = tasks.iter().take(4).map(|task| found::task(task)).collect();
        voice
            .say(
                format!("{}{more}: {}.", names.join(", "), found::plain(reason).trim_end_matches('.')),
                cited,
            )
            .await;
    }
    Ok(())
}

fn ended(status: MissionStatus) -> &'static str {
    match status {
        MissionStatus::Succeeded => "succeeded",
        MissionStatus::Failed => "failed",
        MissionStatus::Cancelled => "was cancelled",
        _ => "is over",
    }
}

pub(super) async fn failed(eyes: &Eyes, voice: &Voice, about: &About, looked_at: Option<&str>) -> Result<()> {
    let Some(view) = meant(eyes, voice, about, looked_at, &[MissionStatus::Failed]).await? else {
        return Ok(());
    };
    let goal = found::quoted(&view.summary.goal);
    let cited = vec![found::mission(&view.summary)];
    let failed: Vec<_> = view.tasks.iter().filter(|task| task.status == TaskStatus::Failed).collect();
    if failed.is_empty() && view.failure.is_none() {
        let status = view.summary.status.as_str().replace('_', " ");
        voice.say(format!("{goal} did not fail: it is {status}."), cited).await;
        return Ok(());
    }
    let told = eyes.entries(Some(view.summary.id), Some("mission.completed"), None, 1).await?;
    let cited = cited.into_iter().chain(told.first().map(found::entry)).collect();
    let total = view.summary.tasks;
    voice
        .say(
            format!(
                "{goal} failed: {} of {} tasks failed, {} succeeded.",
                total.failed, total.total, total.succeeded
            ),
            cited,
        )
        .await;
    for task in failed.iter().take(FEW) {
        let cause = task.cause.as_ref().and_then(|cause| serde_json::to_value(cause).ok());
        let cause =
            cause.map_or_else(|| "no cause was written down".to_owned(), |cause| found::cause(&cause));
        let machine =
            task.agent_name.as_deref().map(|name| format!(" on {}", found::quoted(name))).unwrap_or_default();
        let text = format!(
            "Task {}{machine}, attempt {}: {cause}. Its log has the rest.",
            found::quoted(&task.id),
            task.attempt
        );
        voice.say(text, vec![found::task(task)]).await;
    }
    Ok(())
}

pub(super) async fn rank(eyes: &Eyes, voice: &Voice, about: &About, looked_at: Option<&str>) -> Result<()> {
    let Some(view) = meant(eyes, voice, about, looked_at, &[]).await? else { return Ok(()) };
    let cited = vec![found::mission(&view.summary)];
    let goal = found::quoted(&view.summary.goal);
    let asked = match view.summary.requested_rank {
        Some(asked) if asked != view.summary.rank => {
            format!("; {asked} was asked for, and a rank is never lower than what the work declares")
        }
        _ => String::new(),
    };
    voice.say(format!("{goal} has rank {}{asked}.", view.summary.rank), cited).await;
    let planned: Vec<_> = view.tasks.iter().filter(|task| task.item_index.is_none()).collect();
    if planned.is_empty() {
        voice.say("It has no plan that could be judged.", Vec::new()).await;
        return Ok(());
    }
    let judged = eyes.judged(view.summary.id).await?;
    for task in planned.into_iter().take(FEW) {
        let again = judged.iter().flat_map(|judged| &judged.tasks).find(|one| one.id == task.id);
        let reasons = |one: &DryRunTask| {
            let reasons: Vec<_> = one.rank_reasons.iter().map(|reason| found::plain(reason)).collect();
            if reasons.is_empty() { "nothing it declares raises it".to_owned() } else { reasons.join("; ") }
        };
        let why = match again {
            Some(one) if one.rank == task.rank => reasons(one),
            // The catalog is another one by now.
            Some(one) => {
                format!("as it was judged then; now it would have rank {} ({})", one.rank, reasons(one))
            }
            None => "as it was judged then; its plan cannot be judged again".to_owned(),
        };
        let text = format!(
            "Task {} ({}) has rank {}: {why}.",
            found::quoted(&task.id),
            found::plain(&task.uses),
            task.rank
        );
        voice.say(text, vec![found::task(task)]).await;
    }
    let Some(entry) = eyes.decision(view.summary.id).await? else {
        voice.say("What policy said to it is not in the audit log that you may read.", Vec::new()).await;
        return Ok(());
    };
    let answer = &entry.body["judged"]["answer"];
    let policies = entry.body["policies"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let policies: Vec<_> = policies.map(found::plain).collect();
    let by = if policies.is_empty() { String::new() } else { format!(" by {}", policies.join(", ")) };
    let text = format!(
        "When it was judged, the verdict was {}{by}; {} needed.",
        found::plain(answer["verdict"].as_str().unwrap_or("not written down")),
        match answer["needed"].as_u64().unwrap_or(0) {
            0 => "no approval was".to_owned(),
            1 => "one approval was".to_owned(),
            many => format!("{many} approvals were"),
        }
    );
    voice.say(text, vec![found::entry(&entry)]).await;
    Ok(())
}

fn seconds(view: &MissionView) -> Option<f64> {
    let (from, to) = (view.summary.started_at?, view.summary.finished_at?);
    Some(to.since(from).as_secs_f64())
}

pub(super) async fn compare(
    eyes: &Eyes,
    voice: &Voice,
    first: &About,
    second: &About,
    looked_at: Option<&str>,
) -> Result<()> {
    let Some(one) = meant(eyes, voice, first, looked_at, &[]).await? else { return Ok(()) };
    let Some(other) = meant(eyes, voice, second, looked_at, &[]).await? else { return Ok(()) };
    let cited = vec![found::mission(&one.summary), found::mission(&other.summary)];
    if one.summary.id == other.summary.id {
        voice.say("That is one and the same mission.", cited).await;
        return Ok(());
    }
    let took =
        |view: &MissionView| seconds(view).map_or_else(String::new, |seconds| format!(" in {seconds:.1} s"));
    let status = |view: &MissionView| view.summary.status.as_str().replace('_', " ");
    voice
        .say(
            format!(
                "The first is {}{}, the second {}{}.",
                status(&one),
                took(&one),
                status(&other),
                took(&other)
            ),
            cited,
        )
        .await;
    let digest = |view: &MissionView| view.plan.as_ref().map(|plan| plan.tasks_root);
    let same = digest(&one).is_some() && digest(&one) == digest(&other);
    voice
        .say(if same { "Their plans are the same to the byte." } else { "Their plans differ." }, Vec::new())
        .await;
    let of: BTreeMap<_, _> =
        other.tasks.iter().map(|task| ((task.id.as_str(), task.item_index), task)).collect();
    let mut told = 0;
    for task in &one.tasks {
        let Some(twin) = of.get(&(task.id.as_str(), task.item_index)) else { continue };
        if task.status != twin.status && told < FEW {
            told += 1;
            let text = format!(
                "Task {}: {} there, {} here.",
                found::quoted(&task.id),
                task.status.as_str(),
                twin.status.as_str()
            );
            voice.say(text, vec![found::task(task), found::task(twin)]).await;
        }
    }
    let names = |view: &MissionView| -> BTreeMap<String, nexusmon_shared::digest::Digest> {
        view.artifacts.iter().map(|one| (one.name.clone(), one.digest)).collect()
    };
    let (mine, theirs) = (names(&one), names(&other));
    let differing: Vec<_> = mine
        .iter()
        .filter(|(name, digest)| theirs.get(*name).is_some_and(|other| other != *digest))
        .map(|(name, _)| found::quoted(name))
        .take(FEW)
        .collect();
    if !differing.is_empty() {
        voice.say(format!("These artifacts hold other bytes: {}.", differing.join(", ")), Vec::new()).await;
    } else if !mine.is_empty() && mine == theirs {
        voice.say("Their artifacts are the same to the byte.", Vec::new()).await;
    }
    Ok(())
}

pub(super) async fn find(eyes: &Eyes, voice: &Voice, words: &str) -> Result<()> {
    let found = eyes.artifacts(words).await?;
    let head = if found.is_empty() {
        format!("No artifact has {} in its name or its text.", found::quoted(words))
    } else {
        format!("Found for {}:", found::quoted(words))
    };
    voice.say(head, Vec::new()).await;
    for one in &found {
        let text = format!(
            "{}, version {}, {} bytes, of {}.",
            found::quoted(&one.name),
            one.latest.number,
            one.latest.size,
            one.latest.created_at
        );
        voice.say(text, vec![found::artifact(one)]).await;
    }
    for one in eyes.recalled() {
        let text = format!(
            "Remembered: {}, {}; {} of {} runs succeeded. It says {}.",
            found::quoted(&one.title),
            one.outcome,
            one.succeeded,
            one.runs,
            found::quoted(&one.excerpt)
        );
        voice.say(text, found::remembered(one).into_iter().collect()).await;
    }
    Ok(())
}
