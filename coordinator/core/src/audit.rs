//! The audit log as a file that anybody can check: how an export is written, and what is checked of one without a
//! database and without a network.
//!
//! An export is lines of JSON: a header, then entries in order, each checkpoint (a signed note) right after the last entry
//! it covers, cosignatures after their checkpoint, and an end. An entry's leaf in the tree (RFC 9162) is the SHA-256 of
//! its canonical form. Beside it stands a running hash, `chain`: it proves nothing, since whoever can write the file can
//! write it too, but it names the very entry where a careless hand was at work; the signed roots do the proving.
//! Beside an entry, outside its leaf, stands what opens the words it sealed (`words`), as far as that was not erased.

mod bad;
mod export;
mod line;
mod meaning;
mod question;
#[cfg(any(test, feature = "testing"))]
pub mod sample;
#[cfg(any(test, feature = "testing"))]
pub mod tamper;
mod verify;
mod words;

pub use bad::Bad;
pub use export::{Exporter, Header};
pub use question::MOST_SETS;
pub use verify::{Known, Trusted, UnusableTrust, Verified, Verifier};
pub use words::{Openings, Unsealed, is_sealed, seal, unseal};

#[cfg(test)]
mod tests;
