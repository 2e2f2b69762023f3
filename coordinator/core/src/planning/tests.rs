#![expect(clippy::needless_pass_by_value, reason = "tests hand in literals")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nexusmon_shared::id::AgentId;
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::plan::Budget;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::Profile;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::mission::Start;
use crate::needs::Condition;
use crate::schedule::{AgentView, Availability, Offer};

fn manifests() -> Vec<Manifest> {
    let demo = json!({"name": "demo", "version": "1.2.0", "capabilities": [
        {"name": "demo.fetch", "risk_level": "C", "effects": {"network": true}, "idempotent": true,
         "params": {"type": "object", "required": ["url"], "additionalProperties": false, "properties": {"url": {"type": "string"}}}},
        {"name": "demo.wipe", "risk_level": "D", "requires_approval": true, "sandbox": "user"},
    ]});
    vec![serde_json::from_value(demo).unwrap()]
}

fn bound_with(body: &Value) -> Result<BoundPlan, Vec<Invalid>> {
    let draft = parse_mission(body)?;
    let catalog = Catalog::new(&manifests());
    let agents = BTreeMap::from([("nas".to_owned(), AgentId::from_bits(7))]);
    let request = PlanRequest {
        drafts: draft.tasks.as_deref().unwrap_or_default(),
        requested: draft.rank,
        budget: &draft.budget,
    };
    let fleet = fleet(12);
    let secrets = secrets();
    let facts =
        PlanFacts { catalog: &catalog, agents: &agents, fleet: &fleet, secrets: &secrets, playbook: None };
    bind(&request, &facts)
}

/// `pinned` belongs to `nas`, `api` to one host, `loose` nowhere.
fn secrets() -> Bindings {
    let nas = AgentId::from_bits(7).to_string();
    let all = json!({"pinned": {"agents": [nas]}, "api": {"hosts": ["api.example.org"]}, "loose": {}});
    serde_json::from_value(all).unwrap()
}

/// Machines 7 and up that offer shells; every other one is at home.
fn fleet(count: u8) -> HashMap<AgentId, AgentView> {
    (0..u128::from(count))
        .map(|number| {
            let id = AgentId::from_bits(7 + number);
            let room = if number % 2 == 0 { "home" } else { "away" };
            let offer = Offer {
                name: format!("machine-{number}"),
                capabilities: BTreeMap::from([("shell.run".parse().unwrap(), "1".to_owned())]),
                labels: BTreeMap::from([("room".to_owned(), room.to_owned())]),
                slots: 1,
                levels: BTreeSet::new(),
                max_rank: Rank::S,
                allowed: None,
                consents: true,
                spawns: true,
            };
            let view = AgentView {
                id,
                offer: std::sync::Arc::new(offer),
                session: 1,
                availability: Availability::Live,
                free_slots: 1,
                prefetch: 0,
                barred: BTreeSet::new(),
                disabled: BTreeSet::new(),
                rate: None,
            };
            (id, view)
        })
        .collect()
}

#[test]
fn grave_work_names_its_machines_and_many_machines_make_it_graver() {
    let plan = bound(json!([
        task("one", json!({"sandbox": "none", "on": {"agent": "nas"}})),
        task("home", json!({"sandbox": "none", "on": {"labels": {"room": "home"}}})),
        task("tame", json!({"on": {"labels": {"room": "home"}}})),
    ]))
    .unwrap();
    let named: Vec<usize> = plan.tasks.iter().map(|task| task.spec.on.agents.len()).collect();
    assert_eq!(named, [1, 6, 0]);
    assert_eq!(plan.tasks[1].selector.agents.as_ref().map(BTreeSet::len), Some(6));
    assert_eq!(plan.tasks[2].selector.agents, None);
    assert_eq!(plan.assessment.rank, Rank::A);

    let everywhere = json!({"sandbox": "none", "for_each": {"in": "[1]", "max": 10}});
    let plan = bound(json!([task("all", everywhere)])).unwrap();
    assert_eq!((plan.assessment.rank, plan.tasks[0].rank), (Rank::S, Rank::S));
    assert_eq!(plan.assessment.reasons[0].code, "fan_out");
    let fewer = json!({"sandbox": "none", "for_each": {"in": "[1]", "max": 9}});
    assert_eq!(bound(json!([task("some", fewer)])).unwrap().assessment.rank, Rank::A);
    let ten: Vec<_> = (0..10).map(|n| task(&format!("t{n}"), json!({"sandbox": "none"}))).collect();
    assert_eq!(bound(json!(ten)).unwrap().assessment.rank, Rank::S);
    let gentle = json!({"for_each": {"in": "[1]", "max": 1000}});
    assert_eq!(bound(json!([task("many", gentle)])).unwrap().assessment.rank, Rank::E);
}

