//! What is tried from inside of a sandbox. Each probe is a few lines of Python that raise where they are refused.

use nexusmon_shared::sandbox::Level::{self, L1, L2, L3, L3Lite};

/// One attempt to get out, or at something.
pub(crate) struct Probe {
    pub(crate) name: &'static str,
    pub(crate) code: &'static str,
    /// What a refusal may be; any error number if empty.
    pub(crate) refusals: &'static [&'static str],
    /// Whether it succeeds without a sandbox, on a machine where the test is root.
    pub(crate) control: bool,
    pub(crate) levels: &'static [Level],
}

const ALL: &[Level] = &[L1, L3Lite, L2, L3];
/// Where the network is open by design, nothing of it is to be kept away.
const CLOSED: &[Level] = &[L3Lite, L2, L3];
const PROXIED: &[Level] = &[L2];

const HIDDEN: &[&str] = &["EACCES", "ENOENT", "EPERM", "ENOTDIR", "EROFS", "EXDEV"];
const GONE: &[&str] = &["ESRCH", "EPERM", "EACCES", "ENOENT"];
const CALL: &[&str] = &["EPERM", "ENOSYS"];
const NET: &[&str] = &["EPERM", "ENETUNREACH", "ECONNREFUSED", "EHOSTUNREACH", "TIMEOUT", "EADDRNOTAVAIL"];
/// Of the gate itself: what it let through and nobody answered would be another number.
const PROXY: &[&str] = &["proxy 403", "proxy 400"];
const SMUGGLED: &[&str] = &["proxy 403", "proxy 400", "proxy 411"];
const ANY: &[&str] = &[];

macro_rules! probes {
    ($($levels:ident $refusals:ident $control:literal { $($name:ident: $code:literal)* })*) => {
        &[$($(Probe {
            name: stringify!($name), code: $code, refusals: $refusals, control: $control, levels: $levels,
        },)*)*]
    };
}

