//! The two things here that Rust cannot check: what a child inherits, and namespaces. Nothing else is unsafe.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::io::FdFlags;
use rustix::thread::UnshareFlags;

/// Lets the child of `command` have these descriptors under their own numbers; they stay closed for every other child.
pub(crate) fn inherit(command: &mut Command, descriptors: Vec<OwnedFd>) {
    let keep = move || {
        for descriptor in &descriptors {
            rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        Ok(())
    };
    #[expect(
        unsafe_code,
        reason = "runs between fork and exec, where only async-signal-safe calls are allowed"
    )]
    // SAFETY: the closure makes plain system calls on descriptors it owns; it neither allocates nor locks.
    unsafe {
        command.pre_exec(keep);
    }
}

/// Children of this process get a process table of their own, and mounts made here stay here.
pub(crate) fn unshare_processes() -> std::io::Result<()> {
    #[expect(unsafe_code, reason = "unsafe only for flags that split the descriptor table")]
    // SAFETY: the flags leave descriptors and memory shared as they are.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWPID | UnshareFlags::NEWNS)?;
    }
    Ok(())
}