fn bound(tasks: Value) -> Result<BoundPlan, Vec<Invalid>> {
    bound_with(&json!({"goal": "test", "tasks": tasks}))
}

fn task(id: &str, more: Value) -> Value {
    let mut task = json!({"id": id, "uses": "shell.run", "with": {"script": "true"}});
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    task
}

/// A task's `spawn`, with other fields than the usual ones.
fn envelope(fields: Value) -> Value {
    let mut spawn = json!({"capabilities": ["shell.run"], "max": 2, "rank": "D"});
    spawn.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"spawn": spawn})
}

/// The first mistake, as (pointer, code).
fn first(tasks: Value) -> (String, &'static str) {
    let errors = bound(tasks).expect_err("this plan is wrong");
    (errors[0].pointer.clone(), errors[0].code)
}

#[test]
fn the_documented_example_binds() {
    let plan = bound(json!([
        {"id": "fetch", "uses": "shell.run", "with": {"script": "seq 1000 > out.csv"}, "artifacts": ["*.csv"]},
        {"id": "count", "uses": "shell.run", "needs": ["fetch"], "inputs": [{"task": "fetch", "artifact": "out.csv"}],
         "with": {"script": "wc -l"}},
        {"id": "say", "uses": "shell.run", "needs": ["count"], "if": "tasks.count.outputs.lines > 0",
         "with": {"script": "echo $LINES", "env": {"LINES": "${{ tasks.count.outputs.lines }}"}}}
    ]))
    .unwrap();
    let [fetch, count, say] = plan.tasks.as_slice() else { panic!("three tasks") };
    assert_eq!((fetch.rank, count.rank, say.rank), (Rank::E, Rank::D, Rank::E));
    assert!(fetch.spec.idempotent && !fetch.open && say.open);
    assert_eq!(fetch.spec.timeout.0.as_secs(), 3600);
    assert_eq!((fetch.spec.retry.max, fetch.spec.retry.jitter), (0, 0.2));
    assert_eq!(fetch.spec.sandbox.profile, Profile::Strict);
    assert_eq!((say.condition, say.reads.as_slice()), (Condition::Asks, [1].as_slice()));
    assert_eq!(plan.assessment.rank, Rank::D);
}

#[test]
fn defaults_follow_the_rank() {
    let plan = bound(json!([
        task("b", json!({"sandbox": "user"})),
        task("a", json!({"sandbox": "none"})),
        task("kept", json!({"sandbox": "user", "idempotent": true, "offline": "1h"})),
        {"id": "net", "uses": "demo.fetch", "with": {"url": "x"}},
        {"id": "wipe", "uses": "demo.wipe", "on": {"agent": "nas"}},
    ]))
    .unwrap();
    let specs = plan.specs();
    assert_eq!(
        plan.tasks.iter().map(|task| task.rank).collect::<Vec<_>>(),
        [Rank::B, Rank::A, Rank::B, Rank::C, Rank::B]
    );
    assert!(!specs[0].idempotent && specs[0].offline.0.as_secs() == 900);
    assert!(!specs[1].idempotent && specs[1].offline.0.is_zero());
    assert!(specs[2].idempotent && specs[2].offline.0.is_zero(), "idempotent work never goes on offline");
    assert!(specs[3].idempotent, "the manifest says so");
    assert_eq!(plan.plugins, BTreeMap::from([("demo".to_owned(), "1.2.0".to_owned())]));
    assert_eq!(plan.tasks[3].plugin.as_deref(), Some("1.2.0"));
    assert!(plan.assessment.requires_approval);
    assert_eq!(specs[4].on.agent, Some(AgentId::from_bits(7).to_string()));
    assert_eq!(specs[4].sandbox.profile, Profile::User, "the plugin's own confinement");
}

