//! The keys this organism lives by: they lie wrapped in the database and open only under the master key.

pub mod envelope;
mod keyring;
mod master;
mod rotate;
mod vapid;

pub use keyring::{Keyring, KeyringError, check};
pub use master::{MasterKey, MasterKeyError, MasterKeySources};
pub use rotate::{Rotated, rotate};
pub use vapid::VapidKey;
