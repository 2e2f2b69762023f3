//! Takes what a task left and its globs name out of the workspace, before that goes.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use nexusmon_shared::digest::Digest;
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use super::workspace::Workspace;
use crate::run::Collected;

const MOST_FILES: usize = 1000;
const DEEPEST: usize = 32;

/// Files that match, moved to `uploads`. Links are never followed, nor taken. Called once the whole tree is gone.
pub(crate) fn artifacts(
    workspace: &Workspace,
    globs: &[String],
    uploads: &Path,
) -> Result<Vec<Collected>, String> {
    if globs.is_empty() {
        return Ok(Vec::new());
    }
    let root = workspace.contents();
    let mut names = matching(root, globs)?;
    names.remove(super::workspace::OUTPUTS);
    names.remove(super::workspace::SPAWN);
    take_all(root, names, uploads)
}

/// Names of the files that match. Links are never followed, nor named.
pub(crate) fn matching(root: &Dir, globs: &[String]) -> Result<BTreeSet<String>, String> {
    let mut names = Vec::new();
    if !globs.is_empty() {
        let globs = compile(globs)?;
        walk(root, "", &globs, 0, &mut names)
            .map_err(|error| format!("the workspace cannot be read: {error}"))?;
    }
    Ok(names.into_iter().collect())
}

/// Moves files to `uploads`, whatever else goes on in the workspace meanwhile.
pub(crate) fn take_all(
    root: &Dir,
    names: BTreeSet<String>,
    uploads: &Path,
) -> Result<Vec<Collected>, String> {
    if names.len() > MOST_FILES {
        return Err(format!("{} files match; {MOST_FILES} is the most a task may keep", names.len()));
    }
    if names.is_empty() {
        return Ok(Vec::new());
    }
    fs::create_dir_all(uploads).map_err(|error| format!("{}: {error}", uploads.display()))?;
    let target = Dir::open_ambient_dir(uploads, cap_std::ambient_authority())
        .map_err(|error| format!("{}: {error}", uploads.display()))?;
    names
        .into_iter()
        .enumerate()
        .map(|(number, name)| {
            take(root, &name, &target, uploads, number).map_err(|error| format!("{name}: {error}"))
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

fn walk(
    folder: &Dir,
    prefix: &str,
    globs: &GlobSet,
    depth: usize,
    names: &mut Vec<String>,
) -> std::io::Result<()> {
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
    if !root.symlink_metadata(name)?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let kept = number.to_string();
    root.rename(name, target, &kept)?;
    // Out of reach now; but what was moved may be another thing than what was looked at.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    let mut file = target.open_with(&kept, &options)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
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
    Ok(Collected {
        name: name.to_owned(),
        path: uploads.join(kept),
        digest: Digest::from_bytes(hasher.finalize().into()),
        size,
        media_type: media_type(name).to_owned(),
        withheld: false,
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
