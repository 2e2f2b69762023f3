//! Root helpers: a command that a machine's own admin set up, run by approved work; and the example that `docs/sandbox.md`
//! tells people to copy.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nexusmon_tests::{Cluster, Options};
use reqwest::Method;
use serde_json::{Value, json};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/root-helper").join(name)
}

fn note(args: &[&str]) -> Value {
    json!({"goal": "leave a note", "tasks": [{"id": "a", "uses": "root.note", "with": {"args": args}}]})
}

/// No rights are needed to see that what was approved is what runs, word for word.
#[tokio::test(flavor = "multi_thread")]
async fn approved_work_runs_the_admins_command_and_each_argument_stays_one_word() -> Result<()> {
    let mut cluster = Cluster::start(Options { max_rank: "A", key: true, ..Options::default() }).await?;
    let notes = cluster.path().join("notes");
    let script = cluster.path().join("note.sh");
    std::fs::write(&script, format!("printf '<%s>\\n' \"$@\" >> '{}'\n", notes.display()))?;
    let settings = format!(
        "[[root_helper]]\nname = \"note\"\ncommand = [\"/bin/sh\", \"{}\", \"first\"]\narguments = \"[^-].*\"\nmost = 3\n",
        script.display()
    );
    let agent = &mut cluster.agents[0];
    std::fs::write(agent.folder.join("agent.toml"), settings)?;
    agent.stop().await?;
    agent.start()?;
    let offers = |agent: &Value| {
        let online = agent["status"] == "online";
        online && agent["capabilities"].as_array().is_some_and(|all| all.contains(&json!("root.note")))
    };
    cluster.api.until("/v1/fleet/agents/agent-1", "offering the helper", offers).await?;

    let mission = cluster.api.create(note(&["two words; $(id)", "it's", "*"])).await?;
    let waiting = cluster.api.reaches(&mission, "awaiting_approval").await?;
    assert_eq!(waiting["rank"], "A", "{waiting:#}");
    assert!(!notes.exists(), "nothing ran before it was approved");
    cluster.approve(&mission).await?;
    let done = cluster.api.finished(&mission).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    assert_eq!(std::fs::read_to_string(&notes)?, "<first>\n<two words; $(id)>\n<it's>\n<*>\n");

    // What its pattern does not let in is no mission at all.
    let body = note(&["-o"]);
    let (status, refused) = cluster.api.call(Method::POST, "/v1/engine/missions", Some(&body)).await?;
    assert_eq!(
        (status.as_u16(), &refused["errors"][0]["code"]),
        (400, &json!("bad_parameters")),
        "{refused:#}"
    );
    Ok(())
}

/// Names that apt would take for something else than an installed package.
#[test]
fn the_example_takes_names_of_installed_packages_and_nothing_else() -> Result<()> {
    let refused = |arguments: &[&str], why: &str| -> Result<()> {
        let done =
            std::process::Command::new("sh").arg(example("nexusmon-upgrade.sh")).args(arguments).output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.code() == Some(2) && said.contains(why), "{arguments:?}: {done:?}");
        Ok(())
    };
    let others =
        ["", "-", "-o", "--", "sudo-", "g++", "a+", "a b", "a/b", "a=1", "APT::x=1", "a*", "a\nb", "ä"];
    for name in others {
        refused(&[name], "not the name of a package")?;
        refused(&["--", name], "not the name of a package")?;
    }
    refused(&["no-such-package-of-the-tests"], "not installed")?;
    refused(&[], "1 to 20 names")?;
    refused(&["a"; 21], "1 to 20 names")?;
    Ok(())
}

/// Where sudo is told of a pattern for arguments, options get in.
#[test]
fn sudo_is_told_of_the_program_alone() -> Result<()> {
    let text = std::fs::read_to_string(example("sudoers"))?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let [line] = lines.as_slice() else { anyhow::bail!("one line: {lines:?}") };
    let program = line.strip_prefix("nexusmon-agent ALL=(root) NOPASSWD: ").context("the agent's line")?;
    let settings: toml::Table = std::fs::read_to_string(example("agent.toml"))?.parse()?;
    let command = settings["root_helper"][0]["command"].as_array().context("a command")?;
    let command: Vec<&str> = command.iter().filter_map(toml::Value::as_str).collect();
    assert_eq!(command, ["/usr/bin/sudo", "-n", program]);
    assert!(program.starts_with('/') && !program.contains([' ', '*']), "{program}");
    Ok(())
}
