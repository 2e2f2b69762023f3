//! Plugins that mean harm: the agent goes on, and so do its other plugins.

use std::time::Duration;

use nexusmon_agent::plugins::State;
use nexusmon_shared::outcome::{Cause, Ending};
use serde_json::json;

use super::{Host, greeter, outputs, plugin_error};

/// A good neighbour still works.
async fn neighbour_works(host: &Host) {
    host.put("greeter", greeter(), "profile = \"none\"");
    host.offered("greeter").await;
    assert_eq!(outputs(&host.run("greeter.hello", json!({})).await)["greeting"], "hello world");
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_lines_end_the_plugin_not_the_agent() {
    let host = Host::start().await;
    host.put_raw("one", "", "send('x' * (1 << 20) + 'x' * (1 << 20))");
    host.put_raw("two", "", "while True: sys.stdout.write('y' * (1 << 16))");
    for name in ["one", "two"] {
        host.offered(name).await;
        let detail = host.run(&format!("{name}.go"), json!({})).await;
        assert!(plugin_error(&detail).contains("more than 1 MiB"), "{detail:?}");
    }
    neighbour_works(&host).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_ignored_until_it_is_too_much() {
    let host = Host::start().await;
    let little = "for line in ['', 'hello', '[]', '{}', '{\"id\": 999, \"result\": {}}', '{\"id\": \"1\", \"result\": {}}', 'null', '\\x00',\n    \
                  '[' * 5000, '{\"method\": \"format\", \"params\": {\"attempt\": \"x\"}}', '{\"id\": -1, \"error\": 3}']: send(line)\n\
                  send({'method': 'log', 'params': {'attempt': 'another', 'text': 'not mine'}})\n\
                  send({'method': 'progress', 'params': {'attempt': params['attempt'], 'fraction': 1e300, 'text': 'x' * 5000}})\n\
                  send({'id': request['id'], 'result': {}})\n\
                  send({'id': request['id'], 'result': {'outputs': {'twice': True}}})";
    host.put_raw("one", "", little);
    host.offered("one").await;
    let running = host.begin(host.job("one.go", &json!({}), |_| {}));
    let progress = running.progress.clone();
    assert!(outputs(&running.finish().await).is_empty());
    assert!(progress.borrow().iter().all(|(fraction, text)| fraction.is_none() && text.len() <= 200));

    host.put_raw("two", "", "while True: send('nonsense')");
    host.offered("two").await;
    assert!(plugin_error(&host.run("two.go", json!({})).await).contains("nonsense"));
    neighbour_works(&host).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_and_paths_never_become_artifacts() {
    let host = Host::start().await;
    let secret = host.data.join("secret");
    std::fs::write(&secret, "key").unwrap();
    let execute = "os.symlink(params['params']['secret'], params['workspace'] + '/link')\n\
                   os.symlink(os.path.dirname(params['params']['secret']), params['workspace'] + '/out')\n\
                   os.mkfifo(params['workspace'] + '/pipe')\n\
                   open(params['workspace'] + '/good', 'w').close()\n\
                   send({'method': 'artifact', 'params': {'attempt': params['attempt'], 'name': params['params']['name']}})\n\
                   send({'id': request['id'], 'result': {}})";
    host.put_raw("one", "", execute);
    host.offered("one").await;
    for name in ["link", "out/secret", "pipe", "../../../secret", secret.to_str().unwrap(), "missing", ""] {
        let exit = host.run("one.go", json!({"secret": secret, "name": name})).await;
        let refused = matches!(exit.ending, Ending::Failed { cause: Cause::ArtifactFailed { .. } });
        assert!(refused && exit.artifacts.is_empty(), "{name}: {:?}", exit.ending);
    }
    let exit = host.run("one.go", json!({"secret": secret, "name": "good"})).await;
    assert_eq!(exit.artifacts.len(), 1, "{exit:?}");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "key");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_reads_nothing_is_ended_in_time() {
    let host = Host::start().await;
    let deaf = "send({'method': 'progress', 'params': {'attempt': params['attempt']}})\ntime.sleep(1000)";
    host.put_raw("one", "", deaf);
    host.offered("one").await;
    let filler = "x".repeat(500_000);
    let begin = || host.begin(host.job("one.go", &json!({"filler": filler}), |_| {}));
    let mut running = vec![begin()];
    running[0].at_work().await;
    // More than its pipe holds.
    running.extend((0..3).map(|_| begin()));
    for each in &running {
        each.canceller.cancel(Duration::from_millis(50));
    }
    for each in running {
        assert_eq!(each.finish().await.ending, Ending::Cancelled);
    }
    host.reaches("one", |state| state.state == State::Offered).await;
    neighbour_works(&host).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_stderr_and_progress_stay_bounded() {
    let host = Host::start().await;
    let flood = "for n in range(20000): print('noise \\x1b[2J', n, file=sys.stderr)\n\
                 for n in range(20000): send({'method': 'progress', 'params': {'attempt': params['attempt'], 'text': str(n)}})\n\
                 send({'id': request['id'], 'result': {}})";
    host.put_raw("one", "", flood);
    host.offered("one").await;
    let running = host.begin(host.job("one.go", &json!({}), |_| {}));
    let progress = running.progress.clone();
    outputs(&running.finish().await);
    assert!(progress.borrow().len() < 2_000, "{}", progress.borrow().len());
    host.stop().await;
}
