//! Answers without a model: what is asked decides which records are read, and sentences are made of them.

mod about;
mod overview;

use std::pin::Pin;

use nexusmon_core::companion::Intent;
use serde_json::json;

use super::eyes::Eyes;
use super::meant::Meant;
use super::{Engine, Question, Voice};
use crate::error::{Error, Result};

/// Says only what records say.
pub(super) struct Deterministic(pub(super) Meant);

impl Engine for Deterministic {
    fn answer<'a>(
        &'a self,
        question: &'a Question,
        eyes: &'a Eyes,
        voice: &'a Voice,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>> {
        Box::pin(async move {
            match answer(&self.0, question, eyes, voice).await {
                // Somebody else may read it: this is an answer, too.
                Err(Error::Forbidden { detail, .. }) => {
                    voice.say(detail, Vec::new()).await;
                    Ok(())
                }
                other => other,
            }
        })
    }
}

const CANNOT: &str = "I can answer: what is the status, why is something waiting, why did it fail, what changed since, what \
runs next, what needs me, compare two missions, find an artifact, explain a rank. I can draft a mission for you to send. \
Name a mission by its id or by words of its goal.";

async fn answer(meant: &Meant, question: &Question, eyes: &Eyes, voice: &Voice) -> Result<()> {
    let looked_at = question.about.as_deref();
    if let Some(note) = &meant.note {
        voice.say(note.as_str(), Vec::new()).await;
    }
    match &meant.intent {
        Intent::Status => overview::status(eyes, voice).await,
        Intent::WhyWaiting(about) => about::waiting(eyes, voice, about, looked_at).await,
        Intent::WhyFailed(about) => about::failed(eyes, voice, about, looked_at).await,
        Intent::WhyRank(about) => about::rank(eyes, voice, about, looked_at).await,
        Intent::ChangedSince(since) => overview::changed(eyes, voice, *since).await,
        Intent::WhatNext => overview::next(eyes, voice).await,
        Intent::NeedsMe => overview::needs_me(eyes, voice).await,
        Intent::Compare(first, second) => about::compare(eyes, voice, first, second, looked_at).await,
        Intent::FindArtifact(words) => about::find(eyes, voice, words).await,
        Intent::Draft(goal) => {
            let (mission, text) = match eyes.playbook(goal).await? {
                Some(name) => (
                    json!({"playbook": name, "inputs": {}, "start": "manual"}),
                    "A draft from a playbook of that name; fill in its inputs, look at the dry run, and send it if it is what you want.",
                ),
                None => (
                    json!({"goal": goal, "start": "manual"}),
                    "A draft with your goal; look at what it becomes, and send it if it is what you want. I send nothing myself.",
                ),
            };
            voice.draft(mission, text).await;
            Ok(())
        }
        Intent::Unknown => {
            voice.say(CANNOT, Vec::new()).await;
            Ok(())
        }
    }
}
