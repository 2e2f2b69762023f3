//! The seccomp filters: a list of system calls no task needs and that would reach past its confinement.
//!
//! A deny list, because tasks are arbitrary programs; the namespaces and Landlock are what confines, this takes the
//! kernel's sharper edges away. Knows nothing of who is confined.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    sock_filter,
};

/// Denied whatever their arguments: other processes' memory, mounts, namespaces, kernel modules and keys, clocks,
/// machine state, raw devices, and the interfaces seccomp cannot look into.
const DENIED: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_process_madvise,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_lookup_dcookie,
    libc::SYS_memfd_secret,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
];

/// System V and POSIX queues have names of their own, which no Landlock ruleset speaks of: denied where the machine's
/// are in reach.
const SHARED_NAMES: &[i64] = &[
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
];

/// Time namespaces are absent: their flag lies in the byte that is the exit signal of `clone`.
const NEW_NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// Families a task may use; others (vsock, packet, kernel crypto) reach past a network namespace or are not needed.
const FAMILIES: [i32; 4] = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_UNIX];
/// Types of sockets that see or make other processes' packets.
/// `SOCK_RAW` and the old `SOCK_PACKET`.
const RAW: [i32; 2] = [libc::SOCK_RAW, 10];
const TYPE: u64 = 0xf;

/// What surrounds the process beside the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surroundings {
    /// Namespaces of its own: sockets and names lead nowhere.
    Namespaces,
    /// The machine's network. Sockets in the file system are closed to it, for Landlock does not guard them, and some
    /// (a container engine's) give the whole machine away.
    Network,
    /// No sockets at all.
    Lite,
}

/// Terminal requests that type into somebody else's shell.
const TYPING: [u64; 2] = [0x5412, 0x541c];

/// The filter.
pub(crate) fn filter(around: Surroundings) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = DENIED.iter().map(|call| (*call, vec![])).collect();
    if around != Surroundings::Namespaces {
        rules.extend(SHARED_NAMES.iter().map(|call| (*call, vec![])));
    }
    let is = |argument, op, value: u64| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value);
    let namespaces = NEW_NAMESPACES.iter().map(|flag| {
        let flag = u64::from(flag.cast_unsigned());
        SeccompRule::new(vec![is(0, SeccompCmpOp::MaskedEq(flag), flag)?])
    });
    rules.insert(libc::SYS_clone, namespaces.collect::<Result<_, _>>()?);
    let typing = TYPING.iter().map(|request| SeccompRule::new(vec![is(1, SeccompCmpOp::Eq, *request)?]));
    rules.insert(libc::SYS_ioctl, typing.collect::<Result<_, _>>()?);
    rules.insert(libc::SYS_socket, sockets(around)?);
    #[cfg(target_arch = "x86_64")]
    {
        // The x32 numbers of the same calls, for kernels that have that interface.
        let again: Vec<_> = rules.iter().map(|(call, rules)| (call | 0x4000_0000, rules.clone())).collect();
        rules.extend(again);
    }
    let architecture = std::env::consts::ARCH.try_into()?;
    let denied = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, denied, architecture)?.try_into()?;
    Ok(without_clone3(filter))
}

/// Sockets that are denied; an empty list denies all of them.
fn sockets(around: Surroundings) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let is = |argument, op, value: i32| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, u64::from(value.cast_unsigned()))
    };
    let families = match around {
        Surroundings::Lite => return Ok(Vec::new()),
        Surroundings::Network => &FAMILIES[..3],
        Surroundings::Namespaces => &FAMILIES[..],
    };
    let odd = families.iter().map(|family| is(0, SeccompCmpOp::Ne, *family)).collect::<Result<_, _>>()?;
    let mut rules = vec![SeccompRule::new(odd)?];
    for kind in RAW {
        for family in [libc::AF_INET, libc::AF_INET6] {
            let raw = is(1, SeccompCmpOp::MaskedEq(TYPE), kind)?;
            rules.push(SeccompRule::new(vec![is(0, SeccompCmpOp::Eq, family)?, raw])?);
        }
    }
    // Of netlink, what resolvers ask about addresses; not audit, firewalls or device events.
    let routes = is(2, SeccompCmpOp::Ne, libc::NETLINK_ROUTE)?;
    rules.push(SeccompRule::new(vec![is(0, SeccompCmpOp::Eq, libc::AF_NETLINK)?, routes])?);
    Ok(rules)
}

/// `clone3` keeps its flags in memory, where a filter cannot look; "no such call" makes C libraries use `clone`.
/// Its number is the same on every architecture, so this may stand before the check of that.
fn without_clone3(filter: BpfProgram) -> BpfProgram {
    let number = u32::try_from(libc::SYS_clone3).expect("system call numbers are small");
    let errno = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    let code = |bits: u32| u16::try_from(bits).expect("instruction codes are small");
    let load = code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS);
    let jump = code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
    let answer = code(libc::BPF_RET | libc::BPF_K);
    let mut program = vec![
        sock_filter { code: load, jt: 0, jf: 0, k: 0 },
        sock_filter { code: jump, jt: 0, jf: 1, k: number },
        sock_filter { code: answer, jt: 0, jf: 0, k: errno },
    ];
    program.extend(filter);
    program
}

/// The program as the kernel's `struct sock_filter` lies in memory, for bubblewrap to read.
pub(crate) fn bytes(program: &BpfProgram) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(program.len() * 8);
    for instruction in program {
        bytes.extend(instruction.code.to_ne_bytes());
        bytes.extend([instruction.jt, instruction.jf]);
        bytes.extend(instruction.k.to_ne_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_build_and_differ_by_surroundings() {
        let all = [Surroundings::Namespaces, Surroundings::Network, Surroundings::Lite];
        let programs = all.map(|around| filter(around).unwrap());
        for program in &programs {
            assert!(program.len() > 100 && program.len() < 4096, "{}", program.len());
            assert_eq!(bytes(program).len(), program.len() * 8);
        }
        assert!(programs[0] != programs[1] && programs[1] != programs[2]);
    }
}
