//! Secrets on their way to a process: each in memory that belongs to no file system, and gone with the last process that
//! holds it. The process finds them as files in the folder `NEXUSMON_SECRETS`.
//!
//! In a confinement with places of its own they are files of its own `tmpfs`; elsewhere they are links to descriptors
//! the process inherits, since every folder that it can see, others of its user can see as well.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, Mode, SealFlags, fchmod, fcntl_add_seals, memfd_create};

use crate::redact::{Place, Redactor};
use crate::run::{Collected, JobSecret};

/// What is kept of an artifact that holds a secret.
const NOTE: &[u8] =
    b"Withheld: a secret was found in this artifact. It never left the machine it was made on.\n";

/// A descriptor for each, read-only for good.
pub(super) fn descriptors(secrets: &[JobSecret]) -> io::Result<Vec<OwnedFd>> {
    let one = |secret: &JobSecret| {
        let held = memfd_create("nexusmon-secret", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut file = File::from(held);
        file.write_all(&secret.value)?;
        fchmod(&file, Mode::RUSR)?;
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
        Ok(OwnedFd::from(file))
    };
    secrets.iter().map(one).collect()
}

/// What finds them in what the process leaves behind.
pub(super) fn redactor(secrets: &[JobSecret]) -> Option<Redactor> {
    if secrets.is_empty() {
        return None;
    }
    Redactor::new(secrets.iter().map(|secret| secret.value.as_slice()))
}

/// Puts a note in the place of every artifact that holds a secret, by name or inside.
pub(super) fn withhold(redactor: &Redactor, collected: &mut [Collected]) -> io::Result<()> {
    use sha2::Digest as _;
    for (number, one) in collected.iter_mut().enumerate() {
        let named = redactor.finds(one.name.as_bytes());
        if named {
            one.name = format!("withheld-{number}");
        }
        if named || holds(redactor, &one.path)? {
            std::fs::remove_file(&one.path)?;
            std::fs::write(&one.path, NOTE)?;
            one.digest = nexusmon_shared::digest::Digest::from_bytes(sha2::Sha256::digest(NOTE).into());
            one.size = NOTE.len() as u64;
            "text/plain".clone_into(&mut one.media_type);
            one.withheld = true;
        }
    }
    Ok(())
}

fn holds(redactor: &Redactor, path: &std::path::Path) -> io::Result<bool> {
    use std::io::Read as _;
    let mut file = File::open(path)?;
    let mut block = vec![0_u8; 256 * 1024];
    let mut place = Place::default();
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(false);
        }
        if redactor.finds_piece(&block[..read], &mut place) {
            return Ok(true);
        }
    }
}
