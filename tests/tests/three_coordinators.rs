//! What docs/operations.md says about several coordinators, run as it stands: every shell block of that section.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use nexusmon_tests::binaries;

const SECTION: &str = "Three coordinators on one machine";

/// The blocks in order, one script.
fn script() -> Result<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let page = std::fs::read_to_string(page)?;
    let section =
        page.split("\n## ").find(|section| section.starts_with(SECTION)).context("the section is there")?;
    let blocks: Vec<&str> =
        section.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 8, "{} blocks", blocks.len());
    Ok(blocks.join("\n"))
}

/// A port from which all that are counted from it are free.
fn base() -> Result<u16> {
    nexusmon_tests::ports::free_at(&[1, 10, 11, 20, 21, 30, 31, 40, 41])
}

fn program_in_path(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

#[test]
fn the_commands_of_the_operations_page_work_as_they_stand() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("nexusmon-three-").tempdir()?;
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin)?;
    let s3s = program_in_path("s3s-fs").context("s3s-fs is missing: deploy/setup.sh test installs it")?;
    for (name, program) in [
        ("nexusmon", binaries::path("nexusmon")),
        ("nexusmon-agent", binaries::path("nexusmon-agent")),
        ("s3s-fs", s3s),
    ] {
        // Copies: another user may not enter the folders they lie in.
        std::fs::copy(program, bin.join(name))?;
    }
    for path in [folder.path(), &bin] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    }
    let root = rustix::process::geteuid().is_root();
    let mut command = if root {
        let work = Command::new("chown").arg("-R").arg("postgres:").arg(folder.path()).status()?;
        assert!(work.success());
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            "--",
            "setsid",
            "--wait",
            "bash",
        ]);
        command
    } else {
        let mut command = Command::new("setsid");
        command.args(["--wait", "bash"]);
        command
    };
    // Whatever happens, nothing that was started stays.
    let end = r"trap 'status=$?; kill $(jobs -p) 2>/dev/null || true; pg_ctl --pgdata=database --mode=immediate stop >/dev/null 2>&1 || true; exit $status' EXIT";
    let script = format!(
        "set -euo pipefail\n{}\n",
        script()?.replacen("mkdir -p objects", &format!("{end}\nmkdir -p objects"), 1)
    );
    let path = format!("{}:{}:/usr/sbin", bin.display(), std::env::var("PATH").unwrap_or_default());
    let output = command
        .args(["-c", &script])
        .env_clear()
        .envs([("PATH", path.as_str()), ("BASE", &base()?.to_string()), ("LC_ALL", "C.UTF-8")])
        .env("HOME", folder.path())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let log =
        |name: &str| std::fs::read_to_string(folder.path().join("three").join(name)).unwrap_or_default();
    assert!(
        output.status.success(),
        "{said}\n{}\n--- node-1\n{}\n--- haproxy\n{}\n--- agent-1\n{}",
        String::from_utf8_lossy(&output.stderr),
        log("node-1.log"),
        log("haproxy.log"),
        log("agent-1.log"),
    );
    assert!(said.contains("succeeded"), "{said}");
    Ok(())
}
