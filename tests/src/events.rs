//! Server-sent events as a client reads them.

use anyhow::{Context, Result, bail};
use futures::StreamExt as _;

use crate::api::{Api, EventStream, PATIENCE};

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    pub id: Option<String>,
    pub kind: String,
    pub data: String,
}

/// An open stream and what is read of it so far.
pub struct EventLog {
    stream: EventStream,
    rest: Vec<u8>,
}

impl std::fmt::Debug for EventLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventLog").finish_non_exhaustive()
    }
}

impl EventLog {
    /// Goes on behind `after`, if given.
    pub async fn open(api: &Api, path: &str, after: Option<&str>) -> Result<Self> {
        Ok(Self { stream: api.events_after(path, after).await?, rest: Vec::new() })
    }

    /// The next event; `None` at the stream's end. An error is a connection that broke.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(end) = self.rest.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.rest.drain(..end + 2).collect();
                if let Some(event) = parse(&String::from_utf8_lossy(&block)) {
                    return Ok(Some(event));
                }
                continue;
            }
            match self.stream.next().await {
                Some(piece) => self.rest.extend(piece?),
                None => return Ok(None),
            }
        }
    }

    /// The first event that `wanted` accepts.
    pub async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Result<Event> {
        let looked = async {
            loop {
                let event = self.next().await?.context("the stream ended before")?;
                if wanted(&event) {
                    return Ok(event);
                }
            }
        };
        match tokio::time::timeout(PATIENCE, looked).await {
            Ok(found) => found,
            Err(_) => bail!("no such event within {PATIENCE:?}"),
        }
    }
}

/// `None`: a comment.
fn parse(block: &str) -> Option<Event> {
    let mut event = Event::default();
    let mut any = false;
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut event.kind),
            "data" => {
                if !event.data.is_empty() {
                    event.data.push('\n');
                }
                event.data.push_str(value);
                any = true;
            }
            _ => {}
        }
    }
    any.then_some(event)
}
