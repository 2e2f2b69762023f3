//! Which settings are taken, and which are refused and how.

use super::*;

fn load(settings: Settings, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let look =
        |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Config::load(Settings { data_dir: Some("/data".into()), ..settings }, &look)
}

#[test]
fn defaults_are_local() {
    let config = load(Settings::default(), &[]).unwrap();
    assert_eq!(config.http.to_string(), "127.0.0.1:7300");
    assert_eq!(config.grpc.to_string(), "127.0.0.1:7301");
    assert_eq!(config.database_url, "sqlite:///data/nexusmon.db");
    assert_eq!(config.blobs_url, "file:///data/blobs");
}

#[test]
fn an_open_port_needs_tls_or_a_proxy() {
    let open = || Settings { http: Some("0.0.0.0:7300".parse().unwrap()), ..Settings::default() };
    let refused = load(open(), &[]).unwrap_err();
    assert_eq!(refused.key, "http");
    assert!(refused.reason.contains("trusted_proxies"), "{refused}");
    let proxied = Settings { trusted_proxies: Some(vec!["10.0.0.2".parse().unwrap()]), ..open() };
    assert!(load(proxied, &[]).is_ok());
    let said = Settings { plain_http: Some(true), ..open() };
    assert!(load(said, &[]).is_ok());
    let half = Settings { tls_key: Some("key.pem".into()), ..open() };
    assert_eq!(load(half, &[]).unwrap_err().key, "tls_certificate");
}

#[test]
fn short_secrets_are_refused_by_name_and_never_shown() {
    let refused = load(Settings::default(), &[("OPERATOR_KEY", "hunter2")]).unwrap_err();
    assert_eq!(refused.key, "OPERATOR_KEY");
    assert!(!refused.to_string().contains("hunter2"));
    let refused = load(Settings::default(), &[("SWARMZ_JWT_SECRET", "short")]).unwrap_err();
    assert_eq!(refused.key, "NEXUSMON_JWT_SECRET");
    let config = load(Settings::default(), &[("OPERATOR_KEY", "correct horse battery")]).unwrap();
    assert!(!format!("{config:?}").contains("horse"));
}

#[test]
fn flags_win_over_the_file_and_unknown_keys_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nexusmon.toml");
    std::fs::write(&path, "retention_days = 7\nhttp = \"127.0.0.1:1\"\n").unwrap();
    let settings = Settings {
        config: Some(path.clone()),
        http: Some("127.0.0.1:2".parse().unwrap()),
        ..Settings::default()
    };
    let config = load(settings.clone(), &[]).unwrap();
    assert_eq!((config.retention_days, config.http.port()), (7, 2));
    std::fs::write(&path, "retention_dais = 7\n").unwrap();
    assert!(load(settings, &[]).unwrap_err().reason.contains("retention_dais"));
}

#[test]
fn port_is_honoured_and_checked() {
    assert_eq!(load(Settings::default(), &[("PORT", "8080")]).unwrap().http.port(), 8080);
    assert_eq!(load(Settings::default(), &[("PORT", "many")]).unwrap_err().key, "PORT");
}

#[test]
fn one_file_serves_one_coordinator() {
    let several = Settings { several_nodes: Some(true), ..Settings::default() };
    assert_eq!(load(several, &[]).unwrap_err().key, "several_nodes");
}

#[test]
fn a_container_binds_everywhere_on_the_given_port() {
    let inside = |trusted: &str| Settings {
        bind: Some("0.0.0.0".parse().unwrap()),
        trusted_proxies: Some(vec![trusted.parse().unwrap()]),
        ..Settings::default()
    };
    let config = load(inside("100.64.0.0/10"), &[("PORT", "8080")]).unwrap();
    assert_eq!(
        (config.http.to_string(), config.grpc.to_string()),
        ("0.0.0.0:8080".into(), "0.0.0.0:7301".into())
    );
    let refused =
        load(Settings { bind: Some("::".parse().unwrap()), ..Settings::default() }, &[]).unwrap_err();
    assert_eq!(refused.key, "http");
}

#[test]
fn secrets_come_from_files_too() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (key, url) = (write("key", "correct horse battery\n"), write("url", "postgres://u:p@h/d\n"));
    let both = [("OPERATOR_KEY_FILE", key.as_str()), ("NEXUSMON_DATABASE_URL_FILE", url.as_str())];
    let config = load(Settings::default(), &both).unwrap();
    assert_eq!(config.operator_key.unwrap().expose(), "correct horse battery");
    assert_eq!(config.database_url, "postgres://u:p@h/d");

    let twice = [("OPERATOR_KEY_FILE", key.as_str()), ("OPERATOR_KEY", "correct horse battery")];
    assert_eq!(load(Settings::default(), &twice).unwrap_err().key, "OPERATOR_KEY_FILE");
    let gone = [("OPERATOR_KEY_FILE", "/nowhere/key")];
    assert!(load(Settings::default(), &gone).unwrap_err().reason.contains("/nowhere/key"));
    let empty = write("empty", "\n");
    assert!(load(Settings::default(), &[("NEXUSMON_JWT_SECRET_FILE", empty.as_str())]).is_err());
}

#[test]
fn further_names_are_names() {
    let named = |name: &str| Settings { hosts: Some(vec![name.to_owned()]), ..Settings::default() };
    assert_eq!(load(named("Coordinator"), &[]).unwrap().hosts, ["coordinator"]);
    for wrong in ["", "http://a", "a:7300", "*"] {
        assert_eq!(load(named(wrong), &[]).unwrap_err().key, "hosts", "{wrong}");
    }
}
