//! Rows to begin with.

use std::collections::BTreeMap;
use std::sync::Arc;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, JournalId, MissionId, PrincipalId, TaskId};
use nexusmon_shared::mission::{MissionState, MissionStatus};
use nexusmon_shared::plan::{Author, Budget};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::task::TaskStatus;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{
    AgentRow, AgentState, AuditEntry, ClassId, EdgeRow, GrantRow, Json, MissionRow, NewMission, PlanRow,
    Start, Store, StoreError, TaskRow, Tx,
};

pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(NOW.as_micros() + seconds * 1_000_000)
}

pub(crate) fn mission_id(n: u128) -> MissionId {
    MissionId::from_bits(n << 64)
}

pub(crate) fn task_id(mission: u128, leaf: u32) -> TaskId {
    TaskId::from_bits((mission << 64) | u128::from(leaf))
}

pub(crate) fn agent_id(n: u128) -> AgentId {
    AgentId::from_bits(n)
}

pub(crate) fn principal() -> PrincipalId {
    PrincipalId::from_bits(7)
}

pub(crate) fn task(mission: u128, leaf: u32) -> TaskRow {
    TaskRow {
        id: task_id(mission, leaf),
        mission: mission_id(mission),
        leaf_index: leaf,
        item_index: None,
        parent: None,
        spawned_by: None,
        key: format!("t{leaf}").parse().unwrap(),
        uses: "core.noop".parse().unwrap(),
        rank: Rank::E,
        priority: 0,
        idempotent: true,
        spec: Some(format!("{{\"id\":\"t{leaf}\",\"odd\":\"\\u0000 \\\" é\"}}")),
        item: None,
        dependents: 0,
        created_at: NOW,
        state: TaskStatus::Pending,
        held: false,
        class: None,
        tag: 0,
        needs_open: 0,
        children_open: 0,
        attempt: 0,
        retries: 0,
        fence_epoch: 1,
        fence_number: 0,
        agent: None,
        session: None,
        offline_until: None,
        not_before: None,
        since: None,
        ready_at: None,
        granted_at: None,
        started_at: None,
        finished_at: None,
        cause: None,
        outputs: None,
        skip_reason: None,
        effect_unknown: false,
        params: None,
        inputs: None,
        limits: None,
        log_bytes: 0,
    }
}

pub(crate) fn ready(mission: u128, leaf: u32, class: ClassId) -> TaskRow {
    TaskRow { state: TaskStatus::Ready, class: Some(class), ready_at: Some(NOW), ..task(mission, leaf) }
}

pub(crate) fn mission(n: u128, tasks: Vec<TaskRow>, edges: &[(u32, u32)]) -> NewMission {
    let id = mission_id(n);
    let count = i64::try_from(tasks.len()).unwrap();
    let digest = Digest::of(&n.to_be_bytes());
    let author = Json(Author::Person(principal()));
    NewMission {
        mission: MissionRow {
            id,
            goal: format!("goal {n}"),
            status: MissionStatus::Running,
            state: Json(MissionState::Running { since: NOW }),
            rank: Rank::E,
            requested_rank: None,
            priority: 0,
            labels: Json(BTreeMap::new()),
            metadata: "{}".to_owned(),
            origin: "rest".to_owned(),
            author: author.clone(),
            created_by: principal(),
            start: Start::Auto,
            plan_revision: 1,
            plan_digest: Some(digest),
            shape: None,
            tasks_total: count,
            tasks_open: count,
            tasks_succeeded: 0,
            tasks_failed: 0,
            tasks_skipped: 0,
            tasks_cancelled: 0,
            tasks_leased: 0,
            attempts_used: 0,
            artifact_bytes: 0,
            log_bytes: 0,
            last_tag: 0,
            budget: Json(Budget::default()),
            deadline: None,
            start_at: None,
            decide_by: None,
            rerun_of: None,
            traceparent: Some("00-trace".to_owned()),
            created_at: at(i64::try_from(n).unwrap()),
            started_at: None,
            finished_at: None,
            xp_awarded: None,
            version: 1,
        },
        plan: Some(PlanRow {
            mission: id,
            revision: 1,
            digest,
            tasks_root: digest,
            header: "{}".to_owned(),
            size: count,
            author,
            created_at: NOW,
        }),
        tasks,
        edges: edges
            .iter()
            .map(|(from, to)| EdgeRow { mission: id, from_leaf: *from, to_leaf: *to, needed: true })
            .collect(),
    }
}

