//! Words that somebody wrote do not stand in the log itself, which nobody can take anything out of: an entry holds
//! commitments to them, by their places (RFC 6901) under `sealed`, and what opens these lies beside it until it is erased.
//!
//! Which members hold words is said here once, by their names; who writes entries need not think of it.

use std::collections::BTreeMap;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::trust::opening::Opening;
use rand::rngs::StdRng;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::bad::Bad;

/// Members that hold what people, models or programs wrote, or what people and their things are called.
const WORDS: [&str; 18] = [
    "alert",
    "comment",
    "detail",
    "error",
    "evidence",
    "goal",
    "hostname",
    "left",
    "message",
    "name",
    "note",
    "outside_subject",
    "reason",
    "said",
    "statement",
    "text",
    "title",
    "why",
];
/// What is signed, asked or compared as a whole stays as it is.
const WHOLE: [&str; 8] = ["author", "binding", "document", "judged", "labels", "rule", "secrets", "signed"];
const SEALED: &str = "sealed";

/// Openings by the place of their value in an entry's body.
pub type Openings = BTreeMap<String, Opening>;

/// Puts commitments in place of words; gives what opens them.
pub fn seal(actor: &str, body: &mut Value, rng: &mut StdRng) -> Openings {
    let (mut found, mut commitments) = (Found::default(), Map::new());
    take(actor, body, &mut String::new(), rng, &mut found);
    let mut openings = Openings::new();
    for (place, (opening, commitment)) in found {
        commitments.insert(place.clone(), commitment.to_string().into());
        openings.insert(place, opening);
    }
    if let (false, Some(body)) = (commitments.is_empty(), body.as_object_mut()) {
        body.insert(SEALED.to_owned(), commitments.into());
    }
    openings
}

type Found = BTreeMap<String, (Opening, Digest)>;

fn take(actor: &str, value: &mut Value, place: &mut String, rng: &mut StdRng, found: &mut Found) {
    let length = place.len();
    match value {
        Value::Object(members) => {
            let keys: Vec<String> = members
                .iter()
                .filter(|(key, value)| is_words(actor, key, value))
                .map(|(key, _)| key.clone())
                .collect();
            for key in keys {
                let Some(words) = members.remove(&key) else { continue };
                let opening = Opening::new(words, rng);
                if let Ok(commitment) = opening.commitment() {
                    push(place, &key);
                    found.insert(place.clone(), (opening, commitment));
                    place.truncate(length);
                } else {
                    // Then the entry has no canonical form either, and is refused as a whole.
                    members.insert(key, opening.value);
                }
            }
            for (key, value) in members.iter_mut().filter(|(key, _)| !WHOLE.contains(&key.as_str())) {
                push(place, key);
                take(actor, value, place, rng, found);
                place.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                push(place, &index.to_string());
                take(actor, item, place, rng, found);
                place.truncate(length);
            }
        }
        _ => {}
    }
}

fn is_words(actor: &str, key: &str, value: &Value) -> bool {
    let said = match value {
        Value::String(text) => {
            // The system's reasons are mostly codes, such as `budget`, which programs look at.
            let code = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            !(code && (text.is_empty() || key == "reason" && !actor.starts_with("prn_")))
        }
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    };
    said && WORDS.contains(&key)
}

/// One more step of a JSON pointer.
fn push(place: &mut String, key: &str) {
    place.push('/');
    place.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

/// What a body held beside its members.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unsealed {
    /// The commitments by their places.
    pub sealed: Map<String, Value>,
    /// Places of words that were erased: `null` stands there.
    pub erased: Vec<String>,
}

/// Puts the words back where they stood.
pub fn unseal(body: &mut Value, openings: &Openings) -> Unsealed {
    let commitments = body.as_object_mut().and_then(|body| body.remove(SEALED));
    let Some(Value::Object(sealed)) = commitments else { return Unsealed::default() };
    let mut erased = Vec::new();
    for place in sealed.keys() {
        let value = openings.get(place).map(|opening| opening.value.clone());
        if value.is_none() {
            erased.push(place.clone());
        }
        let Some((parent, key)) = place.rsplit_once('/') else { continue };
        if let Some(Value::Object(parent)) = body.pointer_mut(parent) {
            parent.insert(key.replace("~1", "/").replace("~0", "~"), value.unwrap_or_default());
        }
    }
    Unsealed { sealed, erased }
}

/// Whether a body holds commitments, without reading it: within a text the quotes would be escaped.
pub fn is_sealed(body: &str) -> bool {
    body.contains("\"sealed\":")
}

