//! The installation itself: its id, the epoch of its authority, what is halted, wrapped keys, settings.

use nexusmon_shared::id::OrganismId;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{args, record, words};
use crate::transaction::Tx;

words! {
    /// The kill switch.
    pub enum Halt {
        None = "none",
        /// Nothing new is granted.
        Halt = "halt",
        /// Running attempts are cancelled too.
        Stop = "stop",
    }
}

record! {
    pub struct Organism {
        pub id: OrganismId,
        /// Raised when a backup is restored: authority given before it is dead.
        pub epoch: u32,
        pub halt: Halt,
        pub created_at: Timestamp,
    }

    /// A private key, wrapped by the master key before it comes here; both parts are text of the caller's choice.
    pub struct KeyRow {
        pub name: String,
        pub wrapped: String,
        pub public: Option<String>,
        pub created_at: Timestamp,
    }

    pub struct SettingRow {
        pub name: String,
        /// JSON.
        pub value: String,
        pub updated_at: Timestamp,
        pub version: i64,
    }
}

impl Connection {
    pub async fn organism(&mut self) -> Result<Option<Organism>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM organism LIMIT 1", Organism), args![]).await
    }

    pub async fn key(&mut self, name: &str) -> Result<Option<KeyRow>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM keys WHERE name = $1", KeyRow), args![name]).await
    }

    pub async fn keys(&mut self) -> Result<Vec<KeyRow>, StoreError> {
        self.fetch(sql!("SELECT [columns] FROM keys ORDER BY name", KeyRow), args![]).await
    }

    pub async fn setting(&mut self, name: &str) -> Result<Option<SettingRow>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM settings WHERE name = $1", SettingRow), args![name])
            .await
    }
}

impl Tx {
    /// Until the end of this unit: two nodes starting on an empty database would both make what there is one of.
    pub async fn one_node_at_a_time(&mut self) -> Result<(), StoreError> {
        if self.is_postgres() {
            self.script("LOCK TABLE organism IN EXCLUSIVE MODE").await?;
        }
        Ok(())
    }

    /// Makes the organism unless it exists; gives the one that counts.
    pub async fn init_organism(&mut self, id: OrganismId, now: Timestamp) -> Result<Organism, StoreError> {
        self.one_node_at_a_time().await?;
        if let Some(organism) = self.organism().await? {
            return Ok(organism);
        }
        let organism = Organism { id, epoch: 1, halt: Halt::None, created_at: now };
        self.execute_batch(insert!("organism", Organism), std::slice::from_ref(&organism), args![]).await?;
        Ok(organism)
    }

    pub async fn raise_epoch(&mut self) -> Result<u32, StoreError> {
        let epoch = self
            .value(sql!("UPDATE organism SET epoch = epoch + 1 RETURNING epoch AS value"), args![])
            .await?;
        epoch.ok_or_else(|| StoreError::NotFound { entity: "organism", id: String::new() })
    }

    /// Waits for grants under way, and stops later ones.
    pub async fn set_halt(&mut self, halt: Halt) -> Result<(), StoreError> {
        self.execute(sql!("UPDATE organism SET halt = $1"), args![halt]).await.map(drop)
    }

    /// Keeps a key unless one of that name exists; gives the one that counts.
    pub async fn put_key_once(&mut self, row: &KeyRow) -> Result<KeyRow, StoreError> {
        let insert = insert!("keys", KeyRow, "ON CONFLICT (name) DO NOTHING");
        self.execute_batch(insert, std::slice::from_ref(row), args![]).await?;
        self.key(&row.name).await?.ok_or_else(|| StoreError::NotFound { entity: "key", id: row.name.clone() })
    }

    /// Puts a key in the place of the one of its name.
    pub async fn replace_key(&mut self, row: &KeyRow) -> Result<(), StoreError> {
        let insert = insert!(
            "keys",
            KeyRow,
            "ON CONFLICT (name) DO UPDATE SET wrapped = excluded.wrapped, public = excluded.public, created_at = excluded.created_at"
        );
        self.execute_batch(insert, std::slice::from_ref(row), args![]).await.map(drop)
    }

    pub async fn remove_key(&mut self, name: &str) -> Result<(), StoreError> {
        self.execute(sql!("DELETE FROM keys WHERE name = $1"), args![name]).await.map(drop)
    }

    /// Revokes every invite that nobody has used; gives how many.
    pub async fn void_invites(&mut self) -> Result<u64, StoreError> {
        let now = self.now();
        self.execute(
            sql!("UPDATE invites SET revoked_at = $1 WHERE used_at IS NULL AND revoked_at IS NULL"),
            args![now],
        )
        .await
    }

    pub async fn put_setting(&mut self, name: &str, value: &str, now: Timestamp) -> Result<(), StoreError> {
        self.execute(
            sql!(
                "INSERT INTO settings (name, value, updated_at, version) VALUES ($1, $2, $3, 1) \
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at, \
                 version = settings.version + 1"
            ),
            args![name, value, now],
        )
        .await
        .map(drop)
    }
}
