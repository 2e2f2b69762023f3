//! What processes see, leave and cannot escape: the executor with real processes in every profile.

#[path = "processes/redact.rs"]
mod redact;
#[path = "processes/secrets.rs"]
mod secrets;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nexusmon_agent::executor::{Executor, ExecutorConfig};
use nexusmon_agent::run::{Exit, Job};
use nexusmon_agent::spool::Spool;
use nexusmon_agent::worker::{Hooks, LogSpool, cancellation};
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::{AgentId, MissionId, TaskId};
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::outcome::{Cause, Ending};
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::time::SystemClock;
use serde_json::{Value, json};

type Outcome = Result<(), Box<dyn std::error::Error>>;

struct Machine {
    executor: Executor,
    spool: Arc<Spool>,
    folder: tempfile::TempDir,
    lifecycle: Lifecycle,
}

impl Machine {
    async fn start() -> Result<Self, Box<dyn std::error::Error>> {
        Self::start_in(tempfile::tempdir()?, true).await
    }

    async fn start_in(folder: tempfile::TempDir, isolated: bool) -> Result<Self, Box<dyn std::error::Error>> {
        let lifecycle = Lifecycle::new();
        let config = ExecutorConfig {
            program: env!("CARGO_BIN_EXE_nexusmon-agent").into(),
            isolated,
            ..ExecutorConfig::new(folder.path().join("agent"))
        };
        let (executor, spool) = Executor::start(config, &lifecycle, Arc::new(SystemClock)).await?;
        Ok(Self { executor, spool, folder, lifecycle })
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("agent")
    }

    async fn run(&self, number: u64, sandbox: Value, script: &str, artifacts: &[&str]) -> Exit {
        let job =
            job(number, sandbox, json!({"script": script, "env": {"NUMBER": 7, "TRUE": true}}), artifacts);
        let (_keep, token) = cancellation();
        self.executor.execute(job, token, hooks()).await
    }