#[test]
fn each_mistake_names_its_place() {
    let t = |more| json!([task("a", json!({})), task("b", more)]);
    for (tasks, pointer, code) in [
        (json!([task("a", json!({})), task("a", json!({}))]), "/tasks/1/id", "duplicate_id"),
        (t(json!({"needs": ["x"]})), "/tasks/1/needs/0", "unknown_need"),
        (t(json!({"needs": ["a", "a"]})), "/tasks/1/needs/1", "duplicate_need"),
        (t(json!({"uses": "shel.run"})), "/tasks/1/uses", "unknown_capability"),
        (t(json!({"with": {"script": "x", "foo": 1}})), "/tasks/1/with", "bad_parameters"),
        (t(json!({"with": {}})), "/tasks/1/with", "bad_parameters"),
        (t(json!({"with": {"script": 3}})), "/tasks/1/with/script", "bad_parameters"),
        (
            t(json!({"with": {"script": "echo ${{ mission.id }}"}})),
            "/tasks/1/with/script",
            "expression_in_code",
        ),
        (
            t(json!({"with": {"script": "x", "env": {"A": "${{ 1 + }}"}}})),
            "/tasks/1/with/env/A",
            "bad_expression",
        ),
        (
            t(json!({"with": {"script": "x", "env": {"A": "${{ 1 }}"}, "foo": 1}})),
            "/tasks/1/with/foo",
            "bad_parameters",
        ),
        (
            t(json!({"with": {"script": "x", "env": {"A": "${{ tasks.a.outputs.x }}"}}})),
            "/tasks/1/with/env/A",
            "not_an_ancestor",
        ),
        (
            t(json!({"with": {"script": "x", "env": {"A": "${{ item }}"}}})),
            "/tasks/1/with/env/A",
            "unknown_name",
        ),
        (t(json!({"if": "tasks[inputs.x].state == 'failed'"})), "/tasks/1/if", "any_task"),
        (t(json!({"if": "1 +"})), "/tasks/1/if", "bad_expression"),
        (t(json!({"verify": "tasks.a.outputs.x"})), "/tasks/1/verify", "unknown_name"),
        (t(json!({"retry": {"on": ["sometimes"]}})), "/tasks/1/retry/on/0", "unknown_cause"),
        (t(json!({"retry": {"jitter": 2}})), "/tasks/1/retry/jitter", "out_of_range"),
        (t(json!({"timeout": 0})), "/tasks/1/timeout", "out_of_range"),
        (t(json!({"timeout": "soon"})), "/tasks/1/timeout", "wrong_value"),
        (t(json!({"artifacts": ["../x"]})), "/tasks/1/artifacts/0", "bad_glob"),
        (
            t(json!({"sandbox": {"profile": "user", "paths": [{"path": "home"}]}})),
            "/tasks/1/sandbox/paths/0/path",
            "bad_path",
        ),
        (t(json!({"sandbox": "network"})), "/tasks/1/sandbox/network", "missing_field"),
        (
            t(json!({"sandbox": {"profile": "network", "network": ["ok.org", "http://x.org"]}})),
            "/tasks/1/sandbox/network/1",
            "bad_host",
        ),
        (
            t(json!({"sandbox": {"profile": "strict", "network": ["x"]}})),
            "/tasks/1/sandbox/network",
            "not_applicable",
        ),
        (t(json!({"secrets": ["x"]})), "/tasks/1/secrets/0", "unknown_secret"),
        (t(json!({"secrets": ["loose", "loose"]})), "/tasks/1/secrets/1", "duplicate_secret"),
        (
            t(json!({"secrets": [{"name": "loose", "env": "LD_PRELOAD"}]})),
            "/tasks/1/secrets/0/env",
            "bad_variable",
        ),
        (t(json!({"secrets": [{"nam": "loose"}]})), "/tasks/1/secrets/0", "wrong_value"),
        (t(json!({"spawn": {}})), "/tasks/1/spawn", "missing_field"),
        (t(envelope(json!({"rank": "A"}))), "/tasks/1/spawn/rank", "out_of_range"),
        (t(envelope(json!({"max": 257}))), "/tasks/1/spawn/max", "out_of_range"),
        (t(envelope(json!({"capabilities": []}))), "/tasks/1/spawn/capabilities", "out_of_range"),
        (
            t(envelope(json!({"capabilities": ["mail.send"]}))),
            "/tasks/1/spawn/capabilities",
            "unknown_capability",
        ),
        (t(envelope(json!({"capabilities": ["*"]}))), "/tasks/1/spawn/capabilities", "wrong_value"),
        (t(envelope(json!({"deep": true}))), "/tasks/1/spawn/deep", "unknown_field"),
        (t(json!({"spawn": "shell.run"})), "/tasks/1/spawn", "wrong_type"),
        (t(json!({"accept": {"colour": 1}})), "/tasks/1/accept", "wrong_value"),
        (t(json!({"limits": {"db": 0}})), "/tasks/1/limits/db", "out_of_range"),
        (t(json!({"for_each": {"in": "[1]", "max": 0}})), "/tasks/1/for_each/max", "out_of_range"),
        (t(json!({"for_each": {"max": 1}})), "/tasks/1/for_each", "missing_field"),
        (t(json!({"on": {"agent": "toaster"}})), "/tasks/1/on/agent", "unknown_agent"),
        (t(json!({"on": {"same_as": "a"}})), "/tasks/1/on/same_as", "not_an_ancestor"),
        (t(json!({"inputs": [{"task": "a", "artifact": "x"}]})), "/tasks/1/inputs/0/task", "not_an_ancestor"),
        (t(json!({"inputs": [{"task": "a"}]})), "/tasks/1/inputs/0", "wrong_value"),
        (t(json!({"needz": []})), "/tasks/1/needz", "unknown_field"),
        (
            t(json!({"uses": "demo.wipe", "with": {}, "sandbox": "none"})),
            "/tasks/1/sandbox",
            "sandbox_too_weak",
        ),
    ] {
        assert_eq!(first(tasks.clone()), (pointer.to_owned(), code), "{tasks}");
    }
}

