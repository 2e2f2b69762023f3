//! The only places a plugin may write: its scratch folder, and beneath that a folder for each of its attempts.
//!
//! The plugin runs while we work here and may rename, link and replace what it likes. So everything goes through a folder
//! held open from before the plugin started: no path leads out of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, Permissions, PermissionsExt as _};

use super::sdk;
use crate::executor::collect;
use crate::run::{Collected, JobInput};

/// Beneath the data folder.
const FOLDER: &str = "plugins-work";
const WORKSPACE: &str = "workspace";
const INPUTS: &str = "inputs";
/// For the Python package, `HOME` and `TMPDIR`.
const PYTHON: &str = "python";
const HOME: &str = "home";
const TEMPORARY: &str = "tmp";

/// Removes what an earlier life left. Nothing of it runs any more.
pub(super) fn clean(data_dir: &Path) -> io::Result<()> {
    let folder = data_dir.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let held = Dir::open_ambient_dir(&folder, cap_std::ambient_authority())?;
    for entry in held.entries()? {
        remove(&held, &entry?.file_name().to_string_lossy());
    }
    Ok(())
}

/// A plugin's scratch folder.
#[derive(Debug)]
pub(super) struct Scratch {
    parent: Dir,
    name: String,
    path: PathBuf,
    held: Dir,
}

impl Scratch {
    /// Makes it, or takes it empty. `name` is the plugin's, with what tells apart two that run side by side.
    pub(super) fn open(data_dir: &Path, name: String) -> io::Result<Self> {
        let folder = data_dir.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let parent = Dir::open_ambient_dir(&folder, cap_std::ambient_authority())?;
        remove(&parent, &name);
        parent.create_dir(&name)?;
        let held = parent.open_dir(&name)?;
        for place in [HOME, TEMPORARY] {
            held.create_dir(place)?;
        }
        Ok(Self { path: folder.join(&name), parent, name, held })
    }

    /// The same inside and outside of the confinement.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn home(&self) -> PathBuf {
        self.path.join(HOME)
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.path.join(TEMPORARY)
    }

    /// Puts the Python package there anew; gives the folder to import it from.
    pub(super) fn put_python(&self) -> io::Result<PathBuf> {
        remove(&self.held, PYTHON);
        self.held.create_dir(PYTHON)?;
        let package = Path::new(PYTHON).join(sdk::PACKAGE);
        self.held.create_dir(&package)?;
        for (name, text) in sdk::FILES {
            self.held.write(package.join(name), text)?;
        }
        Ok(self.path.join(PYTHON))
    }

    /// Makes the folder of an attempt, with its inputs.
    pub(super) fn attempt(&self, key: String, inputs: &[JobInput]) -> io::Result<AttemptFolder> {
        remove(&self.held, &key);
        self.held.create_dir(&key)?;
        let parent = self.held.try_clone()?;
        let own = self.held.open_dir(&key)?;
        own.create_dir(WORKSPACE)?;
        own.create_dir(INPUTS)?;
        let given = own.open_dir(INPUTS)?;
        for input in inputs {
            if let Some(folder) = Path::new(&input.name).parent() {
                given.create_dir_all(folder)?;
            }
            // A copy: what lies in the cache serves others too.
            io::copy(&mut fs::File::open(&input.path)?, &mut given.create(&input.name)?)?;
        }
        let workspace = own.open_dir(WORKSPACE)?;
        Ok(AttemptFolder { path: self.path.join(&key), parent, key, workspace })
    }

    /// The plugin is gone for good.
    pub(super) fn remove(&self) {
        remove(&self.parent, &self.name);
    }
}

/// An attempt's folder.
#[derive(Debug)]
pub(super) struct AttemptFolder {
    path: PathBuf,
    parent: Dir,
    key: String,
    workspace: Dir,
}

impl AttemptFolder {
    pub(super) fn workspace(&self) -> PathBuf {
        self.path.join(WORKSPACE)
    }

    pub(super) fn input(&self, name: &str) -> PathBuf {
        self.path.join(INPUTS).join(name)
    }

    /// Moves what the plugin named and what the globs match to `uploads`.
    pub(super) fn collect(
        &self,
        named: &[(String, Option<String>)],
        globs: &[String],
        uploads: &Path,
    ) -> Result<Vec<Collected>, String> {
        let mut names = collect::matching(&self.workspace, globs)?;
        names.extend(named.iter().map(|(name, _)| name.clone()));
        let mut collected = collect::take_all(&self.workspace, names, uploads)?;
        for (name, media_type) in named {
            let found = collected.iter_mut().find(|one| one.name == *name);
            if let (Some(found), Some(media_type)) = (found, media_type) {
                found.media_type.clone_from(media_type);
            }
        }
        Ok(collected)
    }

