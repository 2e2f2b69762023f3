//! A secret in a task's spec: its name, and the environment variable it is wanted in, if any.

use crate::name::Name;

/// Secrets of one task.
pub const MAX_SECRETS: usize = 16;
const MAX_VARIABLE: usize = 128;

/// A secret that a task is handed, as a file; by environment as well where the spec says so.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(from = "Written")]
pub struct SecretUse {
    pub name: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
}

/// As people write it.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Written {
    Name(Name),
    Full(Full),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    name: Name,
    #[serde(default)]
    env: Option<String>,
}

impl From<Written> for SecretUse {
    fn from(written: Written) -> Self {
        match written {
            Written::Name(name) => Self { name, env: None },
            Written::Full(Full { name, env }) => Self { name, env },
        }
    }
}

/// Whether a secret may be put into an environment variable of that name: none that the agent or the loader reads.
pub fn is_variable(name: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let taken = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "TRACEPARENT", "IFS", "ENV", "BASH_ENV"];
    (1..=MAX_VARIABLE).contains(&name.len())
        && letters(name.as_bytes()[0])
        && name.bytes().all(|byte| letters(byte) || byte.is_ascii_digit())
        && !taken.contains(&name)
        && !["NEXUSMON_", "LD_"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_and_an_object_are_read() {
        let read = |text: &str| serde_json::from_str::<SecretUse>(text);
        let alone = read(r#""token""#).unwrap();
        assert_eq!(alone, SecretUse { name: "token".parse().unwrap(), env: None });
        assert_eq!(serde_json::to_string(&alone).unwrap(), r#"{"name":"token"}"#);
        let full = read(r#"{"name":"token","env":"API_TOKEN"}"#).unwrap();
        assert_eq!(read(&serde_json::to_string(&full).unwrap()).unwrap(), full);
        for wrong in [r#"{"name":"token","file":"x"}"#, r#""../x""#, "7", r#"{"env":"A"}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn variables_that_others_read_are_refused() {
        for good in ["API_TOKEN", "_x", "a1"] {
            assert!(is_variable(good), "{good}");
        }
        for bad in ["", "1A", "A-B", "A=B", "PATH", "LD_PRELOAD", "NEXUSMON_PARAMS", "BASH_ENV", "A\0"] {
            assert!(!is_variable(bad), "{bad:?}");
        }
    }
}
