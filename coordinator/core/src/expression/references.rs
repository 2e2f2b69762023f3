//! What an expression names, found without evaluating it.

use std::collections::BTreeSet;

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
    pub(super) fn of(tree: &cel::IdedExpr) -> Self {
        let _ = tree;
        todo!()
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
}