pub(crate) const PROBES: &[Probe] = probes! {
    // What is the agent's.
    ALL HIDDEN true {
        key_read: "read(W['key'])"
        key_append: "write(W['key'])"
        key_overwrite: "write(W['key'], 'r+b')"
        key_truncate: "os.truncate(W['key'], 4)"
        key_link: "os.link(W['key'], 'taken'); os.unlink('taken')"
        key_rename: "os.rename(W['key'], W['key'] + '.x'); os.rename(W['key'] + '.x', W['key'])"
        key_chmod: "os.chmod(W['key'], 0o600)"
        key_chown: "os.chown(W['key'], 0, 0)"
        key_times: "os.utime(W['key'], (0, 0))"
        key_folder_chmod: "os.chmod(os.path.dirname(W['key']), 0o700)"
        key_through_symlink: "os.path.lexists('link') or os.symlink(W['key'], 'link'); read('link')"
        key_folder_through_symlink: "os.path.lexists('folder') or os.symlink(os.path.dirname(W['key']), 'folder'); os.listdir('folder')"
        key_unlink: "os.unlink(W['spare'])"
        config_read: "read(W['config'])"
        config_write: "write(W['config'])"
        journal_read: "read(W['journal'])"
        journal_write: "write(W['journal'])"
        spool_list: "os.listdir(W['data'] + '/spool')"
        uploads_plant: "write(W['data'] + '/uploads/planted', 'wb')"
        data_list: "os.listdir(W['data'])"
        data_mkdir: "os.mkdir(W['data'] + '/made-by-a-task'); os.rmdir(W['data'] + '/made-by-a-task')"
        plugins_list: "os.listdir(W['plugins'])"
        plugin_plant: "write(W['plugins'] + '/plugin.toml')"
        other_workspace_list: "os.listdir(W['other'])"
        other_workspace_read: "read(W['other'] + '/theirs')"
        other_workspace_write: "write(W['other'] + '/theirs')"
        other_parameters_read: "read(W['other'] + '.params.json')"
        host_file_read: "read(W['host'])"
        host_file_write: "write(W['host'])"
        shadow_read: "read('/etc/shadow')"
        root_home_list: "os.listdir('/root')"
        system_write: "write('/usr/nexusmon-probe'); os.unlink('/usr/nexusmon-probe')"
        etc_write: "write('/etc/nexusmon-probe'); os.unlink('/etc/nexusmon-probe')"
        var_write: "write('/var/lib/nexusmon-probe'); os.unlink('/var/lib/nexusmon-probe')"
    }
    ALL HIDDEN false {
        own_parameters_write: "write(os.environ['NEXUSMON_PARAMS']) if W['level'] != 'l0' else refuse('EACCES')"
        inputs_write: "write(os.environ['NEXUSMON_INPUTS'] + '/planted')"
    }
    // Devices, memory of the machine, its switches.
    ALL HIDDEN true {
        shm_read: "read('/dev/shm/' + W['shm'])"
        shm_write: "write('/dev/shm/' + W['shm'], 'r+b')"
    }
    ALL HIDDEN false {
        disk_read: "read(W['disk'])"
        memory_device: "read('/dev/mem')"
        kernel_log_device: "os.close(os.open('/dev/kmsg', os.O_RDONLY))"
        fuse_device: "os.close(os.open('/dev/fuse', os.O_RDWR))"
        tun_device: "os.close(os.open('/dev/net/tun', os.O_RDWR))"
        kvm_device: "os.close(os.open('/dev/kvm', os.O_RDWR))"
        core_pattern: "os.close(os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY))"
        sysctl: "os.close(os.open('/proc/sys/kernel/randomize_va_space', os.O_WRONLY))"
        modprobe_path: "os.close(os.open('/proc/sys/kernel/modprobe', os.O_WRONLY))"
        interrupts: "os.close(os.open('/proc/irq/default_smp_affinity', os.O_WRONLY))"
        memory_overcommitted: "os.close(os.open('/proc/sys/vm/overcommit_memory', os.O_WRONLY))"
        forwarding: "os.close(os.open('/proc/sys/net/ipv4/ip_forward', os.O_WRONLY))"
        sysrq: "os.close(os.open('/proc/sysrq-trigger', os.O_WRONLY))"
        uevent_helper: "os.close(os.open('/sys/kernel/uevent_helper', os.O_WRONLY))"
        cgroup_write: "os.mkdir('/sys/fs/cgroup/nexusmon-probe')"
        cgroup_release_agent: "os.close(os.open('/sys/fs/cgroup/release_agent', os.O_WRONLY))"
        debugfs: "os.listdir('/sys/kernel/debug')"
        binfmt: "os.close(os.open('/proc/sys/fs/binfmt_misc/register', os.O_WRONLY))"
    }
    ALL ANY true {
        block_device_made: "os.mknod('block', stat.S_IFBLK | 0o600, os.makedev(7, 0)); os.unlink('block')"
        memory_device_made: "os.mknod('memory', stat.S_IFCHR | 0o600, os.makedev(1, 1)); os.unlink('memory')"
        group_changed: "os.setgroups([0])"
        user_changed: "os.setuid(12345)"
        terminal_typed_into: "fcntl.ioctl(os.openpty()[1], 0x5412, b'x')"
    }
    ALL ANY false {
        terminal_of_the_operator: "os.close(os.open('/dev/tty', os.O_RDWR))"
        console_typed_into: "fcntl.ioctl(os.openpty()[1], 0x541c, b'\\x0a')"
    }
    // Other processes.
    ALL GONE true {
        victim_environment: "read('/proc/%d/environ' % W['victim'])"
        victim_memory: "open('/proc/%d/mem' % W['victim'], 'rb').close()"
        victim_maps: "first_mapping(W['victim'])"
        victim_root: "os.listdir('/proc/%d/root' % W['victim'])"
        victim_folder: "os.listdir('/proc/%d/cwd' % W['victim'])"
        victim_descriptors: "os.readlink('/proc/%d/fd/0' % W['victim'])"
        victim_badness: "write('/proc/%d/oom_score_adj' % W['victim'], 'r+b') if W['level'] != 'l0' else None"
        agent_environment: "read('/proc/%d/environ' % W['agent'])"
        agent_memory: "open('/proc/%d/mem' % W['agent'], 'rb').close()"
        agent_key_through_proc: "read('/proc/%d/root' % W['agent'] + W['key'])"
        sibling_environment: "read('/proc/%d/environ' % W['sibling'])"
        sibling_memory: "open('/proc/%d/mem' % W['sibling'], 'rb').close()"
        sibling_descriptors: "os.readlink('/proc/%d/fd/0' % W['sibling'])"
        victim_signalled: "os.kill(W['victim'], signal.SIGCONT)"
        agent_signalled: "os.kill(W['agent'], signal.SIGCONT)"
        sibling_signalled: "os.kill(W['sibling'], signal.SIGCONT)"
        victim_signalled_by_handle: "call('pidfd_send_signal', os.pidfd_open(W['victim']), signal.SIGCONT, 0, 0)"
        victim_group_signalled: "os.killpg(os.getpgid(W['victim']), signal.SIGCONT)"
        victim_limited: "resource.prlimit(W['victim'], resource.RLIMIT_CORE, (0, 0))"
        victim_slowed: "os.setpriority(os.PRIO_PROCESS, W['victim'], 5)"
        victim_moved: "os.sched_setaffinity(W['victim'], {0})"
        victim_traced: "call('ptrace', 0x4206, W['victim'], 0, 0)"
        sibling_traced: "call('ptrace', 0x4206, W['sibling'], 0, 0)"
        victim_read: "o, l, r = vectors(first_mapping(W['victim'])); call('process_vm_readv', W['victim'], l, 1, r, 1, 0)"
        victim_written: "o, l, r = vectors(W['scratch']); call('process_vm_writev', W['victim'], l, 1, r, 1, 0) if W['level'] != 'l0' else None"
        victim_descriptor_taken: "call('pidfd_getfd', os.pidfd_open(W['victim']), 0, 0)"
        victim_compared: "call('kcmp', W['victim'], os.getpid(), 0, 0, 0)"
    }
    // System calls that no task needs.
    ALL CALL true {
        mounted: "call('mount', text('none'), text('.'), text('tmpfs'), 0, 0); call('umount2', text('.'), 2)"
        filesystem_opened: "call('fsopen', text('tmpfs'), 0)"
        tree_taken: "call('open_tree', -100, text('/'), 1)"
        changed_root: "os.chroot('.')"
        user_namespace: "call('unshare', 0x10000000)"
        mount_namespace: "call('unshare', 0x20000)"
        network_namespace: "call('unshare', 0x40000000)"
        namespace_entered: "call('setns', os.open('/proc/self/ns/uts', os.O_RDONLY), 0)"
        cloned_into_namespace: "call('clone', 0x10000000 | 17, 0, 0, 0, 0) or os._exit(0)"
        bpf_map: "a = ctypes.create_string_buffer(struct.pack('IIII', 2, 4, 4, 1), 128); call('bpf', 0, a, 128)"
        ring: "call('io_uring_setup', 4, ctypes.create_string_buffer(120))"
        keyring: "call('keyctl', 0, -3, 1)"
        key_added: "call('add_key', text('user'), text('nexusmon-probe'), text('x'), 1, -1)"
        kernel_log: "call('syslog', 10, 0, 0)"
        file_watch_of_all: "call('fanotify_init', 0, 0)"
        handle_of_a_file: "b = ctypes.create_string_buffer(struct.pack('Ii', 128, 0), 256); m = ctypes.c_int(); call('name_to_handle_at', -100, text('.'), b, ctypes.byref(m), 0)"
        page_faults: "call('userfaultfd', 0)"
    }
    ALL CALL false {
        cloned_unseen: "a = ctypes.create_string_buffer(struct.pack('Q', 0x10000000) + b'\\0' * 24 + struct.pack('Q', 17), 88); call('clone3', a, 88) or os._exit(0)"
        performance_counters: "a = ctypes.create_string_buffer(struct.pack('IIQ', 1, 112, 0), 112); call('perf_event_open', a, W['victim'], -1, -1, 0)"
        module_loaded: "call('init_module', text('x'), 1, text(''))"
        kernel_replaced: "call('kexec_load', 0, 0, 0, 0)"
        machine_restarted: "call('reboot', 0, 0, 0, 0)"
        clock_set: "call('clock_settime', 0, 0)"
        clock_adjusted: "call('adjtimex', ctypes.create_string_buffer(struct.pack('I', 1), 256))"
        host_renamed: "call('sethostname', text('x'), 70000)"
        accounting: "call('acct', text('/nowhere'))"
        swap: "call('swapon', text('/nowhere'), 0)"
        ports: "call('iopl', 3) if X86 else refuse('EPERM')"
        root_pivoted: "call('pivot_root', text('.'), text('.'))"
        hung_up: "call('vhangup')"
        handle_opened: "call('open_by_handle_at', -100, ctypes.create_string_buffer(256), 0)"
        secret_memory: "call('memfd_secret', 0)"
        other_numbering: "call(0x40000000 | 101, 0x4206, W['victim'], 0, 0) if X86 else refuse('ENOSYS')"
    }
    ALL ANY false {
        other_architecture: "b = mmap.mmap(-1, 4096, prot=7); b.write(b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3'); ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(b)))() if X86 else refuse('none')"
        powers: "e = [int(l.split()[1], 16) for l in open('/proc/self/status') if l.startswith(('CapEff', 'CapPrm', 'CapAmb'))]; any(p & ~2 for p in e) or refuse('none')"
        new_privileges: "'NoNewPrivs:\\t1' in open('/proc/self/status').read() and refuse('they are off')"
        descriptors_inherited: "FDS or refuse('none')"
        environment_inherited: "'CARGO_MANIFEST_DIR' in os.environ or refuse('clean')"
        environment_of_the_first: "b'CARGO_MANIFEST_DIR' in read('/proc/1/environ', 1 << 20) or refuse('clean')"
        cores: "resource.getrlimit(resource.RLIMIT_CORE)[1] != 0 or refuse('none are kept')"
    }
    // Names that processes share.
    ALL ANY true {
        shared_memory: "call('shmget', W['shm_key'], 0, 0)"
        socket_in_a_folder: "socket.socket(socket.AF_UNIX).connect(W['socket'])"
        datagram_to_a_folder: "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', W['datagrams'])"
        socket_without_a_name: "socket.socket(socket.AF_UNIX).connect('\\0' + W['abstract'])"
        raw_socket: "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"
        packet_socket: "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)"
        firewall_socket: "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)"
        interface_changed: "fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh14x', b'lo', 0x49))"
    }
    ALL ANY false {
        queue: "call('mq_open', text('nexusmon-probe'), 0, 0, 0)"
        semaphore: "call('semget', W['shm_key'], 0, 0)"
        audit_socket: "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9).bind((0, 1))"
        machine_socket: "socket.socket(40, socket.SOCK_STREAM).connect((2, 1))"
        kernel_crypto: "socket.socket(38, socket.SOCK_SEQPACKET, 0)"
    }
    // The network, where it is closed.
    CLOSED NET true {
        loopback: "tcp('127.0.0.1', W['port'])"
        neighbourhood: "tcp(W['address'], W['port'])"
    }
    CLOSED NET false {
        loopback_v6: "tcp('::1', W['port'])"
        metadata: "tcp('169.254.169.254', 80)"
        metadata_v6: "tcp('fd00:ec2::254', 80)"
        private_network: "tcp('10.0.0.1', 80)"
        anywhere: "tcp('1.1.1.1', 443)"
        resolver: "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); s.connect(('127.0.0.53', 53)); s.send(b'x' * 20); s.recv(1)"
    }
    CLOSED ANY false {
        name_resolved: "socket.getaddrinfo('example.org', 443)"
    }
    // The way out of `network`, with `localhost:PORT` (not in `allow_private`) and `only.example.org` listed.
    PROXIED PROXY false {
        proxy_to_metadata: "proxied('CONNECT 169.254.169.254:80 HTTP/1.1\\r\\n\\r\\n')"
        proxy_to_metadata_by_fetch: "proxied('GET http://169.254.169.254/latest/meta-data HTTP/1.1\\r\\n\\r\\n')"
        proxy_to_mapped_metadata: "proxied('CONNECT [::ffff:169.254.169.254]:80 HTTP/1.1\\r\\n\\r\\n')"
        proxy_to_number: "proxied('CONNECT 2852039166:80 HTTP/1.1\\r\\n\\r\\n')"
        proxy_to_hexadecimal: "proxied('CONNECT 0xa9fea9fe:80 HTTP/1.1\\r\\n\\r\\n')"
        proxy_to_listed_loopback: "proxied('CONNECT localhost:%d HTTP/1.1\\r\\n\\r\\n' % W['port'])"
        proxy_to_unlisted_loopback: "proxied('CONNECT 127.0.0.1:%d HTTP/1.1\\r\\n\\r\\n' % W['port'])"
        proxy_to_neighbour: "proxied('CONNECT %s:%d HTTP/1.1\\r\\n\\r\\n' % (W['address'], W['port']))"
        proxy_to_unlisted: "proxied('CONNECT example.com:443 HTTP/1.1\\r\\n\\r\\n')"
        proxy_to_listed_other_port: "proxied('CONNECT only.example.org:22 HTTP/1.1\\r\\n\\r\\n')"
        proxy_to_lookalike: "proxied('CONNECT only.example.org.example.com:443 HTTP/1.1\\r\\n\\r\\n')"
        proxy_with_user: "proxied('GET http://only.example.org@127.0.0.1:%d/ HTTP/1.1\\r\\n\\r\\n' % W['port'])"
        proxy_host_header: "proxied('GET http://127.0.0.1:%d/ HTTP/1.1\\r\\nHost: only.example.org\\r\\n\\r\\n' % W['port'])"
    }
    PROXIED SMUGGLED false {
        proxy_smuggled: "proxied('POST http://127.0.0.1:%d/ HTTP/1.1\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n' % W['port'])"
    }
};
