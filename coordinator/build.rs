//! Writes the table of the pages to embed: what `web/dist` holds, or a placeholder where nobody has built it, so that
//! the coordinator compiles without Node.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Made beside a file by the build of the pages.
const COMPRESSED: [&str; 2] = ["br", "gz"];

fn main() -> io::Result<()> {
    let web = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../web");
    let built = web.join("dist");
    let placeholder = web.join("placeholder");
    // Kept in the repository, so that a build appearing in it is a change.
    println!("cargo::rerun-if-changed={}", built.display());
    println!("cargo::rerun-if-changed={}", placeholder.display());
    let root = if built.join("organism.html").exists() { built } else { placeholder };
    let mut table = String::from("&[\n");
    for name in names(&root)? {
        let file = root.join(&name);
        let beside = |extension: &str| {
            let compressed = root.join(format!("{name}.{extension}"));
            if compressed.exists() { format!("Some({})", include(&compressed)) } else { "None".to_owned() }
        };
        let [brotli, gzip] = COMPRESSED.map(beside);
        let _ = writeln!(
            table,
            "    Page {{ name: {name:?}, plain: {}, brotli: {brotli}, gzip: {gzip} }},",
            include(&file)
        );
    }
    table.push(']');
    fs::write(PathBuf::from(env::var("OUT_DIR").unwrap_or_default()).join("pages.rs"), table)
}

fn include(file: &Path) -> String {
    format!("include_bytes!({:?})", file.display().to_string())
}

/// Pages, and `assets/…`, in a stable order.
fn names(root: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for (folder, prefix) in [(root.to_owned(), ""), (root.join("assets"), "assets/")] {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let extension = name.rsplit('.').next().unwrap_or_default();
            let page = prefix.is_empty() && extension == "html";
            let compressed = COMPRESSED.contains(&extension);
            if entry.file_type()?.is_file() && (page || (!prefix.is_empty() && !compressed)) {
                names.push(format!("{prefix}{name}"));
            }
        }
    }
    names.sort();
    Ok(names)
}
