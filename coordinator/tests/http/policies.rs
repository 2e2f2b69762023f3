//! Policies as code over the API: refused with their place, tried on what was, put in force, part of every plan.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::served::{Served, operations};

const PATH: &str = "/v1/governance/policies";

fn noop(goal: &str, rank: &str) -> Value {
    json!({"goal": goal, "rank": rank, "tasks": [{"id": "a", "uses": "core.noop"}]})
}

async fn verdict(served: &Served, rank: &str) -> Result<Value> {
    let (status, answer) =
        served.call("POST", "/v1/engine/missions/dry-run", Some(&noop("would it run", rank))).await?;
    assert_eq!(status, 200, "{answer}");
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_tried_put_in_force_and_kept() -> Result<()> {
    let served = Served::start().await?;
    let shipped = served.get(PATH).await?;
    assert_eq!((&shipped["version"], &shipped["versions"]), (&json!(0), &json!([])));
    assert!(shipped["guardrails"].as_str().context("text")?.contains("guard-a-s-need-approval"));
    for (goal, rank) in [("one", "E"), ("two", "C"), ("three", "C"), ("four", "A")] {
        let (status, answer) = served.call("POST", "/v1/engine/missions", Some(&noop(goal, rank))).await?;
        assert_eq!(status, 201, "{answer}");
    }
    let text = shipped["text"].as_str().context("text")?;
    let stricter = format!(
        "{text}\n@id(\"c-waits\")\nforbid (principal, action == Action::\"run_flagged\", resource)\nwhen {{ context.rank == 2 }};\n"
    );

    // What is wrong is said with the policy and its place, and nothing changes.
    let wrong = stricter.replace("context.rank == 2", "context.colour == 2");
    let (status, refused) =
        served.call("POST", PATH, Some(&json!({"text": wrong, "comment": "typo"}))).await?;
    assert_eq!((status.as_u16(), &refused["errors"][0]["pointer"]), (400, &json!("/text")));
    let message = refused["errors"][0]["message"].as_str().context("a message")?;
    assert!(message.starts_with("policy `c-waits`, line ") && message.contains("colour"), "{message}");
    let guard = "@id(\"guard-mine\") permit (principal, action, resource);";
    let (status, refused) = served.call("POST", PATH, Some(&json!({"text": guard, "comment": "no"}))).await?;
    assert_eq!(status, 400, "{refused}");

    let (status, replay) = served
        .call("POST", &format!("{PATH}/replay"), Some(&json!({"text": stricter, "missions": 10})))
        .await?;
    assert_eq!(status, 200, "{replay}");
    assert_eq!((&replay["missions"], &replay["differing"]), (&json!(4), &json!(2)), "{replay:#}");
    println!(
        "policy replay: {} missions judged again, {} would have been decided otherwise",
        replay["missions"], replay["differing"]
    );
    let difference = &replay["differences"][0];
    assert_eq!((&difference["goal"], &difference["rank"]), (&json!("three"), &json!("C")));
    assert_eq!(
        (&difference["current"]["verdict"], &difference["proposed"]["verdict"]),
        (&json!("flag"), &json!("hold"))
    );
    assert!(difference["proposed"]["policies"].to_string().contains("c-waits"), "{difference}");

    assert_eq!(verdict(&served, "C").await?["verdict"], "flag");
    let (status, set) =
        served.call("POST", PATH, Some(&json!({"text": stricter, "comment": "C waits for a while"}))).await?;
    assert_eq!((status.as_u16(), &set["version"]), (201, &json!(1)), "{set}");
    assert_eq!(set["digest"], replay["proposed_digest"]);
    let now = verdict(&served, "C").await?;
    assert_eq!((&now["verdict"], &now["policy_digest"]), (&json!("hold"), &set["digest"]), "{now}");
    // The same again is no change, however it is laid out; an old tag is noticed.
    let same = format!("// a comment\n{stricter}");
    let (status, again) = served.call("POST", PATH, Some(&json!({"text": same, "comment": "same"}))).await?;
    assert_eq!((status.as_u16(), &again["code"]), (409, &json!("unchanged")));
    let stale = served.authorized("POST", PATH).header("if-match", "\"0\"");
    let stale = stale.json(&json!({"text": text, "comment": "back"})).send().await?;
    assert_eq!(stale.status(), 412);
    // Back to what is shipped, by replaying version 0 first.
    let (_, replay) = served.call("POST", &format!("{PATH}/replay"), Some(&json!({"version": 0}))).await?;
    assert_eq!(replay["differing"], 2, "{replay}");
    let (status, back) = served.call("POST", PATH, Some(&json!({"text": text, "comment": "back"}))).await?;
    assert_eq!((status.as_u16(), &back["version"], &back["digest"]), (201, &json!(2), &shipped["digest"]));
    assert_eq!(verdict(&served, "C").await?["verdict"], "flag");
    let audit = served.get("/v1/governance/audit?action=policy.changed").await?;
    assert_eq!(audit["items"].as_array().map(Vec::len), Some(2), "{audit}");
    assert_eq!(served.get(&format!("{PATH}?version=1")).await?["comment"], "C waits for a while");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_set_waves_grave_work_through() -> Result<()> {
    let served = Served::start().await?;
    let open = json!({"text": "@id(\"all\") permit (principal, action, resource);", "comment": "trust me"});
    let (status, set) = served.call("POST", PATH, Some(&open)).await?;
    assert_eq!(status, 201, "{set}");
    for (rank, wanted) in [("E", "allow"), ("C", "flag"), ("B", "flag"), ("A", "hold"), ("S", "hold")] {
        assert_eq!(verdict(&served, rank).await?["verdict"], wanted, "{rank}");
    }
    let none = json!({"text": "", "comment": "nothing at all"});
    assert_eq!(served.call("POST", PATH, Some(&none)).await?.0, 201);
    assert_eq!(verdict(&served, "E").await?["verdict"], "deny");
    Ok(())
}

/// There is no route that gives a value back, so there is nothing that a set could open.
#[tokio::test(flavor = "multi_thread")]
async fn no_set_gives_a_secret_back() -> Result<()> {
    let served = Served::start().await?;
    let open = json!({"text": "@id(\"all\") permit (principal, action, resource);", "comment": "trust me"});
    assert_eq!(served.call("POST", PATH, Some(&open)).await?.0, 201);
    let secret = "/v1/governance/secrets/token";
    let (status, answer) =
        served.call("PUT", secret, Some(&json!({"value": "policies-Canary-7d2f"}))).await?;
    assert!(status.is_success() && !answer.to_string().contains("Canary"), "{status}: {answer}");
    for (path, wanted) in
        [(secret.to_owned(), 405), (format!("{secret}/value"), 404), (format!("{secret}/1"), 404)]
    {
        let (status, answer) = served.call("GET", &path, None).await?;
        assert_eq!(status.as_u16(), wanted, "{path}: {answer}");
    }
    let document = served.get("/v1/openapi.json").await?;
    let mut looked = 0;
    for operation in operations(&document).filter(|operation| operation.method == "GET") {
        // What needs an id is about one thing; streams have no end.
        let ends = !operation.path.contains('{') && !operation.path.contains("events");
        if ends && operation.about["x-action"].is_string() {
            let answer = served.authorized("GET", operation.path).send().await?.text().await?;
            assert!(!answer.contains("Canary"), "{}: {answer}", operation.path);
            looked += 1;
        }
    }
    assert!(looked > 20, "only {looked}");
    Ok(())
}
