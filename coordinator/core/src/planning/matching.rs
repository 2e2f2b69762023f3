//! Which playbook a goal in words asks for, and the inputs it states. Understands nothing: it compares words, and rather
//! asks than guesses.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::words::{self, Word};
use super::{Invalid, Playbook, complete_inputs};

/// Share of a playbook's own words that a goal has to name.
const COVERED: f64 = 0.75;
/// Share of a goal's words that the playbook and its inputs have to explain: what else is wanted is not forgotten.
const EXPLAINED: f64 = 0.6;
/// Playbooks this close to each other are not told apart.
const CLOSE: f64 = 0.1;
/// The longest text taken from a goal as a value.
const LONGEST_VALUE: usize = 256;

/// What was found among the playbooks offered, by place.
#[derive(Debug, Clone, PartialEq)]
pub enum Match {
    /// This one, with these inputs; `whole`: the goal reads as the playbook's own goal does.
    Bound {
        place: usize,
        inputs: Map<String, Value>,
        whole: bool,
    },
    /// This one, but the goal does not state everything it needs.
    Missing {
        place: usize,
        inputs: Map<String, Value>,
        missing: Vec<Gap>,
    },
    /// Each of them as well as the others.
    Ambiguous {
        places: Vec<usize>,
    },
    None,
}

/// An input that is not there, or not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub name: String,
    /// What is wanted, for people.
    pub text: String,
}

struct Candidate {
    place: usize,
    inputs: Map<String, Value>,
    score: f64,
    whole: bool,
}

/// Looks for the playbook that a goal asks for.
pub fn match_playbook(goal: &str, offered: &[Playbook]) -> Match {
    let said = words::of(goal);
    // What is not wanted is beyond comparing words.
    if said.iter().any(|word| words::is_negation(&word.text)) {
        return Match::None;
    }
    let mut found: Vec<Candidate> = offered
        .iter()
        .enumerate()
        .filter_map(|(place, playbook)| candidate(goal, &said, place, playbook))
        .collect();
    found.sort_by(|left, right| {
        (right.whole, right.score).partial_cmp(&(left.whole, left.score)).unwrap_or(std::cmp::Ordering::Equal)
    });
    let Some(best) = found.first() else { return Match::None };
    let alike: Vec<usize> = found
        .iter()
        .filter(|other| other.whole == best.whole && other.score > best.score - CLOSE)
        .map(|other| other.place)
        .collect();
    if alike.len() > 1 {
        return Match::Ambiguous { places: alike };
    }
    let playbook = &offered[best.place];
    match complete_inputs(&playbook.input_schema, &best.inputs) {
        Ok(_) => Match::Bound { place: best.place, inputs: best.inputs.clone(), whole: best.whole },
        Err(errors) => {
            let missing = gaps(playbook, &best.inputs, &errors);
            Match::Missing { place: best.place, inputs: best.inputs.clone(), missing }
        }
    }
}

fn candidate(goal: &str, said: &[Word], place: usize, playbook: &Playbook) -> Option<Candidate> {
    if let Some(captured) = read_as(goal, &playbook.mission.goal) {
        let inputs: Option<Map<String, Value>> = captured
            .into_iter()
            .map(|(name, text)| {
                // `restart the service`: the thing itself, not one that is called so.
                let says = words::significant(&text);
                let kinds = words::significant(&format!("{name} {}", playbook.name));
                if says.is_subset(&kinds) {
                    return None;
                }
                Some((name.clone(), value_of(property(playbook, &name), &text)?))
            })
            .collect();
        if let Some(inputs) = inputs {
            return Some(Candidate { place, inputs, score: 1.0, whole: true });
        }
    }
    let (inputs, used) = stated(said, playbook);
    let own = own_words(playbook);
    let covered = own.iter().map(|text| coverage(text, said)).fold(0.0, f64::max);
    let known: BTreeSet<&str> = own.iter().flatten().map(String::as_str).collect();
    let described = words::significant(playbook.description.as_deref().unwrap_or_default());
    let meant: Vec<(usize, &Word)> =
        said.iter().enumerate().filter(|(_, word)| !words::is_filler(&word.text)).collect();
    if meant.is_empty() {
        return None;
    }
    let explained = meant.iter().filter(|(at, word)| {
        known.contains(word.stem.as_str()) || described.contains(&word.stem) || used.contains(at)
    });
    let explained = explained.count() as f64 / meant.len() as f64;
    (covered >= COVERED && explained >= EXPLAINED).then(|| Candidate {
        place,
        inputs,
        score: 2.0 * covered * explained / (covered + explained),
        whole: false,
    })
}

