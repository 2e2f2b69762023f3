//! What a task leaves behind: processes that hide, and files that are not what they seem.

use nexusmon_shared::outcome::{Cause, Ending};
use serde_json::{Value, json};

use super::Outcome;
use super::world::Machine;

/// Where each level comes from: profile, and the bubblewrap it is given.
pub(crate) const WAYS: [(&str, &str); 4] =
    [("user", "bwrap"), ("strict", "no-bubblewrap-here"), ("network", "bwrap"), ("strict", "bwrap")];

pub(crate) fn sandbox(profile: &str) -> Value {
    match profile {
        "network" => json!({"profile": profile, "network": ["only.example.org"]}),
        profile => json!(profile),
    }
}

const FILES: &str = r#"
set -e
echo kept > kept.txt
ln -s /etc/passwd stolen.txt
ln -s "$1" identity
ln -s . around
mkfifo pipe.txt
mkdir -p deep/deeper && echo kept > deep/deeper/kept.txt
ln -s ../../../../../../etc/passwd deep/up.txt
ln /etc/passwd hard.txt 2>/dev/null && echo "a hard link to the system was made"
ln /usr/bin/env hard2.txt 2>/dev/null && echo "a hard link to the system was made"
mkdir closed && echo x > closed/x.txt && chmod 000 closed/x.txt
printf 'PK\003\004../../../../etc/passwd' > tricks.zip
mkdir -p "$(printf 'a\nb')" && echo odd > "$(printf 'a\nb')/odd.txt"
exit 0
"#;

#[tokio::test(flavor = "multi_thread")]
async fn only_files_of_the_workspace_are_collected() -> Outcome {
    for (profile, bubblewrap) in WAYS {
        let machine = Machine::start(|config| config.bubblewrap = bubblewrap.into()).await?;
        let identity = machine.data().join("identity");
        std::fs::create_dir_all(&identity)?;
        std::fs::write(identity.join("key.txt"), "secret")?;
        let script = format!("set -- {}\n{FILES}", identity.display());
        let exit = machine.shell(1, sandbox(profile), &script, &["**/*.txt", "**/*.zip", "hard*"]).await;
        let log = machine.log(1).await;
        assert!(matches!(exit.ending, Ending::Succeeded { .. }), "{profile}: {:?} {log}", exit.ending);
        assert!(log.is_empty(), "{profile}: {log}");
        let names: Vec<_> = exit.artifacts.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(
            names,
            ["a\nb/odd.txt", "closed/x.txt", "deep/deeper/kept.txt", "kept.txt", "tricks.zip"],
            "{profile}: neither links nor pipes, and no archive is opened"
        );
        // Outputs are read by the agent outside: a link there must not lead to what the agent can read.
        let script = format!("ln -s {}/key.txt \"$NEXUSMON_OUTPUTS\"", identity.display());
        let exit = machine.shell(2, sandbox(profile), &script, &[]).await;
        assert!(
            matches!(&exit.ending, Ending::Failed { cause: Cause::PluginError { .. } }),
            "{:?}",
            exit.ending
        );
        let exit = machine.shell(3, sandbox(profile), "mkfifo \"$NEXUSMON_OUTPUTS\"", &[]).await;
        assert!(
            matches!(&exit.ending, Ending::Failed { cause: Cause::PluginError { .. } }),
            "{:?}",
            exit.ending
        );
        machine.stop().await;
    }
    Ok(())
}

/// Five ways of not being found; each sleeps for a time nobody else sleeps for.
const DAEMONS: &str = r#"
import os, signal, sys, time
def hide(number, *tricks):
    if os.fork():
        return
    for trick in tricks:
        trick()
    os.execve("/bin/sleep", ["sleep", "%s.%d" % (MARK, number)], {})
def forked():
    if os.fork():
        os._exit(0)
def deaf():
    for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(one, signal.SIG_IGN)
def quiet():
    null = os.open("/dev/null", os.O_RDWR)
    for one in (0, 1, 2):
        os.dup2(null, one)
hide(1, os.setsid, quiet)
hide(2, os.setsid, forked, quiet)
hide(3, forked, os.setsid, forked, quiet, deaf)
hide(4, lambda: os.setpgid(0, 0), deaf, quiet)
hide(5, os.setsid, forked, lambda: os.chdir("/"), quiet, deaf)
time.sleep(0.3)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn no_process_outlives_its_attempt() -> Outcome {
    for (number, (profile, bubblewrap)) in WAYS.into_iter().enumerate() {
        for isolated in [true, false] {
            let machine = Machine::start(|config| {
                config.bubblewrap = bubblewrap.into();
                config.isolated = isolated;
            })
            .await?;
            let mark = format!("{}{number}{}", 86_400 + std::process::id(), u8::from(isolated));
            let source = format!("MARK = '{mark}'\n{DAEMONS}");
            let with = json!({"interpreter": "python3", "source": source});
            let exit = machine.script(1, sandbox(profile), with, &[]).await;
            assert!(matches!(exit.ending, Ending::Succeeded { .. }), "{profile}: {:?}", exit.ending);
            let alive: Vec<String> =
                (1..=5).map(|way| format!("{mark}.{way}")).filter(|word| runs(word)).collect();
            println!("daemons in {profile} ({bubblewrap}): 5 tried, {} outlived their attempt", alive.len());
            assert!(alive.is_empty(), "{profile}, isolated {isolated}: {alive:?} go on");
            machine.stop().await;
        }
    }
    Ok(())
}

fn runs(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.map(|entry| entry.path()).any(|path| {
        let arguments = std::fs::read(path.join("cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
    })
}
