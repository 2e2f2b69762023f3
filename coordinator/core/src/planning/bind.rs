//! The whole way from drafts to a bound plan.

use std::collections::BTreeMap;

use nexusmon_shared::effects::Effects;
use nexusmon_shared::manifest::CapabilitySpec;
use nexusmon_shared::plan::{
    DEFAULT_BACKOFF, DEFAULT_JITTER, DEFAULT_TIMEOUT, Input, MAX_TASKS, Retry, RetryDraft, TaskDraft,
    TaskSpec,
};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::Sandbox;
use nexusmon_shared::selector::Selector;
use nexusmon_shared::time::Span;

use super::expressions::{self, Named, ancestor};
use super::graph::Graph;
use super::{
    BoundPlan, BoundTask, Invalid, PlanFacts, PlanRequest, machines, parameters, resolve_agent, secrets,
    task_checks,
};
use crate::risk::{Bound, Ranked, assess};
use crate::{lease, sub_mission};

/// Mistakes reported at once; a plan with more is answered with the first ones.
const MAX_ERRORS: usize = 100;

/// Checks drafts and resolves every default. Answers every mistake found (the first hundred), each with its place.
pub fn bind(request: &PlanRequest<'_>, facts: &PlanFacts<'_>) -> Result<BoundPlan, Vec<Invalid>> {
    let drafts = request.drafts;
    count(request)?;
    let mut errors = Vec::new();
    let graph = Graph::read(drafts, &mut errors);
    let mut draws = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.iter().enumerate() {
        let known = facts.catalog.get(&draft.uses);
        if known.is_none() {
            let close = facts.catalog.close_to(draft.uses.as_str()).join("`, `");
            let message = format!("no agent has `{}`; close are `{close}`", draft.uses);
            errors.push(Invalid::new(format!("/tasks/{index}/uses"), "unknown_capability", message));
        }
        task_checks::check(index, draft, known, &mut errors);
        may_add(index, draft, facts, &mut errors);
        secrets::check(index, draft, facts.secrets, &mut errors);
        sub_mission::check(index, draft, &mut errors);
        if let Some(known) = known {
            parameters::check(index, draft, known, &mut errors);
        }
        if let Some(graph) = &graph {
            let named = expressions::check(index, draft, graph, &mut errors);
            draws.push(place(index, draft, graph, facts, named, &mut errors));
        }
        if errors.len() >= MAX_ERRORS {
            errors.truncate(MAX_ERRORS);
            return Err(errors);
        }
    }
    let Some(graph) = graph.filter(|_| errors.is_empty()) else {
        return Err(errors);
    };
    Ok(resolve(request, facts, &graph, draws))
}

/// What a task may add is known, like what it uses itself.
fn may_add(index: usize, draft: &TaskDraft, facts: &PlanFacts<'_>, errors: &mut Vec<Invalid>) {
    for uses in draft.spawn.iter().flat_map(|envelope| &envelope.capabilities) {
        if facts.catalog.get(uses).is_none() {
            let message = format!("no agent has `{uses}`");
            errors.push(Invalid::new(
                format!("/tasks/{index}/spawn/capabilities"),
                "unknown_capability",
                message,
            ));
        }
    }
}

fn count(request: &PlanRequest<'_>) -> Result<(), Vec<Invalid>> {
    let found = request.drafts.len();
    let refuse = |code, message| Err(vec![Invalid::new("/tasks", code, message)]);
    if found == 0 {
        return refuse("no_tasks", "a plan needs at least one task".to_owned());
    }
    if found > MAX_TASKS {
        return refuse("too_many_tasks", format!("{found} tasks are more than {MAX_TASKS}"));
    }
    let budget = request.budget.tasks as usize;
    if found > budget {
        let message =
            format!("{found} tasks are more than the mission's budget of {budget}: raise `budget.tasks`");
        return refuse("budget_tasks", message);
    }
    Ok(())
}

/// Where a task lies in the plan and in the fleet.
struct Place {
    named: Named,
    selector: Selector,
    same_as: Option<u32>,
    /// Tasks whose artifacts it fetches.
    fetches: Vec<u32>,
}

fn place(
    index: usize,
    draft: &TaskDraft,
    graph: &Graph<'_>,
    facts: &PlanFacts<'_>,
    named: Named,
    errors: &mut Vec<Invalid>,
) -> Place {
    let at = u32::try_from(index).unwrap_or(u32::MAX);
    let mut refuse = |place: &str, code, message| {
        errors.push(Invalid::new(format!("/tasks/{index}/{place}"), code, message));
    };
    let mut selector = Selector { labels: draft.on.labels.clone(), agent: None, agents: None };
    if let Some(text) = &draft.on.agent {
        selector.agent = resolve_agent(text, facts.agents);
        if selector.agent.is_none() {
            let shown: String = text.chars().take(64).collect();
            refuse("on/agent", "unknown_agent", format!("no enrolled agent is called `{shown}`"));
        }
    }
    let same_as = draft.on.same_as.as_ref().and_then(|name| {
        let found = ancestor(graph, name.as_str(), at);
        found.map_err(|(code, message)| refuse("on/same_as", code, message)).ok()
    });
    let mut fetches = Vec::new();
    for (number, input) in draft.inputs.iter().enumerate() {
        if let Input::FromTask(from) = input {
            match ancestor(graph, from.task.as_str(), at) {
                Ok(task) => fetches.push(task),
                Err((code, message)) => refuse(&format!("inputs/{number}/task"), code, message),
            }
        }
    }
    Place { named, selector, same_as, fetches }
}

