//! What keeps the database small: how large it is, what of it nobody needs, and what would help.

mod postgres;
mod sqlite;

use crate::error::StoreError;
use crate::store::Store;

/// Bytes of the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// All of it, without the write-ahead log.
    pub database: u64,
    /// Of that, pages that hold nothing.
    pub free: u64,
    /// The write-ahead log; 0 on PostgreSQL, which bounds its own.
    pub log: u64,
}

/// What one round of tidying came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tidied {
    pub before: Sizes,
    pub after: Sizes,
    /// The write-ahead log stays beyond its limit although a checkpoint was forced: somebody reads an old state.
    pub held: bool,
}

/// Something about the database that a person should know, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// A table, a setting, a session.
    pub about: String,
    pub problem: String,
    pub remedy: String,
}

impl Store {
    pub async fn sizes(&self) -> Result<Sizes, StoreError> {
        if let Some(file) = self.sqlite_file() {
            return sqlite::sizes(&mut self.read().await?, file).await;
        }
        postgres::sizes(&mut self.read().await?).await
    }

    /// Gives free pages back to the system and bounds the write-ahead log. Idempotent; little at a time, so that others
    /// who write do not wait long.
    pub async fn tidy(&self) -> Result<Tidied, StoreError> {
        let Some(file) = self.sqlite_file() else {
            let sizes = self.sizes().await?;
            return Ok(Tidied { before: sizes, after: sizes, held: false });
        };
        sqlite::tidy(self, file, self.log_limit()).await
    }

    /// What is wrong with how the database is kept, if anything.
    pub async fn advice(&self) -> Result<Vec<Advice>, StoreError> {
        if let Some(file) = self.sqlite_file() {
            let mut read = self.read().await?;
            let sizes = sqlite::sizes(&mut read, file).await?;
            return sqlite::advice(&mut read, file, sizes, self.log_limit()).await;
        }
        postgres::advice(&mut self.read().await?).await
    }
}