/// A mission of `count` ready tasks of one class.
pub(crate) fn ready_mission(n: u128, count: u32, class: ClassId) -> NewMission {
    mission(n, (0..count).map(|leaf| ready(n, leaf, class)).collect(), &[])
}

pub(crate) async fn insert(store: &Store, missions: Vec<NewMission>) {
    store
        .write_with("inserting missions", missions, |tx, missions| {
            Box::pin(async move { tx.insert_missions(missions).await })
        })
        .await
        .unwrap();
}

pub(crate) async fn class(store: &Store, key: &str) -> ClassId {
    let keys = std::collections::BTreeSet::from([key.to_owned()]);
    let rows = store
        .write_with("interning", keys, |tx, keys| Box::pin(async move { tx.intern_classes(keys).await }))
        .await
        .unwrap();
    rows[0].id
}

pub(crate) fn agent(n: u128) -> AgentRow {
    AgentRow {
        id: agent_id(n),
        name: format!("agent-{n}"),
        state: AgentState::Active,
        labels: Json(BTreeMap::from([("region".to_owned(), "home".to_owned())])),
        max_rank: Rank::C,
        identity_key: "00".to_owned(),
        sealing_key: "00".to_owned(),
        join_counter: 1,
        facts: "{}".to_owned(),
        hello: None,
        invite: None,
        certificate_until: None,
        created_at: NOW,
        revoked_at: None,
        version: 1,
        words: None,
        confirmed_at: None,
        confirmed_by: None,
    }
}

/// Enrols agent `n` and opens its first session.
pub(crate) async fn enrol(store: &Store, n: u128) -> u64 {
    store
        .write("enrolling", move |tx| {
            Box::pin(async move {
                tx.insert_agent(&agent(n)).await?;
                Ok::<_, StoreError>(
                    tx.open_session(agent_id(n), "node-1", JournalId::from_bits(n), NOW).await?.session,
                )
            })
        })
        .await
        .unwrap()
}

pub(crate) async fn organism(store: &Store) {
    store
        .write("making the organism", |tx| {
            Box::pin(async move {
                tx.init_organism(nexusmon_shared::id::OrganismId::from_bits(1), NOW).await.map(drop)
            })
        })
        .await
        .unwrap_or_else(|error: StoreError| panic!("{error:?}"));
}

pub(crate) fn grant_row(task: &TaskRow, agent: u128, session: u64) -> GrantRow {
    GrantRow {
        id: task.id,
        agent: agent_id(agent),
        session,
        attempt: task.attempt + 1,
        fence_epoch: 1,
        fence_number: task.fence_number + 1,
        offline_until: Some(at(60)),
        granted_at: NOW,
    }
}

pub(crate) fn entry(subject: impl Into<String>) -> AuditEntry {
    AuditEntry {
        at: NOW,
        actor: "nexusmon".into(),
        action: "test.done".into(),
        subject_kind: "test".into(),
        subject: subject.into(),
        mission: None,
        body: serde_json::json!({"b": 1, "a": [1.0, "x"]}).into(),
    }
}

/// Runs a unit of work whose only result is whether it went well.
pub(crate) async fn write<F>(store: &Store, work: F) -> Result<(), StoreError>
where
    F: for<'t> Fn(&'t mut Tx) -> nexusmon_store::BoxFuture<'t, Result<(), StoreError>>
        + Send
        + Sync
        + 'static,
{
    store.write("testing", work).await
}

pub(crate) fn shared<T>(value: T) -> Arc<T> {
    Arc::new(value)
}
