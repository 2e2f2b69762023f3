//! Secrets at a process: there while it runs, in no file of the agent's, and in nothing that it leaves behind.

use nexusmon_agent::run::JobSecret;
use nexusmon_shared::outcome::{Cause, Ending};
use serde_json::{Map, Value, json};

use crate::{Machine, Outcome, cancellation, hooks, job};

const VALUE: &str = "s3cret \"Value\"/with+odd=ends";

fn secret(name: &str, value: &str, env: Option<&str>) -> JobSecret {
    JobSecret {
        name: name.parse().expect("a name"),
        env: env.map(str::to_owned),
        value: value.as_bytes().to_vec().into(),
    }
}

impl Machine {
    async fn run_with(
        &self,
        number: u64,
        profile: &str,
        script: &str,
        artifacts: &[&str],
        secrets: Vec<JobSecret>,
    ) -> nexusmon_agent::run::Exit {
        let mut job = job(number, json!(profile), json!({"script": script}), artifacts);
        job.secrets = secrets;
        let (_keep, token) = cancellation();
        self.executor.execute(job, token, hooks()).await
    }

    /// Every file of the agent's that holds this.
    fn files_with(&self, text: &str) -> Vec<std::path::PathBuf> {
        fn walk(folder: &std::path::Path, text: &str, found: &mut Vec<std::path::PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() && !path.is_symlink() {
                    walk(&path, text, found);
                } else if std::fs::read(&path)
                    .is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
                {
                    found.push(path);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.data(), text, &mut found);
        found
    }

    /// Workspaces are removed beside what comes next: soon no file holds this.
    async fn no_file_keeps(&self, text: &str) {
        let gone = async {
            let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
            while !self.files_with(text).is_empty() {
                pace.tick().await;
            }
        };
        let gone = tokio::time::timeout(std::time::Duration::from_secs(20), gone).await;
        assert!(gone.is_ok(), "{:?}", self.files_with(text));
    }
}

/// What a process checks of its secrets; then it waits for the file `go`.
const CHECK: &str = r#"
set -e
test "$(cat "$NEXUSMON_SECRETS/token")" = 's3cret "Value"/with+odd=ends'
test "$(ls "$NEXUSMON_SECRETS" | tr '\n' ' ')" = "other token "
test "$OTHER" = 'not the same'
env | grep -q s3cret && exit 8
sh -c 'sh -c "cat $NEXUSMON_SECRETS/token"' | grep -q s3cret
echo x 2>/dev/null > "$NEXUSMON_SECRETS/token" && exit 9
cat "$NEXUSMON_SECRETS/token"; echo
base64 "$NEXUSMON_SECRETS/token"
printf '{"safe": 1}' > "$NEXUSMON_OUTPUTS"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_profile_is_handed_secrets_as_files_and_prints_none() -> Outcome {
    let machine = Machine::start().await?;
    for (number, profile) in ["strict", "user", "none"].into_iter().enumerate() {
        let number = number as u64 + 1;
        let secrets = vec![secret("token", VALUE, None), secret("other", "not the same", Some("OTHER"))];
        let exit = machine.run_with(number, profile, CHECK, &[], secrets).await;
        let log = machine.log(number).await;
        let outputs = json!({"safe": 1}).as_object().cloned().unwrap_or_default();
        assert_eq!(exit.ending, Ending::Succeeded { outputs }, "{profile}: {log}");
        assert_eq!(log, "***\n***\n", "{profile}");
        assert_eq!(exit.log_bytes, log.len() as u64);
    }
    machine.no_file_keeps("s3cret").await;
    machine.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_in_another_sandbox_cannot_read_them() -> Outcome {
    let machine = Machine::start().await?;
    let ready = machine.folder.path().join("ready");
    let holder = format!(
        "touch {}; for i in $(seq 600); do test -e {}.done && exit 0; sleep 0.1; done; exit 1",
        ready.display(),
        ready.display()
    );
    // Every way the other one could take: links in workspaces, descriptors and memory of other processes, shared memory.
    let thief = format!(
        "cat {0}/work/*.secrets/* /proc/[0-9]*/fd/* /dev/shm/* /proc/[0-9]*/environ 2>/dev/null | grep -a -c s3cret; true",
        machine.data().display()
    );
    for (number, profile) in [(10, "strict"), (20, "user")] {
        let _ = std::fs::remove_file(format!("{}.done", ready.display()));
        let _ = std::fs::remove_file(&ready);
        let secrets = vec![secret("token", VALUE, Some("TOKEN"))];
        let holding = machine.run_with(number, "none", &holder, &[], secrets);
        let stealing = async {
            while !ready.exists() {
                tokio::task::yield_now().await;
            }
            // Waiting readers would hang on pipes; a second is enough for those that can be read.
            let script = format!("timeout 5 sh -c '{thief}' < /dev/null");
            let exit = machine.run_with(number + 1, profile, &script, &[], Vec::new()).await;
            std::fs::write(format!("{}.done", ready.display()), "")?;
            Ok::<_, std::io::Error>(exit)
        };
        let (held, stole) = tokio::join!(holding, stealing);
        assert!(matches!(held.ending, Ending::Succeeded { .. }), "{:?}", held.ending);
        stole?;
        let found = machine.log(number + 1).await;
        assert!(!found.contains("s3cret") && !found.starts_with(['1', '2', '3']), "{profile}: {found}");
    }
    machine.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_leaves_behind_is_looked_through() -> Outcome {
    let machine = Machine::start().await?;
    let script = r#"
cat "$NEXUSMON_SECRETS/token" > plain.txt
base64 -w0 "$NEXUSMON_SECRETS/token" > coded.bin
(head -c 262140 /dev/zero; cat "$NEXUSMON_SECRETS/token") > edge.bin
echo harmless > good.txt
touch 's3cret "Value"'
"#;
    let secrets = vec![secret("token", VALUE, None)];
    let exit = machine.run_with(1, "strict", script, &["*"], secrets).await;
    assert!(matches!(exit.ending, Ending::Succeeded { .. }), "{:?}", exit.ending);
    for one in &exit.artifacts {
        let text = std::fs::read_to_string(&one.path).unwrap_or_default();
        let withheld = one.name != "good.txt" && !one.name.starts_with("s3cret");
        assert_eq!((one.withheld, text.starts_with("Withheld")), (withheld, withheld), "{}", one.name);
    }
    assert_eq!(exit.artifacts.len(), 5);
    machine.no_file_keeps("Value\"/with").await;

    let script = "printf '{\"t\": \"%s\"}' \"$(base64 -w0 $NEXUSMON_SECRETS/token)\" > $NEXUSMON_OUTPUTS";
    let exit = machine.run_with(2, "strict", script, &[], vec![secret("token", VALUE, None)]).await;
    assert!(
        matches!(&exit.ending, Ending::Failed { cause: Cause::ArtifactFailed { detail } } if detail.contains("secret")),
        "{:?}",
        exit.ending
    );
    machine.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_secrets_there_is_no_folder_and_nothing_is_masked() -> Outcome {
    let machine = Machine::start().await?;
    let exit = machine.run(1, json!("strict"), "test -z \"$NEXUSMON_SECRETS\"; echo '{ s3cret }'", &[]).await;
    assert_eq!(exit.ending, Ending::Succeeded { outputs: Map::<String, Value>::new() });
    assert_eq!(machine.log(1).await, "{ s3cret }\n");
    machine.stop().await;
    Ok(())
}
