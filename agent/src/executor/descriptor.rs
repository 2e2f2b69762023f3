//! Namespaces and inherited descriptors, which Rust cannot check. Beside `birth.rs`, nothing else here is unsafe.

use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

use rustix::thread::UnshareFlags;

/// A descriptor this process was started with, named by its number. To be called once for each, before others are made.
pub(crate) fn inherited(number: RawFd) -> std::io::Result<OwnedFd> {
    if number <= 2 || !std::path::Path::new(&format!("/proc/self/fd/{number}")).exists() {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    #[expect(unsafe_code, reason = "a bare number is all that an argument can carry")]
    // SAFETY: it is open, was left open for this process, and nothing else in this process knows it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)?;
    Ok(descriptor)
}

/// Whatever the agent was started with beside its three streams stays here: none of it is a task's.
pub(crate) fn keep_from_children() {
    const FROM: libc::c_uint = 3;
    #[expect(unsafe_code, reason = "there is no safe call over all descriptors")]
    // SAFETY: sets a flag that is read at exec only; no descriptor is closed, made or changed otherwise.
    unsafe {
        libc::syscall(libc::SYS_close_range, FROM, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// Whoever has to end a crowd must come before it. Children are like any other; where the kernel refuses it, nothing is lost.
pub(crate) fn come_first() {
    let priority = libc::sched_param { sched_priority: 1 };
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    #[expect(unsafe_code, reason = "there is no safe call for a thread's scheduling")]
    // SAFETY: reads one structure that lives on this stack, and concerns this thread only.
    unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, 0, policy, std::ptr::from_ref(&priority));
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