#[test]
fn a_secret_ranks_by_whether_it_is_used_where_it_belongs() {
    let rank = |fields: Value| {
        let plan = bound(json!([task("one", fields)])).unwrap();
        (plan.tasks[0].rank, plan.assessment.tasks[0].reasons[0].code)
    };
    assert_eq!(rank(json!({"secrets": ["pinned"], "on": {"agent": "nas"}})), (Rank::C, "secret"));
    assert_eq!(rank(json!({"secrets": ["pinned"]})), (Rank::A, "secret"), "it could go anywhere");
    assert_eq!(rank(json!({"secrets": ["api"]})), (Rank::C, "secret"), "it can be sent nowhere");
    assert_eq!(rank(json!({"secrets": ["api"], "sandbox": "user"})), (Rank::A, "secret"));
    assert_eq!(rank(json!({"secrets": ["loose"], "on": {"agent": "nas"}})), (Rank::A, "secret"));
}

#[test]
fn what_a_secret_may_have_flowed_into_cannot_be_sent_elsewhere() {
    let plan = bound(json!([
        task("read", json!({"secrets": ["api"]})),
        task("pass", json!({"needs": ["read"]})),
        task("send", json!({"needs": ["pass"], "sandbox": "user"})),
        task("apart", json!({"sandbox": "user"})),
    ]))
    .unwrap();
    let ranks: Vec<Rank> = plan.tasks.iter().map(|task| task.rank).collect();
    assert_eq!(ranks, [Rank::C, Rank::E, Rank::A, Rank::B]);
    assert_eq!(plan.assessment.tasks[2].reasons[0].code, "effect_flow");
}

#[test]
fn a_plugin_sends_where_its_own_process_can() {
    // `demo.wipe` declares no network, and its process runs in `user` whatever the task asks for.
    let wipe =
        |sandbox: Value| json!({"id": "wipe", "uses": "demo.wipe", "needs": ["read"], "sandbox": sandbox});
    let listed = json!({"profile": "network", "network": ["api.example.org"]});
    for sandbox in [json!("strict"), listed.clone()] {
        let plan = bound(json!([task("read", json!({"secrets": ["api"]})), wipe(sandbox)])).unwrap();
        let wiped = &plan.assessment.tasks[1];
        assert_eq!((wiped.rank, wiped.reasons[0].code), (Rank::A, "effect_flow"), "{:?}", wiped.reasons);
    }
    // Bound to a machine and to no hosts, it may go where the task can send it.
    let pinned = task("read", json!({"secrets": ["pinned"], "on": {"agent": "nas"}}));
    assert_eq!(bound(json!([pinned, wipe(json!("strict"))])).unwrap().tasks[1].rank, Rank::B);
    // What is held to the secret's hosts stays inside.
    let fetch = json!({"id": "fetch", "uses": "demo.fetch", "with": {"url": "x"}, "needs": ["read"], "sandbox": listed});
    let plan = bound(json!([task("read", json!({"secrets": ["api"]})), fetch])).unwrap();
    assert_eq!(plan.tasks[1].rank, Rank::C, "{:?}", plan.assessment.tasks[1].reasons);
}