    async fn log(&self, number: u64) -> String {
        let (mut text, mut offset) = (Vec::new(), 0);
        while let Ok(Some(piece)) = self.spool.next(attempt(number), offset).await {
            offset += piece.data.len() as u64;
            text.extend_from_slice(&piece.data);
            if piece.last {
                break;
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    async fn stop(self) {
        drop(self.executor);
        self.lifecycle.shutdown(Duration::from_secs(5)).await;
    }
}

fn attempt(number: u64) -> AttemptRef {
    AttemptRef { task: TaskId::from_bits(u128::from(number)), fence: Fence { epoch: 1, number: 1 } }
}

fn job(number: u64, sandbox: Value, with: Value, artifacts: &[&str]) -> Job {
    let spec: TaskSpec = serde_json::from_value(json!({
        "id": "t", "uses": "shell.run", "with": with, "needs": [], "if": null, "for_each": null, "on": {},
        "timeout": "20s", "retry": {"max": 0, "backoff": "1s", "jitter": 0.0, "on": []}, "idempotent": true,
        "offline": "0s", "sandbox": sandbox, "inputs": [], "artifacts": artifacts, "verify": null, "effects": {},
        "limits": {}}))
    .expect("a task spec");
    Job {
        attempt: attempt(number),
        attempt_number: 1,
        mission: MissionId::from_bits(1),
        parameters: spec.with.clone(),
        spec: Arc::new(spec),
        item_index: None,
        rank: Rank::E,
        agent: AgentId::from_bits(1),
        playbook: None,
        inputs: Vec::new(),
        timeout: Duration::from_secs(20),
        offline: Duration::ZERO,
        idempotency_key: "key".to_owned(),
        traceparent: None,
        secrets: Vec::new(),
        provenance: None,
    }
}

fn hooks() -> Hooks {
    Hooks { started: Box::new(|_| ()), progress: Arc::new(|_, _| ()), spawn: None }
}

const CONTRACT: &str = r#"
set -e
test "$NUMBER" = 7 && test "$TRUE" = true
test "$(pwd)" = "$HOME"
grep -q script "$NEXUSMON_PARAMS"
test -d "$NEXUSMON_INPUTS"
printf '{"ok": true}' > "$NEXUSMON_OUTPUTS"
env | grep -vE '^(PATH|HOME|LANG|TZ|TMPDIR|PWD|SHLVL|OLDPWD|_|NUMBER|TRUE|NEXUSMON_[A-Z_]+)=' && exit 9
mkdir sub && echo kept > sub/a.txt && echo out && echo err >&2
ln -s /etc/passwd stolen.txt
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_profile_keeps_the_contract() -> Outcome {
    let machine = Machine::start().await?;
    let levels = machine.executor.levels();
    assert!(levels.available.contains(&Level::L3), "bubblewrap confines here: {:?}", levels.missing);
    assert!(levels.available.contains(&Level::L1), "Landlock confines here: {:?}", levels.missing);
    for (number, profile) in ["strict", "user", "none"].into_iter().enumerate() {
        let number = number as u64 + 1;
        let exit = machine.run(number, json!(profile), CONTRACT, &["**/*.txt"]).await;
        let outputs = json!({"ok": true}).as_object().cloned().unwrap_or_default();
        let log = machine.log(number).await;
        assert_eq!(exit.ending, Ending::Succeeded { outputs }, "{profile}: {log}");
        assert!(log.contains("out\n") && log.contains("err\n"), "{log}");
        let names: Vec<_> = exit.artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
        assert_eq!(names, ["sub/a.txt"], "links are neither followed nor taken");
        assert_eq!(std::fs::read_to_string(&exit.artifacts[0].path)?, "kept\n");
    }
    machine.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_sees_neither_the_agent_nor_the_network_nor_other_processes() -> Outcome {
    let machine = Machine::start().await?;
    std::fs::write(machine.data().join("secret"), "key")?;
    let script = format!(
        "cat {} && exit 1\ntest \"$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ')\" = lo || exit 2\n\
         touch /usr/x 2>/dev/null && exit 3\ntest \"$(ls /proc | grep -c '^[0-9]')\" -lt 20 || exit 4\nexit 0",
        machine.data().join("secret").display()
    );
    let exit = machine.run(1, json!("strict"), &script, &[]).await;
    assert!(matches!(exit.ending, Ending::Succeeded { .. }), "{:?} {}", exit.ending, machine.log(1).await);
    let script = format!("cat {} && exit 1; exit 0", machine.data().join("secret").display());
    let exit = machine.run(2, json!("user"), &script, &[]).await;
    assert!(
        matches!(exit.ending, Ending::Succeeded { .. }),
        "user hides the agent's files: {:?}",
        exit.ending
    );
    let listed = json!({"profile": "user", "paths": [{"path": machine.folder.path(), "write": false}]});
    let exit = machine.run(3, listed, "true", &[]).await;
    assert!(
        matches!(&exit.ending, Ending::Failed { cause: Cause::BadParameters { .. } }),
        "a listed path may not open the agent's own: {:?}",
        exit.ending
    );
    machine.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn endings_are_told_apart() -> Outcome {
    let machine = Machine::start().await?;
    let exit = machine.run(1, json!("strict"), "exit 3", &[]).await;
    assert_eq!(exit.ending, Ending::Failed { cause: Cause::ExitStatus { code: 3 } });
    let exit = machine.run(2, json!("strict"), "head -c 300000 /dev/zero > $NEXUSMON_OUTPUTS", &[]).await;
    assert_eq!(
        exit.ending,
        Ending::Failed { cause: Cause::OutputTooLarge { bytes: 300_000, limit: 262_144 } }
    );
    let exit = machine.run(3, json!("strict"), "echo '[1]' > $NEXUSMON_OUTPUTS", &[]).await;
    assert!(matches!(exit.ending, Ending::Failed { cause: Cause::PluginError { .. } }), "{:?}", exit.ending);
    let mut slow = job(4, json!("user"), json!({"script": "sleep 60"}), &[]);
    slow.timeout = Duration::from_millis(200);
    let (_keep, token) = cancellation();
    let exit = machine.executor.execute(slow, token, hooks()).await;
    assert_eq!(exit.ending, Ending::Failed { cause: Cause::Timeout });
    machine.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_the_whole_tree_daemons_included() -> Outcome {
    let machine = Machine::start().await?;
    for (number, profile) in [(1, "strict"), (2, "user"), (3, "none")] {
        let marker = format!("{}.{number}", 86_400 + std::process::id());
        let script = format!("(setsid sleep {marker} >/dev/null 2>&1 &) ; sleep {marker}");
        let (canceller, token) = cancellation();
        let (started, running) = tokio::sync::oneshot::channel();
        let hooks = Hooks {
            started: Box::new(move |_| started.send(()).expect("somebody waits for the start")),
            progress: Arc::new(|_, _| ()),
            spawn: None,
        };
        let job = job(number, json!(profile), json!({"script": script}), &[]);
        let (exit, ()) = tokio::join!(machine.executor.execute(job, token, hooks), async {
            running.await.expect("it starts");
            canceller.cancel(Duration::from_millis(500));
        });
        assert_eq!(exit.ending, Ending::Cancelled, "{profile}");
        assert!(!runs(&marker), "{profile}: nothing of it is left");
    }
    machine.stop().await;
    Ok(())
}

/// A kill after a cancel: the hour that was given is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_without_grace_takes_back_the_one_that_was_given() -> Outcome {
    let machine = Machine::start().await?;
    let pipe = machine.folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status()?;
    assert!(made.success(), "a pipe to hear from it by");
    let marker = format!("{}.9", 86_400 + std::process::id());
    let said = pipe.display();
    let script = format!(
        "trap 'echo heard > {said}' TERM; echo ready > {said}; while :; do sleep {marker} & wait; done"
    );
    let (canceller, token) = cancellation();
    let mut job = job(9, json!("none"), json!({"script": script}), &[]);
    job.timeout = Duration::from_secs(86_400);
    let (exit, heard) = tokio::join!(machine.executor.execute(job, token, hooks()), async {
        let mut heard = Vec::new();
        for grace in [Duration::from_secs(3_600), Duration::ZERO] {
            let pipe = pipe.clone();
            let word = tokio::task::spawn_blocking(move || std::fs::read_to_string(pipe)).await;
            heard.push(word.expect("it is read"));
            canceller.cancel(grace);
        }
        heard
    });
    let heard: Vec<String> = heard.into_iter().collect::<Result<_, _>>()?;
    assert_eq!(heard, ["ready\n", "heard\n"]);
    assert_eq!(exit.ending, Ending::Cancelled);
    assert!(!runs(&marker), "nothing of it is left");
    machine.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_printed_comes_through_fast_or_slow() -> Outcome {
    let machine = Machine::start().await?;
    // More than any pipe holds, a silence, and the last words of both streams.
    let script = "yes 0123456789 | head -c 5000000; sleep 0.2; echo; echo err >&2; sleep 0.1; echo end";
    let exit = machine.run(1, json!("user"), script, &[]).await;
    assert!(matches!(exit.ending, Ending::Succeeded { .. }), "{:?}", exit.ending);
    let log = machine.log(1).await;
    assert_eq!(exit.log_bytes, log.len() as u64);
    // The two streams have no order between them.
    let stdout = log.replacen("err\n", "", 1);
    assert_eq!(stdout.len() + 4, log.len());
    let (numbers, words) = stdout.split_at(5_000_000);
    assert!(numbers.split_terminator('\n').rev().skip(1).all(|line| line == "0123456789"));
    assert_eq!(words, "\nend\n");
    machine.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_nobody_holds_any_more_are_ended_at_start() -> Outcome {
    let folder = tempfile::tempdir()?;
    let stray = |agent: &str, seconds: &str| {
        let params = folder.path().join(agent).join("work/x/params.json");
        std::process::Command::new("/bin/sleep").arg(seconds).env("NEXUSMON_PARAMS", params).spawn()
    };
    let seconds = |number: u32| format!("{}.{number}", 86_400 + std::process::id());
    let (mut ours, mut anothers) = (stray("agent", &seconds(4))?, stray("agent2", &seconds(5))?);
    let machine = Machine::start_in(folder, true).await?;
    // It was our child only here; otherwise nobody would have to reap it.
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ours.wait()?), Some(9));
    assert!(anothers.try_wait()?.is_none(), "another agent's work is not ours to end");
    anothers.kill()?;
    anothers.wait()?;
    machine.stop().await;
    Ok(())
}

/// Pids of the spawner and of what stands above it.
fn spawners(data: &Path) -> Result<Vec<u32>, Box<dyn std::error::Error>> {
    let mark: Value = serde_json::from_slice(&std::fs::read(data.join("spawner.json"))?)?;
    let processes = mark["processes"].as_array().ok_or("a list")?;
    Ok(processes.iter().filter_map(|process| u32::try_from(process[0].as_u64()?).ok()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_spawner_is_told_only_when_its_trees_are_gone() -> Outcome {
    for (number, isolated) in [(6, true), (7, false)] {
        let machine = Machine::start_in(tempfile::tempdir()?, isolated).await?;
        let processes = spawners(&machine.data())?;
        assert_eq!(processes.len(), if isolated { 1 } else { 2 }, "a guardian only where it is needed");
        let marker = format!("{}.{number}", 86_400 + std::process::id());
        let many = format!("for n in $(seq 100); do sleep {marker} & done; wait");
        let (_keep, token) = cancellation();
        let (started, running) = tokio::sync::oneshot::channel();
        let hooks = Hooks {
            started: Box::new(move |_| started.send(()).expect("somebody waits for the start")),
            progress: Arc::new(|_, _| ()),
            spawn: None,
        };
        let job = job(number, json!("user"), json!({"script": many}), &[]);
        let (exit, killed) = tokio::join!(machine.executor.execute(job, token, hooks), async {
            running.await.expect("it starts");
            let spawner = processes.last().map(ToString::to_string).unwrap_or_default();
            std::process::Command::new("kill").args(["-9", &spawner]).status()
        });
        assert!(killed?.success());
        assert_eq!(exit.ending, Ending::Unknown);
        assert!(!runs(&marker), "isolated {isolated}: nothing of it is left");
        for process in processes {
            let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            assert!(isolated || state.is_empty(), "not even a zombie: {state}");
        }
        let again = machine.run(number + 10, json!("user"), "true", &[]).await;
        assert!(matches!(again.ending, Ending::Succeeded { .. }), "another one: {:?}", again.ending);
        machine.stop().await;
    }
    Ok(())
}

/// Whether any process has this word among its arguments.
fn runs(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.map(|entry| entry.path()).any(|path: std::path::PathBuf| has_argument(&path, word))
}

fn has_argument(process: &Path, word: &str) -> bool {
    let arguments = std::fs::read(process.join("cmdline")).unwrap_or_default();
    arguments.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
}
