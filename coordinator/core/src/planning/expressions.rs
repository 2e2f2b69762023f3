//! The expressions of a task: that they parse, and name only what they can see.

use nexusmon_shared::plan::TaskDraft;

use super::graph::{Ancestry, Graph};
use super::{Invalid, Parameters};
use crate::expression::{Expression, ExpressionError, References, Templates};
use crate::needs::Condition;

/// What a task's expressions name, and how its `if` takes part.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) reads: Vec<u32>,
    pub(super) open: bool,
    pub(super) decides_alone: bool,
    pub(super) has_condition: bool,
}

impl Named {
    pub(super) fn condition(&self) -> Condition {
        match (self.has_condition, self.decides_alone) {
            (false, _) => Condition::None,
            (true, false) => Condition::Asks,
            (true, true) => Condition::DecidesAlone,
        }
    }
}

const PLAN: &[&str] = &["inputs", "tasks", "mission"];
const CHILD: &[&str] = &["inputs", "tasks", "mission", "item", "index"];
const OUTCOME: &[&str] = &["outputs", "exit_code"];

/// Checks all expressions of the task at `index`.
pub(super) fn check(index: usize, draft: &TaskDraft, graph: &Graph<'_>, errors: &mut Vec<Invalid>) -> Named {
    let mut named = Named { has_condition: draft.condition.is_some(), ..Named::default() };
    let mut checker = Checker { index, graph, errors, reads: Vec::new() };
    if let Some(source) = &draft.condition
        && let Some(references) = checker.parse("if", source, PLAN)
    {
        named.decides_alone = references.names_states();
    }
    if let Some(for_each) = &draft.for_each {
        checker.parse("for_each/in", &for_each.list, PLAN);
    }
    if let Some(source) = &draft.verify {
        checker.parse("verify", source, OUTCOME);
    }
    let variables = if draft.for_each.is_some() { CHILD } else { PLAN };
    named.open = checker.templates(&draft.with, variables);
    named.reads = checker.reads;
    named.reads.sort_unstable();
    named.reads.dedup();
    named
}

struct Checker<'c, 'g> {
    index: usize,
    graph: &'c Graph<'g>,
    errors: &'c mut Vec<Invalid>,
    reads: Vec<u32>,
}

impl Checker<'_, '_> {
    fn push(&mut self, place: &str, code: &'static str, message: String) {
        self.errors.push(Invalid::new(format!("/tasks/{}/{place}", self.index), code, message));
    }

    fn parse(&mut self, place: &str, source: &str, variables: &[&str]) -> Option<References> {
        match Expression::parse(source) {
            Err(error) => {
                self.push(place, "bad_expression", said(&error));
                None
            }
            Ok(expression) => {
                let references = expression.references();
                self.references(place, &references, variables);
                Some(references)
            }
        }
    }

    fn templates(&mut self, with: &Parameters, variables: &[&str]) -> bool {
        match Templates::parse(with) {
            Err(errors) => {
                for (pointer, error) in errors {
                    self.push(&format!("with{pointer}"), "bad_expression", said(&error));
                }
                true
            }
            Ok(templates) => {
                for (pointer, expression) in &templates.found {
                    self.references(&format!("with{pointer}"), &expression.references(), variables);
                }
                !templates.is_empty()
            }
        }
    }

    fn references(&mut self, place: &str, references: &References, variables: &[&str]) {
        for name in &references.variables {
            if !variables.contains(&name.as_str()) {
                let known = variables.join("`, `");
                self.push(place, "unknown_name", format!("there is no `{name}` here; known are `{known}`"));
            }
        }
        if references.any_task && variables.contains(&"tasks") {
            let message = "name tasks one by one, as in `tasks.fetch.outputs`: which ones an expression reads must be known beforehand";
            self.push(place, "any_task", message.to_owned());
        }
        for name in references.tasks.iter().filter(|_| variables.contains(&"tasks")) {
            let at = u32::try_from(self.index).unwrap_or(u32::MAX);
            match ancestor(self.graph, name, at) {
                Ok(task) => self.reads.push(task),
                Err((code, message)) => self.push(place, code, message),
            }
        }
    }
}

/// The place of `name`, if it is among the ancestors of `task`.
pub(super) fn ancestor(graph: &Graph<'_>, name: &str, task: u32) -> Result<u32, (&'static str, String)> {
    let Some(place) = graph.place(name) else {
        let shown: String = name.chars().take(64).collect();
        return Err(("unknown_task", format!("there is no task `{shown}` in this plan")));
    };
    match graph.is_ancestor(place, task) {
        Ancestry::Yes => Ok(place),
        Ancestry::No if place == task => Err(("not_an_ancestor", format!("`{name}` is the task itself"))),
        Ancestry::No => Err((
            "not_an_ancestor",
            format!("`{name}` need not be over by then: add \"{name}\" to this task's `needs`"),
        )),
        Ancestry::Unknown => Err((
            "not_an_ancestor",
            format!(
                "`{name}` lies too far back in this plan to be found: add \"{name}\" to this task's `needs`"
            ),
        )),
    }
}

fn said(error: &ExpressionError) -> String {
    format!("not a usable CEL expression: {error}")
}
