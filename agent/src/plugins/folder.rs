//! A plugin's folder: what its `plugin.toml` says, what it holds, whether it has changed.
//!
//! The folder is the machine's admin's, but mistakes in it must not hurt: sizes are bounded, links are not followed.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nexusmon_shared::digest::Digest;
use nexusmon_shared::sandbox::Profile;
use sha2::{Digest as _, Sha256};

/// Beside this file a folder is a plugin.
pub(super) const DECLARATION: &str = "plugin.toml";
/// What Python leaves behind by itself is no change.
const CACHE: &str = "__pycache__";
const MOST_TOML: u64 = 64 * 1024;
const MOST_ENTRIES: usize = 4_000;
const MOST_CONTENT: u64 = 256 * 1024 * 1024;
const DEEPEST: usize = 16;
const MOST_CONCURRENCY: u32 = 64;
const MOST_PLUGINS: usize = 128;

/// Names the agent itself provides, or will.
const RESERVED: [&str; 8] = ["container", "core", "file", "http", "mcp", "nexusmon", "script", "shell"];

/// What `plugin.toml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) command: Vec<String>,
    pub(super) profile: Profile,
    /// Names of the agent's environment the plugin may see.
    pub(super) env: Vec<String>,
    /// What [`content_digest`] must give.
    pub(super) digest: Option<Digest>,
    /// Bounds what the manifest asks for.
    pub(super) concurrency: Option<u32>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    command: Vec<String>,
    #[serde(default)]
    profile: Profile,
    #[serde(default)]
    env: Vec<String>,
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    concurrency: Option<u32>,
}

/// Why a folder's name cannot be a plugin's.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let good = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
        && name.as_bytes()[0].is_ascii_alphanumeric();
    if !good {
        return Err(
            "the folder's name must be 1 to 64 of a-z, 0-9, `_` and `-`, and begin with a letter or digit"
                .to_owned(),
        );
    }
    if RESERVED.contains(&name) {
        return Err(format!("`{name}` is a name of the agent's own; call the folder something else"));
    }
    Ok(())
}

/// Reads `plugin.toml`, or says which field is wrong.
pub(super) fn declared(folder: &Path) -> Result<Declared, String> {
    let wrong = |reason: String| format!("{DECLARATION}: {reason}");
    let path = folder.join(DECLARATION);
    let data = fs::metadata(&path).map_err(|error| wrong(error.to_string()))?;
    if !data.is_file() || data.len() > MOST_TOML {
        return Err(wrong(format!("must be a file of at most {MOST_TOML} bytes")));
    }
    let text = fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    parse(&text).map_err(wrong)
}

pub(super) fn parse(text: &str) -> Result<Declared, String> {
    let deserializer = toml::Deserializer::parse(text).map_err(|error| one_line(error.message()))?;
    let written: Written = serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let reason = one_line(error.inner().message());
        match error.path().to_string().as_str() {
            "." => reason,
            path => format!("{path}: {reason}"),
        }
    })?;
    let Written { command, profile, env, digest, concurrency } = written;
    if command.first().is_none_or(String::is_empty) || command.iter().any(|word| word.contains('\0')) {
        return Err(
            "command: must be a list with a program first, such as [\"python3\", \"plugin.py\"]".to_owned()
        );
    }
    for name in &env {
        if name.is_empty() || name.contains(['=', '\0']) || name.starts_with("NEXUSMON_") {
            return Err(format!("env: `{}` cannot be passed on", name.escape_default()));
        }
    }
    if concurrency.is_some_and(|number| !(1..=MOST_CONCURRENCY).contains(&number)) {
        return Err(format!("concurrency: must be between 1 and {MOST_CONCURRENCY}"));
    }
    let digest = digest.map(|text| text.parse().map_err(|error| format!("digest: {error}"))).transpose()?;
    Ok(Declared { command, profile, env, digest, concurrency })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Declared {
    /// Attempts at once, given what the manifest asks for.
    pub(super) fn concurrency(&self, asked: u32) -> u32 {
        asked.clamp(1, self.concurrency.unwrap_or(MOST_CONCURRENCY))
    }

    /// Holds the folder against the pin, if there is one.
    pub(super) fn check_pin(&self, folder: &Path) -> Result<(), String> {
        let Some(pin) = self.digest else { return Ok(()) };
        let found = content_digest(folder).map_err(|error| format!("{DECLARATION}: digest: {error}"))?;
        if found == pin {
            Ok(())
        } else {
            Err(format!("{DECLARATION}: digest: the folder's is {found}, not {pin}"))
        }
    }
}

