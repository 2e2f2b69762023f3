//! Where the built binaries lie: beside the test that runs.

use std::path::PathBuf;

/// `target/<profile>/<name>`; panics with what to do when it has not been built.
pub fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let profile = test
        .ancestors()
        .find(|folder| folder.join(".cargo-lock").exists() || folder.join("deps").is_dir())
        .expect("tests run from the target folder");
    let binary = profile.join(name);
    assert!(
        binary.is_file(),
        "{} is missing: run `cargo build --workspace --all-features --bins` first",
        binary.display()
    );
    binary
}
