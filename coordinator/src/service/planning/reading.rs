//! What planners may do: read, and ask the model. They are given this and nothing else.

use std::sync::Arc;

use nexusmon_core::evolution::Trait;
use nexusmon_core::planning::{MissionDraft, Offer, Playbook, parse_playbook};
use nexusmon_shared::id::ModelCallId;
use nexusmon_store::{MAX_PAGE, MissionRow, Page, PageRequest, PlaybookRow};
use tokio::sync::OnceCell;

use super::super::memory::{self, Recalled};
use super::super::playbooks::{self, MadeOf};
use super::super::{evolution, missions};
use super::spending::{self, Over, Purpose};
use crate::app::App;
use crate::error::Result;
use crate::models::{Ask, Model, NoAnswer, Said};

/// Playbooks that a goal is matched with, and of these those that a model is told of.
const MOST_PLAYBOOKS: usize = 1_000;
pub(super) const TOLD_PLAYBOOKS: usize = 200;
/// Missions that are looked at.
const MOST_RECALLED: u32 = 5;

pub(super) struct Reading<'a> {
    app: &'a App,
    /// The goal was looked at before: what is asked of memory is the same question.
    again: bool,
    /// What memory has for it.
    recalled: OnceCell<Vec<Recalled>>,
}

impl<'a> Reading<'a> {
    pub(super) fn of(app: &'a App, again: bool) -> Self {
        Self { app, again, recalled: OnceCell::new() }
    }

    /// The newest version of each playbook that may be used, by name, and whether there are more; what cannot be read any
    /// more is left out.
    pub(super) async fn playbooks(&self) -> Result<(Vec<(PlaybookRow, Playbook)>, bool)> {
        let mut read = self.app.store.read().await?;
        let mut page = PageRequest::first(MAX_PAGE);
        let mut rows = Vec::new();
        let more = loop {
            let Page { items, next_cursor } = read.playbook_list(&page).await?;
            rows.extend(items);
            page.cursor = next_cursor;
            if page.cursor.is_none() || rows.len() >= MOST_PLAYBOOKS {
                break page.cursor.is_some();
            }
        };
        let parsed = rows.into_iter().filter_map(|row| {
            let body = serde_json::from_str(&row.body).ok()?;
            let playbook = parse_playbook(&body).ok()?;
            Some((row, playbook))
        });
        Ok((parsed.collect(), more))
    }

    /// A draft with its playbook put in its place.
    pub(super) async fn resolve(
        &self,
        draft: MissionDraft,
    ) -> Result<(Arc<MissionDraft>, Option<Arc<MadeOf>>)> {
        playbooks::resolve(self.app, Arc::new(draft)).await
    }

    pub(super) async fn may(&self, wanted: Trait) -> Result<bool> {
        evolution::may(self.app, &mut self.app.store.read().await?, wanted, self.app.clock.now()).await
    }

    /// Missions with goals like this one; none without RECALL. Memory is asked once, however many planners want to know.
    pub(super) async fn similar(&self, goal: &str) -> Result<Vec<Recalled>> {
        if !self.may(Trait::Recall).await? {
            return Ok(Vec::new());
        }
        let look = || async {
            let mut read = self.app.store.read().await?;
            if self.again {
                memory::similar_again(self.app, &mut read, goal, MOST_RECALLED).await
            } else {
                memory::similar(self.app, &mut read, goal, MOST_RECALLED).await
            }
        };
        self.recalled.get_or_try_init(look).await.cloned()
    }

    /// A version of a playbook that may still be used.
    pub(super) async fn playbook(&self, name: &str, version: i64) -> Result<Option<PlaybookRow>> {
        let Ok(name) = name.parse() else { return Ok(None) };
        let found = self.app.store.read().await?.playbook(&name, Some(version)).await?;
        Ok(found.filter(|row| row.retired_at.is_none()))
    }

    /// Capabilities that some machine really offers now, built-in ones where there is a machine at all.
    pub(super) fn offers(&self) -> Vec<Offer> {
        let fleet = self.app.fleet.get();
        let known =
            fleet.catalog.iter().filter(|(name, _)| name.plugin() != "core" && !fleet.views.is_empty());
        known
            .map(|(name, known)| Offer {
                name: name.to_string(),
                description: known.spec.description.clone(),
                params: known.spec.params.clone(),
            })
            .collect()
    }

    pub(super) fn model(&self) -> Option<&Model> {
        self.app.model.as_ref()
    }

    pub(super) fn plan_of(&self, row: &MissionRow) -> Purpose {
        Purpose::plan(self.app, row)
    }

    /// Asks the model within the budgets of day and goal; the inner `Err` says why it was not, or gave nothing. What it may
    /// cost is set aside first, until the second is booked.
    pub(super) async fn ask(
        &self,
        model: &Model,
        ask: &Ask<'_>,
        of: Purpose,
    ) -> Result<(std::result::Result<Said, Unasked>, Option<ModelCallId>)> {
        if let Some(said) = model.remembered(ask) {
            return Ok((Ok(said), None));
        }
        match spending::set_aside(self.app, model, ask, of).await? {
            Ok(call) => Ok((model.ask(ask).await.map_err(Unasked::NoAnswer), Some(call))),
            Err(why) => Ok((Err(Unasked::Budget(why)), None)),
        }
    }

    /// The mission's own fields with other tasks.
    pub(super) fn draft(row: &MissionRow, tasks: Vec<nexusmon_shared::plan::TaskDraft>) -> MissionDraft {
        missions::draft_of(row, tasks)
    }
}

/// Why there is no answer of the model.
#[derive(Debug)]
pub(super) enum Unasked {
    Budget(Over),
    NoAnswer(NoAnswer),
}
