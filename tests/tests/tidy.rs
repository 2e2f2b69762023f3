//! Keeps the house as ARCHITECTURE.md draws it: who may import whom, how long a file may be, what may not be written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 600;

/// A module (the first folder or file below `src`) and what it may name of its own crate and of the guarded crates.
struct Room {
    source: &'static str,
    module: &'static str,
    /// Modules of the same crate, `*` for all.
    own: &'static [&'static str],
    /// Of [`GUARDED`].
    outside: &'static [&'static str],
}

/// Crates that only some rooms may name.
const GUARDED: [&str; 13] = [
    "axum",
    "tonic",
    "sqlx",
    "rusqlite",
    "object_store",
    "reqwest",
    "tokio",
    "cedar_policy",
    "cel",
    "nexusmon_core",
    "nexusmon_store",
    "nexusmon_coordinator",
    "nexusmon_agent",
];

const COORDINATOR: &str = "coordinator/src";
const AGENT: &str = "agent/src";

const ROOMS: &[Room] = &[
    Room { source: "shared/memory/src", module: "*", own: &["*"], outside: &[] },
    Room { source: "shared/src", module: "*", own: &["*"], outside: &["tokio", "tonic"] },
    Room { source: "coordinator/core/src", module: "*", own: &["*"], outside: &["cedar_policy", "cel"] },
    Room {
        source: "coordinator/store/src",
        module: "*",
        own: &["*"],
        outside: &["sqlx", "rusqlite", "tokio"],
    },
    Room { source: COORDINATOR, module: "lib", own: &["*"], outside: &["tokio", "nexusmon_store"] },
    Room { source: COORDINATOR, module: "main", own: &["*"], outside: &["tokio", "nexusmon_coordinator"] },
    Room { source: COORDINATOR, module: "start_error", own: &["*"], outside: &["tokio", "nexusmon_store"] },
    Room { source: COORDINATOR, module: "serve", own: &["*"], outside: &["tokio"] },
    Room { source: COORDINATOR, module: "upkeep", own: &["*"], outside: &[] },
    Room { source: COORDINATOR, module: "up", own: &["*"], outside: &["tokio", "reqwest"] },
    Room {
        source: COORDINATOR,
        module: "app",
        own: &["*"],
        outside: &["tokio", "nexusmon_core", "nexusmon_store"],
    },
    Room { source: COORDINATOR, module: "config", own: &[], outside: &[] },
    Room { source: COORDINATOR, module: "error", own: &[], outside: &[] },
    Room {
        source: COORDINATOR,
        module: "service",
        own: &["app", "error", "blobs", "config", "models", "outward", "provider", "push"],
        outside: &["tokio", "nexusmon_core", "nexusmon_store"],
    },
    Room {
        source: COORDINATOR,
        module: "provider",
        own: &["error", "config"],
        outside: &["tokio", "reqwest"],
    },
    Room { source: COORDINATOR, module: "models", own: &["config"], outside: &["tokio", "reqwest"] },
    Room { source: COORDINATOR, module: "push", own: &["keys"], outside: &["tokio", "reqwest"] },
    Room { source: COORDINATOR, module: "outward", own: &["push"], outside: &["tokio", "reqwest"] },
    Room { source: COORDINATOR, module: "blobs", own: &["error"], outside: &["tokio", "object_store"] },
    Room {
        source: COORDINATOR,
        module: "keys",
        own: &["error", "config"],
        outside: &["tokio", "nexusmon_store"],
    },
    Room {
        source: COORDINATOR,
        module: "http",
        own: &["service", "app", "error"],
        outside: &["tokio", "axum"],
    },
    Room {
        source: COORDINATOR,
        module: "grpc",
        own: &["service", "app", "error"],
        outside: &["tokio", "tonic"],
    },
    Room {
        source: COORDINATOR,
        module: "background",
        own: &["service", "app", "error"],
        outside: &["tokio"],
    },
    Room {
        source: COORDINATOR,
        module: "ops",
        own: &["service", "blobs"],
        outside: &["tokio", "nexusmon_store"],
    },
    Room { source: COORDINATOR, module: "doctor", own: &["*"], outside: &["tokio", "nexusmon_store"] },
    // The core for `audit verify`, which asks no coordinator.
    Room { source: COORDINATOR, module: "cli", own: &[], outside: &["tokio", "reqwest", "nexusmon_core"] },
    Room { source: AGENT, module: "lib", own: &["*"], outside: &["tokio"] },
    Room { source: AGENT, module: "main", own: &["*"], outside: &["tokio", "nexusmon_agent"] },
    Room { source: AGENT, module: "cli", own: &["*"], outside: &["tokio"] },
    Room { source: AGENT, module: "agent", own: &["*"], outside: &["tokio"] },
    Room { source: AGENT, module: "local", own: &["*"], outside: &["tokio"] },
    Room { source: AGENT, module: "witness", own: &[], outside: &[] },
    Room {
        source: AGENT,
        module: "control",
        own: &["attempts", "error", "link", "roster", "witness"],
        outside: &["tokio"],
    },
    Room {
        source: AGENT,
        module: "error",
        own: &["config", "enroll", "executor", "journal", "link", "plugins", "roster"],
        outside: &[],
    },
    Room { source: AGENT, module: "config", own: &["facts"], outside: &[] },
    Room { source: AGENT, module: "facts", own: &[], outside: &[] },
    Room { source: AGENT, module: "run", own: &[], outside: &[] },
    Room { source: AGENT, module: "consent", own: &["run"], outside: &[] },
    Room { source: AGENT, module: "redact", own: &[], outside: &[] },
    Room { source: AGENT, module: "roster", own: &[], outside: &[] },
    Room { source: AGENT, module: "worker", own: &["run"], outside: &["tokio"] },
    Room { source: AGENT, module: "journal", own: &["run"], outside: &["tokio"] },
    Room {
        source: AGENT,
        module: "attempts",
        own: &["run", "consent", "journal", "roster", "worker"],
        outside: &["tokio"],
    },
    Room { source: AGENT, module: "enroll", own: &["journal", "facts"], outside: &["tokio", "tonic"] },
    Room {
        source: AGENT,
        module: "link",
        own: &["run", "consent", "journal", "attempts", "worker", "enroll", "facts", "witness"],
        outside: &["tokio", "tonic"],
    },
    Room { source: AGENT, module: "simulated", own: &["run", "worker"], outside: &["tokio"] },
    Room { source: AGENT, module: "spool", own: &["worker"], outside: &["tokio"] },
    Room { source: AGENT, module: "egress", own: &[], outside: &["tokio"] },
    Room {
        source: AGENT,
        module: "executor",
        own: &["egress", "redact", "run", "spool", "worker"],
        outside: &["tokio"],
    },
    Room {
        source: AGENT,
        module: "plugins",
        own: &["run", "spool", "worker", "executor"],
        outside: &["tokio"],
    },
];

