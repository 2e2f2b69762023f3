//! Gives back to the machine the free memory that the allocator kept for itself.
//!
//! It comes back by itself when it is needed. Knows nothing of runtimes; both functions are quick, but block.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Processor time this process has used.
pub fn processor_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = Duration::from_secs(u64::try_from(used.tv_sec).unwrap_or(0));
    seconds + Duration::from_nanos(u64::try_from(used.tv_nsec).unwrap_or(0))
}

/// Gives back what it can; true if there was something.
pub fn release() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "the allocator's own function")]
    // SAFETY: takes the allocator's locks and touches only memory that nobody holds.
    return unsafe { libc::malloc_trim(0) } == 1;
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_freed_goes_back() {
        // Many small pieces: the allocator keeps those, large ones it gives back itself.
        let pieces: Vec<Box<[u8; 1024]>> = (0..20_000).map(|_| Box::new([1; 1024])).collect();
        assert_eq!(pieces.iter().map(|piece| usize::from(piece[7])).sum::<usize>(), 20_000);
        let keep = pieces.into_iter().step_by(1_000).collect::<Vec<_>>();
        assert!(release(), "there are 20 MB to give back");
        assert_eq!(keep.len(), 20);
        assert!(processor_time() > Duration::ZERO);
    }
}
