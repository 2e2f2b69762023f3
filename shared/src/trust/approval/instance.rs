//! What is approved where values are known only at run time: the leaf, and what was put in for its expressions.

use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::trust::signable::{MAX_EXACT, Signable};

/// One execution of a leaf with its run-time values. Its digest is the subject of a `task_instance` approval.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Instance<'a> {
    pub plan_digest: Digest,
    /// Place of the leaf in the plan, from 0.
    pub leaf_index: u32,
    /// The leaf's hash in the plan's tree.
    pub leaf: Digest,
    /// Of a `for_each` child.
    pub item_index: Option<u32>,
    /// The evaluated `with`.
    pub parameters: &'a Map<String, Value>,
    /// Digests of the inputs in the order of the leaf.
    pub inputs: &'a [Digest],
}

impl Signable for Instance<'_> {
    const DOMAIN: &'static str = "nexusmon/task-instance/v1";
}

/// A parameter holds a whole number beyond 2^53, of which canonical JSON keeps only the first digits: an approval of one
/// would be an approval of its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a parameter holds a whole number beyond 2^53, which cannot be approved exactly; write it as text")]
pub struct Inexact;

impl Instance<'_> {
    /// What is to be approved.
    pub fn subject(&self) -> Result<Digest, Inexact> {
        if self.parameters.values().all(is_exact) { Ok(self.digest()) } else { Err(Inexact) }
    }
}

fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            let whole = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            whole.is_none_or(|whole| whole <= MAX_EXACT)
        }
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(fields) => fields.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_part_is_covered() {
        let fields = |value: Value| value.as_object().cloned().unwrap();
        let (parameters, other) = (fields(json!({"a": 1, "b": [2]})), fields(json!({"a": 1, "b": [3]})));
        let inputs = [Digest::of(b"in")];
        let instance = Instance {
            plan_digest: Digest::of(b"plan"),
            leaf_index: 1,
            leaf: Digest::of(b"leaf"),
            item_index: None,
            parameters: &parameters,
            inputs: &inputs,
        };
        let subject = instance.subject().unwrap();
        assert_eq!(
            Instance { parameters: &fields(json!({"b": [2], "a": 1})), ..instance.clone() }.subject(),
            Ok(subject)
        );
        for changed in [
            Instance { plan_digest: Digest::of(b"other"), ..instance.clone() },
            Instance { leaf_index: 2, ..instance.clone() },
            Instance { leaf: Digest::of(b"other"), ..instance.clone() },
            Instance { item_index: Some(0), ..instance.clone() },
            Instance { parameters: &other, ..instance.clone() },
            Instance { inputs: &[], ..instance.clone() },
        ] {
            assert_ne!(changed.subject().unwrap(), subject, "{changed:?}");
        }
        for number in
            [json!({"a": 9_007_199_254_740_993_u64}), json!({"a": [{"b": -9_007_199_254_740_993_i64}]})]
        {
            assert_eq!(Instance { parameters: &fields(number), ..instance.clone() }.subject(), Err(Inexact));
        }
        assert!(Instance { parameters: &fields(json!({"a": 1e300})), ..instance }.subject().is_ok());
    }
}