#[test]
fn a_cycle_is_named() {
    let errors = bound(json!([
        task("a", json!({"needs": ["c"]})),
        task("b", json!({"needs": ["a"]})),
        task("c", json!({"needs": ["b"]})),
        task("d", json!({"needs": ["c"]})),
    ]))
    .unwrap_err();
    assert_eq!(errors[0].code, "cycle");
    assert!(errors[0].message.contains("a needs c needs b needs a"), "{}", errors[0].message);
    assert_eq!(first(json!([task("a", json!({"needs": ["a"]}))])).1, "cycle");
}

#[test]
fn the_body_is_read_strictly() {
    let codes = |body: Value| -> Vec<(String, &'static str)> {
        parse_mission(&body).unwrap_err().into_iter().map(|e| (e.pointer, e.code)).collect()
    };
    assert_eq!(codes(json!([])), [(String::new(), "wrong_type")]);
    assert_eq!(codes(json!({})), [(String::new(), "missing_field")]);
    assert_eq!(codes(json!({"goal": "x", "playbook": "y@"})), [("/playbook".to_owned(), "wrong_value")]);
    assert_eq!(codes(json!({"goal": "x", "inputs": {}})), [("/inputs".to_owned(), "unexpected")]);
    assert_eq!(codes(json!({"goal": "x", "colour": 1})), [("/colour".to_owned(), "unknown_field")]);
    assert_eq!(codes(json!({"goal": "x", "rank": "Z"})), [("/rank".to_owned(), "wrong_value")]);
    assert_eq!(codes(json!({"goal": "x", "start": "later"})), [("/start".to_owned(), "wrong_value")]);
    assert_eq!(codes(json!({"goal": "x", "priority": 101})), [("/priority".to_owned(), "out_of_range")]);
    assert_eq!(codes(json!({"goal": 7})), [("/goal".to_owned(), "wrong_value")]);
    assert_eq!(
        codes(json!({"goal": "x", "metadata": {"a": "x".repeat(70_000)}})),
        [("/metadata".to_owned(), "too_large")]
    );
    assert_eq!(codes(json!({"goal": "x", "tasks": []})), [("/tasks".to_owned(), "no_tasks")]);
    let draft =
        parse_mission(&json!({"tasks": [task("a", json!({}))], "start": "manual", "rank": "B"})).unwrap();
    assert_eq!((draft.goal.as_str(), draft.start, draft.rank), ("a", Start::Manual, Rank::B));
    let draft = parse_mission(&json!({"goal": "tidy up"})).unwrap();
    assert_eq!((draft.tasks, draft.budget), (None, Budget::default()));
}

#[test]
fn effects_flow_along_needs() {
    let upload =
        |needs: Value| json!({"id": "send", "uses": "demo.fetch", "with": {"url": "x"}, "needs": needs});
    let read = task("read", json!({"sandbox": {"profile": "strict", "paths": [{"path": "/home/me"}]}}));
    let apart = bound(json!([read, upload(json!([]))])).unwrap();
    assert_eq!(apart.tasks[1].rank, Rank::C);
    let middle = task("middle", json!({"needs": ["read"]}));
    let joined = bound(json!([upload(json!(["middle"])), middle, read])).unwrap();
    assert_eq!(joined.tasks[0].rank, Rank::B, "{:?}", joined.assessment.tasks[0].reasons);
    assert_eq!(joined.assessment.tasks[0].reasons[0].code, "effect_flow");
}

#[test]
fn requested_rank_only_raises() {
    let plan = |rank: &str| {
        bound_with(&json!({"rank": rank, "tasks": [task("a", json!({"sandbox": "user"}))]})).unwrap()
    };
    assert_eq!(plan("E").assessment.rank, Rank::B);
    assert_eq!(plan("S").assessment.rank, Rank::S);
}

#[test]
fn budgets_bound_the_plan() {
    let errors =
        bound_with(&json!({"budget": {"tasks": 1}, "tasks": [task("a", json!({})), task("b", json!({}))]}))
            .unwrap_err();
    assert_eq!((errors[0].code, errors[0].pointer.as_str()), ("budget_tasks", "/tasks"));
}

