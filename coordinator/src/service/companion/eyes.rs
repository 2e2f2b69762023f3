//! What the companion can see: reading questions, each asked for the caller and refused where the caller may not read it.
//!
//! The handle to everything else stays in here. Whoever answers has these questions and no other.

use nexusmon_core::companion::About;
use nexusmon_core::planning::PlaybookRef;
use nexusmon_core::policy::access;
use nexusmon_shared::id::{ApprovalId, MissionId, TaskId};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::time::Timestamp;

use super::super::approvals::{self, ApprovalFilter, ApprovalView};
use super::super::audit::{self, AuditFilter, AuditView};
use super::super::evolution::{self, OrganismStatus};
use super::super::memory::MemoryView;
use super::super::missions::{self, DryRun, MissionFilter, MissionSummary, MissionView, NewMission};
use super::super::reviews::{self, ReviewFilter, ReviewView};
use super::super::triggers::schedules::{self, ScheduleView};
use super::super::vault::{self, ArtifactFilter, ArtifactView};
use super::super::{Caller, PageRequest};
use crate::app::App;
use crate::error::{Error, Result};

pub(super) struct Eyes {
    app: App,
    caller: Caller,
    recalled: Vec<MemoryView>,
}

const fn first(limit: u32) -> PageRequest {
    PageRequest { limit: Some(limit), cursor: None }
}

impl Eyes {
    pub(super) fn of(app: &App, caller: &Caller, recalled: Vec<MemoryView>) -> Self {
        Self { app: app.clone(), caller: caller.clone(), recalled }
    }

    /// What memory had of the question, where it may be read.
    pub(super) fn recalled(&self) -> &[MemoryView] {
        &self.recalled
    }

    pub(super) fn now(&self) -> Timestamp {
        self.app.clock.now()
    }

    fn may(&self, action: &'static str) -> Result<()> {
        if access::permits(self.caller.role.as_str(), action) {
            return Ok(());
        }
        let detail = format!("answering this takes `{action}`, which you may not do");
        Err(Error::Forbidden { code: "not_allowed", detail })
    }

    pub(super) async fn organism(&self) -> Result<OrganismStatus> {
        self.may("organism.read")?;
        evolution::organism_status(&self.app).await
    }

    pub(super) async fn mission(&self, id: MissionId) -> Result<MissionView> {
        self.may("mission.read")?;
        missions::get(&self.app, id).await
    }

    /// Newest first.
    pub(super) async fn missions(
        &self,
        status: Vec<MissionStatus>,
        limit: u32,
    ) -> Result<Vec<MissionSummary>> {
        self.may("mission.read")?;
        let filter = MissionFilter { status, ..MissionFilter::default() };
        Ok(missions::list(&self.app, filter, first(limit)).await?.items)
    }

    /// The mission that is meant: by its id, that of one of its tasks, or words of its goal.
    pub(super) async fn find(
        &self,
        about: &About,
        looked_at: Option<&str>,
        status: &[MissionStatus],
    ) -> Result<Option<MissionView>> {
        self.may("mission.read")?;
        let id = match about {
            About::Id(id) => self.by_id(id).await?,
            About::Words(words) => {
                let filter = |status: Vec<MissionStatus>| MissionFilter {
                    status,
                    q: Some(words.clone()),
                    ..MissionFilter::default()
                };
                let mut found = missions::list(&self.app, filter(status.to_vec()), first(1)).await?.items;
                if found.is_empty() {
                    found = missions::list(&self.app, filter(Vec::new()), first(1)).await?.items;
                }
                found.first().map(|one| one.id)
            }
            About::This => match looked_at {
                Some(id) => self.by_id(id).await?,
                None => self.missions(status.to_vec(), 1).await?.first().map(|one| one.id),
            },
        };
        match id {
            Some(id) => match self.mission(id).await {
                Ok(view) => Ok(Some(view)),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            },
            None => Ok(None),
        }
    }

    async fn by_id(&self, id: &str) -> Result<Option<MissionId>> {
        if let Ok(mission) = id.parse() {
            return Ok(Some(mission));
        }
        let mut read = self.app.store.read().await?;
        if let Ok(task) = id.parse::<TaskId>() {
            return Ok(read.tasks(&[task]).await?.first().map(|row| row.mission));
        }
        match id.parse::<ApprovalId>() {
            Ok(approval) => Ok(read.approval(approval).await?.and_then(|row| row.mission)),
            Err(_) => Ok(None),
        }
    }

