//! Root helpers: the few commands with rights of their own that this machine's admin lets approved work run.

use nexusmon_shared::schema::Schema;
use serde_json::{Value, json};

/// Arguments of one run, unless the helper says otherwise.
const MOST_ARGUMENTS: u32 = 64;

/// One `[[root_helper]]` of `agent.toml`: offered as the capability `root.NAME`, of rank A.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootHelper {
    /// Lower-case letters, digits and `-`.
    pub name: String,
    /// The program by its full path, and what always comes first.
    pub command: Vec<String>,
    /// A regular expression that each further argument matches as a whole; without one there are none.
    #[serde(default)]
    pub arguments: Option<String>,
    /// How many of them at most; 64 unless said otherwise.
    #[serde(default)]
    pub most: Option<u32>,
}

impl RootHelper {
    /// Why it cannot be used.
    pub(super) fn check(&self) -> Result<(), String> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.name.is_empty() || self.name.len() > 40 || !self.name.bytes().all(good) {
            return Err(format!("`{}`: a name is lower-case letters, digits and `-`", self.name));
        }
        let name = &self.name;
        if self.command.first().is_none_or(|program| !program.starts_with('/')) {
            return Err(format!("`{name}`: `command` begins with the full path of a program"));
        }
        if self.command.iter().any(|part| part.contains('\0')) {
            return Err(format!("`{name}`: `command` holds a zero byte"));
        }
        if let Some(pattern) = &self.arguments {
            // Alone, too: what closes the group around it would not be held to the whole argument.
            Schema::compile(&json!({"pattern": pattern})).map_err(|error| format!("`{name}`: {error}"))?;
        }
        Schema::compile(&self.parameters()).map(drop).map_err(|error| format!("`{name}`: {error}"))
    }

    /// What work gives it.
    pub fn parameters(&self) -> Value {
        let most = if self.arguments.is_some() { self.most.unwrap_or(MOST_ARGUMENTS) } else { 0 };
        let pattern = format!("^(?:{})$", self.arguments.as_deref().unwrap_or_default());
        json!({"type": "object", "additionalProperties": false, "properties": {
            "args": {"type": "array", "maxItems": most,
                "items": {"type": "string", "maxLength": 4096, "pattern": pattern}}}})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn helper(name: &str, command: &[&str], arguments: Option<&str>) -> RootHelper {
        RootHelper {
            name: name.to_owned(),
            command: command.iter().map(|part| (*part).to_owned()).collect(),
            arguments: arguments.map(str::to_owned),
            most: Some(2),
        }
    }

    #[test]
    fn each_argument_matches_as_a_whole() {
        let install = helper("install", &["/usr/bin/apt-get", "install", "-y"], Some("[a-z0-9][a-z0-9.+-]*"));
        assert_eq!(install.check(), Ok(()));
        let schema = Schema::compile(&install.parameters()).unwrap();
        assert!(schema.accepts(&json!({"args": ["curl", "libc6"]})) && schema.accepts(&json!({})));
        for wrong in [
            json!({"args": ["-o=x"]}),
            json!({"args": ["curl; reboot"]}),
            json!({"args": ["curl\n"]}),
            json!({"args": ["a", "b", "c"]}),
            json!({"args": [1]}),
            json!({"argv": []}),
        ] {
            assert!(!schema.accepts(&wrong), "{wrong}");
        }
        let bare = helper("update", &["/usr/bin/apt-get", "update"], None);
        let schema = Schema::compile(&bare.parameters()).unwrap();
        assert!(schema.accepts(&json!({})) && !schema.accepts(&json!({"args": ["x"]})));
    }

    /// What docs/sandbox.md tells people to copy: apt would take `sudo-` for "remove sudo".
    #[test]
    fn the_example_lets_in_names_that_apt_takes_for_nothing_else() {
        #[derive(serde::Deserialize)]
        struct File {
            root_helper: Vec<RootHelper>,
        }
        let text = include_str!("../../../deploy/examples/root-helper/agent.toml");
        let File { root_helper } = toml::from_str(text).unwrap();
        let [upgrade] = root_helper.as_slice() else { panic!("one helper") };
        assert_eq!(upgrade.check(), Ok(()));
        let schema = Schema::compile(&upgrade.parameters()).unwrap();
        for name in ["openssl", "libc6", "a", "python3.13", "gir1.2-glib-2.0"] {
            assert!(schema.accepts(&json!({"args": [name]})), "{name}");
        }
        for wrong in
            ["", "-", "-o", "--", "sudo-", "g++", "a+", "a b", "a/b", "a=1", "APT::x=1", "a*", "a\nb", "a\n"]
        {
            assert!(!schema.accepts(&json!({"args": [wrong]})), "{wrong:?}");
        }
    }

    #[test]
    fn what_cannot_be_held_is_refused() {
        for (name, command, arguments) in [
            ("", &["/bin/true"] as &[_], None),
            ("Up date", &["/bin/true"], None),
            ("x", &[], None),
            ("x", &["true"], None),
            ("x", &["/bin/true"], Some("(")),
            // Anchored around, this would be `^(?:a)|(?:b)$`.
            ("x", &["/bin/true"], Some("a)|(?:b")),
        ] {
            assert!(helper(name, command, arguments).check().is_err(), "{name} {command:?} {arguments:?}");
        }
    }
}