#[test]
fn imports_follow_the_table() {
    let mut wrong = Vec::new();
    for (source, files) in by_source() {
        for file in files {
            let module = module_of(&file, source);
            let Some(room) = ROOMS
                .iter()
                .find(|room| room.source == source && (room.module == module || room.module == "*"))
            else {
                wrong.push(format!("{}: module `{module}` has no row in the table", file.display()));
                continue;
            };
            let text = code_without_tests(&file);
            for named in names_after(&text, "crate::") {
                if is_module(source, &named) && named != module && !allows(room.own, &named) {
                    wrong.push(format!("{}: `{module}` may not use `crate::{named}`", file.display()));
                }
            }
            for guarded in GUARDED {
                if names_crate(&text, guarded) && !room.outside.contains(&guarded) {
                    wrong.push(format!("{}: `{module}` may not use `{guarded}`", file.display()));
                }
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "imports against the table in tests/tests/tidy.rs:\n{}", wrong.join("\n"));
}

#[test]
fn the_core_can_do_no_io() {
    let manifest =
        fs::read_to_string(root().join("coordinator/core/Cargo.toml")).expect("core has a manifest");
    for name in ["tokio", "sqlx", "rusqlite", "axum", "tonic", "reqwest", "object_store", "rustix", "rt"] {
        assert!(
            !manifest.lines().any(|line| line.starts_with(name) || line.contains(&format!("\"{name}\""))),
            "coordinator/core must not depend on `{name}`"
        );
    }
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut wrong = Vec::new();
    for file in files_below(&root(), &["rs", "ts", "mjs", "js", "py", "sql", "proto", "css", "svelte", "sh"])
    {
        let text = fs::read_to_string(&file).expect("source files are UTF-8");
        let lines = text.lines().count();
        if lines > LONGEST_FILE {
            wrong.push(format!("{}: {lines} lines, {LONGEST_FILE} is the most", file.display()));
        }
        let rust = file.extension().is_some_and(|extension| extension == "rs");
        let is_test = file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests");
        if rust && !is_test && !text.trim_start().starts_with("//!") {
            wrong.push(format!("{}: does not open with `//!`", file.display()));
        }
        if file.file_name().is_some_and(|name| name == "mod.rs") {
            wrong.push(format!("{}: write `foo.rs` beside `foo/`", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_unfinished() {
    let forbidden = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
        concat!("thread::sl", "eep("),
        concat!("/ro", "ot/"),
    ];
    let mut wrong = Vec::new();
    for file in files_below(&root(), &["rs", "py", "mjs", "js", "ts", "sh", "md", "toml", "sql"]) {
        let text = fs::read_to_string(&file).expect("source files are UTF-8");
        for (number, line) in text.lines().enumerate() {
            for word in forbidden {
                if line.contains(word) && !line.contains("path = \"std::") {
                    wrong.push(format!("{}:{}: `{word}`", file.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate lies in the workspace").to_owned()
}

fn by_source() -> BTreeMap<&'static str, Vec<PathBuf>> {
    ROOMS.iter().map(|room| (room.source, files_below(&root().join(room.source), &["rs"]))).collect()
}

/// Source files, skipping what is built, fetched or not ours.
fn files_below(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if path.is_dir() {
                let skipped = [
                    "target",
                    "node_modules",
                    "dist",
                    "generated",
                    "data",
                    "test-results",
                    "__pycache__",
                    "snapshots",
                ];
                if !name.starts_with('.') && !skipped.contains(&&*name) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|have| extensions.iter().any(|want| have == *want)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn module_of(file: &Path, source: &str) -> String {
    let inside = file.strip_prefix(root().join(source)).expect("the file lies below its source folder");
    let first =
        inside.components().next().expect("a file has a name").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

fn is_module(source: &str, name: &str) -> bool {
    let folder = root().join(source);
    folder.join(name).is_dir() || folder.join(format!("{name}.rs")).is_file()
}

fn allows(allowed: &[&str], name: &str) -> bool {
    allowed.contains(&"*") || allowed.contains(&name)
}

/// The file up to its inline tests, without comment lines.
fn code_without_tests(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("source files are UTF-8");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The words that follow `prefix`, also inside `crate::{a, b}`.
fn names_after(text: &str, prefix: &str) -> Vec<String> {
    let word =
        |rest: &str| -> String { rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let mut names = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &text[at + prefix.len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 1_usize;
            let mut start = 0;
            for (offset, letter) in list.char_indices() {
                match letter {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 || (depth == 1 && letter == ',') {
                    names.push(word(list[start..offset].trim()));
                    start = offset + 1;
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            names.push(word(rest));
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn names_crate(text: &str, name: &str) -> bool {
    text.match_indices(&format!("{name}::")).any(|(at, _)| {
        !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '.')
    })
}
