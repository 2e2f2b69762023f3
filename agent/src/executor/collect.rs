//! Takes what a task left and its globs name out of the workspace, before that goes.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use cap_std::fs::Dir;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use nexusmon_shared::digest::Digest;
use sha2::{Digest as _, Sha256};

use super::workspace::Workspace;
use crate::run::Collected;

const MOST_FILES: usize = 1000;
const DEEPEST: usize = 32;

/// Files that match, moved to `uploads`. Links are never followed, nor taken. Called once the whole tree is gone.
pub(crate) fn artifacts(workspace: &Workspace, globs: &[String], uploads: &Path) -> Result<Vec<Collected>, String> {
    if globs.is_empty() {
        return Ok(Vec::new());
    }
    let globs = compile(globs)?;
    let root = workspace.contents().map_err(|error| format!("the workspace cannot be read: {error}"))?;
    let mut names = Vec::new();
    walk(&root, "", &globs, 0, &mut names).map_err(|error| format!("the workspace cannot be read: {error}"))?;
    if names.len() > MOST_FILES {
        return Err(format!("{} files match; {MOST_FILES} is the most a task may keep", names.len()));
    }
    if names.is_empty() {
        return Ok(Vec::new());
    }
    names.sort();
    fs::create_dir_all(uploads).map_err(|error| format!("{}: {error}", uploads.display()))?;
    let target = Dir::open_ambient_dir(uploads, cap_std::ambient_authority())
        .map_err(|error| format!("{}: {error}", uploads.display()))?;
    names
        .into_iter()
        .enumerate()
        .map(|(number, name)| {
            take(&root, &name, &target, uploads, number).map_err(|error| format!("{name}: {error}"))
        })
        .collect()
}

fn compile(globs: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        let built = GlobBuilder::new(glob).literal_separator(true).build();
        set.add(built.map_err(|error| format!("`{glob}` is not a glob: {error}"))?);
    }
    set.build().map_err(|error| error.to_string())
}

fn walk(folder: &Dir, prefix: &str, globs: &GlobSet, depth: usize, names: &mut Vec<String>) -> std::io::Result<()> {
    for entry in folder.entries()? {
        let entry = entry?;
        // Names that are not text cannot be shown or asked for.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < DEEPEST {
            walk(&entry.open_dir()?, &path, globs, depth + 1, names)?;
        } else if kind.is_file() && globs.is_match(&path) {
            names.push(path);
        }
        if names.len() > MOST_FILES {
            return Ok(());
        }
    }
    Ok(())
}

fn take(root: &Dir, name: &str, target: &Dir, uploads: &Path, number: usize) -> std::io::Result<Collected> {
    let mut file = root.open(name)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0_u8; 256 * 1024];
    let mut size = 0;
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            break;
        }
        hasher.update(&block[..read]);
        size += read as u64;
    }
    let kept = number.to_string();
    root.rename(name, target, &kept)?;
    Ok(Collected {
        name: name.to_owned(),
        path: uploads.join(kept),
        digest: Digest::from_bytes(hasher.finalize().into()),
        size,
        media_type: media_type(name).to_owned(),
    })
}

/// By the name's ending; enough to choose a preview.
pub(crate) fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).as_deref() {
        Some("txt" | "log" | "sh" | "py" | "rs" | "toml" | "ini" | "conf" | "diff" | "patch") => "text/plain",
        Some("md") => "text/markdown",
        Some("csv") => "text/csv",
        Some("html" | "htm") => "text/html",
        Some("json") => "application/json",
        Some("ndjson" | "jsonl") => "application/x-ndjson",
        Some("yaml" | "yml") => "application/yaml",
        Some("xml") => "application/xml",
        Some("pdf") => "application/pdf",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("svg") => "image/svg+xml",
        Some("gz" | "tgz") => "application/gzip",
        Some("zst") => "application/zstd",
        Some("zip") => "application/zip",
        Some("tar") => "application/x-tar",
        _ => "application/octet-stream",
    }
}
