//! Makes processes without copying this one: the child borrows this thread's memory until it has become another program,
//! as with `posix_spawn`. That, however, lets nothing of ours run in the child; here the child confines itself before it
//! is anything else, so that a confinement of its own costs no thread.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::Pid;

use super::protocol::Limits;

/// Far more than the few calls between birth and exec need.
const STACK: usize = 64 * 1024;

/// What a process is to be. Its streams become 0, 1 and 2.
pub(crate) struct Image<'a> {
    pub(crate) program: &'a str,
    pub(crate) arguments: &'a [String],
    pub(crate) environment: &'a BTreeMap<String, String>,
    pub(crate) cwd: &'a str,
    pub(crate) streams: [BorrowedFd<'a>; 3],
    /// Left open under their own numbers; everything else here is closed on exec.
    pub(crate) inherited: &'a [BorrowedFd<'a>],
    /// A Landlock ruleset to be confined by. It takes what makes root powerful along, and root itself where it can.
    pub(crate) ruleset: Option<BorrowedFd<'a>>,
    pub(crate) limits: Option<Limits>,
}

/// Room for one child at a time.
pub(crate) struct Cradle {
    stack: Box<[MaybeUninit<u128>]>,
}

/// What the child reads, all of it made before it exists.
struct Orders {
    program: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    cwd: *const c_char,
    streams: [c_int; 3],
    inherited: *const c_int,
    inherited_count: usize,
    ruleset: c_int,
    limits: [(c_int, libc::rlimit); 3],
    limit_count: usize,
    is_root: bool,
    /// The error that kept it from becoming the program.
    trouble: AtomicI32,
}

impl Cradle {
    pub(crate) fn new() -> Self {
        Self { stack: Box::new_uninit_slice(STACK / size_of::<u128>()) }
    }

    /// A new process in a group of its own, with a descriptor that becomes readable when it ends. Errors are those of
    /// the kernel, exec's included.
    pub(crate) fn bear(&mut self, image: &Image<'_>) -> io::Result<(Pid, OwnedFd)> {
        if !image.program.contains('/') {
            // exec would look for it in the working directory.
            return Err(io::ErrorKind::NotFound.into());
        }
        let program = CString::new(image.program)?;
        let cwd = CString::new(image.cwd)?;
        let arguments = image.arguments.iter().map(|argument| CString::new(argument.as_str()));
        let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        let environment =
            image.environment.iter().map(|(name, value)| CString::new(format!("{name}={value}")));
        let environment = environment.collect::<Result<Vec<_>, _>>()?;
        let argument_list = list([&program].into_iter().chain(&arguments));
        let environment_list = list(&environment);
        let inherited: Vec<c_int> = image.inherited.iter().map(AsRawFd::as_raw_fd).collect();
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        let orders = Orders {
            program: program.as_ptr(),
            arguments: argument_list.as_ptr(),
            environment: environment_list.as_ptr(),
            cwd: cwd.as_ptr(),
            streams: image.streams.map(|stream| stream.as_raw_fd()),
            inherited: inherited.as_ptr(),
            inherited_count: inherited.len(),
            ruleset: image.ruleset.map_or(-1, |ruleset| ruleset.as_raw_fd()),
            limits: image.limits.map_or([(0, none); 3], resource_limits),
            limit_count: if image.limits.is_some() { 3 } else { 0 },
            is_root: rustix::process::geteuid().is_root(),
            trouble: AtomicI32::new(0),
        };
        let (pid, handle) = self.clone_with(&orders)?;
        match orders.trouble.load(Ordering::Acquire) {
            0 => Ok((pid, handle)),
            error => {
                let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
                Err(io::Error::from_raw_os_error(error))
            }
        }
    }

    fn clone_with(&mut self, orders: &Orders) -> io::Result<(Pid, OwnedFd)> {
        let top = self.stack.as_mut_ptr_range().end;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
        let mut handle: c_int = -1;
        let argument = std::ptr::from_ref(orders).cast_mut().cast::<c_void>();
        #[expect(unsafe_code, reason = "no safe call makes a process that shares memory until exec")]
        // SAFETY: the stack is this cradle's own, aligned, and used by nobody else: this thread sleeps in the call until
        // the child has executed or exited (CLONE_VFORK). `become_program` reads only what `orders` points to, all of
        // which outlives the call, and makes only async-signal-safe calls. The kernel writes one descriptor to `handle`.
        let pid = unsafe {
            libc::clone(become_program, top.cast(), flags, argument, std::ptr::from_mut(&mut handle))
        };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        #[expect(unsafe_code, reason = "the kernel hands out a bare number")]
        // SAFETY: with CLONE_PIDFD a successful clone has put a new descriptor there that nobody else owns.
        let handle = unsafe { OwnedFd::from_raw_fd(handle) };
        let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::other("a pid out of range"))?;
        Ok((pid, handle))
    }
}

