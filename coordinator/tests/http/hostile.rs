//! Whatever is sent, the answer is a problem with a code, never a failure of ours.

use std::time::Duration;

use anyhow::Result;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::served::{Served, operations};

fn any_json() -> impl Strategy<Value = Value> {
    let words = prop_oneof![
        "[a-z_]{1,12}",
        Just("goal".to_owned()),
        Just("tasks".to_owned()),
        Just("id".to_owned()),
        Just("uses".to_owned()),
        Just("with".to_owned()),
        Just("needs".to_owned()),
        Just("digest".to_owned()),
        Just("verdict".to_owned()),
        Just("labels".to_owned()),
        Just("name".to_owned()),
        Just("operator_key".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,24}".prop_map(Value::from),
        Just(json!("shell.run")),
        Just(json!("${{ tasks.x.outputs.y }}")),
        Just(json!("99999999999999999999999s")),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((words.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn any_body_on_any_route_is_answered() -> Result<()> {
    let served = Served::start().await?;
    let document = served.get("/v1/openapi.json").await?;
    let mut runner = TestRunner::new(Config::default());
    let strategy = any_json();
    for operation in operations(&document).filter(|operation| operation.method != "GET") {
        // Ends the session of this test; its body is that of every act without fields.
        if operation.path == "/v1/auth/logout" {
            continue;
        }
        for _ in 0..48 {
            let body =
                strategy.new_tree(&mut runner).map_err(|reason| anyhow::anyhow!("{reason}"))?.current();
            let (status, answer) =
                served.call(&operation.method, &operation.example_path(), Some(&body)).await?;
            let name = format!("{} {} {body}", operation.method, operation.path);
            assert!(!status.is_server_error(), "{name}: {answer}");
            if status.is_client_error() {
                assert!(answer["code"].is_string() && answer["detail"].is_string(), "{name}: {answer}");
                assert_eq!(answer["trace_id"].as_str().map(str::len), Some(32), "{name}");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_query_on_any_list_is_answered() -> Result<()> {
    let served = Served::start().await?;
    let document = served.get("/v1/openapi.json").await?;
    let queries = [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=abc",
        "limit=1&limit=2",
        "cursor=",
        "cursor=%00",
        "cursor=zzzz",
        "cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "status=nonsense",
        "rank=Z",
        "since=yesterday",
        "q=%22%27(*",
        "q=NEAR(",
        "label==",
        "sort=name",
        "unknown=1",
        "from_line=-9223372036854775808",
        "lines=4294967295",
        "after=-1",
        "version=99999",
        "with=x",
        "mission=mis_0",
        "%ff=%fe",
        "&&&=",
        "kind=log&kind=output",
    ];
    for operation in operations(&document).filter(|operation| operation.method == "GET") {
        for query in queries {
            let path = format!("{}?{query}", operation.example_path());
            let response = served.authorized("GET", &path).timeout(Duration::from_secs(20)).send().await?;
            assert!(!response.status().is_server_error(), "GET {path}: {}", response.status());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_the_same_every_time() -> Result<()> {
    let served = Served::start().await?;
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let cases = [
        ("nothing_there", "GET", "/v1/engine/nonsense", None),
        ("a_part_of_another_time", "POST", "/mcp", Some("{}".to_owned())),
        ("wrong_method", "DELETE", "/v1/engine/missions", None),
        ("no_such_mission", "GET", "/v1/engine/missions/mis_00000000000000000000000000", None),
        ("not_an_id", "GET", "/v1/engine/missions/7", None),
        ("not_json", "POST", "/v1/fleet/invites", Some("{\"name\": ".to_owned())),
        ("unknown_field", "POST", "/v1/fleet/invites", Some("{\"name\": \"a\", \"nmae\": 1}".to_owned())),
        ("bad_name", "POST", "/v1/fleet/invites", Some("{\"name\": \"../etc\"}".to_owned())),
        ("too_deep", "POST", "/v1/fleet/invites", Some(deep)),
        (
            "unbuilt_field",
            "POST",
            "/v1/engine/missions",
            Some("{\"goal\": \"x\", \"playbook\": \"y\"}".to_owned()),
        ),
        ("neither_goal_nor_tasks", "POST", "/v1/engine/missions", Some("{}".to_owned())),
        ("list_limit", "GET", "/v1/engine/missions?limit=1000", None),
        ("unknown_parameter", "GET", "/v1/engine/missions?lmit=1", None),
    ];
    for (name, method, path, body) in cases {
        let mut request = served.authorized(method, path);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await?;
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{name}");
        let status = response.status().as_u16();
        let mut body: Value = response.json().await?;
        assert_eq!(body["status"], status, "{name}");
        body["trace_id"] = Value::from("[trace]");
        insta::assert_json_snapshot!(name, body);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded_and_of_the_right_kind() -> Result<()> {
    let served = Served::start().await?;
    let large = vec![b' '; 1024 * 1024 + 1];
    let request = served.authorized("POST", "/v1/fleet/invites").header("content-type", "application/json");
    assert_eq!(request.body(large).send().await?.status(), 413);
    let request = served.authorized("POST", "/v1/fleet/invites").header("content-type", "text/plain");
    assert_eq!(request.body("{\"name\": \"a\"}").send().await?.status(), 415);
    let request = served.authorized("POST", "/v1/fleet/invites").header("content-type", "application/json");
    assert_eq!(request.body(vec![0xff, 0xfe, 0x00]).send().await?.status(), 400);
    // Chunked, so that no length says beforehand how much it is.
    let endless = futures::stream::iter((0..3000).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024])));
    let request = served.authorized("POST", "/v1/fleet/invites").header("content-type", "application/json");
    assert_eq!(request.body(reqwest::Body::wrap_stream(endless)).send().await?.status(), 413);
    Ok(())
}
