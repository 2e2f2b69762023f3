//! Capability flags: what is switched off for the fleet, a label or one agent.

use nexusmon_shared::capability::Capability;
use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{args, record};
use crate::transaction::Tx;

record! {
    pub struct FlagRow {
        pub capability: Capability,
        /// `fleet`, `label:key=value`, or an agent's id.
        pub scope: String,
        pub disabled: bool,
        pub reason: Option<String>,
        pub by_principal: PrincipalId,
        pub at: Timestamp,
    }
}

impl Connection {
    pub async fn flags(&mut self) -> Result<Vec<FlagRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM capability_flags ORDER BY capability, scope", FlagRow),
            args![],
        )
        .await
    }
}

impl Tx {
    pub async fn put_flag(&mut self, row: &FlagRow) -> Result<(), StoreError> {
        let insert = insert!(
            "capability_flags",
            FlagRow,
            "ON CONFLICT (capability, scope) DO UPDATE SET disabled = excluded.disabled, \
             reason = excluded.reason, by_principal = excluded.by_principal, at = excluded.at"
        );
        self.execute_batch(insert, std::slice::from_ref(row), args![]).await.map(drop)
    }
}
