//! A plan that did well, made to fit a goal that differs in a few words: those words are put where the plan holds the old
//! ones as values, or it is not the same work.

use nexusmon_shared::plan::{DEFAULT_TIMEOUT, TaskDraft};
use serde_json::{Map, Value};

use super::words::{self, Word};

/// Words that may differ.
const MOST_CHANGES: usize = 4;
/// Parameters that are programs: nothing is put into them, and nothing of them is a value.
const CODE: [&str; 3] = ["script", "source", "interpreter"];
/// Fields of a task whose keys people name.
const NAMED: [&str; 2] = ["labels", "limits"];
/// Words that say little elsewhere, and here which way, where or how many: they have to be the same.
const RELATION: [&str; 15] =
    ["to", "from", "into", "out", "up", "on", "in", "off", "not", "by", "with", "for", "at", "as", "one"];

/// A word of the old goal and what stands in its place.
pub type Change = (String, String);

/// How the new goal differs from the old one, word by word in their order; `Err` says why that cannot be told.
pub fn changes(old: &str, new: &str) -> Result<Vec<Change>, String> {
    let (old, new) = (meant(old)?, meant(new)?);
    let negates = |words: &[Said]| words.iter().any(|said| words::is_negation(&said.word.text));
    if negates(&old) || negates(&new) {
        return Err("one of the goals says what is not wanted".to_owned());
    }
    if old.len() != new.len() {
        let (more, less) = (without(&new, &old), without(&old, &new));
        return Err(if old.len() < new.len() {
            format!("the goal asks for more: {more}")
        } else {
            format!("the goal asks for less: without {less}")
        });
    }
    let mut changes: Vec<Change> = Vec::new();
    for (before, after) in old.iter().zip(&new).filter(|(before, after)| !before.same(after)) {
        if before.relates() || after.relates() {
            let (before, after) = (&before.word.text, &after.word.text);
            return Err(format!("the goal says `{after}` where that one said `{before}`"));
        }
        let change = (before.word.text.clone(), after.word.text.clone());
        if !changes.contains(&change) {
            changes.push(change);
        }
    }
    if changes.len() > MOST_CHANGES {
        let (after, before) = (without(&new, &old), without(&old, &new));
        return Err(format!("the goal says `{after}` where that one said `{before}`"));
    }
    // Where a word stood twice nothing tells which of the plan's values was which.
    for (before, after) in &changes {
        let kept = |(was, is): (&Said, &Said)| was.word.text == *before && is.word.text != *after;
        if old.iter().zip(&new).any(kept) {
            return Err(format!(
                "`{before}` stands twice in that goal, and only one of them became `{after}`"
            ));
        }
    }
    Ok(changes)
}

/// A word that says something, and whether it is compared byte for byte.
struct Said {
    word: Word,
    exact: bool,
}

impl Said {
    fn same(&self, other: &Self) -> bool {
        if self.exact || other.exact {
            return self.word.text == other.word.text;
        }
        self.word.stem == other.word.stem
    }

    fn relates(&self) -> bool {
        !self.word.quoted && is_relation(&self.word.text)
    }
}

fn is_relation(word: &str) -> bool {
    RELATION.contains(&word.to_lowercase().as_str())
}

fn meant(goal: &str) -> Result<Vec<Said>, String> {
    let words = words::whole(goal);
    if words.len() >= words::MOST {
        return Err(format!("goals of {} words and more are not compared", words::MOST));
    }
    let said = words.into_iter().enumerate().map(|(place, word)| {
        // A sentence begins with a capital letter; any other one is part of a name.
        let capitals = word.text.chars().skip(usize::from(place == 0)).any(char::is_uppercase);
        let exact = word.quoted || words::is_value(&word.text) || word.text.contains(['-', '_']) || capitals;
        Said { exact: exact && (word.quoted || !words::is_filler(&word.text)), word }
    });
    let means = |said: &Said| said.exact || said.relates() || !words::is_filler(&said.word.text);
    Ok(said.filter(means).collect())
}