fn resolve(
    request: &PlanRequest<'_>,
    facts: &PlanFacts<'_>,
    graph: &Graph<'_>,
    places: Vec<Place>,
) -> BoundPlan {
    let declared: Vec<(&CapabilitySpec, Option<&(String, String)>)> = request
        .drafts
        .iter()
        .filter_map(|draft| facts.catalog.get(&draft.uses))
        .map(|known| (&known.spec, known.plugin.as_ref()))
        .collect();
    let mut specs: Vec<TaskSpec> = request
        .drafts
        .iter()
        .zip(&declared)
        .zip(&places)
        .map(|((draft, (declared, _)), place)| leaf(draft, declared, place))
        .collect();
    let depends_on: Vec<Vec<u32>> = graph
        .needs
        .iter()
        .zip(&places)
        .map(|(needs, place)| needs.iter().chain(&place.fetches).copied().collect())
        .collect();
    let ranked: Vec<Ranked<'_>> = specs
        .iter()
        .zip(&declared)
        .zip(depends_on.iter().zip(&places))
        .map(|((spec, (declared, _)), (depends_on, place))| Ranked {
            spec,
            declared,
            depends_on,
            selector: &place.selector,
            bound: Bound { bindings: facts.secrets, playbook: facts.playbook },
        })
        .collect();
    let mut assessment = assess(&ranked, &graph.order, request.requested);
    drop(ranked);
    let mut places = places;
    let selectors = places.iter_mut().map(|place| &mut place.selector);
    machines::name(&mut specs, selectors, &mut assessment, facts.fleet);
    for (((spec, draft), risk), (declared, _)) in
        specs.iter_mut().zip(request.drafts).zip(&assessment.tasks).zip(&declared)
    {
        by_rank(spec, draft, declared, risk.rank);
    }
    let mut plugins = BTreeMap::new();
    let mut tasks = Vec::with_capacity(specs.len());
    for ((((spec, risk), place), (_, plugin)), needs) in
        specs.into_iter().zip(&assessment.tasks).zip(places).zip(&declared).zip(&graph.needs)
    {
        if let Some((name, version)) = plugin {
            plugins.insert(name.clone(), version.clone());
        }
        let mut reads = place.named.reads.clone();
        reads.extend(&place.fetches);
        reads.sort_unstable();
        reads.dedup();
        tasks.push(BoundTask {
            spec,
            rank: risk.rank,
            requires_approval: risk.requires_approval,
            selector: place.selector,
            needs: needs.clone(),
            same_as: place.same_as,
            plugin: plugin.map(|(_, version)| version.clone()),
            open: place.named.open,
            reads,
            condition: place.named.condition(),
        });
    }
    BoundPlan { tasks, plugins, assessment }
}

/// The leaf with every default that does not hang on the rank.
fn leaf(draft: &TaskDraft, declared: &CapabilitySpec, place: &Place) -> TaskSpec {
    let retry = draft.retry.clone().unwrap_or_default();
    let RetryDraft { max, backoff, jitter, on } = retry;
    let mut on_agent = draft.on.clone();
    on_agent.agents.clear();
    if let Some(agent) = place.selector.agent {
        // A name could be given to another machine later; an id never is.
        on_agent.agent = Some(agent.to_string());
    }
    let profile = declared.sandbox.unwrap_or_default();
    TaskSpec {
        id: draft.id.clone(),
        uses: draft.uses.clone(),
        with: draft.with.clone(),
        needs: draft.needs.clone(),
        condition: draft.condition.clone(),
        for_each: draft.for_each.clone(),
        on: on_agent,
        timeout: draft.timeout.unwrap_or(DEFAULT_TIMEOUT),
        retry: Retry {
            max: max.unwrap_or(0),
            backoff: backoff.unwrap_or(DEFAULT_BACKOFF),
            jitter: jitter.unwrap_or(DEFAULT_JITTER),
            on: on.unwrap_or_default(),
        },
        idempotent: false,
        offline: Span::default(),
        sandbox: draft.sandbox.clone().unwrap_or(Sandbox { profile, ..Sandbox::default() }),
        secrets: draft.secrets.clone(),
        inputs: draft.inputs.clone(),
        artifacts: draft.artifacts.clone(),
        verify: draft.verify.clone(),
        effects: Effects::union(draft.effects, declared.effects),
        limits: draft.limits.clone(),
        accept: draft.accept.clone(),
        spawn: draft.spawn.clone(),
    }
}

/// The defaults that hang on the rank.
fn by_rank(spec: &mut TaskSpec, draft: &TaskDraft, declared: &CapabilitySpec, rank: Rank) {
    spec.idempotent = draft.idempotent.or(declared.idempotent).unwrap_or(rank <= Rank::D);
    spec.offline = match draft.offline {
        _ if spec.idempotent => Span::default(),
        Some(offline) => offline,
        None => Span(lease::default_offline(rank)),
    };
}
