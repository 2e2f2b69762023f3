//! Folders become capabilities while the agent runs, or are refused with the field and the reason.

use nexusmon_agent::plugins::State;
use nexusmon_shared::rank::Rank;
use serde_json::json;

use super::{Host, greeter, outputs, plugin_error};

#[tokio::test(flavor = "multi_thread")]
async fn ten_lines_become_a_capability_while_the_agent_runs() {
    let host = Host::start().await;
    let mut manifests = host.plugins.manifests();
    assert!(manifests.borrow_and_update().is_empty());
    host.put("greeter", greeter(), "profile = \"none\"");
    let state = host.offered("greeter").await;
    // The profile `none` counts whatever the manifest says.
    assert_eq!(state.capabilities[0].risk_level, Rank::A);
    assert!(manifests.has_changed().unwrap());

    let running = host.begin(host.job("greeter.hello", &json!({"who": "you"}), |_| {}));
    let attempt = running.attempt;
    let exit = running.finish().await;
    assert_eq!(outputs(&exit)["greeting"], "hello you");
    assert_eq!(host.log(attempt).await, "greeting you\n");
    assert_eq!(exit.log_bytes, 13);
    assert!(exit.started_at.is_some() && exit.sandbox_level.is_some());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_folder_is_another_plugin_and_a_removed_one_is_none() {
    let host = Host::start().await;
    host.put_raw("one", "", "send({'id': request['id'], 'result': {'outputs': {'version': 1}}})");
    host.offered("one").await;
    assert_eq!(outputs(&host.run("one.go", json!({})).await)["version"], 1);

    let newer = "manifest['version'] = '2'";
    host.put_raw("one", newer, "send({'id': request['id'], 'result': {'outputs': {'version': 2}}})");
    host.reaches("one", |state| state.version.as_deref() == Some("2")).await;
    assert_eq!(outputs(&host.run("one.go", json!({})).await)["version"], 2);

    let mut manifests = host.plugins.manifests();
    host.take("one");
    manifests.wait_for(|manifests| manifests.is_empty()).await.unwrap();
    assert!(plugin_error(&host.run("one.go", json!({})).await).contains("nothing here provides it"));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_in_a_plugin_that_changes_runs_to_its_end() {
    let host = Host::start().await;
    let slow = "send({'method': 'progress', 'params': {'attempt': params['attempt']}})\n\
                while not os.path.exists(params['params']['until']): time.sleep(0.01)\n\
                send({'id': request['id'], 'result': {'outputs': {'version': 1}}})";
    host.put_raw("one", "", slow);
    host.offered("one").await;
    let flag = host.data.join("flag");
    let mut running = host.begin(host.job("one.go", &json!({"until": flag}), |_| {}));
    running.at_work().await;
    host.put_raw("one", "manifest['version'] = '2'", slow);
    host.reaches("one", |state| state.version.as_deref() == Some("2")).await;
    std::fs::write(&flag, "").unwrap();
    assert_eq!(outputs(&running.finish().await)["version"], 1);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_plugins_are_refused_with_the_field_and_the_reason() {
    let host = Host::start().await;
    let cases = [
        ("claims", "manifest['capabilities'][0]['name'] = 'shell.run'", "capabilities[0].name: `shell.run`"),
        ("poses", "manifest['name'] = 'other'", "name: is `other`"),
        ("ranks", "manifest['capabilities'][0]['risk_level'] = 'Z'", "capabilities[0].risk_level"),
        ("schema", "manifest['capabilities'][0]['params'] = {'type': 'strnig'}", "capabilities[0].params"),
        ("demands", "manifest['capabilities'][0]['sandbox'] = 'strict'", "capabilities[0].sandbox"),
    ];
    for (name, starting, _) in cases {
        host.put_raw(name, starting, "pass");
    }
    host.put("toml", "", "profile = \"loose\"");
    host.put("shell", greeter(), "");
    host.put("pinned", greeter(), &format!("digest = \"{}\"", "0".repeat(64)));
    let more = [
        ("toml", "", "profile"),
        ("shell", "", "`shell` is a name of the agent's own"),
        ("pinned", "", "digest"),
    ];
    for (name, _, word) in cases.into_iter().chain(more) {
        let state = host.reaches(name, |state| state.state == State::Refused).await;
        assert!(state.reason.as_ref().is_some_and(|reason| reason.contains(word)), "{name}: {state:?}");
        assert!(state.capabilities.is_empty());
    }
    assert!(host.plugins.manifests().borrow().is_empty());
    assert!(plugin_error(&host.run("ranks.go", json!({})).await).contains("risk_level"));
    host.stop().await;
}
