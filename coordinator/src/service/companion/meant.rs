//! What is asked, also where words alone do not say: then a model, where one is configured, may choose among the questions
//! there are. It chooses and does nothing else; the answer is made of records like any other.

use nexusmon_core::companion::{Intent, choice_schema, chosen, read};
use serde_json::json;

use super::super::planning;
use super::found;
use crate::app::App;
use crate::error::Result;
use crate::models::Ask;

/// Version and text.
const PROMPT: (&str, &str) = ("companion.v1", include_str!("../../../prompts/companion.v1.md"));

/// A question that was understood, or was not.
pub(super) struct Meant {
    pub(super) intent: Intent,
    /// What is said before the answer.
    pub(super) note: Option<String>,
}

pub(super) async fn meant(app: &App, text: &str) -> Result<Meant> {
    let now = app.clock.now();
    let intent = read(text, now);
    let (Intent::Unknown, Some(model)) = (&intent, &app.model) else {
        return Ok(Meant { intent, note: None });
    };
    let schema = choice_schema();
    let turns = [format!("<question>{}</question>", planning::fenced(&json!(text)))];
    let ask = Ask { system: PROMPT.1, turns: &turns, schema: &schema, name: "choice" };
    let answer = planning::ask_aside(app, model, PROMPT.0, &ask, |answer| chosen(answer, now)).await?;
    let label = found::plain(&model.label());
    Ok(match answer {
        Ok(Intent::Unknown) => {
            Meant { intent, note: Some(format!("{label} could make nothing of it, either.")) }
        }
        Ok(intent) => {
            let note = format!("{label} took it as a question {}.", asked(&intent));
            Meant { intent, note: Some(note) }
        }
        Err(why) => {
            let note = format!("I asked {label} what it means, in vain: {}.", found::plain(&why));
            Meant { intent, note: Some(note) }
        }
    })
}

fn asked(intent: &Intent) -> &'static str {
    match intent {
        Intent::Status => "of how it goes",
        Intent::WhyWaiting(_) => "of why something waits",
        Intent::WhyFailed(_) => "of why something failed",
        Intent::WhyRank(_) => "of what makes a rank",
        Intent::ChangedSince(_) => "of what changed",
        Intent::WhatNext => "of what runs next",
        Intent::NeedsMe => "of what needs you",
        Intent::Compare(_, _) => "of how two missions differ",
        Intent::FindArtifact(_) => "of where something is",
        Intent::Draft(_) | Intent::Unknown => "of nothing that it knows",
    }
}