/// Words that the others do not have as often, as people are shown them.
fn without(words: &[Said], others: &[Said]) -> String {
    let mut left: Vec<&Said> = others.iter().collect();
    let missing = words.iter().filter(|word| match left.iter().position(|other| other.same(word)) {
        Some(place) => {
            left.swap_remove(place);
            false
        }
        None => true,
    });
    missing.take(6).map(|said| said.word.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// The tasks with each change made where a value is the old word; what was changed, for people. `Err` where a change has
/// no place, only one inside a program, or not all of its places are values.
pub fn rebind(tasks: &[TaskDraft], changes: &[Change]) -> Result<(Vec<TaskDraft>, Vec<String>), String> {
    let mut tasks = tasks.to_vec();
    let mut found = Found::new(changes)?;
    for task in &mut tasks {
        let id = task.id.to_string();
        if let Some((old, _)) = changes.iter().find(|(old, _)| in_code(&task.with, old)) {
            return Err(format!("`{old}` stands inside a program of task `{id}`"));
        }
        for (name, value) in &mut task.with {
            let place = format!("{id}.{name}");
            found.key(name, &place);
            if CODE.contains(&name.as_str()) {
                found.read(value, &place, true);
            } else {
                found.put(value, &place);
            }
        }
        if !changes.is_empty() {
            found.read(&beside(task), &id, true);
        }
    }
    let differs = found.finish(|old, new| {
        format!("`{old}` became `{new}`, and its plan holds `{old}` nowhere as a value")
    })?;
    Ok((tasks, differs))
}

/// Everything of a task but its parameters and what says nothing where it is left out.
fn beside(task: &TaskDraft) -> Value {
    let mut rest = TaskDraft { with: Map::new(), ..task.clone() };
    rest.timeout = rest.timeout.filter(|timeout| *timeout != DEFAULT_TIMEOUT);
    rest.retry = rest.retry.filter(|retry| retry.max.is_some_and(|max| max > 0));
    if let Some(retry) = &mut rest.retry {
        retry.jitter = None;
    }
    serde_json::to_value(rest).unwrap_or_default()
}

/// The inputs of a playbook with each change made.
pub fn rebind_inputs(
    inputs: &Map<String, Value>,
    changes: &[Change],
) -> Result<(Map<String, Value>, Vec<String>), String> {
    let mut inputs = inputs.clone();
    let mut found = Found::new(changes)?;
    for (name, value) in &mut inputs {
        found.put(value, name);
    }
    let differs = found
        .finish(|old, new| format!("`{old}` became `{new}`, and no input of its playbook was `{old}`"))?;
    Ok((inputs, differs))
}

/// Where changes were made, and where an old word is left.
struct Found<'a> {
    changes: &'a [Change],
    /// By change.
    places: Vec<Vec<String>>,
    left: Option<(&'a str, String)>,
}

impl<'a> Found<'a> {
    fn new(changes: &'a [Change]) -> Result<Self, String> {
        if let Some((_, new)) = changes.iter().find(|(_, new)| new.contains("${{")) {
            return Err(format!("`{new}` would be read as an expression in its plan"));
        }
        Ok(Self { changes, places: vec![Vec::new(); changes.len()], left: None })
    }

    /// Each value at once: what one change put there is not what another one is about.
    fn put(&mut self, value: &mut Value, place: &str) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.put(item, place)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    let place = format!("{place}.{name}");
                    self.key(name, &place);
                    self.put(field, &place);
                }
            }
            leaf => match self.fresh(leaf) {
                Some((number, fresh)) => {
                    *leaf = fresh;
                    self.places[number].push(place.to_owned());
                }
                None => self.read(leaf, place, false),
            },
        }
    }

    /// What stands in place of a value, where it is the old word of a change.
    fn fresh(&self, value: &Value) -> Option<(usize, Value)> {
        let mut changes = self.changes.iter().enumerate();
        match value {
            Value::String(text) => {
                let (number, (_, new)) = changes.find(|(_, (old, _))| old == text)?;
                Some((number, Value::from(new.as_str())))
            }
            Value::Number(given) => {
                let given = given.to_string();
                let (number, (_, new)) = changes.find(|(_, (old, _))| *old == given)?;
                Some((number, new.parse::<i64>().ok()?.into()))
            }
            _ => None,
        }
    }

    /// Looks for old words in what stays as it is; `exactly` as they were written, since letters matter in programs.
    fn read(&mut self, value: &Value, place: &str, exactly: bool) {
        match value {
            Value::Null => {}
            Value::String(text) => self.text(text, place, exactly),
            Value::Array(items) => items.iter().for_each(|item| self.read(item, place, exactly)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    let place = format!("{place}.{name}");
                    // Everything else is named by the language, not by whoever wrote the plan.
                    if let Some(named) = field.as_object().filter(|_| NAMED.contains(&name.as_str())) {
                        named.keys().for_each(|key| self.key(key, &place));
                    }
                    self.read(field, &place, exactly);
                }
            }
            other => self.text(&other.to_string(), place, exactly),
        }
    }

    fn key(&mut self, name: &str, place: &str) {
        self.text(name, place, true);
    }

    fn text(&mut self, text: &str, place: &str, exactly: bool) {
        let holds =
            |old: &str| text.contains(old) || (!exactly && text.to_lowercase().contains(&old.to_lowercase()));
        if self.left.is_none()
            && let Some((old, _)) = self.changes.iter().find(|(old, _)| holds(old))
        {
            self.left = Some((old.as_str(), place.to_owned()));
        }
    }

    /// What was changed, for people.
    fn finish(self, nowhere: impl Fn(&str, &str) -> String) -> Result<Vec<String>, String> {
        let mut differs = Vec::new();
        for ((old, new), mut places) in self.changes.iter().zip(self.places) {
            if places.is_empty() {
                return Err(nowhere(old, new));
            }
            places.truncate(5);
            differs.push(format!("{new} instead of {old} in {}", places.join(", ")));
        }
        match self.left {
            Some((old, place)) => {
                Err(format!("`{old}` would be changed in one place and is still part of another: {place}"))
            }
            None => Ok(differs),
        }
    }
}

fn in_code(with: &Map<String, Value>, word: &str) -> bool {
    let code = CODE.iter().filter_map(|name| with.get(*name)?.as_str());
    code.into_iter().any(|text| {
        text.split(|c: char| !(c.is_alphanumeric() || "._-/@:".contains(c))).any(|part| part == word)
    })
}

#[cfg(test)]
mod tests;
