//! `nexusmon-agent plugin`, from outside.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::exists;

fn agent(data: &Path, arguments: &[&str]) -> Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_nexusmon-agent"))
        .arg("plugin")
        .args(arguments)
        .env("NEXUSMON_AGENT_DATA_DIR", data)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_new_plugin_passes_its_check() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let plugin = data.join("plugins/my-greeter");
    let plugin = plugin.to_str().unwrap();
    let made = agent(&data, &["new", plugin]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(exists(&Path::new(plugin).join("plugin.py")) && exists(&Path::new(plugin).join("plugin.toml")));
    assert!(!agent(&data, &["new", plugin]).status.success(), "never over what is there");

    let checked = agent(&data, &["check", plugin, "--json"]);
    assert!(checked.status.success(), "{}{}", text(&checked.stdout), text(&checked.stderr));
    let found: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(found["manifest"]["capabilities"][0]["name"], "my-greeter.hello");
    assert_eq!(found["manifest"]["capabilities"][0]["params"]["properties"]["who"]["type"], "string");
    assert_eq!(found["profile"], "strict");

    // Pinned to what it is, it passes; changed after that, it does not.
    let toml = Path::new(plugin).join("plugin.toml");
    let pinned = format!("{}digest = {}\n", std::fs::read_to_string(&toml).unwrap(), found["digest"]);
    std::fs::write(&toml, pinned).unwrap();
    assert!(agent(&data, &["check", plugin]).status.success());
    let code = Path::new(plugin).join("plugin.py");
    let changed = std::fs::read_to_string(&code).unwrap().replace("risk_level = \"E\"", "risk_level = \"Q\"");
    std::fs::write(&code, changed).unwrap();
    assert!(text(&agent(&data, &["check", plugin]).stderr).contains("digest"));
    let unpinned = std::fs::read_to_string(&toml).unwrap().replace("digest", "# digest");
    std::fs::write(&toml, unpinned).unwrap();
    let wrong = agent(&data, &["check", plugin]);
    assert!(!wrong.status.success());
    assert!(text(&wrong.stderr).contains("risk_level"), "{}", text(&wrong.stderr));

    let listed: Value = serde_json::from_slice(&agent(&data, &["list", "--json"]).stdout).unwrap();
    assert_eq!(listed["items"][0]["name"], "my-greeter");
    assert_eq!(listed["items"][0]["state"], "unknown", "no agent runs");
}