fn list<'a>(texts: impl IntoIterator<Item = &'a CString>) -> Vec<*const c_char> {
    texts.into_iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
}

/// The child's whole life in this program.
extern "C" fn become_program(orders: *mut c_void) -> c_int {
    #[expect(unsafe_code, reason = "the C calling convention passes an address")]
    // SAFETY: `clone_with` passes its orders, which live until this child has executed or exited.
    let orders = unsafe { &*orders.cast::<Orders>() };
    orders.trouble.store(transform(orders).raw_os_error().unwrap_or(libc::EIO), Ordering::Release);
    #[expect(unsafe_code, reason = "leaves without running anything of the parent's")]
    // SAFETY: ends only this child.
    unsafe {
        libc::_exit(127)
    }
}

/// Comes back only with what went wrong.
fn transform(orders: &Orders) -> io::Error {
    #[expect(unsafe_code, reason = "between birth and exec only bare system calls are allowed")]
    // SAFETY: plain system calls on descriptors and on texts that end with a zero, prepared by the parent, which sleeps.
    // Signal actions, mask, descriptors, credentials and working folder are the child's own (no CLONE_SIGHAND,
    // CLONE_FILES, CLONE_FS). Nothing here allocates, locks or panics.
    unsafe {
        // What Rust's start-up ignored is not to be ignored by programs that expect it.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
        if libc::setpgid(0, 0) != 0 || libc::chdir(orders.cwd) != 0 {
            return io::Error::last_os_error();
        }
        for (target, stream) in (0..).zip(orders.streams) {
            if libc::dup2(stream, target) < 0 {
                return io::Error::last_os_error();
            }
        }
        let mut next = 0;
        while next < orders.inherited_count {
            if libc::fcntl(*orders.inherited.add(next), libc::F_SETFD, 0) != 0 {
                return io::Error::last_os_error();
            }
            next += 1;
        }
        // When memory is short the kernel ends a task, not the agent. Raising needs no right; where it fails nothing is lost.
        let badness = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if badness >= 0 {
            libc::write(badness, c"500".as_ptr().cast(), 3);
            libc::close(badness);
        }
        if orders.ruleset >= 0 {
            if orders.is_root && !surrender() {
                return io::Error::last_os_error();
            }
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::syscall(libc::SYS_landlock_restrict_self, orders.ruleset, 0) != 0
            {
                return io::Error::last_os_error();
            }
        }
        // After the user has changed: who becomes one that has its bound in processes would not be let execute.
        let limits = orders.limits.as_ptr();
        let mut next = 0;
        while next < orders.limit_count {
            let (resource, limit) = &*limits.add(next);
            if libc::syscall(libc::SYS_prlimit64, 0, *resource, limit, std::ptr::null::<libc::rlimit>()) != 0
            {
                return io::Error::last_os_error();
            }
            next += 1;
        }
        libc::execve(orders.program, orders.arguments, orders.environment);
    }
    io::Error::last_os_error()
}

/// The kernel counts all processes of a user, and where the agent is not root its user may have others.
const OTHERS: u64 = 4096;

/// A limit never rises above what this process has itself.
fn resource_limits(limits: Limits) -> [(c_int, libc::rlimit); 3] {
    use rustix::process::{Resource, getrlimit};
    let most = |wanted: u64, resource| getrlimit(resource).maximum.map_or(wanted, |most| most.min(wanted));
    // Above what a tree may have, so that one that grows for ever is noticed and ended rather than held at the edge.
    let others = if rustix::process::geteuid().is_root() { limits.processes } else { OTHERS };
    let processes = limits.processes.saturating_add(others);
    let both = |value| libc::rlimit { rlim_cur: value, rlim_max: value };
    let number = |resource| c_int::try_from(resource).expect("resources have small numbers");
    [
        (number(libc::RLIMIT_NPROC), both(most(processes, Resource::Nproc))),
        (number(libc::RLIMIT_DATA), both(most(limits.memory, Resource::Data))),
        (number(libc::RLIMIT_FSIZE), both(most(limits.file, Resource::Fsize))),
    ]
}

