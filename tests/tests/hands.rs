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

/// Every test the page names is there.
#[test]
fn every_row_has_its_test() -> anyhow::Result<()> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/threats.md"))?;
    let mut sources = String::new();
    for folder in ["agent", "coordinator", "shared", "tests"] {
        hands::sweep::sources(&root.join(folder), &mut sources)?;
    }
    let name = |word: &&str| {
        word.matches('_').count() > 2 && !word.contains(['/', ' ', '.']) && !word.starts_with('…')
    };
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(name).collect();
    assert!(named.len() > 30, "{named:?}");
    for test in named {
        let begins = format!("fn {}", test.trim_end_matches('…'));
        assert!(sources.contains(&begins), "`{test}` is in docs/threats.md and nowhere else");
    }
    Ok(())
}
