//! Attempts in plugins: parameters, inputs, artifacts, progress, cancel, timeout, several at once.

use std::time::Duration;

use nexusmon_agent::run::JobInput;
use nexusmon_shared::outcome::{Cause, Ending, Refusal};
use serde_json::json;

use super::{Host, outputs, plugin_error};

const SDK: &str =
    "import asyncio, time\nfrom nexusmon_plugin import Capability, PluginError, Result, WorkerPlugin, run\n";

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_checked_and_errors_become_causes() {
    let host = Host::start().await;
    let code = "class P(WorkerPlugin):\n    name = 'p'\n    capabilities = ['p.half']\n    \
                async def execute(self, task, number: int):\n        \
                if number % 2: raise ValueError(f'{number} is odd')\n        \
                return Result(outputs={'half': number // 2})\nrun(P)\n";
    host.put("p", &format!("{SDK}{code}"), "profile = \"none\"");
    host.offered("p").await;
    assert_eq!(outputs(&host.run("p.half", json!({"number": 6})).await)["half"], 3);
    let wrong = host.run("p.half", json!({"number": "six"})).await;
    let Ending::Failed { cause: Cause::BadParameters { detail } } = &wrong.ending else {
        panic!("{wrong:?}")
    };
    assert!(detail.contains("/number"), "{detail}");
    let running = host.begin(host.job("p.half", &json!({"number": 3}), |_| {}));
    let attempt = running.attempt;
    let odd = running.finish().await;
    assert_eq!(plugin_error(&odd), "ValueError: 3 is odd");
    assert!(host.log(attempt).await.contains("Traceback"), "the log tells where");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_come_in_and_artifacts_go_out() {
    let host = Host::start().await;
    let code = "class P(WorkerPlugin):\n    name = 'p'\n    capabilities = ['p.copy']\n    \
                async def execute(self, task):\n        \
                (task.workspace / 'sub').mkdir()\n        \
                (task.workspace / 'sub/copy.bin').write_bytes(task.inputs['in.txt'].read_bytes() * 2)\n        \
                (task.workspace / 'glob.csv').write_text('1')\n        \
                (task.workspace / 'left.txt').write_text('2')\n        \
                task.progress(0.5, 'half')\n        \
                task.artifact('sub/copy.bin', 'text/x-copy')\n        \
                return Result()\nrun(P)\n";
    host.put("p", &format!("{SDK}{code}"), "profile = \"none\"");
    host.offered("p").await;
    let cached = host.data.join("cached");
    std::fs::write(&cached, "ab").unwrap();
    let mut job = host.job("p.copy", &json!({}), |spec| spec["artifacts"] = json!(["*.csv"]));
    job.inputs = vec![JobInput { name: "in.txt".to_owned(), path: cached.clone() }];
    let running = host.begin(job);
    let (attempt, progress) = (running.attempt, running.progress.clone());
    let exit = running.finish().await;
    assert!(outputs(&exit).is_empty());
    let found: Vec<_> =
        exit.artifacts.iter().map(|one| (one.name.as_str(), one.media_type.as_str(), one.size)).collect();
    assert_eq!(found, [("glob.csv", "text/csv", 1), ("sub/copy.bin", "text/x-copy", 4)]);
    assert_eq!(std::fs::read_to_string(&exit.artifacts[1].path).unwrap(), "abab");
    assert_eq!(*progress.borrow(), [(Some(0.5), "half".to_owned())]);
    host.executor.release(attempt);
    super::until("the files are gone", || !exit.artifacts[1].path.exists()).await;
    super::until("the workspace is gone", || {
        let left = std::fs::read_dir(host.data.join("plugins-work")).unwrap().flatten();
        left.flat_map(|scratch| std::fs::read_dir(scratch.path()).unwrap().flatten())
            .all(|entry| !entry.file_name().to_string_lossy().starts_with("tsk"))
    })
    .await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_run_at_once_up_to_the_bound_and_can_be_cancelled() {
    let host = Host::start().await;
    // Each waits until as many as are said have come: they must be in flight together.
    let code = "class P(WorkerPlugin):\n    name = 'p'\n    capabilities = ['p.meet', 'p.wait']\n    concurrency = 8\n    \
                here = 0\n    most = 0\n    async def execute(self, task):\n        \
                P.here += 1\n        P.most = max(P.most, P.here)\n        task.progress(None, 'here')\n        \
                try:\n            while task.capability == 'p.wait' or P.most < task.params['guests']: await asyncio.sleep(0.005)\n        \
                finally: P.here -= 1\n        \
                return Result(outputs={'most': P.most})\nrun(P)\n";
    host.put("p", &format!("{SDK}{code}"), "profile = \"none\"\nconcurrency = 3");
    host.offered("p").await;
    let meetings: Vec<_> =
        (0..9).map(|_| host.begin(host.job("p.meet", &json!({"guests": 3}), |_| {}))).collect();
    for meeting in meetings {
        assert_eq!(outputs(&meeting.finish().await)["most"], 3, "never more than plugin.toml allows");
    }
    let mut waiting = host.begin(host.job("p.wait", &json!({}), |_| {}));
    waiting.at_work().await;
    waiting.canceller.cancel(Duration::from_secs(50));
    assert_eq!(waiting.finish().await.ending, Ending::Cancelled);
    assert_eq!(
        outputs(&host.run("p.meet", json!({"guests": 1})).await)["most"],
        3,
        "the same process goes on"
    );
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_obey_is_killed_and_started_again() {
    let host = Host::start().await;
    let code = "class P(WorkerPlugin):\n    name = 'p'\n    capabilities = ['p.block', 'p.fine']\n    concurrency = 2\n    \
                async def execute(self, task):\n        task.progress(None, 'here')\n        \
                if task.capability == 'p.block': time.sleep(1000)\n        return Result()\nrun(P)\n";
    host.put("p", &format!("{SDK}{code}"), "profile = \"none\"");
    host.offered("p").await;
    let mut blocked = host.begin(host.job("p.block", &json!({}), |_| {}));
    blocked.at_work().await;
    // Sent to a process that hears nothing any more: it shares the fate.
    let mut other = host.begin(host.job("p.fine", &json!({}), |_| {}));
    other.started().await;
    blocked.canceller.cancel(Duration::from_millis(100));
    assert_eq!(blocked.finish().await.ending, Ending::Cancelled);
    assert!(plugin_error(&other.finish().await).contains("did not end an attempt"));
    outputs(&host.run("p.fine", json!({})).await);

    let timed = host.job("p.block", &json!({}), |spec| spec["timeout"] = json!(0.2));
    assert_eq!(host.begin(timed).finish().await.ending, Ending::Failed { cause: Cause::Timeout });
    outputs(&host.run("p.fine", json!({})).await);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_are_bounded_and_of_the_declared_kind() {
    let host = Host::start().await;
    let starting = "manifest['capabilities'][0]['outputs'] = {'type': 'object', 'properties': {'n': {'type': 'integer'}}}";
    host.put_raw("one", starting, "send({'id': request['id'], 'result': params['params'].get('result')})");
    host.offered("one").await;
    let run = |result| host.run("one.go", json!({"result": result}));
    assert_eq!(outputs(&run(json!({"outputs": {"n": 1}})).await)["n"], 1);
    assert!(outputs(&run(json!({})).await).is_empty());
    assert!(plugin_error(&run(json!({"outputs": {"n": "x"}})).await).contains("/n"));
    assert!(plugin_error(&run(json!({"outputs": [1]})).await).contains("not an object"));
    assert!(plugin_error(&run(json!("done")).await).contains("not an object"));
    let large = run(json!({"outputs": {"text": "x".repeat(300_000)}})).await;
    assert!(
        matches!(large.ending, Ending::Failed { cause: Cause::OutputTooLarge { .. } }),
        "{:?}",
        large.ending
    );
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stricter_sandbox_than_the_plugins_own_is_never_pretended() {
    let host = Host::start().await;
    host.put_raw("one", "", "send({'id': request['id'], 'result': {}})");
    host.offered("one").await;
    for sandbox in [json!("strict"), json!({"profile": "none", "paths": [{"path": "/usr"}]})] {
        let exit =
            host.begin(host.job("one.go", &json!({}), |spec| spec["sandbox"] = sandbox)).finish().await;
        let refused = matches!(exit.ending, Ending::Refused { reason: Refusal::SandboxUnavailable, .. });
        assert!(refused, "{:?}", exit.ending);
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_attempt_adds_is_answered_and_waited_for() {
    use std::sync::Arc;

    use nexusmon_agent::worker::Spawner;
    use nexusmon_shared::id::TaskId;

    let host = Host::start().await;
    // It waits for a hundred answers, and leaves one more to whoever listens to it.
    let code = "from nexusmon_plugin import SpawnRefusedError\nclass P(WorkerPlugin):\n    name = 'p'\n    capabilities = ['p.add']\n    \
                async def execute(self, task):\n        \
                async def one(n):\n            \
                try: return await task.spawn(f't{n}', 'shell.run', {'script': 'true'}, timeout='5s')\n            \
                except SpawnRefusedError as refused: return str(refused)\n        \
                answers = await asyncio.gather(*(one(n) for n in range(100)))\n        \
                asyncio.ensure_future(one(100))\n        await asyncio.sleep(0)\n        \
                return Result(outputs={'answers': answers})\nrun(P)\n";
    host.put("p", &format!("{SDK}{code}"), "profile = \"none\"");
    host.offered("p").await;
    let (open, gate) = tokio::sync::watch::channel(false);
    let (asked, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let spawner: Spawner = Arc::new(move |task| {
        let (mut gate, asked) = (gate.clone(), asked.clone());
        Box::pin(async move {
            let id = task["id"].as_str().unwrap_or_default().to_owned();
            assert_eq!((&task["uses"], &task["timeout"]), (&json!("shell.run"), &json!("5s")));
            asked.send(id.clone()).unwrap();
            match id.as_str() {
                "t7" => Err("no more".to_owned()),
                "t100" => {
                    gate.wait_for(|open| *open).await.unwrap();
                    Err("too late".to_owned())
                }
                _ => Ok(TaskId::from_bits(7)),
            }
        })
    });
    let running = host.begin_with(host.job("p.add", &json!({}), |_| {}), Some(spawner.clone()));
    let attempt = running.attempt;
    while seen.recv().await.unwrap() != "t100" {}
    open.send_replace(true);
    let exit = running.finish().await;
    let answers = &outputs(&exit)["answers"];
    assert_eq!((&answers[0], &answers[7]), (&json!(TaskId::from_bits(7)), &json!("no more")));
    assert_eq!(answers.as_array().map(Vec::len), Some(100));
    let log = host.log(attempt).await;
    assert!(log.contains("a task was not added: no more") && log.contains("too late"), "{log}");

    // Whoever is cancelled before all is answered has not succeeded.
    open.send_replace(false);
    let running = host.begin_with(host.job("p.add", &json!({}), |_| {}), Some(spawner));
    while seen.recv().await.unwrap() != "t100" {}
    running.canceller.cancel(Duration::from_secs(20));
    assert_eq!(running.finish().await.ending, Ending::Cancelled);
    // Without an envelope each is refused.
    let exit = host.run("p.add", json!({})).await;
    assert!(outputs(&exit)["answers"][0].as_str().unwrap().contains("no `spawn`"));
    host.stop().await;
}
