use proptest::prelude::*;

use super::*;

fn load(file: &str, said: Settings) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("agent.toml"), file).unwrap();
    Config::load(Settings { data_dir: Some(folder.path().to_owned()), ..said })
}

#[test]
fn what_is_said_goes_over_the_file() {
    let file = "slots = 3\nmax_rank = \"C\"\nspool_limit = \"64MiB\"\nstop_grace = \"1m\"\nlabels = {room = \"attic\", gpu = \"no\"}";
    let said = Settings {
        slots: Some(5),
        labels: Some(parse_labels("gpu=yes").unwrap()),
        unsigned_consent: Some(true),
        ..Settings::default()
    };
    let config = load(file, said).unwrap();
    assert_eq!((config.slots, config.max_rank), (5, Rank::C));
    assert_eq!(config.labels, parse_labels("gpu=yes,room=attic").unwrap());
    assert_eq!(config.spool_limit.bytes(), 64 << 20);
    assert_eq!(config.stop_grace, Duration::from_secs(60));
    assert!(config.unsigned_consent);
    assert_eq!(config.plugin_dir, config.data_dir.join("plugins"));
}

#[test]
fn wrong_values_name_their_key() {
    let key = |file: &str| load(file, Settings::default()).unwrap_err().to_string();
    for (file, named) in [
        ("slots = 0", "`slots`"),
        ("max_rank = \"Z\"", "`max_rank`"),
        ("capabilities = [\"Shell\"]", "`capabilities`"),
        ("coordinator = \"nowhere\"", "`coordinator`"),
        ("labels = {\"a b\" = \"c\"}", "`labels`"),
        ("otlp_endpoint = \"4317\"", "`otlp_endpoint`"),
        ("slotz = 3", "slotz"),
        ("spool_limit = \"much\"", "spool_limit"),
        ("slots = ", "agent.toml"),
    ] {
        assert!(key(file).contains(named), "{file}: {}", key(file));
    }
}

#[test]
fn a_named_file_must_exist() {
    let said = Settings { config: Some("/nowhere/agent.toml".into()), ..Settings::default() };
    assert!(matches!(Config::load(said), Err(ConfigError::Read { .. })));
}

proptest! {
    #[test]
    fn sizes_round_trip(bytes: u64) {
        prop_assert_eq!(Size(bytes).to_string().parse::<Size>(), Ok(Size(bytes)));
    }

    #[test]
    fn outside_text_never_panics(text in ".{0,40}") {
        let _ = text.parse::<Size>();
        let _ = parse_labels(&text);
    }
}
