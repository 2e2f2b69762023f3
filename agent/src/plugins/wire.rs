//! The line protocol: JSON-RPC 2.0, one message per line. Reading is total: whatever bytes come, there is an answer here
//! for what they are, and no line takes more than its bound.

use std::io;

use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// The longest line in either direction.
pub(super) const MOST_LINE: usize = 1024 * 1024;
/// Parts of an answer's error that are kept.
const MOST_MESSAGE: usize = 4 * 1024;
const MOST_DATA: usize = 64 * 1024;
/// Of what a plugin names its requests to the agent by.
const MOST_ID: usize = 100;
/// The plugin says that it cannot be asked like this.
const INVALID_PARAMS: i64 = -32602;

/// One line from a plugin.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming {
    Answer {
        id: u64,
        outcome: Result<Value, Failure>,
    },
    Note {
        attempt: String,
        note: Note,
    },
    /// Says nothing this agent understands, and why.
    Nonsense(&'static str),
}

/// What a plugin tells about an attempt while it works.
#[derive(Debug, PartialEq)]
pub(super) enum Note {
    Log(String),
    Progress {
        fraction: Option<f64>,
        text: String,
    },
    Artifact {
        name: String,
        media_type: Option<String>,
    },
    /// A task to be added; whoever named it is told by that name what came of it.
    Spawn {
        id: String,
        task: Value,
    },
}

/// An error as answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) message: String,
    /// A traceback, perhaps.
    pub(super) data: Option<String>,
    /// The parameters are at fault.
    pub(super) parameters: bool,
}

/// A request as a line.
pub(super) fn request(id: u64, method: &str, params: &Value) -> Vec<u8> {
    let mut line =
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string().into_bytes();
    line.push(b'\n');
    line
}

/// A line that nobody answers.
pub(super) fn notification(method: &str, params: &Value) -> Vec<u8> {
    let mut line = json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string().into_bytes();
    line.push(b'\n');
    line
}

/// Reads a line.
pub(super) fn parse(line: &[u8]) -> Incoming {
    let Ok(Value::Object(mut message)) = serde_json::from_slice(line) else {
        return Incoming::Nonsense("a line that is not a JSON object");
    };
    match message.remove("method") {
        Some(Value::String(method)) => note(&method, message.remove("params")),
        Some(_) => Incoming::Nonsense("`method` is not a text"),
        None => answer(message),
    }
}

fn answer(mut message: Map<String, Value>) -> Incoming {
    let Some(id) = message.get("id").and_then(Value::as_u64) else {
        return Incoming::Nonsense("an answer without the id of a request");
    };
    let outcome = match (message.remove("result"), message.remove("error")) {
        (Some(result), None | Some(Value::Null)) => Ok(result),
        (None | Some(Value::Null), Some(error)) => Err(failure(&error)),
        _ => return Incoming::Nonsense("an answer needs either `result` or `error`"),
    };
    Incoming::Answer { id, outcome }
}

fn failure(error: &Value) -> Failure {
    let message = error["message"].as_str().filter(|text| !text.is_empty()).unwrap_or("it gave no reason");
    let data = match &error["data"] {
        Value::Null => None,
        Value::String(text) => Some(bounded(text, MOST_DATA)),
        other => Some(bounded(&other.to_string(), MOST_DATA)),
    };
    let parameters = error["code"].as_i64() == Some(INVALID_PARAMS);
    Failure { message: bounded(message, MOST_MESSAGE), data, parameters }
}

fn note(method: &str, params: Option<Value>) -> Incoming {
    let Some(Value::Object(mut params)) = params else {
        return Incoming::Nonsense("a notification needs an object as `params`");
    };
    let Some(attempt) = params.get("attempt").and_then(Value::as_str).map(str::to_owned) else {
        return Incoming::Nonsense("a notification needs the text `attempt`");
    };
    if method == "spawn" {
        return match (params.remove("task"), params.remove("id")) {
            (Some(task @ Value::Object(_)), Some(Value::String(id))) if id.len() <= MOST_ID => {
                Incoming::Note { attempt, note: Note::Spawn { id, task } }
            }
            _ => Incoming::Nonsense("`spawn` needs the object `task` and a short text `id`"),
        };
    }
    let mut text = |key: &str| match params.remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let note = match method {
        "log" => text("text").map(Note::Log),
        "artifact" => text("name").map(|name| Note::Artifact { name, media_type: text("media_type") }),
        "progress" => {
            let text = text("text").unwrap_or_default();
            let fraction = params.get("fraction").and_then(Value::as_f64).filter(|f| (0.0..=1.0).contains(f));
            Some(Note::Progress { fraction, text: bounded(&text, 200) })
        }
        _ => return Incoming::Nonsense("a method the agent does not know"),
    };
    match note {
        Some(note) => Incoming::Note { attempt, note },
        None => Incoming::Nonsense("a notification without its text"),
    }
}