/// Every opening opens what the entry holds; how many values are sealed, and how many of these were erased.
pub(super) fn check(body: &str, openings: &Openings) -> Result<(u64, u64), Bad> {
    #[derive(Deserialize)]
    struct Sealed {
        #[serde(default)]
        sealed: BTreeMap<String, Digest>,
    }
    let bad = |reason: String| Bad::new("opening", reason);
    if openings.is_empty() && !is_sealed(body) {
        return Ok((0, 0));
    }
    let Sealed { sealed } =
        serde_json::from_str(body).map_err(|error| bad(format!("`sealed` cannot be read: {error}")))?;
    for (place, opening) in openings {
        let Some(commitment) = sealed.get(place) else {
            return Err(bad(format!("a value stands beside the entry for `{place}`, where it sealed none")));
        };
        if opening.commitment().ok() != Some(*commitment) {
            return Err(bad(format!(
                "what stands beside the entry for `{place}` is not what it sealed: it was altered"
            )));
        }
    }
    Ok((sealed.len() as u64, (sealed.len() - openings.len()) as u64))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use serde_json::json;

    use super::*;

    fn entry() -> Value {
        json!({
            "goal": "call Ada", "status": "running", "comment": null, "name": "", "note": "ok",
            "artifacts": [{"name": "a/b.csv", "size": 3}, {"name": "c", "size": 4}],
            "failure": {"kind": "plugin_error", "detail": "it broke", "reason": "local_policy"},
            "signed": {"persons": [{"name": "Ada"}]}, "evidence": [{"by": "Ada"}],
        })
    }

    #[test]
    fn words_are_sealed_and_come_back() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut body = entry();
        let openings = seal("nexusmon", &mut body, &mut rng);
        let places: Vec<_> = openings.keys().map(String::as_str).collect();
        let wanted =
            ["/artifacts/0/name", "/artifacts/1/name", "/evidence", "/failure/detail", "/goal", "/note"];
        assert_eq!(places, wanted);
        let leaf = body.to_string();
        for word in ["call Ada", "a/b.csv", "it broke", "\"by\""] {
            assert!(!leaf.contains(word), "{word}: {leaf}");
        }
        assert!(leaf.contains("local_policy"), "codes stay");
        assert_eq!(check(&leaf, &openings).unwrap(), (6, 0));
        let mut opened = body.clone();
        let unsealed = unseal(&mut opened, &openings);
        assert_eq!((unsealed.erased.len(), &unsealed.sealed), (0, body["sealed"].as_object().unwrap()));
        assert_eq!(opened, entry());
        // A person's reason is words, whatever it looks like.
        let mut body = json!({"reason": "tired"});
        assert_eq!(seal("prn_1", &mut body, &mut rng).len(), 1);
        // Nothing to seal, nothing added.
        let mut plain = json!({"status": "running", "tasks": 3});
        assert!(seal("prn_1", &mut plain, &mut rng).is_empty());
        assert_eq!(plain, json!({"status": "running", "tasks": 3}));
    }

    #[test]
    fn what_was_erased_is_named_and_the_rest_opens() {
        let mut rng = StdRng::seed_from_u64(2);
        let mut body = entry();
        let mut openings = seal("nexusmon", &mut body, &mut rng);
        openings.remove("/goal");
        openings.remove("/artifacts/0/name");
        assert_eq!(check(&body.to_string(), &openings).unwrap(), (6, 2));
        assert_eq!(unseal(&mut body, &openings).erased, ["/artifacts/0/name", "/goal"]);
        assert_eq!((&body["goal"], &body["note"]), (&Value::Null, &json!("ok")));
        assert_eq!(body["artifacts"], json!([{"name": null, "size": 3}, {"name": "c", "size": 4}]));
    }

    #[test]
    fn keys_of_any_kind_come_back() {
        let mut rng = StdRng::seed_from_u64(3);
        let before = json!({"a/b": {"~c": [{"goal": {"x": 1}}]}});
        let mut body = before.clone();
        let openings = seal("prn_1", &mut body, &mut rng);
        assert!(openings.contains_key("/a~1b/~0c/0/goal"));
        assert!(unseal(&mut body, &openings).erased.is_empty());
        assert_eq!(body, before);
    }

    #[test]
    fn a_forged_opening_is_none() {
        let mut rng = StdRng::seed_from_u64(4);
        let mut body = entry();
        let honest = seal("nexusmon", &mut body, &mut rng);
        let leaf = body.to_string();
        let with = |change: fn(&mut Openings)| {
            let mut openings = honest.clone();
            change(&mut openings);
            check(&leaf, &openings).unwrap_err().code
        };
        assert_eq!(with(|all| all.get_mut("/goal").unwrap().value = json!("call Eve")), "opening");
        assert_eq!(with(|all| all.get_mut("/goal").unwrap().key = Digest::of(b"other")), "opening");
        let swapped = |all: &mut Openings| {
            let other = all["/note"].clone();
            all.insert("/goal".to_owned(), other);
        };
        assert_eq!(with(swapped), "opening");
        let put_in = |all: &mut Openings| {
            let other = all["/note"].clone();
            all.insert("/status".to_owned(), other);
        };
        assert_eq!(with(put_in), "opening");
        assert_eq!(check("{\"sealed\":7}", &Openings::new()).unwrap_err().code, "opening");
    }

    proptest::proptest! {
        #[test]
        fn any_body_comes_back(text in "[a-z/~ ]{0,12}", other in "\\PC{0,12}", number in 0_u32..9) {
            let mut rng = StdRng::seed_from_u64(number.into());
            let before = json!({"goal": text, text.clone(): {"comment": other, "n": number}, "list": [{"why": text}]});
            let mut body = before.clone();
            let openings = seal("prn_1", &mut body, &mut rng);
            proptest::prop_assert!(unseal(&mut body, &openings).erased.is_empty());
            proptest::prop_assert_eq!(body, before);
        }
    }
}
