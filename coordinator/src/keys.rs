//! The keys this organism lives by: they lie wrapped in the database and open only under the master key.

mod keyring;
mod master;

pub use keyring::{Keyring, KeyringError, check};
pub use master::{MasterKey, MasterKeyError, MasterKeySources};
