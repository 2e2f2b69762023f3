//! Secrets as they lie here, sealed; who was handed them; and what agents signed about artifacts.

use nexusmon_shared::id::{AgentId, PrincipalId, TaskId};
use nexusmon_shared::name::Name;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{Value, args, record};
use crate::transaction::Tx;

record! {
    pub struct SecretRow {
        pub name: Name,
        pub version: i64,
        /// Canonical JSON.
        pub binding: String,
        /// Base64; `None` once removed, like `sealed`.
        pub key_wrapped: Option<String>,
        pub sealed: Option<String>,
        pub masked: bool,
        pub changed_by: PrincipalId,
        pub created_at: Timestamp,
        pub changed_at: Timestamp,
    }

    /// A secret without anything of its value.
    pub struct SecretName {
        pub name: Name,
        pub version: i64,
        pub binding: String,
        pub masked: bool,
        pub changed_by: PrincipalId,
        pub created_at: Timestamp,
        pub changed_at: Timestamp,
    }

    pub struct DeliveryRow {
        pub name: Name,
        pub task: TaskId,
        pub fence_epoch: u32,
        pub fence_number: u64,
        pub version: i64,
        pub agent: AgentId,
        pub at: Timestamp,
    }

    /// An agent that was handed a secret, and which versions of it.
    pub struct Receiver {
        pub name: Name,
        pub agent: AgentId,
        /// The newest it was handed.
        pub version: i64,
        pub times: i64,
        pub last_at: Timestamp,
    }

    pub struct ProvenanceRow {
        pub task: TaskId,
        pub fence_epoch: u32,
        pub fence_number: u64,
        pub agent: AgentId,
        /// JSON.
        pub envelope: String,
        pub at: Timestamp,
    }
}

impl Connection {
    /// Those that have a value.
    pub async fn secret_names(&mut self) -> Result<Vec<SecretName>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM secrets WHERE sealed IS NOT NULL ORDER BY name", SecretName),
            args![],
        )
        .await
    }

    /// With its value, sealed; also one that was removed.
    pub async fn secret(&mut self, name: &Name) -> Result<Option<SecretRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM secrets WHERE name = $1", SecretRow),
            args![name.clone()],
        )
        .await
    }

    /// Everything that is sealed, for wrapping anew.
    pub async fn secrets(&mut self) -> Result<Vec<SecretRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM secrets WHERE sealed IS NOT NULL ORDER BY name", SecretRow),
            args![],
        )
        .await
    }

    /// Who was ever handed a secret: one, or all.
    pub async fn receivers(&mut self, name: Option<&Name>) -> Result<Vec<Receiver>, StoreError> {
        self.fetch(
            sql!(
                "SELECT name, agent, MAX(version) AS version, COUNT(*) AS times, MAX(at) AS last_at \
                 FROM secret_deliveries WHERE CAST($1 AS TEXT) IS NULL OR name = $1 \
                 GROUP BY name, agent ORDER BY name, agent"
            ),
            args![name.cloned()],
        )
        .await
    }

    /// Whether anything was handed over for this attempt.
    pub async fn was_delivered(&mut self, task: TaskId, epoch: u32, number: u64) -> Result<bool, StoreError> {
        let found: Option<Value<i64>> = self
            .fetch_optional(
                sql!(
                    "SELECT COUNT(*) AS value FROM secret_deliveries \
                     WHERE task = $1 AND fence_epoch = $2 AND fence_number = $3"
                ),
                args![task, epoch, number],
            )
            .await?;
        Ok(found.is_some_and(|count| count.0 > 0))
    }

    pub async fn provenance(
        &mut self,
        task: TaskId,
        epoch: u32,
        number: u64,
    ) -> Result<Option<ProvenanceRow>, StoreError> {
        self.fetch_optional(
            sql!(
                "SELECT [columns] FROM provenances WHERE task = $1 AND fence_epoch = $2 AND fence_number = $3",
                ProvenanceRow
            ),
            args![task, epoch, number],
        )
        .await
    }
}

impl Tx {
    pub async fn put_secret(&mut self, row: &SecretRow) -> Result<(), StoreError> {
        let insert = insert!(
            "secrets",
            SecretRow,
            "ON CONFLICT (name) DO UPDATE SET version = excluded.version, binding = excluded.binding, \
             key_wrapped = excluded.key_wrapped, sealed = excluded.sealed, masked = excluded.masked, \
             changed_by = excluded.changed_by, changed_at = excluded.changed_at"
        );
        self.execute_batch(insert, std::slice::from_ref(row), args![]).await.map(drop)
    }

    /// Writes down what is about to be handed over; `Unique` where that was done under this fence before.
    pub async fn insert_deliveries(&mut self, rows: &[DeliveryRow]) -> Result<(), StoreError> {
        self.execute_batch(insert!("secret_deliveries", DeliveryRow), rows, args![]).await.map(drop)
    }

    pub async fn put_provenances(&mut self, rows: &[ProvenanceRow]) -> Result<(), StoreError> {
        let insert =
            insert!("provenances", ProvenanceRow, "ON CONFLICT (task, fence_epoch, fence_number) DO NOTHING");
        self.execute_batch(insert, rows, args![]).await.map(drop)
    }
}