/// Digest over every file but `plugin.toml`: names, kinds, contents.
pub(super) fn content_digest(folder: &Path) -> std::io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut left = MOST_CONTENT;
    for (name, data) in entries(folder, true)? {
        if name == Path::new(DECLARATION) || data.is_dir() {
            continue;
        }
        let path = folder.join(&name);
        let (kind, content) = if data.is_symlink() {
            (b'l', fs::read_link(&path)?.as_os_str().as_bytes().to_vec())
        } else if data.is_file() {
            let mut content = Vec::new();
            fs::File::open(&path)?.take(left + 1).read_to_end(&mut content)?;
            (if data.mode() & 0o111 == 0 { b'f' } else { b'x' }, content)
        } else {
            return Err(std::io::Error::other(format!(
                "{} is neither file, folder nor link",
                path.display()
            )));
        };
        left = left
            .checked_sub(content.len() as u64)
            .ok_or_else(|| std::io::Error::other(format!("more than {MOST_CONTENT} bytes")))?;
        let name = name.as_os_str().as_bytes();
        hasher.update([kind]);
        hasher.update((name.len() as u64).to_be_bytes());
        hasher.update(name);
        hasher.update((content.len() as u64).to_be_bytes());
        hasher.update(content);
    }
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

/// Differs when anything in the folder has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(Digest);

fn fingerprint(folder: &Path) -> std::io::Result<Fingerprint> {
    let mut hasher = Sha256::new();
    for (name, data) in entries(folder, false)? {
        hasher.update(name.as_os_str().as_bytes());
        // A folder changes with its entries, of which some do not count.
        let (size, changed) =
            if data.is_dir() { (0, (0, 0)) } else { (data.size(), (data.mtime(), data.mtime_nsec())) };
        for number in [u64::from(data.mode()), data.ino(), size] {
            hasher.update(number.to_be_bytes());
        }
        hasher.update(changed.0.to_be_bytes());
        hasher.update(changed.1.to_be_bytes());
    }
    Ok(Fingerprint(Digest::from_bytes(hasher.finalize().into())))
}

/// Everything beneath, by name, without following links.
fn entries(folder: &Path, all: bool) -> std::io::Result<BTreeMap<PathBuf, Metadata>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((below, depth)) = folders.pop() {
        for entry in fs::read_dir(folder.join(&below))? {
            let entry = entry?;
            let name = entry.file_name();
            if name == CACHE && !all {
                continue;
            }
            let path = below.join(name);
            // Gone in between: the next look sees it.
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() && depth < DEEPEST {
                folders.push((path.clone(), depth + 1));
            }
            found.insert(path, data);
            if found.len() > MOST_ENTRIES {
                return Err(std::io::Error::other(format!("more than {MOST_ENTRIES} files")));
            }
        }
    }
    Ok(found)
}

/// The plugins of a machine: folders with a `plugin.toml`. What cannot be looked at is told in place of a fingerprint.
pub(super) fn scan(plugins: &Path) -> BTreeMap<String, Result<Fingerprint, String>> {
    let mut found = BTreeMap::new();
    let folders = fs::read_dir(plugins).into_iter().flatten().flatten();
    for entry in folders {
        let path = entry.path();
        if found.len() >= MOST_PLUGINS || fs::symlink_metadata(path.join(DECLARATION)).is_err() {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        found.insert(name, fingerprint(&path).map_err(|error| format!("the folder cannot be read: {error}")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wrong_fields_are_named() {
        for (text, word) in [
            ("", "command"),
            ("command = []", "command"),
            ("command = \"python3\"", "command"),
            ("command = [\"x\"]\nprofile = \"loose\"", "profile"),
            ("command = [\"x\"]\nconcurrency = 0", "concurrency"),
            ("command = [\"x\"]\ndigest = \"12\"", "digest"),
            ("command = [\"x\"]\nenv = [\"NEXUSMON_KEY\"]", "env"),
            ("command = [\"x\"]\nuser = \"root\"", "user"),
        ] {
            let reason = parse(text).unwrap_err();
            assert!(reason.contains(word), "{text:?}: {reason}");
            assert!(!reason.contains('\n'), "{reason}");
        }
        let declared = parse("command = [\"python3\", \"plugin.py\"]").unwrap();
        assert_eq!(declared.profile, Profile::Strict, "the default is the strictest");
        assert_eq!(declared.concurrency(200), MOST_CONCURRENCY);
        assert_eq!(Declared { concurrency: Some(2), ..declared }.concurrency(8), 2);
    }

    #[test]
    fn changes_are_seen_but_not_caches() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("plugin.py"), "1").unwrap();
        let before = fingerprint(folder.path()).unwrap();
        let content = content_digest(folder.path()).unwrap();
        fs::create_dir(folder.path().join(CACHE)).unwrap();
        fs::write(folder.path().join(CACHE).join("plugin.pyc"), "x").unwrap();
        assert_eq!(fingerprint(folder.path()).unwrap(), before);
        assert_ne!(content_digest(folder.path()).unwrap(), content, "a pin covers what could be run instead");
        fs::remove_dir_all(folder.path().join(CACHE)).unwrap();
        fs::write(folder.path().join(DECLARATION), "command = []").unwrap();
        assert_eq!(content_digest(folder.path()).unwrap(), content, "the pin itself is not pinned");
        assert_ne!(fingerprint(folder.path()).unwrap(), before);
        let pinned = Declared { digest: Some(content), ..parse("command = [\"x\"]").unwrap() };
        assert_eq!(pinned.check_pin(folder.path()), Ok(()));
        fs::write(folder.path().join("plugin.py"), "2").unwrap();
        assert!(pinned.check_pin(folder.path()).unwrap_err().contains("digest"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = parse(&text);
            let _ = check_name(&text);
        }
    }
}
