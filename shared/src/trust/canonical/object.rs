//! A canonical object put together member by member: for what is written so often that building a tree first, to sort
//! it and throw it away, is most of the work.

use std::fmt::{Display, Write as _};

use super::{CanonicalError, of_value, write_text};

/// The object so far. Names come in the order of their bytes, each once, in plain ASCII.
#[derive(Debug)]
#[must_use]
pub struct Object {
    text: String,
    last: &'static str,
}

impl Object {
    pub fn new() -> Self {
        Self { text: String::with_capacity(512), last: "" }
    }

    fn name(&mut self, name: &'static str) {
        debug_assert!(self.last < name, "`{name}` comes before `{}`", self.last);
        self.last = name;
        self.text.push_str(if self.text.is_empty() { "{\"" } else { ",\"" });
        self.text.push_str(name);
        self.text.push_str("\":");
    }

    pub fn text(mut self, name: &'static str, value: &str) -> Self {
        self.name(name);
        write_text(value, &mut self.text);
        self
    }

    /// Text of something that never holds a character JSON escapes: an id, a digest, a time, a name.
    pub fn plain(mut self, name: &'static str, value: impl Display) -> Self {
        self.name(name);
        let _ = write!(self.text, "\"{value}\"");
        self
    }

    pub fn number(mut self, name: &'static str, value: u64) -> Self {
        self.name(name);
        if value <= 1 << 53 {
            let _ = write!(self.text, "{value}");
        } else {
            // The RFC rounds.
            self.text.push_str(&of_value(&value.into()).expect("a number has a canonical form"));
        }
        self
    }

    pub fn bool(mut self, name: &'static str, value: bool) -> Self {
        self.name(name);
        self.text.push_str(if value { "true" } else { "false" });
        self
    }

    pub fn null(mut self, name: &'static str) -> Self {
        self.name(name);
        self.text.push_str("null");
        self
    }

    /// Anything else, the general way.
    pub fn value(mut self, name: &'static str, value: &serde_json::Value) -> Result<Self, CanonicalError> {
        self.name(name);
        self.text.push_str(&of_value(value)?);
        Ok(self)
    }

    /// The canonical text.
    pub fn finish(mut self) -> String {
        if self.text.is_empty() {
            self.text.push('{');
        }
        self.text.push('}');
        self.text
    }
}

impl Default for Object {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_the_general_way_gives(text: String, number: u64, yes: bool, other in ".{0,20}") {
            let id = crate::id::TaskId::from_bits(u128::from(number));
            let value = json!({"list": [other, -1, 0.5], "none": null});
            let made = Object::new()
                .plain("a_first", id)
                .null("b")
                .number("number", number)
                .text("text", &text)
                .value("value", &value)
                .unwrap()
                .bool("yes", yes)
                .finish();
            let general = json!({"yes": yes, "text": text, "value": value, "b": null, "number": number,
                "a_first": id.to_string()});
            prop_assert_eq!(made.as_bytes(), super::super::to_bytes(&general).unwrap());
        }
    }

    #[test]
    fn an_empty_one_is_an_object() {
        assert_eq!(Object::new().finish(), "{}");
    }

    #[test]
    #[should_panic(expected = "`a` comes before `b`")]
    #[cfg(debug_assertions)]
    fn names_out_of_order_are_noticed() {
        let _ = Object::new().null("b").null("a");
    }
}