/// Who root's tasks are: an owner of nothing.
pub(super) const NOBODY: u32 = 65_534;
const CAP_DAC_OVERRIDE: c_int = 1;
/// `SECBIT_NOROOT`, `SECBIT_NO_SETUID_FIXUP`, both locked, and `SECBIT_KEEP_CAPS` locked off.
const NO_ROOT_LOCKED: libc::c_ulong = 0x2f;

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: c_int,
}

/// Root becomes nobody, who may open whatever the ruleset shows and do nothing else root may: the mode and owner of files,
/// signals, the network and the machine are not Landlock's to guard. Where the user cannot be changed (a container that
/// has only root), what made root powerful goes all the same.
#[expect(unsafe_code, reason = "between birth and exec only bare system calls are allowed")]
// SAFETY: plain system calls with constant arguments and structures on this stack; nothing allocates, locks or panics.
// The raw calls change this child's only thread.
unsafe fn surrender() -> bool {
    unsafe {
        libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0);
        // The bare calls: those of a C library speak to all threads of this memory.
        let _ = libc::syscall(libc::SYS_setgroups, 0, 0) == 0
            && libc::syscall(libc::SYS_setresgid, NOBODY, NOBODY, NOBODY) == 0
            && libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) == 0;
        // Who is still root regains nothing by executing a program.
        libc::prctl(libc::PR_SET_SECUREBITS, NO_ROOT_LOCKED, 0, 0, 0);
        let header = CapabilityHeader { version: 0x2008_0522, pid: 0 };
        let kept: u32 = 1 << CAP_DAC_OVERRIDE;
        let sets: [u32; 6] = [kept, kept, kept, 0, 0, 0];
        if libc::syscall(libc::SYS_capset, &raw const header, &raw const sets) != 0 {
            // A container may have taken even that one from root.
            let nothing = [0_u32; 6];
            return libc::syscall(libc::SYS_capset, &raw const header, &raw const nothing) == 0;
        }
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    fn run(program: &str, arguments: &[&str], cwd: &str) -> io::Result<(Pid, String)> {
        let null = std::fs::File::options().read(true).write(true).open("/dev/null").unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let environment = BTreeMap::from([("SAID".to_owned(), "hello".to_owned())]);
        let image = Image {
            program,
            arguments: &arguments,
            environment: &environment,
            cwd,
            streams: [null.as_fd(), writer.as_fd(), null.as_fd()],
            inherited: &[],
            ruleset: None,
            limits: None,
        };
        let (pid, handle) = Cradle::new().bear(&image)?;
        drop(writer);
        let mut said = String::new();
        io::BufReader::new(reader).read_to_string(&mut said).unwrap();
        let mut waiting = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut waiting, None).unwrap();
        let ended = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
        assert_eq!(ended.unwrap().1.exit_status(), Some(0));
        Ok((pid, said))
    }

    #[test]
    fn a_child_has_its_own_group_folder_environment_and_signals() {
        let script =
            "pwd; echo $SAID; cut -d ' ' -f 5 /proc/self/stat; grep SigIgn /proc/self/status | cut -f 2";
        let (pid, said) = run("/bin/sh", &["-c", script], "/usr").unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[..3], ["/usr", "hello", &pid.as_raw_nonzero().to_string()]);
        let ignored = u64::from_str_radix(lines[3], 16).unwrap();
        assert_eq!(ignored & (1 << (libc::SIGPIPE - 1)), 0, "Rust ignores it, programs do not expect that");
    }

    #[test]
    fn what_cannot_become_a_program_says_why_and_leaves_nothing() {
        for (program, cwd, kind) in [
            ("/nowhere/at/all", "/", io::ErrorKind::NotFound),
            ("/etc/passwd", "/", io::ErrorKind::PermissionDenied),
            ("/bin/true", "/nowhere", io::ErrorKind::NotFound),
            ("true", "/bin", io::ErrorKind::NotFound),
        ] {
            assert_eq!(run(program, &[], cwd).unwrap_err().kind(), kind, "{program} in {cwd}");
        }
    }
}
