//! The companion: answers about live state, with links to what each sentence rests on. It reads and says; it does nothing.
//!
//! What answers is an [`Engine`]; it is given [`Eyes`] and a place to put its words, and nothing else. It answers without a
//! model; where it does not understand what is asked, a configured one may choose among the questions it knows.

mod answers;
mod eyes;
mod found;
mod meant;

use std::pin::Pin;

use futures::Stream;
use nexusmon_core::companion::{Intent, LONGEST};
use nexusmon_core::evolution::Trait;
use nexusmon_core::policy::access;
use serde_json::Value;
use tokio::sync::mpsc;

use super::memory::{self, Asked, MemoryView};
use super::{Caller, evolution};
use crate::app::App;
use crate::error::{Error, Result};
use answers::Deterministic;
use eyes::Eyes;
use meant::meant;

/// Parts of an answer that wait for the reader.
const AHEAD: usize = 32;
/// Memories told in an answer.
const MOST_RECALLED: u32 = 5;

/// What a sentence rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// `mission`, `task`, `artifact`, `approval`, `review`, `audit`, `agent`, `schedule`.
    pub kind: &'static str,
    pub id: String,
    /// Outside text, for people: a goal, a name.
    pub title: String,
    /// Where it is in the console.
    pub href: String,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Said {
        text: String,
        citations: Vec<Citation>,
    },
    /// A mission's body for the operator to look at, change and send, or not.
    Draft {
        mission: Value,
        text: String,
    },
}

/// A question, and what the asker looks at while asking.
#[derive(Debug, Clone)]
pub struct Question {
    pub text: String,
    /// The id of a mission.
    pub about: Option<String>,
}

/// Where an engine puts its words.
#[derive(Debug, Clone)]
struct Voice(mpsc::Sender<Result<Part>>);

impl Voice {
    async fn say(&self, text: impl Into<String>, citations: Vec<Citation>) {
        // Whoever asked may have gone away.
        let _ = self.0.send(Ok(Part::Said { text: text.into(), citations })).await;
    }

    async fn draft(&self, mission: Value, text: impl Into<String>) {
        let _ = self.0.send(Ok(Part::Draft { mission, text: text.into() })).await;
    }
}

/// What answers questions. It sees through `eyes` alone.
trait Engine: Send + Sync {
    fn answer<'a>(
        &'a self,
        question: &'a Question,
        eyes: &'a Eyes,
        voice: &'a Voice,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;
}

/// Answers a question; the parts come as they are found.
pub async fn ask(
    app: &App,
    caller: &Caller,
    question: Question,
) -> Result<impl Stream<Item = Result<Part>> + Send + 'static + use<>> {
    if question.text.trim().is_empty() || question.text.chars().count() > LONGEST {
        let message = format!("must be 1 to {LONGEST} characters");
        return Err(Error::field("/text", "invalid_value", message));
    }
    let mut connection = app.store.read().await?;
    if !evolution::may(app, &mut connection, Trait::Companion, app.clock.now()).await? {
        let detail = "the companion is a trait of the system (COMPANION): it is earned at AWAKENING by verified missions, or \
                      granted by the owner, and it may be suspended or switched off; GET /v1/nexusmon/evolution says which";
        return Err(Error::conflict("trait_locked", detail).with("trait", "COMPANION"));
    }
    drop(connection);
    let (sender, parts) = mpsc::channel(AHEAD);
    let (answering, caller) = (app.clone(), caller.clone());
    app.lifecycle.spawn_quiet("companion.answer", async move {
        let voice = Voice(sender);
        if let Err(error) = answer(&answering, &caller, &question, &voice).await {
            let _ = voice.0.send(Err(error)).await;
        }
        Ok::<_, Error>(())
    });
    Ok(tokio_stream::wrappers::ReceiverStream::new(parts))
}

async fn answer(app: &App, caller: &Caller, question: &Question, voice: &Voice) -> Result<()> {
    // What a question costs is booked, and a look into memory counted: before the answer, in which nothing can be written.
    let meant = meant(app, &question.text).await?;
    let eyes = Eyes::of(app, caller, recalled(app, caller, &meant.intent).await?);
    // Whatever an engine tries: no unit of work begins in here.
    app.store.reading(Deterministic(meant).answer(question, &eyes, voice)).await
}

/// What memory has of what is looked for.
async fn recalled(app: &App, caller: &Caller, intent: &Intent) -> Result<Vec<MemoryView>> {
    let Intent::FindArtifact(words) = intent else { return Ok(Vec::new()) };
    if !access::permits(caller.role.as_str(), "cognition.read") {
        return Ok(Vec::new());
    }
    let mut connection = app.store.read().await?;
    let mut found = memory::recall(app, &mut connection, words, Asked::Answer, MOST_RECALLED).await?;
    drop(connection);
    // Artifacts are found by themselves.
    found.retain(|one| one.mission.is_some() && one.kind != "artifact");
    if !found.is_empty() {
        let ids: Vec<_> = found.iter().map(|one| one.id).collect();
        memory::used(app, Asked::Answer, &ids, None).await?;
    }
    Ok(found)
}
