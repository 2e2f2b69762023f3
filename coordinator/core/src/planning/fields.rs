//! Reading an object field by field, so that each wrong type is found and named with its place.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Invalid;
use crate::expression::template::escape;

/// The fields of one object; what is read is remembered, what is left is unknown.
pub(crate) struct Fields<'a, 'e> {
    object: &'a Map<String, Value>,
    pointer: String,
    errors: &'e mut Vec<Invalid>,
    known: Vec<&'static str>,
}

impl<'a, 'e> Fields<'a, 'e> {
    pub(crate) fn new(object: &'a Map<String, Value>, pointer: String, errors: &'e mut Vec<Invalid>) -> Self {
        Self { object, pointer, errors, known: Vec::new() }
    }

    /// The field as it stands; `null` counts as absent.
    pub(crate) fn raw(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// The field as `T`; `None` where it is absent or wrong, which is then noted.
    pub(crate) fn read<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<T> {
        let value = self.raw(name)?;
        match T::deserialize(value) {
            Ok(read) => Some(read),
            Err(error) => {
                let pointer = format!("{}/{name}", self.pointer);
                self.errors.push(Invalid::new(pointer, "wrong_value", bounded(&error.to_string())));
                None
            }
        }
    }

    /// As [`Self::read`], and its absence is noted too.
    pub(crate) fn require<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<T> {
        if self.object.get(name).is_none_or(Value::is_null) {
            self.known.push(name);
            let message = format!("`{name}` is missing");
            self.errors.push(Invalid::new(self.pointer.clone(), "missing_field", message));
            return None;
        }
        self.read(name)
    }

    /// Refuses every field that was not asked for; `elsewhere` names fields refused by others.
    pub(crate) fn finish(self, elsewhere: &[&str]) {
        for name in self.object.keys() {
            if !self.known.contains(&name.as_str()) && !elsewhere.contains(&name.as_str()) {
                let shown: String = name.chars().take(64).collect();
                let message = format!("there is no field `{shown}`; known are {}", self.known.join(", "));
                let pointer = format!("{}/{}", self.pointer, escape(&shown));
                self.errors.push(Invalid::new(pointer, "unknown_field", message));
            }
        }
    }
}

fn bounded(message: &str) -> String {
    message.chars().take(300).collect()
}
