//! Sets of policies, a row each; the newest holds.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::sql;
use crate::error::StoreError;
use crate::page::{Filter, Page, PageRequest};
use crate::record::{args, record};
use crate::transaction::Tx;

record! {
    pub struct PolicySetRow {
        pub version: i64,
        pub digest: Digest,
        pub text: String,
        pub comment: String,
        pub by_principal: PrincipalId,
        pub at: Timestamp,
    }
}

impl Connection {
    pub async fn newest_policies(&mut self) -> Result<Option<PolicySetRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM policy_sets ORDER BY version DESC LIMIT 1", PolicySetRow),
            args![],
        )
        .await
    }

    pub async fn policies(&mut self, version: i64) -> Result<Option<PolicySetRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM policy_sets WHERE version = $1", PolicySetRow),
            args![version],
        )
        .await
    }

    /// Newest first.
    pub async fn policy_sets(&mut self, page: &PageRequest) -> Result<Page<PolicySetRow>, StoreError> {
        let mut list = Filter::over::<PolicySetRow>("policy_sets");
        list.newest_first_by_number("version", page)?;
        list.page(self, page, |row: &PolicySetRow| row.version.to_string()).await
    }
}

impl Tx {
    /// Puts a set in force; gives its version.
    pub async fn insert_policies(&mut self, row: &PolicySetRow) -> Result<i64, StoreError> {
        let version = self
            .value(
                sql!(
                    "INSERT INTO policy_sets (digest, text, comment, by_principal, at) \
                     VALUES ($1, $2, $3, $4, $5) RETURNING version AS value"
                ),
                args![row.digest, row.text, row.comment, row.by_principal, row.at],
            )
            .await?;
        version.ok_or_else(|| StoreError::NotFound { entity: "policy set", id: String::new() })
    }
}
