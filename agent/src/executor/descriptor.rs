//! Namespaces, which Rust cannot check. Beside `birth.rs`, nothing else here is unsafe.

use rustix::thread::UnshareFlags;

/// Children of this process get a process table of their own, and mounts made here stay here.
pub(crate) fn unshare_processes() -> std::io::Result<()> {
    #[expect(unsafe_code, reason = "unsafe only for flags that split the descriptor table")]
    // SAFETY: the flags leave descriptors and memory shared as they are.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWPID | UnshareFlags::NEWNS)?;
    }
    Ok(())
}
