//! Tasks that take whatever they can get. Bounds are set low here, so that what is tried stays harmless; while each goes
//! on, other work on the same machine begins and ends.

use std::time::Duration;

use nexusmon_agent::worker::cancellation;
use nexusmon_shared::outcome::{Cause, Ending};
use serde_json::json;

use super::Outcome;
use super::leavings::{WAYS, sandbox};
use super::world::{Machine, is_root, job};

const MEBIBYTE: u64 = 1024 * 1024;

/// Name, Python that goes off, and whether the bounds alone end it (else its time does).
const BOMBS: &[(&str, &str, bool)] = &[
    // Each child waits, so that they pile up.
    ("forks", "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass", true),
    (
        "forks_that_hide",
        "import os\nwhile True:\n    try:\n        if os.fork(): continue\n        os.setsid()\n    except OSError:\n        pass",
        true,
    ),
    (
        "threads",
        "import threading, time\nwhile True:\n    try:\n        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n    except RuntimeError:\n        time.sleep(0.01)",
        true,
    ),
    ("memory", "kept = []\nwhile True:\n    kept.append(bytearray(1 << 20))", true),
    (
        "descriptors",
        "import os, time\ntry:\n    while True: os.dup(1)\nexcept OSError:\n    time.sleep(1000)",
        false,
    ),
    ("turns", "while True: pass", false),
];

#[tokio::test(flavor = "multi_thread")]
async fn bombs_end_and_others_go_on() -> Outcome {
    for (profile, bubblewrap) in WAYS {
        let machine = Machine::start(|config| {
            config.bubblewrap = bubblewrap.into();
            config.task_processes = 100;
            config.task_memory = 256 * MEBIBYTE;
            config.grace = Duration::from_millis(100);
        })
        .await?;
        for (number, (name, code, is_bounded)) in (1_u64..).zip(BOMBS) {
            let with = json!({"interpreter": "python3", "source": code});
            let mut bomb = job(number * 2, "script.run", sandbox(profile), with, &[]);
            bomb.timeout = if *is_bounded { Duration::from_secs(4) } else { Duration::from_secs(2) };
            let (_keep, token) = cancellation();
            let (exit, other) = tokio::join!(
                machine.run(bomb, token),
                machine.shell(number * 2 + 1, sandbox(profile), "echo done > done.txt", &["done.txt"])
            );
            assert!(
                matches!(other.ending, Ending::Succeeded { .. }),
                "{profile} beside {name}: {:?}",
                other.ending
            );
            let ended = match &exit.ending {
                // On a busy machine its time may be over before its bounds are reached.
                Ending::Failed { cause: Cause::Timeout } => true,
                Ending::Failed { cause: Cause::BudgetExceeded { .. } | Cause::ExitStatus { .. } } => {
                    *is_bounded
                }
                _ => false,
            };
            assert!(ended, "{profile} {name}: {:?}", exit.ending);
            let after = machine.shell(100 + number, sandbox(profile), "true", &[]).await;
            assert!(
                matches!(after.ending, Ending::Succeeded { .. }),
                "{profile} after {name}: {:?}",
                after.ending
            );
        }
        println!(
            "bombs in {profile} ({bubblewrap}): {} tried, each ended while other work went on",
            BOMBS.len()
        );
        machine.stop().await;
    }
    Ok(())
}

/// Fills a small disk that holds nothing but this agent's data.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_never_filled_to_the_brim() -> Outcome {
    let folder = tempfile::tempdir()?;
    let place = folder.path().join("agent");
    std::fs::create_dir(&place)?;
    let options = c"size=64m,mode=0755";
    let small =
        rustix::mount::mount("small", &place, "tmpfs", rustix::mount::MountFlags::empty(), Some(options));
    if let Err(error) = small {
        assert!(!is_root(), "root can make no small disk here: {error}");
        println!("no small disk can be made here ({error}): nothing tried");
        return Ok(());
    }
    for (number, (profile, bubblewrap)) in (1_u64..).zip(WAYS) {
        let kept = tempfile::tempdir()?;
        let data = place.clone();
        let machine = Machine::start_in(kept, |config| {
            config.bubblewrap = bubblewrap.into();
            config.data_dir = data;
            config.reserve = Some(32 * MEBIBYTE);
            config.grace = Duration::from_millis(100);
        })
        .await?;
        let script = "n=0; while true; do head -c 1048576 /dev/zero > f$n && n=$((n+1)); done 2>/dev/null";
        let (_keep, token) = cancellation();
        let bomb = job(number, "shell.run", sandbox(profile), json!({"script": script}), &[]);
        let exit = machine.run(bomb, token).await;
        let budget = Cause::BudgetExceeded { budget: "disk".to_owned() };
        assert_eq!(exit.ending, Ending::Failed { cause: budget }, "{profile}");
        let after = machine.shell(50 + number, sandbox(profile), "echo x > x.txt", &["x.txt"]).await;
        assert!(matches!(after.ending, Ending::Succeeded { .. }), "{profile}: {:?}", after.ending);
        machine.stop().await;
    }
    rustix::mount::unmount(&place, rustix::mount::UnmountFlags::DETACH)?;
    Ok(())
}
