//! Secrets: by environment, or by the file an environment variable names, as container engines hand them out.

use super::{ConfigError, Environment};

/// A secret of the environment; shows nothing of itself.
#[derive(Clone)]
pub struct Secret(zeroize::Zeroizing<String>);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(zeroize::Zeroizing::new(text))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// `NAME`, or what is in the file that `NAME_FILE` names, without the line's end.
pub(super) fn read(environment: &impl Environment, name: &str) -> Result<Option<Secret>, ConfigError> {
    let by_file = format!("{name}_FILE");
    match (environment.get(name), environment.get(&by_file)) {
        (Some(_), Some(_)) => {
            Err(ConfigError::new(by_file, format!("{name} is set as well; set one of them")))
        }
        (Some(value), None) => Ok(Some(Secret::new(value))),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| ConfigError::new(&by_file, format!("cannot read {path}: {error}")))?;
            let text = zeroize::Zeroizing::new(text);
            let value = text.trim();
            if value.is_empty() {
                return Err(ConfigError::new(by_file, format!("{path} is empty")));
            }
            Ok(Some(Secret::new(value.to_owned())))
        }
        (None, None) => Ok(None),
    }
}

pub(super) fn at_least(
    key: &str,
    value: Option<Secret>,
    bytes: usize,
) -> Result<Option<Secret>, ConfigError> {
    match value {
        Some(secret) if secret.expose().len() < bytes => Err(ConfigError::new(
            key,
            format!("is {} characters long; at least {bytes} are needed", secret.expose().len()),
        )),
        other => Ok(other),
    }
}
