//! Ports that are bound more than once: by a coordinator that starts anew, by a program that is told its port.
//!
//! They lie below the range the kernel takes ports from by itself. One of those, given back for a moment, may be another
//! process's outgoing connection the next.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

/// From here on, and so many.
const FIRST: u32 = 10_000;
const PORTS: u32 = 22_000;
/// Neighbouring processes begin so far apart.
const APART: u32 = 97;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port that is free at all of these distances from it, too.
pub fn free_at(offsets: &[u16]) -> Result<u16> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let start = std::process::id().wrapping_mul(APART);
    (0..PORTS)
        .filter_map(|_| {
            let turn = NEXT.fetch_add(1, Ordering::Relaxed);
            u16::try_from(FIRST + start.wrapping_add(turn) % PORTS).ok()
        })
        .find(|port| free(*port) && offsets.iter().all(|offset| free(port + offset)))
        .context("no free port")
}

/// A free port of the loopback address, as `host:port`.
pub fn free_address() -> Result<String> {
    Ok(format!("127.0.0.1:{}", free_at(&[])?))
}
