//! The keys this organism lives by: they lie wrapped in the database and open only under the master key.

mod authorities;
pub mod envelope;
mod keyring;
mod master;
mod rotate;
mod vapid;

pub use authorities::{Authorities, InForce};
pub use keyring::{Keyring, KeyringError, check};
pub use master::{MasterKey, MasterKeyError, MasterKeySources};
pub use rotate::{Rotated, rotate};
pub use vapid::VapidKey;
