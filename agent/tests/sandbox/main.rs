//! Getting out of a sandbox, and at what is not a task's: each probe with a name, in every level, and without a sandbox
//! where it must succeed, so that a probe that cannot fail is noticed.

mod bombs;
mod leavings;
mod table;
mod world;

use std::collections::BTreeMap;

use nexusmon_shared::outcome::Ending;
use nexusmon_shared::sandbox::Level;
use serde_json::{Value, json};

use table::{PROBES, Probe};
use world::{Machine, World};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const RUNNER: &str = include_str!("runner.py");
/// Fewer would leave something out.
const LEAST: usize = 60;
/// What the owner of a file may do whatever Landlock says: the agent's own user where it is not root.
const OF_THE_OWNER: [&str; 3] = ["key_chmod", "key_times", "key_folder_chmod"];

/// Runs the probes in one attempt; by name what came of each.
async fn probed(
    machine: &Machine,
    world: &World,
    level: Level,
    sandbox: Value,
    probes: &[&Probe],
) -> Result<BTreeMap<String, String>, Box<dyn std::error::Error>> {
    let mut about = world.about.clone();
    about["level"] = json!(level.as_str());
    let list: Vec<_> = probes.iter().map(|probe| json!([probe.name, probe.code])).collect();
    let given = json!({"world": about, "probes": list});
    let source = format!("GIVEN = r'''{given}'''\n{RUNNER}");
    let with = json!({"interpreter": "python3", "source": source});
    let number = 100 + level as u64;
    let exit = machine.script(number, sandbox, with, &["probed.json"]).await;
    let log = machine.log(number).await;
    assert!(matches!(exit.ending, Ending::Succeeded { .. }), "{level:?}: {:?}: {log}", exit.ending);
    assert_eq!(exit.sandbox_level, Some(level));
    let found = exit.artifacts.first().ok_or("the runner leaves what it found")?;
    Ok(serde_json::from_slice(&std::fs::read(&found.path)?)?)
}

fn is_refused(probe: &Probe, said: &str) -> bool {
    match said.strip_prefix("refused: ") {
        Some(why) => probe.refusals.is_empty() || probe.refusals.contains(&why),
        // The runner's own alarm ends what hangs, and refuses nothing.
        None => said.starts_with("killed: ") && said != "killed: SIGALRM",
    }
}

async fn hold(bubblewrap: &str, level: Level, sandbox: impl Fn(&World) -> Value) -> Outcome {
    let machine = Machine::start(|config| config.bubblewrap = bubblewrap.into()).await?;
    if !machine.executor.levels().available.contains(&level) {
        let why = machine.executor.levels().missing.get(&level).cloned().unwrap_or_default();
        panic!("this machine cannot give {}: {why}", level.as_str());
    }
    let world = World::make(&machine).await?;
    let own = |probe: &&Probe| {
        let owner = !world.is_root && matches!(level, Level::L1 | Level::L3Lite);
        probe.levels.contains(&level) && !(owner && OF_THE_OWNER.contains(&probe.name))
    };
    let probes: Vec<&Probe> = PROBES.iter().filter(own).collect();
    assert!(probes.len() >= LEAST, "only {} probes for {}", probes.len(), level.as_str());
    let said = probed(&machine, &world, level, sandbox(&world), &probes).await?;
    let through: Vec<String> = probes
        .iter()
        .filter(|probe| !is_refused(probe, &said[probe.name]))
        .map(|probe| format!("{}: {}", probe.name, said[probe.name]))
        .collect();
    println!("sandbox {}: {} probes tried, {} got through", level.as_str(), probes.len(), through.len());
    assert!(through.is_empty(), "{} of {}:\n{}", through.len(), probes.len(), through.join("\n"));
    world.check_untouched()?;
    world.end().await;
    machine.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_gets_out_of_level_1() -> Outcome {
    hold("bwrap", Level::L1, |_| json!("user")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_gets_out_of_level_3_lite() -> Outcome {
    hold("no-bubblewrap-here", Level::L3Lite, |_| json!("strict")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_gets_out_of_level_2() -> Outcome {
    let listed = |world: &World| {
        let port = &world.about["port"];
        json!({"profile": "network", "network": [format!("localhost:{port}"), "only.example.org"]})
    };
    hold("bwrap", Level::L2, listed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_gets_out_of_level_3() -> Outcome {
    hold("bwrap", Level::L3, |_| json!("strict")).await
}

/// Without a sandbox the probes reach what they are after: so a refusal means something.
#[tokio::test(flavor = "multi_thread")]
async fn the_probes_succeed_without_a_sandbox() -> Outcome {
    if !world::is_root() {
        println!("not root: the probes that need its powers cannot be shown to work");
        return Ok(());
    }
    assert!(
        world::is_powerful(),
        "root without all its powers: the probes that need them prove nothing here"
    );
    let machine = Machine::start(|_| ()).await?;
    let world = World::make(&machine).await?;
    let probes: Vec<&Probe> = PROBES.iter().filter(|probe| probe.control).collect();
    let said = probed(&machine, &world, Level::L0, json!("none"), &probes).await?;
    let blunt: Vec<String> = probes
        .iter()
        .filter(|probe| said[probe.name] != "reached")
        .map(|probe| format!("{}: {}", probe.name, said[probe.name]))
        .collect();
    assert!(blunt.is_empty(), "{} of {}:\n{}", blunt.len(), probes.len(), blunt.join("\n"));
    println!("sandbox none: {} of the same probes tried, all of them get through", probes.len());
    world.end().await;
    machine.stop().await;
    Ok(())
}
