//! One task whose needs are over: what becomes of it. Pure; may take a while, since it evaluates expressions.

use nexusmon_core::expression::{Context, Expression, evaluate_with};
use nexusmon_core::needs::{self, Condition, Need};
use nexusmon_shared::expression::is_open;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::task::{SkipReason, TaskStatus};
use nexusmon_store::{Decision, MissionRow, Source};
use serde_json::{Map, Value};

/// The member under which the outputs of a `for_each` are kept: a list in index order.
pub(in crate::service) const LIST: &str = "";

/// What becomes of a task.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Not all needs are over.
    Wait,
    Skip(SkipReason),
    Fail(Cause),
    /// Evaluated `with`, where it holds expressions.
    Ready(Option<String>),
    /// A `for_each`: each element with its evaluated `with`, or why that does not evaluate.
    Children(Vec<(Value, Result<Option<String>, Cause>)>),
}

/// Outputs as expressions see them: an object, or the list of a `for_each`.
pub(in crate::service) fn outputs_value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Object(mut fields))
            if fields.len() == 1 && fields.get(LIST).is_some_and(Value::is_array) =>
        {
            fields.remove(LIST).unwrap_or_default()
        }
        Ok(value) => value,
        Err(_) => Value::Null,
    }
}

fn need(source: &Source) -> Need {
    match (source.state, source.skip_reason) {
        (TaskStatus::Succeeded, _) => Need::Succeeded,
        (TaskStatus::Skipped, Some(SkipReason::Condition | SkipReason::Superseded)) => {
            Need::SkippedByCondition
        }
        (status, _) if status.is_terminal() => Need::Unmet,
        _ => Need::Open,
    }
}

/// What expressions of this mission see beside tasks.
pub(in crate::service) fn mission_context(mission: &MissionRow) -> Context {
    let mut about = Map::new();
    about.insert("id".to_owned(), mission.id.to_string().into());
    about.insert("goal".to_owned(), mission.goal.clone().into());
    about.insert("rank".to_owned(), mission.rank.letter().into());
    about.insert("priority".to_owned(), mission.priority.into());
    about.insert(
        "labels".to_owned(),
        Value::Object(
            mission.labels.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect(),
        ),
    );
    about.insert("metadata".to_owned(), serde_json::from_str(&mission.metadata).unwrap_or_default());
    about.insert("created_at".to_owned(), mission.created_at.to_string().into());
    Context::new(Map::new(), about)
}

/// Decides one task.
pub(super) fn decide(decision: &Decision, spec: &TaskSpec, mission: &MissionRow) -> Outcome {
    let mut context = mission_context(mission);
    // No expression can mean what was added later, whatever that calls itself.
    for source in decision.sources.iter().filter(|source| source.spawned_by.is_none()) {
        let outputs = source.outputs.as_deref().map(outputs_value);
        context.task(source.key.as_str(), source.state, outputs);
    }
    let condition = match &spec.condition {
        None => None,
        Some(source) => match Expression::parse(source) {
            Ok(expression) => Some(expression),
            Err(error) => return Outcome::Fail(bad("if", &error)),
        },
    };
    let kind = match &condition {
        None => Condition::None,
        Some(expression) if expression.references().names_states() => Condition::DecidesAlone,
        Some(_) => Condition::Asks,
    };
    let found = decision.sources.iter().filter(|source| source.needed).map(need);
    let mut decided = needs::decide(found, kind);
    if let (needs::Decision::Evaluate, Some(expression)) = (&decided, &condition) {
        decided = needs::by_condition(expression.condition(&context));
    }
    match decided {
        needs::Decision::Wait | needs::Decision::Evaluate => Outcome::Wait,
        needs::Decision::Skip(reason) => Outcome::Skip(reason),
        needs::Decision::Fail(cause) => Outcome::Fail(cause),
        needs::Decision::Ready => ready(spec, context),
    }
}

fn ready(spec: &TaskSpec, context: Context) -> Outcome {
    let open = spec.with.values().any(is_open);
    let Some(for_each) = &spec.for_each else {
        return match parameters(spec, &context, open) {
            Ok(parameters) => Outcome::Ready(parameters),
            Err(cause) => Outcome::Fail(cause),
        };
    };
    let most = usize::try_from(for_each.max).unwrap_or(usize::MAX);
    let list = Expression::parse(&for_each.list).and_then(|list| list.list(&context, most));
    let items = match list {
        Ok(items) => items,
        Err(error) => return Outcome::Fail(bad("for_each", &error)),
    };
    let mut context = context;
    let mut children = Vec::with_capacity(items.len());
    for (index, item) in (0_u32..).zip(items) {
        context.item(item.clone(), index);
        children.push((item, parameters(spec, &context, open)));
    }
    Outcome::Children(children)
}

fn parameters(spec: &TaskSpec, context: &Context, open: bool) -> Result<Option<String>, Cause> {
    if !open {
        return Ok(None);
    }
    evaluate_with(&spec.with, context)
        .map(|with| Some(Value::Object(with).to_string()))
        .map_err(|error| bad("with", &error))
}

fn bad(place: &str, error: &nexusmon_core::expression::ExpressionError) -> Cause {
    Cause::BadParameters { detail: format!("`{place}`: {error}") }
}

/// The evaluated `with` of a task that needs nothing; `None` where it holds no expression.
pub(in crate::service) fn root_parameters(
    spec: &TaskSpec,
    mission: &MissionRow,
) -> Result<Option<String>, Cause> {
    let open = spec.with.values().any(is_open);
    if open { parameters(spec, &mission_context(mission), true) } else { Ok(None) }
}
