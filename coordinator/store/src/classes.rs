//! Demand classes: an interned canonical key per kind of demand, so that matching follows their number, not the tasks'.

use std::collections::BTreeSet;

use crate::connection::Connection;
use crate::dialect::sql;
use crate::error::StoreError;
use crate::record::{Arg, BadCell, Cell, Column, Kind, Value, args, record};
use crate::transaction::Tx;

/// A demand class by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ClassId(pub i64);

impl Column for ClassId {
    const KIND: Kind = Kind::Int;

    fn read(cell: Cell<'_>) -> Result<Self, BadCell> {
        i64::read(cell).map(Self)
    }

    fn write(&self, out: &mut String) {
        self.0.write(out);
    }

    fn arg(&self) -> Arg {
        Arg::Int(Some(self.0))
    }
}

record! {
    pub struct ClassRow {
        pub id: ClassId,
        /// Canonical JSON, as the caller made it.
        pub key: String,
    }
}

impl Connection {
    pub async fn classes(&mut self) -> Result<Vec<ClassRow>, StoreError> {
        self.fetch(sql!("SELECT [columns] FROM classes ORDER BY id", ClassRow), args![]).await
    }

    pub async fn classes_by_id(&mut self, ids: &[ClassId]) -> Result<Vec<ClassRow>, StoreError> {
        let sql = sql!("SELECT classes.* FROM [rows] JOIN classes ON classes.id = r.value", Value<ClassId>);
        self.fetch_by(sql, ids, args![]).await
    }

    /// Classes that have a ready task: one index step each, however many tasks are ready.
    pub async fn ready_classes(&mut self) -> Result<Vec<ClassId>, StoreError> {
        self.values(
            sql!(
                "WITH RECURSIVE step (class) AS (\
                 SELECT MIN(class) FROM tasks WHERE state = 'ready' AND NOT held \
                 UNION ALL SELECT (SELECT MIN(class) FROM tasks WHERE state = 'ready' AND NOT held \
                 AND class > step.class) FROM step WHERE step.class IS NOT NULL) \
                 SELECT class AS value FROM step WHERE class IS NOT NULL"
            ),
            args![],
        )
        .await
    }
}

impl Tx {
    /// Numbers for keys, made where they are new. Remember them only once this unit has committed.
    pub async fn intern_classes(&mut self, keys: &BTreeSet<String>) -> Result<Vec<ClassRow>, StoreError> {
        let keys: Vec<String> = keys.iter().cloned().collect();
        let read = sql!("SELECT classes.* FROM [rows] JOIN classes ON classes.key = r.value", Value<String>);
        let known: Vec<ClassRow> = self.fetch_by(read, &keys, args![]).await?;
        if known.len() == keys.len() {
            return Ok(known);
        }
        let insert = sql!(
            "INSERT INTO classes (key) SELECT value FROM [rows] WHERE true ORDER BY value ON CONFLICT (key) DO NOTHING",
            Value<String>
        );
        self.execute_by(insert, &keys, args![]).await?;
        self.fetch_by(read, &keys, args![]).await
    }
}
