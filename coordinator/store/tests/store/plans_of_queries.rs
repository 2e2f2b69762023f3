//! How the hot statements are run: each must find its rows by an index, never by reading a table.

use std::collections::BTreeSet;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::TriggerId;
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::rank::Rank;
use nexusmon_store::testing::TestDatabase;
use nexusmon_store::{
    AuditFilter, Connection, LeafRef, MissionDelta, MissionFilter, PageRequest, Renewal, StoreError,
    TaskFilter, Tx,
};

use crate::fixtures::*;

/// Tables that may be read whole: a few rows, or the batch itself.
const SMALL: [&str; 10] = [
    "jsonb_each",
    "r",
    "organism",
    "ended",
    "step",
    "classes",
    "agent_sessions",
    "model_calls",
    "(subquery",
    "CONSTANT",
];

/// Indexes of what waits or is open, and of nothing else: they may be read whole.
const OPEN: [&str; 4] =
    ["trait_uses_open", "sub_missions_open", "mission_inputs_open", "notifications_claimed"];

fn refuse_scans(plans: &[String]) {
    let mut statement = "";
    assert!(plans.len() > 1, "nothing was noted");
    for line in plans {
        if line.starts_with("-- ") {
            statement = line;
        } else if let Some(table) = line.strip_prefix("SCAN ") {
            let table = table.split(' ').next().unwrap();
            // Branches of a list are cut to a page each.
            let small = SMALL.contains(&table)
                || table.starts_with("branch_")
                || OPEN.iter().any(|index| line.contains(index));
            assert!(small, "`{line}` in {statement}\n{}", plans.join("\n"));
        } else {
            // One mission's edges read for each of its tasks would be quadratic.
            assert!(
                !line.contains("task_edges") || !line.ends_with("(mission=?)"),
                "`{line}` in {statement}"
            );
            assert!(
                !line.contains("TEMP B-TREE FOR ORDER BY") || statement.contains("jsonb_each"),
                "`{line}` in {statement}"
            );
        }
    }
}

async fn hot_path(
    tx: &mut Tx,
    class: nexusmon_store::ClassId,
    session: u64,
) -> Result<Vec<String>, StoreError> {
    tx.note_plans();
    let found = tx.claim_candidates(&[(class, 10)]).await?;
    tx.lock_limits(&BTreeSet::from(["k".to_owned()])).await?;
    let rows: Vec<_> = found.iter().map(|task| grant_row(task, 1, session)).collect();
    let granted = tx.grant(&rows, found).await?;
    let ids: Vec<_> = granted.iter().map(|one| one.task.id).collect();
    let rows = tx.load_for_report(&ids).await?;
    tx.settle(&rows.iter().map(Into::into).collect::<Vec<_>>()).await?;
    tx.update_tasks(&rows.iter().map(Into::into).collect::<Vec<_>>()).await?;
    tx.release_limits(&ids).await?;
    tx.finish_counters(&[MissionDelta::of(mission_id(1))]).await?;
    tx.unlock_children(&[LeafRef { mission: mission_id(1), leaf_index: 0 }]).await?;
    tx.load_decision_context(&ids).await?;
    tx.children_ended(&[(ids[0], 0)]).await?;
    tx.children_outcomes(ids[0]).await?;
    tx.renew_sessions(&[Renewal { agent: agent_id(1), session, heartbeat: 1, at: NOW }]).await?;
    tx.backoff_due(NOW, 10).await?;
    tx.leases_of(agent_id(1)).await?;
    tx.ready_classes().await?;
    Ok(tx.take_plans())
}

async fn lists(read: &mut Connection) -> Result<Vec<String>, StoreError> {
    let later = PageRequest { limit: 50, cursor: Some(mission_id(2).to_string()) };
    read.note_plans();
    read.mission_list(&MissionFilter::default(), &later).await?;
    let status = MissionFilter { statuses: vec![MissionStatus::Running], ..MissionFilter::default() };
    read.mission_list(&status, &later).await?;
    let rank = MissionFilter { rank: Some(Rank::A), ..MissionFilter::default() };
    read.mission_list(&rank, &later).await?;
    let label = MissionFilter { labels: vec![("a".to_owned(), "b".to_owned())], ..MissionFilter::default() };
    read.mission_list(&label, &later).await?;
    let several = MissionFilter {
        statuses: vec![MissionStatus::Failed, MissionStatus::Expired],
        ..MissionFilter::default()
    };
    read.mission_list(&several, &later).await?;
    let both = MissionFilter { since: Some(NOW), ..label };
    read.mission_list(&both, &later).await?;
    read.forgettable_missions(NOW, None, 10).await?;
    let places = PageRequest { limit: 50, cursor: Some("3.-1".to_owned()) };
    read.task_list(mission_id(1), &TaskFilter::default(), &places).await?;
    let page = PageRequest { limit: 50, cursor: Some("100".to_owned()) };
    let by_mission = AuditFilter { mission: Some(mission_id(1)), ..AuditFilter::default() };
    read.audit_list(&by_mission, &page).await?;
    let by_person = AuditFilter { actor: Some(principal().to_string()), ..AuditFilter::default() };
    read.audit_list(&by_person, &page).await?;
    read.audit_after(0, 100).await?;
    read.mission_audit_after(mission_id(1), 0, 100).await?;
    read.openings_of_mission(mission_id(1)).await?;
    read.openings_about("art_1@1").await?;
    read.missions_due(NOW, 10).await?;
    read.next_backoff().await?;
    Ok(read.take_plans())
}