/// A playbook's name, and its goal without its inputs: each says what it is for.
fn own_words(playbook: &Playbook) -> Vec<BTreeSet<String>> {
    let literal: String =
        pieces(&playbook.mission.goal).iter().map(|(text, _)| *text).collect::<Vec<_>>().join(" ");
    [words::significant(playbook.name.as_str()), words::significant(&literal)]
        .into_iter()
        .filter(|words| !words.is_empty())
        .collect()
}

fn coverage(own: &BTreeSet<String>, said: &[Word]) -> f64 {
    let named = own.iter().filter(|word| said.iter().any(|said| said.stem == **word)).count();
    named as f64 / own.len().max(1) as f64
}

/// Literal text with the input that follows it; the last has none.
fn pieces(template: &str) -> Vec<(&str, Option<&str>)> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${{") {
        let Some((expression, after)) = after.split_once("}}") else { break };
        pieces.push((before, Some(expression.trim())));
        rest = after;
    }
    pieces.push((rest, None));
    pieces
}

/// The values of a template's inputs, where the goal is that template filled in.
fn read_as(goal: &str, template: &str) -> Option<Vec<(String, String)>> {
    let goal = goal.split_whitespace().collect::<Vec<_>>().join(" ");
    let lower = goal.to_ascii_lowercase();
    let pieces: Vec<(String, Option<&str>)> = pieces(template)
        .into_iter()
        .map(|(text, name)| {
            let edges = (text.starts_with(char::is_whitespace), text.ends_with(char::is_whitespace));
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase();
            let (before, after) = (if edges.0 { " " } else { "" }, if edges.1 { " " } else { "" });
            (if text.is_empty() { before.to_owned() } else { format!("{before}{text}{after}") }, name)
        })
        .collect();
    let mut at = 0;
    let mut open: Option<&str> = None;
    let mut captured: Vec<(String, String)> = Vec::new();
    let last = pieces.len() - 1;
    for (index, (literal, name)) in pieces.iter().enumerate() {
        let start = match open {
            None => lower[at..].starts_with(literal.as_str()).then_some(at)?,
            Some(_) if index == last && literal.is_empty() => lower.len(),
            // Two inputs with nothing between them cannot be told apart.
            Some(_) if literal.is_empty() => return None,
            Some(_) if index == last => {
                lower.ends_with(literal.as_str()).then(|| lower.len() - literal.len())?
            }
            Some(_) => at + lower[at..].find(literal.as_str())?,
        };
        if let Some(input) = open {
            let text = goal.get(at..start).unwrap_or_default().trim();
            if text.is_empty() || text.len() > LONGEST_VALUE {
                return None;
            }
            captured.push((input.to_owned(), unquoted(text).to_owned()));
        }
        at = start + literal.len();
        open = match name {
            None => None,
            Some(expression) => Some(expression.strip_prefix("inputs.").filter(|name| is_name(name))?),
        };
    }
    if at != lower.len() {
        return None;
    }
    let names: BTreeSet<&String> = captured.iter().map(|(name, _)| name).collect();
    (names.len() == captured.len()).then_some(captured)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    for quote in ['"', '\'', '`'] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

fn property<'a>(playbook: &'a Playbook, name: &str) -> &'a Value {
    &playbook.input_schema["properties"][name]
}

/// Inputs that the words state, and which words were used for them.
fn stated(said: &[Word], playbook: &Playbook) -> (Map<String, Value>, BTreeSet<usize>) {
    let (mut inputs, mut used) = (Map::new(), BTreeSet::new());
    let properties = playbook.input_schema["properties"].as_object();
    let own: BTreeSet<String> = own_words(playbook).into_iter().flatten().collect();
    for (name, schema) in properties.into_iter().flatten() {
        if let Some((value, places)) = named(said, name, schema).or_else(|| listed(said, schema, &own)) {
            inputs.insert(name.clone(), value);
            used.extend(places);
        }
    }
    (inputs, used)
}

