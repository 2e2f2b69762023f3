//! Writes the table of the pages to embed: what `web/dist` holds, or a placeholder where nobody has built it, so that
//! the coordinator compiles without Node.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Made beside a file by the build of the pages.
const COMPRESSED: [&str; 2] = ["br", "gz"];
/// Beside the pages, under names that never change: what installs the console, and what runs while it is closed.
const BESIDE: [&str; 8] = [
    "apple-touch-icon.png",
    "icon-192.png",
    "icon-512.png",
    "icon-maskable-512.png",
    "icon-maskable.svg",
    "icon.svg",
    "manifest.webmanifest",
    "sw.js",
];
/// The pages a build makes.
const PAGES: [&str; 3] = ["docs.html", "landing.html", "organism.html"];

fn main() -> io::Result<()> {
    let web = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../web");
    let built = web.join("dist");
    let placeholder = web.join("placeholder.html");
    // Kept in the repository, so that a build appearing in it is a change.
    println!("cargo::rerun-if-changed={}", built.display());
    println!("cargo::rerun-if-changed={}", placeholder.display());
    let pages = if PAGES.iter().all(|page| built.join(page).exists()) {
        names(&built)?.into_iter().map(|name| (built.join(&name), name)).collect()
    } else {
        Vec::from(PAGES.map(|page| (placeholder.clone(), page.to_owned())))
    };
    let mut table = String::from("&[\n");
    for (file, name) in pages {
        let beside = |extension: &str| {
            let compressed = PathBuf::from(format!("{}.{extension}", file.display()));
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
            let page = prefix.is_empty() && (extension == "html" || BESIDE.contains(&name.as_str()));
            let compressed = COMPRESSED.contains(&extension);
            if entry.file_type()?.is_file() && (page || (!prefix.is_empty() && !compressed)) {
                names.push(format!("{prefix}{name}"));
            }
        }
    }
    names.sort();
    Ok(names)
}
