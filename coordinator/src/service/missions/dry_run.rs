//! A plan judged without being stored: rank, verdict, blast radius, placement.

use std::collections::{BTreeMap, BTreeSet};

use nexusmon_core::policy::Verdict;
use nexusmon_core::schedule::{Availability, ClassId, Fit, explain_class, fits};
use nexusmon_shared::id::MissionId;

use super::prepare;
use super::waiting::waiting;
use super::{BlastRadius, DryRun, DryRunTask, NewMission, PredictionView};
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::dispatch::offline_views;
use crate::service::{Caller, playbooks};

const NO_PLAN: &str =
    "a dry run judges a plan: give `tasks` or a `playbook`; planners are asked where a mission is created";

pub(super) async fn dry_run(app: &App, caller: &Caller, mission: NewMission) -> Result<DryRun> {
    let (draft, made_of) = playbooks::resolve(app, mission.0).await?;
    if draft.tasks.is_none() {
        return Err(Error::field("/tasks", "required", NO_PLAN));
    }
    // Never stored: the digest of a dry run is nobody's.
    let id = MissionId::from_bits(0);
    let under = prepare::Under { made_of, ..prepare::Under::default() };
    let judged = prepare::judge(app, caller, id, prepare::author_of(caller), draft, under).await?;
    let agents = offline_views(app);
    let assessment = &judged.bound.assessment;
    let mut machines = BTreeSet::new();
    let named = judged.bound.tasks.iter().flat_map(|task| &task.spec.secrets);
    let hosts: BTreeSet<String> =
        judged.bound.tasks.iter().flat_map(|task| task.spec.sandbox.network.iter().cloned()).collect();
    let secrets: BTreeSet<String> = named.map(|secret| secret.name.to_string()).collect();
    let tasks = judged
        .bound
        .tasks
        .iter()
        .zip(&assessment.tasks)
        .zip(&judged.classes)
        .map(|((task, risk), class)| {
            let unknown = ClassId(-1);
            let able: Vec<String> = agents
                .iter()
                .filter(|agent| {
                    agent.availability == Availability::Live && fits(unknown, class, agent) == Fit::Fits
                })
                .map(|agent| agent.offer.name.clone())
                .collect();
            machines.extend(able.iter().cloned());
            let why =
                able.is_empty().then(|| waiting(&explain_class(unknown, class, &agents, &BTreeMap::new())));
            DryRunTask {
                id: task.spec.id.to_string(),
                uses: task.spec.uses.to_string(),
                rank: task.rank,
                rank_reasons: risk.reasons.iter().map(|reason| reason.message.clone()).collect(),
                agents: able,
                waiting: why,
            }
        })
        .collect();
    let (verdict, approvals_needed) = match judged.decision.verdict {
        Verdict::Allow => ("allow", 0),
        Verdict::Flag => ("flag", 0),
        Verdict::Hold { needed } => ("hold", needed),
        Verdict::Deny => ("deny", 0),
    };
    let blast = &assessment.blast_radius;
    Ok(DryRun {
        rank: assessment.rank,
        verdict: verdict.to_owned(),
        policies: judged.decision.policies.clone(),
        policy_digest: judged.policy_digest,
        approvals_needed,
        tasks,
        blast: BlastRadius {
            machines: machines.into_iter().collect(),
            capabilities: assessment.capabilities.keys().map(ToString::to_string).collect(),
            host_paths: blast.paths.keys().cloned().collect(),
            hosts: hosts.into_iter().collect(),
            writes: blast.writes,
            network: blast.network,
            irreversible: blast.irreversible,
            secrets: secrets.into_iter().collect(),
        },
        prediction: PredictionView {
            success: judged.prediction.success,
            duration_seconds: judged.prediction.duration_seconds,
            basis: judged.prediction.basis.clone(),
            samples: judged.prediction.records,
        },
    })
}
