//! A plugin in the default profile sees its own folder and scratch folder, and nothing of the agent's.

use nexusmon_agent::plugins::PluginState;
use nexusmon_agent::run::Exit;
use nexusmon_shared::outcome::{Cause, Ending};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::{Level, Profile};
use serde_json::{Value, json};

use super::{Host, greeter, outputs};

const LOOK: &str = "\
import os, socket
from nexusmon_plugin import Result, WorkerPlugin, run

def tried(action):
    try:
        return repr(action())
    except OSError:
        return None

class Look(WorkerPlugin):
    name = 'look'
    capabilities = ['look.around']
    async def execute(self, task, data: str, neighbour: str):
        (task.workspace / 'own').write_text('x')
        secret = tried(lambda: open(data + '/secret').read())
        # Where it can, it writes into a place of its own that only looks the same.
        tried(lambda: open(data + '/secret', 'w').write('y'))
        os.symlink(data + '/secret', task.workspace / 'link')
        task.progress(1, '')
        return Result(outputs={
            'secret': secret,
            'identity': tried(lambda: os.listdir(data + '/identity')),
            'neighbour': tried(lambda: os.listdir(neighbour)),
            'own_code': tried(lambda: open('plugin.py', 'a').write('#')),
            'network': tried(lambda: socket.create_connection(('127.0.0.1', task.params['port']), 2).send(b'x')),
            'environment': os.environ.get('CARGO'),
        })
run(Look)
";

/// What a plugin in this profile saw, by what it looked at; null is what it could not.
async fn looked(host: &Host, profile: &str) -> (PluginState, Exit) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    std::fs::write(host.data.join("secret"), "key").unwrap();
    std::fs::create_dir(host.data.join("identity")).unwrap();
    host.put("greeter", greeter(), "");
    host.offered("greeter").await;
    let code = LOOK.replace("neighbour: str)", "neighbour: str, port: int)");
    host.put("look", &code, &format!("profile = \"{profile}\""));
    let state = host.offered("look").await;
    let neighbour = std::fs::read_dir(host.data.join("plugins-work"))
        .unwrap()
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("greeter."))
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    let with = json!({"data": host.data, "neighbour": neighbour.path(), "port": port});
    let job = host.job("look.around", &with, |spec| {
        spec["sandbox"] = json!(profile);
        // Its link into the agent's data is not followed from outside either.
        spec["artifacts"] = json!(["own", "link"]);
    });
    let exit = host.begin(job).finish().await;
    let names: Vec<_> = exit.artifacts.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["own"]);
    assert_eq!(std::fs::read_to_string(host.data.join("secret")).unwrap(), "key");
    (state, exit)
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_hides_what_is_the_agents() {
    let mut given = Vec::new();
    for (bubblewrap, level) in [("bwrap", Level::L3), ("no-bubblewrap-here", Level::L3Lite)] {
        let host = Host::start_with(bubblewrap).await;
        if !host.executor.levels().available.contains(&level) {
            eprintln!("this machine cannot give {}", level.as_str());
            continue;
        }
        let (state, exit) = looked(&host, "strict").await;
        assert_eq!((state.profile, state.capabilities[0].risk_level), (Some(Profile::Strict), Rank::E));
        assert!(outputs(&exit).values().all(Value::is_null), "{exit:?}");
        assert_eq!(exit.sandbox_level, Some(level));
        given.push(level);
        host.stop().await;
    }
    assert!(!given.is_empty(), "a machine that gives neither runs no strict work at all");
}

#[tokio::test(flavor = "multi_thread")]
async fn user_opens_the_network_and_nothing_else() {
    let host = Host::start().await;
    let (state, exit) = looked(&host, "user").await;
    assert_eq!((state.profile, state.capabilities[0].risk_level), (Some(Profile::User), Rank::B));
    let seen = outputs(&exit);
    assert!(!seen["network"].is_null(), "{exit:?}");
    assert_eq!(seen.values().filter(|value| !value.is_null()).count(), 1, "{exit:?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_reaches_into_the_sandbox() {
    let host = Host::start().await;
    let code = "import subprocess, time\nfrom nexusmon_plugin import Result, WorkerPlugin, run\n\
                class P(WorkerPlugin):\n    name = 'p'\n    capabilities = ['p.block', 'p.fine']\n    \
                async def execute(self, task):\n        \
                if task.capability == 'p.block':\n            subprocess.Popen(['sleep', '1000'])\n            time.sleep(1000)\n        \
                return Result()\nrun(P)\n";
    host.put("p", code, "");
    host.offered("p").await;
    let job = |uses: &str| {
        host.job(uses, &json!({}), |spec| {
            spec["sandbox"] = json!("strict");
            spec["timeout"] = json!(if uses == "p.block" { 0.3 } else { 50.0 });
        })
    };
    assert_eq!(host.begin(job("p.block")).finish().await.ending, Ending::Failed { cause: Cause::Timeout });
    outputs(&host.begin(job("p.fine")).finish().await);
    host.stop().await;
}
