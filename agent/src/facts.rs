//! What the machine says about itself: shown to people, matched by nothing.

use nexusmon_shared::message::Facts;

/// Version of this build.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");

/// Gathers the facts.
pub fn gather() -> Facts {
    let system = rustix::system::uname();
    let memory = rustix::system::sysinfo();
    Facts {
        hostname: system.nodename().to_string_lossy().into_owned(),
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        build: BUILD.to_owned(),
        cpus: cpus(),
        memory_bytes: bytes(memory.totalram, memory.mem_unit),
    }
}

/// Processors this process may use, one at least.
pub fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

/// Load average over a minute, times 100.
pub fn load_percent() -> u32 {
    // Fixed point with 16 bits behind the point.
    let load = rustix::system::sysinfo().loads[0];
    u32::try_from((load * 100) >> 16).unwrap_or(u32::MAX)
}

pub fn memory_free_bytes() -> u64 {
    let memory = rustix::system::sysinfo();
    bytes(memory.freeram, memory.mem_unit) + bytes(memory.bufferram, memory.mem_unit)
}

fn bytes(count: impl Into<u64>, unit: u32) -> u64 {
    count.into().saturating_mul(u64::from(unit))
}
