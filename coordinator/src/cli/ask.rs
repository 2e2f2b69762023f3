//! `nexusmon ask …`: a question to the companion, answered line by line as the answer comes.

use clap::Args;
use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, CommandError};
use super::render;

/// Bytes of one event that are read.
const LONGEST: usize = 1024 * 1024;

#[derive(Debug, Args)]
pub struct AskArgs {
    /// As in: why is the nightly backup waiting
    #[arg(required = true)]
    question: Vec<String>,
    /// Id of the mission that "this" means
    #[arg(long, value_name = "ID")]
    about: Option<String>,
}

pub(super) async fn ask(client: &Client, arguments: AskArgs) -> Result<(), CommandError> {
    let body = json!({"text": arguments.question.join(" "), "about": arguments.about});
    let response =
        client.send(Method::POST, "/v1/companion/messages", Some(&body), "text/event-stream").await?;
    let mut bytes = Box::pin(response.bytes_stream());
    let (mut pending, mut parts) = (Vec::<u8>::new(), Vec::new());
    loop {
        while let Some(end) = pending.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = pending.drain(..end + 2).collect();
            match event(&block) {
                Some((name, part)) if name == "part" => {
                    if client.json {
                        parts.push(part);
                    } else {
                        said(&part);
                    }
                }
                Some((name, problem)) if name == "problem" => {
                    return Err(CommandError::Refused { status: 500, body: problem });
                }
                Some((name, _)) if name == "done" => {
                    if client.json {
                        render::json(&json!({"parts": parts}));
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
        let piece = match bytes.next().await {
            Some(Ok(piece)) if pending.len() + piece.len() <= LONGEST => piece,
            _ => return Err(CommandError::Failed("the answer broke off; ask again".to_owned())),
        };
        pending.extend(piece);
    }
}

/// Name and data of an event that has both.
fn event(block: &[u8]) -> Option<(String, Value)> {
    let text = String::from_utf8_lossy(block);
    let (mut name, mut data) = (None, String::new());
    for line in text.lines() {
        match line.split_once(':') {
            Some(("event", value)) => name = Some(value.trim().to_owned()),
            Some(("data", value)) => data.push_str(value.strip_prefix(' ').unwrap_or(value)),
            _ => {}
        }
    }
    Some((name?, serde_json::from_str(&data).ok()?))
}

fn said(part: &Value) {
    println!("{}", render::text(&part["text"]));
    for citation in part["citations"].as_array().into_iter().flatten() {
        let title = render::short(&render::text(&citation["title"]), 60);
        println!("    {} {}  {title}", render::text(&citation["kind"]), render::text(&citation["id"]));
    }
    if part["draft"].is_object() {
        let draft = serde_json::to_string_pretty(&part["draft"]).unwrap_or_default();
        println!("{}", draft.lines().map(render::plain).collect::<Vec<_>>().join("\n"));
        println!("Keep it in a file and send it with: nexusmon mission create draft.json");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whole_or_not_at_all() {
        assert_eq!(
            event(b"event: part\ndata: {\"text\":\"a\"}\n\n"),
            Some(("part".to_owned(), json!({"text": "a"})))
        );
        assert_eq!(event(b": heartbeat\n\n"), None);
        assert_eq!(event(b"event: part\ndata: {\n\n"), None);
        assert_eq!(event(b"\xff\n\n"), None);
    }
}
