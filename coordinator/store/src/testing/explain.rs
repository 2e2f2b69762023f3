//! How SQLite runs statements: so that a test can refuse one that reads a whole table.

use sqlx::{AssertSqlSafe, Row as _};

use crate::connection::{Backend, Connection, bind_sqlite};
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

    pub(crate) async fn explain(&mut self, sql: &Sql, args: &[Arg]) -> Result<(), StoreError> {
        if self.plans.is_none() {
            return Ok(());
        }
        let Backend::Sqlite(connection) = self.link.backend() else { return Ok(()) };
        let text = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sql.sqlite));
        let steps = bind_sqlite(sqlx::query(text), args.to_vec()).fetch_all(connection).await;
        let steps = steps.map_err(|error| self.failed(error))?;
        if let Some(plans) = &mut self.plans {
            plans.push(format!("-- {}", sql.sqlite));
            plans.extend(steps.iter().filter_map(|row| row.try_get::<String, _>("detail").ok()));
        }
        Ok(())
    }
}