#[test]
fn the_schema_accepts_what_is_read() {
    let schema = nexusmon_shared::schema::Schema::compile(&mission_schema()).unwrap();
    let body = json!({"goal": "x", "start": "auto", "rank": "C", "budget": {"tasks": 3, "duration": "1h"}, "tasks": [
        task("a", json!({"retry": {"max": 2, "on": ["timeout"]}, "sandbox": {"profile": "user", "paths": [{"path": "/x"}]}, "timeout": "5m"})),
        task("b", json!({"needs": ["a"], "inputs": [{"task": "a", "artifact": "x"}], "for_each": {"in": "[1]", "max": 4, "concurrency": 2}})),
    ]});
    assert_eq!(schema.check(&body), Ok(()));
    assert!(bound_with(&body).is_ok());
    let made = json!({"playbook": "p@3", "inputs": {"a": 1}});
    assert!(schema.accepts(&made) && parse_mission(&made).is_ok());
    for wrong in [
        json!({}),
        json!({"goal": "x", "colour": 1}),
        json!({"tasks": [{"id": "a"}]}),
        json!({"goal": "x", "rank": "Q"}),
    ] {
        assert!(!schema.accepts(&wrong) && parse_mission(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn large_plans_bind_in_reasonable_work() {
    let chain: Vec<Value> = (0..20_000)
        .map(|n| match n {
            0 => task("t0", json!({})),
            n => task(
                &format!("t{n}"),
                json!({"needs": [format!("t{}", n - 1)], "if": format!("tasks.t{}.outputs.x > 0", n - 1)}),
            ),
        })
        .collect();
    let plan = bound(Value::Array(chain)).unwrap();
    assert_eq!(plan.tasks.len(), 20_000);
}

fn arbitrary_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        "[a-z${ }.]{0,12}".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "id",
        "uses",
        "with",
        "needs",
        "if",
        "for_each",
        "in",
        "max",
        "on",
        "labels",
        "agent",
        "timeout",
        "retry",
        "sandbox",
        "paths",
        "profile",
        "inputs",
        "task",
        "artifact",
        "artifacts",
        "limits",
        "goal",
        "tasks",
        "rank",
        "budget",
    ]);
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn any_body_gets_an_answer(body in arbitrary_json(), tasks in prop::collection::vec(arbitrary_json(), 0..3)) {
        let _ = bound_with(&body);
        let _ = bound(Value::Array(tasks));
    }

    /// Any graph: either it is bound with each task's needs before it in some order, or it holds a cycle.
    #[test]
    fn graphs_are_ordered_or_refused(edges in prop::collection::vec((0_usize..8, 0_usize..8), 0..16)) {
        let tasks: Vec<Value> = (0..8)
            .map(|at| {
                let mut needs: Vec<String> =
                    edges.iter().filter(|(task, _)| *task == at).map(|(_, need)| format!("t{need}")).collect();
                needs.sort();
                needs.dedup();
                task(&format!("t{at}"), json!({"needs": needs}))
            })
            .collect();
        let reaches = |from: usize, to: usize| {
            let (mut seen, mut queue) = (vec![from], vec![from]);
            while let Some(at) = queue.pop() {
                for (task, need) in &edges {
                    if *task == at && *need == to { return true; }
                    if *task == at && !seen.contains(need) { seen.push(*need); queue.push(*need); }
                }
            }
            false
        };
        let cyclic = (0..8).any(|at| reaches(at, at));
        let answer = bound(Value::Array(tasks));
        prop_assert_eq!(answer.is_err(), cyclic);
    }

    #[test]
    fn needing_more_never_lowers_a_rank(profile in prop::sample::select(vec!["strict", "user", "none"]), declared: bool) {
        let sandbox = json!({"sandbox": profile, "effects": {"writes": declared}});
        let alone = bound(json!([task("x", sandbox.clone())])).unwrap().assessment.rank;
        let mut second = task("x", sandbox);
        second["needs"] = json!(["first"]);
        let first = task("first", json!({"sandbox": {"profile": "user", "paths": [{"path": "/data"}]}}));
        let after = bound(json!([first, second])).unwrap();
        prop_assert!(after.tasks[1].rank >= alone && after.assessment.rank >= after.tasks[1].rank);
    }
}

#[test]
fn what_may_add_tasks_ranks_like_them() {
    let plan = bound(json!([task("scan", envelope(json!({"rank": "B"})))])).unwrap();
    assert_eq!((plan.assessment.rank, plan.tasks[0].rank), (Rank::B, Rank::B));
    assert_eq!(plan.assessment.tasks[0].reasons[0].code, "spawn");
    let list = json!({"for_each": {"in": "[1]", "max": 1}, "spawn": envelope(json!({}))["spawn"]});
    assert_eq!(first(json!([task("scan", list)])), ("/tasks/0/spawn".to_owned(), "conflict"));
    let noop = json!({"id": "n", "uses": "core.noop", "spawn": envelope(json!({}))["spawn"]});
    assert_eq!(first(json!([noop])), ("/tasks/0/spawn".to_owned(), "not_applicable"));
}

/// What becomes of a task that the last of `above` adds: its rank, or the first mistake.
fn added(above: Value, fields: Value) -> Result<Rank, (String, &'static str)> {
    let above = bound(above).unwrap().specs();
    let draft: TaskDraft = serde_json::from_value(task("child", fields)).unwrap();
    let usual = nexusmon_shared::plan::Usual {
        idempotent: true,
        profile: Profile::Strict,
        offline: nexusmon_shared::time::Span::default(),
    };
    let leaf = draft.added_by(&above.last().unwrap().id, usual);
    let (catalog, fleet, secrets) = (Catalog::new(&manifests()), fleet(2), secrets());
    let agents = BTreeMap::new();
    let facts =
        PlanFacts { catalog: &catalog, agents: &agents, fleet: &fleet, secrets: &secrets, playbook: None };
    match bind_spawned(&above, &leaf, 0, &facts) {
        Ok((task, assessment)) => {
            assert_eq!((task.rank, task.spec), (assessment.rank, leaf));
            Ok(assessment.rank)
        }
        Err(errors) => Err((errors[0].pointer.clone(), errors[0].code)),
    }
}

#[test]
fn an_added_task_is_checked_like_a_planned_one() {
    let up_to = |rank: &str, uses: &str| {
        let spawn = envelope(json!({"rank": rank, "capabilities": [uses]}));
        json!([task("first", json!({})), task("scan", json!({"needs": ["first"], "spawn": spawn["spawn"]}))])
    };
    let shell = |rank| up_to(rank, "shell.run");
    assert_eq!(added(shell("E"), json!({})), Ok(Rank::E));
    assert_eq!(added(shell("B"), json!({"sandbox": "user"})), Ok(Rank::B));
    let refused = |pointer: &str, code| Err((pointer.to_owned(), code));
    assert_eq!(added(shell("C"), json!({"sandbox": "user"})), refused("", "rank_above_envelope"));
    assert_eq!(added(shell("B"), json!({"sandbox": "none"})), refused("", "rank_above_envelope"));
    assert_eq!(added(shell("B"), json!({"uses": "demo.fetch"})), refused("", "outside_envelope"));
    assert_eq!(added(shell("B"), json!({"with": {}})), refused("/with", "bad_parameters"));
    assert_eq!(added(shell("B"), json!({"limits": {"db": 0}})), refused("/limits/db", "out_of_range"));
    assert_eq!(added(shell("B"), json!({"verify": "1 +"})), refused("/verify", "bad_expression"));
    let wipe = json!({"uses": "demo.wipe", "with": {}, "sandbox": "user"});
    assert_eq!(added(up_to("B", "demo.wipe"), wipe), refused("", "requires_approval"));
}

#[test]
fn what_led_up_to_it_counts_for_an_added_task() {
    let after = |first: Value| {
        let spawn = envelope(json!({"rank": "B", "capabilities": ["demo.fetch"]}));
        json!([
            task("first", first),
            task("between", json!({"needs": ["first"]})),
            task("scan", json!({"needs": ["between"], "spawn": spawn["spawn"]})),
        ])
    };
    let send = || json!({"uses": "demo.fetch", "with": {"url": "x"}});
    assert_eq!(added(after(json!({})), send()), Ok(Rank::C));
    let host = json!({"sandbox": {"profile": "strict", "paths": [{"path": "/home/me"}]}});
    assert_eq!(added(after(host), send()), Ok(Rank::B), "it can carry that out");
    let secret = json!({"secrets": ["api"]});
    assert_eq!(added(after(secret), send()), Err((String::new(), "rank_above_envelope")), "A is never added");
}
