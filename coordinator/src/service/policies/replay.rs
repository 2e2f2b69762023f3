//! A proposed set over the newest missions: each plan is judged again by what is in force and by what is proposed.
//!
//! Whose plan it was, and what else the policies were asked about then, is as the audit trail recorded it; what the fleet
//! declares is what it declares today.

use std::sync::Arc;

use nexusmon_core::planning::{PlanFacts, PlanRequest, bind};
use nexusmon_core::policy::{
    AuthorKind, Circumstances, Decision, PolicyContext, PolicySet, Question, Verdict,
};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::MissionId;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{AuditRow, Connection, MissionFilter, MissionRow, PageRequest};

use super::refused;
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::missions;

/// Missions that one replay may go over.
const MOST: u32 = 1000;
/// Larger plans are left out, and said to be.
const MOST_TASKS: u32 = 2000;
/// Entries of a mission looked at together.
const PAGE: u32 = 200;
/// Differences that are listed; all are counted.
const LISTED: usize = 200;

/// What is tried.
#[derive(Debug, Clone)]
pub enum Proposed {
    Text(String),
    /// An earlier version; 0 is what is shipped.
    Version(i64),
}

#[derive(Debug)]
pub struct Replay {
    pub current: Digest,
    pub proposed: Digest,
    /// Missions that were judged.
    pub missions: u64,
    pub differing: u64,
    pub differences: Vec<Difference>,
    pub skipped: Vec<Skipped>,
}

