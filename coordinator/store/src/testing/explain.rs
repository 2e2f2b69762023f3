//! How SQLite runs statements: so that a test can refuse one that reads a whole table.

use crate::connection::{Backend, Connection};
use crate::dialect::Sql;
use crate::error::StoreError;
use crate::record::Arg;

impl Connection {
    /// From now on, notes how SQLite runs each statement (`EXPLAIN QUERY PLAN`), before it runs.
    pub fn note_plans(&mut self) {
        self.plans = Some(Vec::new());
    }

    /// What was noted: a line per statement, then its steps.
    pub fn take_plans(&mut self) -> Vec<String> {
        self.plans.take().unwrap_or_default()
    }

    pub(crate) async fn explain(&mut self, sql: &Sql, _args: &[Arg]) -> Result<(), StoreError> {
        self.explain_single(&sql.sqlite).await
    }

    pub(crate) async fn explain_single(&mut self, text: &str) -> Result<(), StoreError> {
        if self.plans.is_none() {
            return Ok(());
        }
        let asked = format!("EXPLAIN QUERY PLAN {text}");
        let steps: Vec<String> = match self.link.backend() {
            Backend::Sqlite(connection) => {
                let mut statement = connection
                    .prepare(&asked)
                    .map_err(|error| StoreError::of_sqlite("explaining", error))?;
                let mut rows = statement.raw_query();
                let mut steps = Vec::new();
                while let Some(row) = rows.next().map_err(|error| StoreError::of_sqlite("explaining", error))? {
                    steps.push(row.get("detail").map_err(|error| StoreError::of_sqlite("explaining", error))?);
                }
                steps
            }
            Backend::Postgres(_) => return Ok(()),
        };
        if let Some(plans) = &mut self.plans {
            plans.push(format!("-- {text}"));
            plans.extend(steps);
        }
        Ok(())
    }
}