/// What is asked after every mission and at every turn of what goes on in the background.
async fn background(read: &mut Connection) -> Result<Vec<String>, StoreError> {
    let mission = mission_id(1);
    read.note_plans();
    read.ledger_after(0, 100).await?;
    read.ledger_between(0, 100).await?;
    read.newest_ledger().await?;
    read.counted_on(Digest::of(b"shape"), 1).await?;
    read.missions_to_judge(None, 10).await?;
    read.traces(&[mission]).await?;
    read.prediction_of(mission).await?;
    read.shape_record(Digest::of(b"shape")).await?;
    read.verified_runs(Digest::of(b"shape")).await?;
    read.ended_uses(10).await?;
    read.decided_uses("RECALL", NOW, 10).await?;
    read.rejected_uses("RECALL", NOW, NOW).await?;
    read.traits_of(mission).await?;
    read.queued_traits().await?;
    read.queued_uses("RECALL").await?;
    read.last_suspension("RECALL").await?;
    read.any_sub_missions().await?;
    read.sub_missions_to_begin(None, 10).await?;
    read.sub_missions_over(None, 10).await?;
    read.sub_missions_behind(None, 10).await?;
    read.any_living_sub_mission(mission).await?;
    read.living_sub_missions(mission, None, 10).await?;
    read.sub_missions_left(mission).await?;
    read.follows_open(10).await?;
    read.chain_link(mission).await?;
    read.chained_since(NOW).await?;
    read.followed_since("clear@1", 0, NOW, 10).await?;
    read.missions_moved(0, 100, 10).await?;
    read.first_leaves(mission, 10).await?;
    read.left_by(mission, 10).await?;
    read.said_about(mission, 10).await?;
    read.notable_after(0, 10).await?;
    read.next_notification().await?;
    read.last_lost("agt_1").await?;
    read.any_lapsed_model_call(NOW).await?;
    read.triggers_due(NOW, 10).await?;
    read.audit_of(&["task.settled"], 0, 100, 10).await?;
    read.fired_since(TriggerId::from_bits(1), NOW).await?;
    read.ended_since(TriggerId::from_bits(1), NOW, 10).await?;
    read.spawned_in_vain(mission).await?;
    Ok(read.take_plans())
}

/// Statements with how they are run, short enough to be read.
fn shown(plans: &[String]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in plans {
        let line = line.trim();
        if let Some(statement) = line.strip_prefix("-- ") {
            let words = statement.split_whitespace().collect::<Vec<_>>().join(" ");
            let cut: String = words.chars().take(140).collect();
            lines.push(format!("\n-- {cut}"));
        } else if ["SCAN", "SEARCH", "Scan", "Index Cond", "USE TEMP"].iter().any(|word| line.contains(word))
        {
            // What a step's filters and sorts are called changes between versions; how rows are found is the point.
            lines.push(line.trim_start_matches("-> ").trim().to_owned());
        }
    }
    lines.join("\n")
}

/// Reading a whole table, on PostgreSQL.
fn refuse_sequential(plans: &[String]) {
    let mut statement = "";
    for line in plans {
        if line.starts_with("-- ") {
            statement = line;
        } else if let Some((_, table)) = line.split_once("Seq Scan on ") {
            let table = table.split(' ').next().unwrap();
            assert!(SMALL.contains(&table), "`{line}` in {statement}\n{}", plans.join("\n"));
        }
    }
}

async fn plans(database: &TestDatabase) -> [Vec<String>; 3] {
    let opened = database.open().await.unwrap();
    let store = &opened.store;
    organism(store).await;
    let class = class(store, "{}").await;
    let session = enrol(store, 1).await;
    insert(store, vec![ready_mission(1, 50, class), ready_mission(2, 50, class)]).await;
    let hot = store
        .write("looking", move |tx| Box::pin(async move { hot_path(tx, class, session).await }))
        .await
        .unwrap();
    let lists = lists(&mut store.read().await.unwrap()).await.unwrap();
    let background = background(&mut store.read().await.unwrap()).await.unwrap();
    opened.close().await;
    [hot, lists, background]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hot_statements_use_indexes() {
    let plans = plans(&TestDatabase::sqlite().unwrap()).await;
    for plans in &plans {
        refuse_scans(plans);
    }
    insta::assert_snapshot!("sqlite", shown(&plans.concat()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hot_statements_use_indexes_on_postgres() {
    let plans = plans(&TestDatabase::postgres().await.unwrap()).await;
    for plans in &plans {
        assert!(plans.len() > 1, "nothing was noted");
        refuse_sequential(plans);
    }
    insta::assert_snapshot!("postgres", shown(&plans.concat()));
}

/// Asked after every mission: along the few that wait, not along all that ever succeeded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missions_to_judge_are_found_by_their_own_index() {
    let database = TestDatabase::sqlite().unwrap();
    let opened = database.open().await.unwrap();
    let mut read = opened.store.read().await.unwrap();
    read.note_plans();
    read.missions_to_judge(None, 10).await.unwrap();
    let plans = read.take_plans();
    assert!(plans.iter().any(|line| line.contains("INDEX missions_to_judge")), "{plans:?}");
    drop(read);
    opened.close().await;
}