/// A mission that would have been decided otherwise.
#[derive(Debug)]
pub struct Difference {
    pub mission: MissionId,
    pub goal: String,
    pub rank: Rank,
    pub created_at: Timestamp,
    pub now: ReplayVerdict,
    pub then: ReplayVerdict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayVerdict {
    /// `allow`, `flag`, `hold`, `deny`.
    pub verdict: &'static str,
    pub approvals_needed: u32,
    pub policies: Vec<String>,
    pub reason: String,
}

/// A mission that cannot be judged again.
#[derive(Debug)]
pub struct Skipped {
    pub mission: MissionId,
    pub reason: String,
}

impl From<Decision> for ReplayVerdict {
    fn from(decision: Decision) -> Self {
        let Decision { verdict, policies, reason } = decision;
        let (verdict, approvals_needed) = match verdict {
            Verdict::Allow => ("allow", 0),
            Verdict::Flag => ("flag", 0),
            Verdict::Hold { needed } => ("hold", needed),
            Verdict::Deny => ("deny", 0),
        };
        Self { verdict, approvals_needed, policies, reason }
    }
}

pub async fn replay(app: &App, proposed: Proposed, count: u32) -> Result<Replay> {
    if !(1..=MOST).contains(&count) {
        return Err(Error::field("/missions", "out_of_range", format!("must be from 1 to {MOST}")));
    }
    let text = match proposed {
        Proposed::Text(text) => text,
        Proposed::Version(version) => super::view(app, Some(version)).await?.text,
    };
    let proposed = PolicySet::parse(&text).map_err(|error| refused(&error))?;
    let current = app.policy.get();
    let mut found = Replay {
        current: current.set.digest(),
        proposed: proposed.digest(),
        missions: 0,
        differing: 0,
        differences: Vec::new(),
        skipped: Vec::new(),
    };
    let mut cursor = None;
    let mut left = count;
    while left > 0 {
        let page = PageRequest { limit: left.min(nexusmon_store::MAX_PAGE), cursor };
        let rows = app.store.read().await?.mission_list(&MissionFilter::default(), &page).await?;
        for row in rows.items {
            left -= 1;
            judge(app, &current.set, &proposed, row, &mut found).await?;
        }
        cursor = rows.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(found)
}

async fn judge(
    app: &App,
    current: &PolicySet,
    proposed: &PolicySet,
    row: MissionRow,
    found: &mut Replay,
) -> Result<()> {
    let skip = |reason: &str| Skipped { mission: row.id, reason: reason.to_owned() };
    if row.plan_digest.is_none() {
        found.skipped.push(skip("it has no plan"));
        return Ok(());
    }
    if row.tasks_total > i64::from(MOST_TASKS) {
        found.skipped.push(skip("its plan is too large to be judged again here"));
        return Ok(());
    }
    let mut read = app.store.read().await?;
    let leaves = read.leaves(row.id).await?;
    let context = match recorded(&mut read, &row).await? {
        Some(context) => context,
        None => derived(app, &mut read, &row).await?,
    };
    let playbook = read.mission_inputs(&[row.id]).await?.pop().map(|made| made.playbook.to_string());
    drop(read);
    let draft = missions::draft_again(&row, &leaves)?;
    let (fleet, current, proposed) = (app.fleet.get(), current.clone(), proposed.clone());
    let (draft, secrets) = (Arc::new(draft), app.secrets.get());
    let work = move || {
        let drafts = draft.tasks.as_deref().unwrap_or_default();
        let request = PlanRequest { drafts, requested: draft.rank, budget: &draft.budget };
        let facts = PlanFacts {
            catalog: &fleet.catalog,
            agents: &fleet.by_name,
            fleet: &fleet.views,
            secrets: &secrets,
            playbook: playbook.as_deref(),
        };
        let bound = bind(&request, &facts).map_err(|errors| match errors.first() {
            Some(first) => format!("{}: {}", first.pointer, first.message),
            None => "its plan no longer fits".to_owned(),
        })?;
        let judged = |set: &PolicySet| ReplayVerdict::from(set.evaluate(&bound.assessment, &context));
        Ok::<_, String>((bound.assessment.rank, judged(&current), judged(&proposed)))
    };
    let judged = tokio::task::spawn_blocking(work).await.map_err(Error::internal)?;
    match judged {
        Err(reason) => found.skipped.push(skip(&reason)),
        Ok((rank, now, then)) => {
            found.missions += 1;
            let same = now.verdict == then.verdict && now.approvals_needed == then.approvals_needed;
            if !same {
                found.differing += 1;
                if found.differences.len() < LISTED {
                    let MissionRow { id, goal, created_at, .. } = row;
                    found.differences.push(Difference { mission: id, goal, rank, created_at, now, then });
                }
            }
        }
    }
    Ok(())
}

/// What the policies were asked about when this plan was judged.
async fn recorded(read: &mut Connection, row: &MissionRow) -> Result<Option<PolicyContext>> {
    #[derive(serde::Deserialize)]
    struct Judged {
        question: Question,
    }
    #[derive(serde::Deserialize)]
    struct Told {
        plan_digest: Option<Digest>,
        judged: Option<Judged>,
    }
    let mut after = 0;
    loop {
        let rows = read.mission_audit_after(row.id, after, PAGE).await?;
        let planned = |row: &&AuditRow| ["mission.created", "mission.planned"].contains(&row.action.as_str());
        for entry in rows.iter().filter(planned) {
            let told: Told = serde_json::from_str(&entry.body).map_err(Error::internal)?;
            if let Some(judged) = told.judged.filter(|_| told.plan_digest == row.plan_digest) {
                return Ok(Some(judged.question.about));
            }
        }
        match rows.last() {
            Some(last) if rows.len() >= PAGE as usize => after = last.seq,
            _ => return Ok(None),
        }
    }
}

/// The same for plans of versions that did not write it down.
async fn derived(app: &App, read: &mut Connection, row: &MissionRow) -> Result<PolicyContext> {
    Ok(PolicyContext {
        author: AuthorKind::of(&row.author.0),
        principal: row.created_by.to_string(),
        ceiling: read.principal(row.created_by).await?.and_then(|principal| principal.rank_ceiling),
        verified_runs: 0,
        eligible: missions::eligible(app, &row.author.0),
        foresight: app.beliefs.foresight(),
        circumstances: Circumstances::of(&row.origin, row.created_at, &row.budget.0),
    })
}