/// At most so many bytes of a text.
pub(super) fn bounded(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

/// Lines of a stream, each at most so long.
pub(super) struct Lines<R> {
    stream: R,
    most: usize,
    /// The rest of a line that was too long is still to come.
    skipping: bool,
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole(Vec<u8>),
    /// The beginning of one that is too long.
    Cut(Vec<u8>),
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(stream: R, most: usize) -> Self {
        Self { stream, most, skipping: false }
    }

    /// The next line; a last one need not end. `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        loop {
            let chunk = self.stream.fill_buf().await?;
            if chunk.is_empty() {
                return Ok((!line.is_empty()).then_some(Line::Whole(line)));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let used = part.len() + usize::from(end.is_some());
            let skipped = self.skipping;
            if !skipped {
                let room = self.most - line.len();
                line.extend_from_slice(&part[..part.len().min(room)]);
                self.skipping = part.len() > room;
            }
            let cut = self.skipping && !skipped;
            self.stream.consume(used);
            if end.is_some() {
                self.skipping = false;
            }
            match (cut, end, skipped) {
                (true, ..) => return Ok(Some(Line::Cut(line))),
                (false, Some(_), false) => return Ok(Some(Line::Whole(line))),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    async fn lines(bytes: &[u8], most: usize, block: usize) -> Vec<Line> {
        let mut lines = Lines::new(tokio::io::BufReader::with_capacity(block, bytes), most);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(line);
        }
        found
    }

    #[tokio::test]
    async fn long_lines_are_cut_and_the_next_one_is_whole() {
        for block in [1, 2, 3, 7, 100] {
            let found = lines(b"ab\n123456789\n\ncd", 4, block).await;
            let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
            assert_eq!(
                found,
                [whole("ab"), Line::Cut(b"1234".to_vec()), whole(""), whole("cd")],
                "block {block}"
            );
        }
    }

    #[test]
    fn answers_and_notes_are_told_apart() {
        assert_eq!(
            parse(br#"{"jsonrpc":"2.0","id":3,"result":null}"#),
            Incoming::Answer { id: 3, outcome: Ok(Value::Null) }
        );
        let failed = parse(br#"{"id":4,"error":{"code":-32602,"message":"no","data":"trace"}}"#);
        let failure = Failure { message: "no".into(), data: Some("trace".into()), parameters: true };
        assert_eq!(failed, Incoming::Answer { id: 4, outcome: Err(failure) });
        let progress = parse(br#"{"method":"progress","params":{"attempt":"a","fraction":7,"text":"x"}}"#);
        let note = Note::Progress { fraction: None, text: "x".into() };
        assert_eq!(progress, Incoming::Note { attempt: "a".into(), note });
        let spawn = parse(br#"{"method":"spawn","params":{"attempt":"a","id":"1","task":{"id":"t"}}}"#);
        let note = Note::Spawn { id: "1".into(), task: json!({"id": "t"}) };
        assert_eq!(spawn, Incoming::Note { attempt: "a".into(), note });
        for nonsense in [
            r#"{"method":"spawn","params":{"attempt":"a","task":{}}}"#,
            r#"{"method":"spawn","params":{"attempt":"a","id":"1","task":[]}}"#,
            "",
            "hello",
            "[]",
            "{}",
            r#"{"id":"1","result":{}}"#,
            r#"{"id":1}"#,
            r#"{"id":-1,"result":1}"#,
            r#"{"id":1,"result":1,"error":{}}"#,
            r#"{"method":3}"#,
            r#"{"method":"log"}"#,
            r#"{"method":"log","params":{"attempt":"a"}}"#,
            r#"{"method":"exec","params":{"attempt":"a"}}"#,
        ] {
            assert!(matches!(parse(nonsense.as_bytes()), Incoming::Nonsense(_)), "{nonsense}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_object_is_read(text in r#"\{("(id|method|params|result|error|attempt)":(1|"log"|\{\}|null|\[\]),?){0,5}\}"#) {
            let _ = parse(text.as_bytes());
        }
    }
}
