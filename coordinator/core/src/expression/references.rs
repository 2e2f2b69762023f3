//! What an expression names, found without evaluating it.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr, LiteralValue, operators};

use super::comprehension::Comprehension;

/// Names of an expression.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct References {
    /// Tasks named in any way: `tasks.x…`, `tasks["x"]…`.
    pub tasks: BTreeSet<String>,
    /// Tasks whose `state` is named.
    pub states: BTreeSet<String>,
    /// Top-level variables: `inputs`, `tasks`, `mission`, `item`, `index`, …
    pub variables: BTreeSet<String>,
    /// `tasks` is used other than by a fixed name, so any task may be meant.
    pub any_task: bool,
}

impl References {
    pub(super) fn of(tree: &IdedExpr) -> Self {
        let mut found = Self::default();
        found.walk(tree, &mut Vec::new());
        found
    }

    /// Whether an `if` with these names decides alone about failed needs.
    pub fn names_states(&self) -> bool {
        !self.states.is_empty()
    }

    /// Together with another's.
    pub fn merge(&mut self, other: Self) {
        self.tasks.extend(other.tasks);
        self.states.extend(other.states);
        self.variables.extend(other.variables);
        self.any_task |= other.any_task;
    }

    /// `bound` holds the comprehension variables in force.
    fn walk<'t>(&mut self, tree: &'t IdedExpr, bound: &mut Vec<&'t str>) {
        if let Some((task, field)) = task_path(tree, bound) {
            self.variables.insert("tasks".to_owned());
            self.tasks.insert(task.to_owned());
            if field == Some("state") {
                self.states.insert(task.to_owned());
            }
            return;
        }
        match &tree.expr {
            Expr::Ident(name) if bound.contains(&name.as_str()) => {}
            Expr::Ident(name) => {
                self.any_task |= name == "tasks";
                self.variables.insert(name.clone());
            }
            Expr::Select(select) => self.walk(&select.operand, bound),
            Expr::List(list) => list.elements.iter().for_each(|element| self.walk(element, bound)),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.walk(&entry.key, bound);
                        self.walk(&entry.value, bound);
                    }
                }
            }
            Expr::Call(call) => {
                call.target
                    .as_deref()
                    .into_iter()
                    .chain(&call.args)
                    .for_each(|inner| self.walk(inner, bound));
            }
            Expr::Comprehension(comprehension) => {
                let Some(found) = Comprehension::of(comprehension) else { return };
                self.walk(found.range, bound);
                bound.push(found.variable);
                found.filter.into_iter().chain(found.body).for_each(|inner| self.walk(inner, bound));
                bound.pop();
            }
            Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
        }
    }
}

/// `tasks.x`, `tasks["x"]` and a field beneath, wherever they begin a longer path.
fn task_path<'t>(tree: &'t IdedExpr, bound: &[&str]) -> Option<(&'t str, Option<&'t str>)> {
    let (operand, name) = step(tree)?;
    if is_tasks(operand, bound) {
        return Some((name, None));
    }
    let (inner, task) = step(operand)?;
    if is_tasks(inner, bound) {
        return Some((task, Some(name)));
    }
    // Deeper: `tasks.x.outputs.lines`.
    task_path(operand, bound)
}

fn step(tree: &IdedExpr) -> Option<(&IdedExpr, &str)> {
    match &tree.expr {
        Expr::Select(select) => Some((&select.operand, &select.field)),
        Expr::Call(call) if call.func_name == operators::INDEX && call.target.is_none() => {
            match call.args.as_slice() {
                [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] => {
                    Some((operand, name.inner()))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_tasks(tree: &IdedExpr, bound: &[&str]) -> bool {
    matches!(&tree.expr, Expr::Ident(name) if name == "tasks" && !bound.contains(&"tasks"))
}