/// `name=value`, `name: value`, `name is value`, `name value`; for numbers `5 name` as well.
fn named(said: &[Word], name: &str, schema: &Value) -> Option<(Value, Vec<usize>)> {
    let parts: Vec<String> = words::of(name).into_iter().map(|word| word.stem).collect();
    if parts.is_empty() {
        return None;
    }
    for at in 0..said.len() {
        let end = at + parts.len();
        let here = said.get(at..end)?;
        if here.iter().zip(&parts).any(|(word, part)| word.stem != *part) {
            continue;
        }
        let own: Vec<usize> = (at..end).collect();
        let link = said.get(end).filter(|word| words::is_link(&word.text));
        let place = end + usize::from(link.is_some());
        let plain = said.get(place).filter(|word| word.quoted || !words::is_filler(&word.text));
        if let Some(value) = plain.and_then(|word| value_of(schema, &word.text)) {
            return Some((value, own.into_iter().chain(end..=place).collect()));
        }
        let before = at.checked_sub(1);
        if let Some(place) = before.filter(|_| is_number(schema))
            && let Some(value) = value_of(schema, &said[place].text)
        {
            return Some((value, own.into_iter().chain([place]).collect()));
        }
    }
    None
}

/// The one value of an enumeration that is named, where it does not name the playbook itself.
fn listed(said: &[Word], schema: &Value, own: &BTreeSet<String>) -> Option<(Value, Vec<usize>)> {
    let values = schema["enum"].as_array()?;
    let mut found: Option<(Value, Vec<usize>)> = None;
    for value in values.iter().filter_map(Value::as_str) {
        let place = said.iter().position(|word| word.text.eq_ignore_ascii_case(value));
        if let Some(place) = place.filter(|place| !own.contains(&said[*place].stem)) {
            if found.is_some() {
                return None;
            }
            found = Some((json!(value), vec![place]));
        }
    }
    found
}

fn is_number(schema: &Value) -> bool {
    matches!(schema["type"].as_str(), Some("integer" | "number"))
}

/// Text as a schema wants it; `None` where it cannot be that.
fn value_of(schema: &Value, text: &str) -> Option<Value> {
    let text = unquoted(text);
    if text.is_empty() || text.len() > LONGEST_VALUE {
        return None;
    }
    if let Some(values) = schema["enum"].as_array() {
        let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        return values.iter().find(|value| shown(value).eq_ignore_ascii_case(text)).cloned();
    }
    match schema["type"].as_str() {
        Some("integer") => text.parse::<i64>().ok().map(Value::from),
        Some("number") => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        Some("boolean") => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(json!(true)),
            "false" | "no" | "off" => Some(json!(false)),
            _ => None,
        },
        Some("string") | None => Some(json!(text)),
        Some(_) => None,
    }
}

fn gaps(playbook: &Playbook, inputs: &Map<String, Value>, errors: &[Invalid]) -> Vec<Gap> {
    let required = playbook.input_schema["required"].as_array();
    let absent: Vec<Gap> = required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|name| !inputs.contains_key(*name) && property(playbook, name).get("default").is_none())
        .map(|name| Gap { name: name.to_owned(), text: wanted(property(playbook, name)) })
        .collect();
    let wrong = errors.iter().filter_map(|error| {
        let name = error.pointer.strip_prefix("/inputs/")?;
        Some(Gap { name: name.to_owned(), text: error.message.clone() })
    });
    let mut gaps: Vec<Gap> = absent.into_iter().chain(wrong).collect();
    if gaps.is_empty() {
        gaps.extend(errors.iter().map(|error| Gap { name: String::new(), text: error.message.clone() }));
    }
    gaps
}

/// What a property wants, in few words.
fn wanted(schema: &Value) -> String {
    let kind = match schema["enum"].as_array() {
        Some(values) => {
            let values: Vec<String> = values.iter().take(10).map(ToString::to_string).collect();
            format!("one of {}", values.join(", "))
        }
        None => schema["type"].as_str().unwrap_or("a value").to_owned(),
    };
    match schema["description"].as_str().or(schema["title"].as_str()) {
        Some(text) => format!("{kind}: {}", text.chars().take(200).collect::<String>()),
        None => kind,
    }
}

#[cfg(test)]
mod tests;
