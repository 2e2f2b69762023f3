//! What must hold when something is in the wrong hands, tried from the outside with the released programs: the rows of
//! `docs/threats.md` that need a whole installation. The others lie beside the part that they try.

mod hands {
    mod account;
    mod backup;
    mod database;
    mod disk;
    mod secrets;
    pub(crate) mod sweep;
}

/// Every row of the page names a test, and every test it names is there; prints which tries which row.
#[test]
fn every_row_has_its_test() -> anyhow::Result<()> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/threats.md"))?;
    let mut sources = String::new();
    for folder in ["agent", "coordinator", "shared", "tests"] {
        hands::sweep::sources(&root.join(folder), &mut sources)?;
    }
    let (mut section, mut rows, mut named) = ("", 0, 0);
    for line in page.lines() {
        section = line.strip_prefix("## ").unwrap_or(section);
        let Some((what, tried)) = line.strip_prefix("| ").and_then(|row| row.split_once(" | ")) else {
            continue;
        };
        if tried.ends_with(" by |") {
            continue;
        }
        let tests: Vec<&str> =
            tried.split('`').skip(1).step_by(2).filter(|word| is_name_of_a_test(word)).collect();
        assert!(!tests.is_empty(), "{section}: no test tries `{what}`");
        for test in &tests {
            assert!(
                sources.contains(&format!("fn {test}(")),
                "`{test}` is in docs/threats.md and nowhere else"
            );
        }
        // The last table lists again what is counted.
        if section != "Counted" {
            println!("{section} | {what} | {}", tests.join(", "));
            rows += 1;
            named += tests.len();
        }
    }
    println!("in the wrong hands: {rows} rows, each tried by a test; {named} named");
    assert!(rows > 40, "only {rows} rows were read");
    Ok(())
}

/// `make prove RUN=hands` finds them by the same look: small letters, three underscores or more.
fn is_name_of_a_test(word: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    word.chars().all(fits) && word.matches('_').count() > 2
}
