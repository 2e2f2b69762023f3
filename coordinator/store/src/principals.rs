//! Who acts: persons, tokens, the system itself; and their login sessions.

use nexusmon_shared::id::{PrincipalId, SessionId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::page::{Filter, Page, PageRequest};
use crate::record::{args, record, words};
use crate::transaction::Tx;

words! {
    pub enum PrincipalKind {
        Person = "person",
        Token = "token",
        System = "system",
    }

    pub enum Role {
        Owner = "owner",
        Operator = "operator",
        Approver = "approver",
        Viewer = "viewer",
        Service = "service",
    }

    pub enum LoginKind {
        /// An opaque id in a cookie, found by its hash.
        Browser = "browser",
        /// Access tokens that name this session.
        Bearer = "bearer",
    }
}

record! {
    pub struct PrincipalRow {
        pub id: PrincipalId,
        pub kind: PrincipalKind,
        pub name: String,
        pub role: Role,
        /// Argon2id of the key or password, or SHA-256 of an opaque token.
        pub secret_hash: Option<String>,
        pub rank_ceiling: Option<Rank>,
        pub created_by: Option<PrincipalId>,
        pub created_at: Timestamp,
        pub expires_at: Option<Timestamp>,
        pub revoked_at: Option<Timestamp>,
        pub version: i64,
    }

    pub struct LoginSessionRow {
        pub id: SessionId,
        pub principal: PrincipalId,
        pub kind: LoginKind,
        pub hash: Option<String>,
        /// What the caller calls itself; for lists only.
        pub client: Option<String>,
        pub created_at: Timestamp,
        pub last_seen_at: Timestamp,
        pub expires_at: Timestamp,
        pub revoked_at: Option<Timestamp>,
        /// When the person proved who they are, if not when it was opened.
        pub proved_at: Option<Timestamp>,
    }
}

impl Connection {
    pub async fn principal(&mut self, id: PrincipalId) -> Result<Option<PrincipalRow>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM principals WHERE id = $1", PrincipalRow), args![id])
            .await
    }

    pub async fn principal_named(&mut self, name: &str) -> Result<Option<PrincipalRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM principals WHERE name = $1", PrincipalRow),
            args![name],
        )
        .await
    }

    pub async fn principal_with_secret(&mut self, hash: &str) -> Result<Option<PrincipalRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM principals WHERE secret_hash = $1", PrincipalRow),
            args![hash],
        )
        .await
    }

    /// The owner: made once, at first start.
    pub async fn owner(&mut self) -> Result<Option<PrincipalRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM principals WHERE role = 'owner' ORDER BY id LIMIT 1", PrincipalRow),
            args![],
        )
        .await
    }

    pub async fn principal_list(&mut self, page: &PageRequest) -> Result<Page<PrincipalRow>, StoreError> {
        let mut list = Filter::over::<PrincipalRow>("principals");
        list.newest_first("id", page);
        list.page(self, page, |row: &PrincipalRow| row.id.to_string()).await
    }

    /// Persons who are not revoked and whose role is one of these.
    pub async fn persons_with(&mut self, roles: &[Role]) -> Result<Vec<PrincipalRow>, StoreError> {
        let mut list = Filter::over::<PrincipalRow>("principals");
        list.require("kind = 'person' AND revoked_at IS NULL");
        list.among("role", roles);
        list.order_by("id");
        list.fetch(self, 10_000).await
    }

    pub async fn login_session(&mut self, id: SessionId) -> Result<Option<LoginSessionRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM login_sessions WHERE id = $1", LoginSessionRow),
            args![id],
        )
        .await
    }

    pub async fn login_session_with(&mut self, hash: &str) -> Result<Option<LoginSessionRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM login_sessions WHERE hash = $1", LoginSessionRow),
            args![hash],
        )
        .await
    }
}

impl Tx {
    pub async fn insert_principal(&mut self, row: &PrincipalRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("principals", PrincipalRow), std::slice::from_ref(row), args![])
            .await
            .map(drop)
    }

    /// Changes a principal if its version is still `row.version`; the version grows.
    pub async fn update_principal(&mut self, row: &PrincipalRow) -> Result<(), StoreError> {
        let mut next = row.clone();
        next.version += 1;
        let sql = sql!(
            "UPDATE principals SET [set] FROM [rows] WHERE principals.id = r.id AND principals.version = r.version - 1",
            PrincipalRow
        );
        if self.execute_batch(sql, &[next], args![]).await? == 1 {
            return Ok(());
        }
        let version =
            self.value(sql!("SELECT version AS value FROM principals WHERE id = $1"), args![row.id]).await?;
        Err(StoreError::Conflict { entity: "principal", id: row.id.to_string(), version })
    }

    pub async fn insert_login_session(&mut self, row: &LoginSessionRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("login_sessions", LoginSessionRow), std::slice::from_ref(row), args![])
            .await
            .map(drop)
    }

    /// Notes that sessions were used; one batched write now and then.
    pub async fn touch_login_sessions(
        &mut self,
        ids: &[SessionId],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = sql!(
            "UPDATE login_sessions SET last_seen_at = $2 WHERE id IN (SELECT value FROM [rows])",
            crate::record::Value<SessionId>
        );
        self.execute_by(sql, ids, args![now]).await.map(drop)
    }

    /// Ends a session. False if it was over already.
    pub async fn revoke_login_session(&mut self, id: SessionId, now: Timestamp) -> Result<bool, StoreError> {
        let changed = self
            .execute(
                sql!("UPDATE login_sessions SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL"),
                args![id, now],
            )
            .await?;
        Ok(changed == 1)
    }

    /// Ends every session of a principal; how many there were.
    pub async fn revoke_login_sessions_of(
        &mut self,
        principal: PrincipalId,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let sql =
            sql!("UPDATE login_sessions SET revoked_at = $2 WHERE principal = $1 AND revoked_at IS NULL");
        self.execute(sql, args![principal, now]).await
    }

    /// Ends every session of a principal but one; how many there were.
    pub async fn revoke_other_login_sessions(
        &mut self,
        principal: PrincipalId,
        kept: Option<SessionId>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let sql = sql!(
            "UPDATE login_sessions SET revoked_at = $2 WHERE principal = $1 AND revoked_at IS NULL AND id <> $3"
        );
        let kept = kept.map(|id| id.to_string()).unwrap_or_default();
        self.execute(sql, args![principal, now, kept]).await
    }

    /// Forgets sessions that ended before `before`.
    pub async fn delete_login_sessions(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute(sql!("DELETE FROM login_sessions WHERE expires_at < $1"), args![before]).await
    }
}
