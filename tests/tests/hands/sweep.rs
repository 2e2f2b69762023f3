//! Looks for a value in every file below a folder, in the forms in which it might have been kept.

use std::path::{Path, PathBuf};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The files that hold `value`: as it is, in base64 at any alignment, in hexadecimal, in bytes written as a list.
pub(crate) fn files_with(folder: &Path, value: &str) -> Result<Vec<PathBuf>> {
    let mut forms =
        vec![value.as_bytes().to_vec(), hex(value).into_bytes(), hex(value).to_uppercase().into_bytes()];
    for skipped in 0..3 {
        // What lies before it shifts the alignment; the first and last letters depend on the neighbours.
        let inner = value.as_bytes().get(skipped..).unwrap_or_default();
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let text = engine.encode(inner);
            forms.push(text.as_bytes()[..text.len() - 2].to_vec());
        }
    }
    forms.push(value.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(",").into_bytes());
    let mut found = Vec::new();
    visit(folder, &mut |path, bytes| {
        let holds = |form: &Vec<u8>| bytes.windows(form.len()).any(|part| part == form.as_slice());
        if forms.iter().any(holds) {
            found.push(path.to_owned());
        }
    })?;
    Ok(found)
}

fn hex(value: &str) -> String {
    use std::fmt::Write as _;
    value.bytes().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn visit(folder: &Path, look: &mut impl FnMut(&Path, &[u8])) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let Ok(path) = entry.map(|entry| entry.path()) else { continue };
        // Sockets and links are not kept; files and folders may go while they are looked at.
        let Ok(kind) = std::fs::symlink_metadata(&path) else { continue };
        if kind.is_dir() {
            match visit(&path, look) {
                Err(_) if !path.exists() => {}
                other => other?,
            }
        } else if kind.is_file()
            && let Ok(bytes) = std::fs::read(&path)
        {
            look(&path, &bytes);
        }
    }
    Ok(())
}

/// The text of every Rust file below a folder.
pub(crate) fn sources(folder: &Path, into: &mut String) -> Result<()> {
    visit(folder, &mut |path, bytes| {
        if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&String::from_utf8_lossy(bytes));
        }
    })
}