    pub(super) async fn approvals(&self) -> Result<Vec<ApprovalView>> {
        self.may("approval.read")?;
        let filter = ApprovalFilter { status: Some("pending".to_owned()), mission: None };
        Ok(approvals::list(&self.app, filter, first(20)).await?.items)
    }

    pub(super) async fn reviews(&self) -> Result<Vec<ReviewView>> {
        self.may("review.read")?;
        let filter =
            ReviewFilter { status: Some("open".to_owned()), grouped: true, ..ReviewFilter::default() };
        Ok(reviews::list(&self.app, filter, first(20)).await?.items)
    }

    /// Tasks nobody knows the end of.
    pub(super) async fn uncertain(&self) -> Result<Vec<(MissionId, TaskId, String)>> {
        self.may("task.read")?;
        let rows = self.app.store.read().await?.tasks_needing_attention(100).await?;
        let uncertain =
            rows.into_iter().filter(|row| row.state == nexusmon_shared::task::TaskStatus::Uncertain);
        Ok(uncertain.map(|row| (row.mission, row.id, row.key.to_string())).collect())
    }

    /// Newest first.
    pub(super) async fn entries(
        &self,
        mission: Option<MissionId>,
        action: Option<&str>,
        since: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<AuditView>> {
        self.may("audit.read")?;
        let action = action.map(str::to_owned);
        let filter = AuditFilter { action, mission, since, ..AuditFilter::default() };
        Ok(audit::list(&self.app, filter, first(limit)).await?.items)
    }

    pub(super) async fn artifacts(&self, words: &str) -> Result<Vec<ArtifactView>> {
        self.may("artifact.read")?;
        let filter = ArtifactFilter { q: Some(words.to_owned()), ..ArtifactFilter::default() };
        Ok(vault::list(&self.app, filter, first(8)).await?.items)
    }

    /// The soonest first.
    pub(super) async fn schedules(&self) -> Result<Vec<ScheduleView>> {
        self.may("schedule.read")?;
        let mut all = schedules::list(&self.app, first(200)).await?.items;
        all.retain(|one| !one.next.is_empty());
        all.sort_by_key(|one| one.next.first().map(|next| next.due));
        Ok(all)
    }

    /// The plan of the mission judged again, with what it was made from: for what makes its ranks. `None` where there is
    /// no plan, or its playbook is not in use any more; nothing is stored.
    pub(super) async fn judged(&self, id: MissionId) -> Result<Option<DryRun>> {
        self.may("mission.read")?;
        let mut read = self.app.store.read().await?;
        let (Some(row), leaves) = (read.mission(id).await?, read.leaves(id).await?) else { return Ok(None) };
        if leaves.is_empty() {
            return Ok(None);
        }
        let mut draft = missions::draft_again(&row, &leaves)?;
        if let Some(made) = read.mission_inputs(&[id]).await?.pop() {
            let playbook = read.playbook(&made.playbook, Some(made.version)).await?;
            if playbook.is_none_or(|playbook| playbook.retired_at.is_some()) {
                return Ok(None);
            }
            let version = u32::try_from(made.version).ok();
            draft.playbook = Some(PlaybookRef { name: made.playbook, version });
            draft.inputs = serde_json::from_str(&made.inputs).map_err(Error::internal)?;
            draft.tasks = None;
        }
        drop(read);
        missions::dry_run(&self.app, &self.caller, NewMission(std::sync::Arc::new(draft))).await.map(Some)
    }

    /// What was decided about the mission's plan, as it was written down then; `None` where it is not written yet, or not
    /// for the caller to read.
    pub(super) async fn decision(&self, id: MissionId) -> Result<Option<AuditView>> {
        for action in ["mission.planned", "mission.created"] {
            let entries = match self.entries(Some(id), Some(action), None, 1).await {
                Err(Error::Forbidden { .. }) => return Ok(None),
                entries => entries?,
            };
            if let Some(entry) = entries.into_iter().find(|entry| !entry.body["judged"].is_null()) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// A playbook that the words name.
    pub(super) async fn playbook(&self, words: &str) -> Result<Option<String>> {
        self.may("playbook.read")?;
        let wanted: Vec<String> = words.to_lowercase().split_whitespace().map(str::to_owned).collect();
        let all = super::super::playbooks::list(&self.app, first(200)).await?.items;
        Ok(all.into_iter().map(|one| one.name.to_string()).find(|name| wanted.contains(&name.to_lowercase())))
    }
}
