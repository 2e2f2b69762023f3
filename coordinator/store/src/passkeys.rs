//! What people log in with beside a key: passkeys, and who they are at an OpenID provider.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{args, record};
use crate::transaction::Tx;

record! {
    pub struct PasskeyRow {
        /// The credential's id, base64url.
        pub credential: String,
        /// As rosters and signatures name it.
        pub key: Digest,
        pub principal: PrincipalId,
        /// For people to tell theirs apart.
        pub name: String,
        /// Canonical JSON.
        pub passkey: String,
        pub counter: u64,
        pub created_at: Timestamp,
        pub last_used_at: Option<Timestamp>,
    }

    pub struct OutsideIdentityRow {
        pub issuer: String,
        pub subject: String,
        pub principal: PrincipalId,
        pub created_at: Timestamp,
    }

    struct AnsweredRow {
        pub challenge: Digest,
        pub expires_at: Timestamp,
    }
}

impl Connection {
    pub async fn passkey(&mut self, credential: &str) -> Result<Option<PasskeyRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM passkeys WHERE credential = $1", PasskeyRow),
            args![credential],
        )
        .await
    }

    /// Those of one person, in the order they were made.
    pub async fn passkeys_of(&mut self, principal: PrincipalId) -> Result<Vec<PasskeyRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM passkeys WHERE principal = $1 ORDER BY created_at, credential",
                PasskeyRow
            ),
            args![principal],
        )
        .await
    }

    pub async fn outside_identity(
        &mut self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<OutsideIdentityRow>, StoreError> {
        self.fetch_optional(
            sql!(
                "SELECT [columns] FROM outside_identities WHERE issuer = $1 AND subject = $2",
                OutsideIdentityRow
            ),
            args![issuer, subject],
        )
        .await
    }
}

impl Tx {
    /// Adds a passkey; a credential that is known already is `Unique`.
    pub async fn insert_passkey(&mut self, row: &PasskeyRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("passkeys", PasskeyRow), std::slice::from_ref(row), args![])
            .await
            .map(drop)
    }

    /// Notes a use. False where the passkey is gone, or has been seen with this counter or a higher one: then there are
    /// two of it. Counters that stay at 0 count nothing.
    pub async fn use_passkey(
        &mut self,
        credential: &str,
        counter: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = sql!(
            "UPDATE passkeys SET counter = $2, last_used_at = $3 WHERE credential = $1 \
             AND (counter < $2 OR (counter = 0 AND $2 = 0))"
        );
        Ok(self.execute(sql, args![credential, counter, now]).await? == 1)
    }

    /// Takes a passkey away from its person. False if they have none of this name.
    pub async fn delete_passkey(&mut self, principal: PrincipalId, key: Digest) -> Result<bool, StoreError> {
        let sql = sql!("DELETE FROM passkeys WHERE principal = $1 AND key = $2");
        Ok(self.execute(sql, args![principal, key]).await? > 0)
    }

    /// Keeps an answered challenge; one that was answered before is `Unique`.
    pub async fn answer_challenge(
        &mut self,
        challenge: Digest,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let row = AnsweredRow { challenge, expires_at };
        self.execute_batch(insert!("answered_challenges", AnsweredRow), &[row], args![]).await.map(drop)
    }

    /// Forgets challenges that nobody could answer any more.
    pub async fn delete_answered_challenges(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        self.execute(sql!("DELETE FROM answered_challenges WHERE expires_at < $1"), args![now]).await
    }

    pub async fn insert_outside_identity(&mut self, row: &OutsideIdentityRow) -> Result<(), StoreError> {
        self.execute_batch(
            insert!("outside_identities", OutsideIdentityRow),
            std::slice::from_ref(row),
            args![],
        )
        .await
        .map(drop)
    }
}
