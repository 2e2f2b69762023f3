//! What crashes comes back; what crashes again and again stays away.

use nexusmon_agent::plugins::State;
use serde_json::json;

use super::{Host, outputs, plugin_error};

const CRASH: &str = "if params['params'].get('crash'):\n    \
                     print('no more', file=sys.stderr, flush=True)\n    \
                     os._exit(3)\n\
                     send({'id': request['id'], 'result': {}})";

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_fails_its_attempts_and_the_plugin_comes_back() {
    let host = Host::start().await;
    host.put_raw("one", "", CRASH);
    host.offered("one").await;
    // More often than three times, but never three times in a row.
    for _ in 0..4 {
        let exit = host.run("one.go", json!({"crash": true})).await;
        let detail = plugin_error(&exit);
        assert!(detail.contains("exit status 3") && detail.contains("no more"), "{detail}");
        outputs(&host.run("one.go", json!({})).await);
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_crashes_in_a_row_quarantine_until_the_folder_changes() {
    let host = Host::start().await;
    host.put_raw("one", "", CRASH);
    host.offered("one").await;
    for _ in 0..3 {
        plugin_error(&host.run("one.go", json!({"crash": true})).await);
    }
    let state = host.reaches("one", |state| state.state == State::Quarantined).await;
    assert!(state.reason.is_some_and(|reason| reason.contains("exit status 3")));
    assert!(host.plugins.manifests().borrow().is_empty());
    assert!(plugin_error(&host.run("one.go", json!({})).await).contains("quarantine"));
    host.put_raw("one", "", "send({'id': request['id'], 'result': {}})");
    host.offered("one").await;
    outputs(&host.run("one.go", json!({})).await);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_starts_says_why() {
    let host = Host::start().await;
    host.put("one", "import nothing_like_this", "profile = \"none\"");
    let place = host.place("two");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("plugin.toml"), "command = [\"./missing\"]\nprofile = \"none\"").unwrap();
    let state = host.reaches("one", |state| state.state == State::Quarantined).await;
    assert!(state.reason.is_some_and(|reason| reason.contains("nothing_like_this")));
    let state = host.reaches("two", |state| state.state == State::Quarantined).await;
    assert!(state.reason.is_some_and(|reason| reason.contains("No such file")));
    host.stop().await;
}
