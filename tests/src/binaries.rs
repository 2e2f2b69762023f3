//! Where the built binaries lie: beside the test that runs, or in the folder of an earlier build.

use std::path::PathBuf;
use std::sync::Mutex;

static ELSEWHERE: Mutex<Option<PathBuf>> = Mutex::new(None);

/// From now on programs come from this folder; `None`: from where they were built. For the whole process.
pub fn use_folder(folder: Option<PathBuf>) {
    *ELSEWHERE.lock().expect("no holder panics") = folder;
}

/// `target/<profile>/<name>`; panics with what to do when it has not been built.
pub fn path(name: &str) -> PathBuf {
    if let Some(folder) = &*ELSEWHERE.lock().expect("no holder panics") {
        return folder.join(name);
    }
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
