//! How the databases run statements: so that a test can refuse one that reads a whole table.

use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use crate::connection::{Backend, Connection, bind_postgres};
use crate::dialect::Sql;
use crate::error::StoreError;
use crate::record::Arg;

/// With the few rows of a test PostgreSQL would read whole tables, rightly; so it is asked what it would do instead.
const AS_IF_LARGE: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; \
                           SET enable_mergejoin = off; SET enable_material = off; SET enable_memoize = off";

impl Connection {
    /// From now on, notes how each statement is run, before it runs.
    pub fn note_plans(&mut self) {
        self.plans = Some(Vec::new());
    }

    /// What was noted: a line per statement (`-- …`), then its steps.
    pub fn take_plans(&mut self) -> Vec<String> {
        self.plans.take().unwrap_or_default()
    }

    pub(crate) async fn explain(&mut self, sql: &Sql, args: &[Arg]) -> Result<(), StoreError> {
        if self.plans.is_none() {
            return Ok(());
        }
        if !self.is_postgres() {
            return self.explain_single(&sql.sqlite).await;
        }
        let Backend::Postgres(connection) = self.link.backend() else { return Ok(()) };
        let asked = AssertSqlSafe(format!("EXPLAIN (COSTS OFF) {}", sql.postgres));
        let noted = async {
            connection.execute(sqlx::raw_sql(AS_IF_LARGE)).await?;
            let query = bind_postgres(sqlx::query(asked).persistent(false), args.to_vec());
            let rows = query.fetch_all(&mut *connection).await?;
            rows.iter().map(|row| row.try_get::<String, _>(0)).collect::<Result<Vec<_>, _>>()
        };
        let steps = noted.await.map_err(|error| self.failed(error))?;
        self.note(&sql.postgres, steps);
        Ok(())
    }

    pub(crate) async fn explain_single(&mut self, text: &str) -> Result<(), StoreError> {
        if self.plans.is_none() {
            return Ok(());
        }
        let Backend::Sqlite(connection) = self.link.backend() else { return Ok(()) };
        let noted = || {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}"))?;
            let mut rows = statement.raw_query();
            let mut steps = Vec::new();
            while let Some(row) = rows.next()? {
                steps.push(row.get("detail")?);
            }
            Ok::<Vec<String>, rusqlite::Error>(steps)
        };
        let steps = noted().map_err(|error| StoreError::of_sqlite("explaining", error))?;
        self.note(text, steps);
        Ok(())
    }

    fn note(&mut self, text: &str, steps: Vec<String>) {
        if let Some(plans) = &mut self.plans {
            plans.push(format!("-- {text}"));
            plans.extend(steps);
        }
    }
}
