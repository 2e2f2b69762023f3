//! Work that nobody asked for in particular: dispatch, timers, retention, the ledger, certificates.
//!
//! Each is an idempotent activation without input: run when woken, on demand and at the latest after its period; what
//! it missed while the process was down it finds in the database. Activations know nothing of each other.

mod activations;
mod driver;
#[cfg(test)]
mod tests;

pub use activations::standard;
pub use driver::{Activation, Background, Next, Status, UnknownActivation};