    pub(super) fn remove(&self) {
        remove(&self.parent, &self.key);
    }
}

/// Whether a file of the workspace could be called that, as artifact: a relative path with `/`, no `..`.
pub(super) fn is_artifact_name(name: &str) -> bool {
    (1..=512).contains(&name.len())
        && !name.contains(['\\', '\0'])
        && !name.chars().any(char::is_control)
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Whether a text looks like a media type.
pub(super) fn is_media_type(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    text.len() <= 100 && text.split_once('/').is_some_and(|(kind, sort)| word(kind) && word(sort))
}

/// Removes a folder, also one whose insides the plugin made unreadable.
fn remove(parent: &Dir, name: &str) {
    if parent.remove_dir_all(name).is_ok() || !parent.exists(name) {
        return;
    }
    open_up(parent, Path::new(name), 0);
    if let Err(error) = parent.remove_dir_all(name).or_else(|_| parent.remove_file(name)) {
        tracing::warn!(folder = name, %error, "an old folder of a plugin cannot be removed");
    }
}

fn open_up(parent: &Dir, name: &Path, depth: usize) {
    let Ok(data) = parent.symlink_metadata(name) else { return };
    if !data.is_dir() || depth > 64 {
        return;
    }
    let _ = parent.set_permissions(name, Permissions::from_mode(0o700));
    let Ok(folder) = parent.open_dir(name) else { return };
    for entry in folder.entries().into_iter().flatten().flatten() {
        open_up(&folder, Path::new(&entry.file_name()), depth + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn attempt(data: &Path) -> (Scratch, AttemptFolder) {
        let scratch = Scratch::open(data, "greeter.1".to_owned()).unwrap();
        let folder = scratch.attempt("one".to_owned(), &[]).unwrap();
        (scratch, folder)
    }

    #[test]
    fn only_files_of_the_workspace_become_artifacts() {
        let data = tempfile::tempdir().unwrap();
        let uploads = data.path().join("uploads");
        fs::write(data.path().join("secret"), "key").unwrap();
        let (scratch, folder) = attempt(data.path());
        let workspace = folder.workspace();
        fs::create_dir(workspace.join("sub")).unwrap();
        fs::write(workspace.join("sub/a.txt"), "a").unwrap();
        fs::write(workspace.join("b.bin"), "b").unwrap();
        symlink(data.path().join("secret"), workspace.join("link.txt")).unwrap();
        symlink(data.path(), workspace.join("out")).unwrap();

        let take = |name: &str| folder.collect(&[(name.to_owned(), Some("x/y".to_owned()))], &[], &uploads);
        for name in ["link.txt", "out/secret", "../one/workspace/b.bin", "/etc/passwd", "sub", "missing"] {
            assert!(take(name).is_err(), "{name}");
        }
        assert_eq!(fs::read_to_string(data.path().join("secret")).unwrap(), "key");
        let collected = folder
            .collect(&[("b.bin".to_owned(), Some("x/y".to_owned()))], &["**/*.txt".to_owned()], &uploads)
            .unwrap();
        let found: Vec<_> =
            collected.iter().map(|one| (one.name.as_str(), one.media_type.as_str(), one.size)).collect();
        assert_eq!(found, [("b.bin", "x/y", 1), ("sub/a.txt", "text/plain", 1)]);
        folder.remove();
        assert!(!workspace.exists());
        scratch.remove();
        assert!(!scratch.path().exists());
    }

    #[test]
    fn a_replaced_workspace_leads_nowhere() {
        let data = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("a.txt"), "mine").unwrap();
        let (scratch, folder) = attempt(data.path());
        fs::remove_dir_all(scratch.path().join("one")).unwrap();
        symlink(elsewhere.path(), scratch.path().join("one")).unwrap();
        symlink(elsewhere.path(), scratch.path().join("two")).unwrap();
        let uploads = data.path().join("uploads");
        assert!(folder.collect(&[("a.txt".to_owned(), None)], &[], &uploads).is_err());
        folder.remove();
        drop(scratch.attempt("two".to_owned(), &[]));
        scratch.remove();
        assert_eq!(fs::read_to_string(elsewhere.path().join("a.txt")).unwrap(), "mine");
    }

    #[test]
    fn names_of_artifacts_stay_beneath() {
        for bad in ["", ".", "../a", "a/../b", "/a", "a//b", "a\n", "a\\b"] {
            assert!(!is_artifact_name(bad), "{bad:?}");
        }
        assert!(is_artifact_name("sub/a b.txt"));
        assert!(is_media_type("text/plain") && !is_media_type("text") && !is_media_type("a/b/c\n"));
    }
}
