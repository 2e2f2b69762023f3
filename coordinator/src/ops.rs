//! What is done to a coordinator's data as a whole, by whoever has its host: backup, restore, moving to another
//! database.

mod backup;
mod bytes;
mod error;
mod manifest;
mod migrate;
mod operator_key;
mod restore;

pub use backup::{Backup, backup};
pub use error::OpsError;
pub use manifest::Manifest;
pub use migrate::{Migration, migrate};
pub use operator_key::rotate_operator_key;
pub use restore::{Restored, restore};

use crate::blobs::BlobsConfig;

/// A database and the bytes its rows refer to.
#[derive(Debug, Clone)]
pub struct Place {
    pub database_url: String,
    pub blobs: BlobsConfig,
}

/// What is told while it goes on: a line for a person.
pub type Tell<'a> = &'a (dyn Fn(&str) + Sync);
