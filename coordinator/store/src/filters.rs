//! Filters that people keep under a name.

use std::collections::BTreeMap;

use nexusmon_shared::id::{FilterId, PrincipalId};
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{Json, args, record, words};
use crate::transaction::Tx;

words! {
    /// What is filtered.
    pub enum FilteredList {
        Missions = "missions",
        Audit = "audit",
        Artifacts = "artifacts",
    }
}

record! {
    pub struct FilterRow {
        pub id: FilterId,
        pub principal: PrincipalId,
        pub list: FilteredList,
        pub name: String,
        /// By parameter.
        pub query: Json<BTreeMap<String, String>>,
        pub created_at: Timestamp,
        pub version: i64,
    }
}

impl Connection {
    /// Those of one person, by list and name.
    pub async fn filters_of(&mut self, principal: PrincipalId) -> Result<Vec<FilterRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM saved_filters WHERE principal = $1 ORDER BY list, name", FilterRow),
            args![principal],
        )
        .await
    }
}

impl Tx {
    /// Adds a filter; a name its person has for that list already is `Unique`.
    pub async fn insert_filter(&mut self, row: &FilterRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("saved_filters", FilterRow), std::slice::from_ref(row), args![])
            .await
            .map(drop)
    }

    /// Changes name and query; the version becomes the row's. False where it is gone or somebody else's.
    pub async fn update_filter(&mut self, row: &FilterRow) -> Result<bool, StoreError> {
        let sql = sql!(
            "UPDATE saved_filters SET name = $3, query = $4, version = $5 WHERE id = $1 AND principal = $2"
        );
        let FilterRow { id, principal, name, query, version, .. } = row;
        Ok(self.execute(sql, args![*id, *principal, name.clone(), query.clone(), *version]).await? == 1)
    }

    /// False where it is gone or somebody else's.
    pub async fn delete_filter(&mut self, principal: PrincipalId, id: FilterId) -> Result<bool, StoreError> {
        let sql = sql!("DELETE FROM saved_filters WHERE principal = $1 AND id = $2");
        Ok(self.execute(sql, args![principal, id]).await? == 1)
    }
}
