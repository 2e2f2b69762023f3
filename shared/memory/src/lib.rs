//! Gives back to the machine what a process holds and does not need now: free memory the allocator kept for itself, and
//! pages of the program that were last read when it started.
//!
//! Both come back by themselves when they are needed. Knows nothing of runtimes; both functions are quick, but block.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Processor time this process has used.
pub fn processor_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = Duration::from_secs(u64::try_from(used.tv_sec).unwrap_or(0));
    seconds + Duration::from_nanos(u64::try_from(used.tv_nsec).unwrap_or(0))
}

/// Gives back what it can; returns how many bytes of the program and its libraries left the process's memory. The kernel
/// keeps them cached as long as nobody else needs the room.
pub fn release() -> usize {
    trim();
    let Ok(text) = std::fs::read_to_string("/proc/self/smaps") else { return 0 };
    let mut released = 0;
    for mapping in clean(&text) {
        #[expect(unsafe_code, reason = "an address range is nothing Rust can check")]
        // SAFETY: the range is a mapping of a file that is not writable and holds no page that differs from the file:
        // whatever is read there next is read from the file again, the same as before. Nothing here unmaps files.
        let outcome = unsafe {
            libc::madvise(
                std::ptr::without_provenance_mut(mapping.start),
                mapping.length,
                libc::MADV_DONTNEED,
            )
        };
        if outcome == 0 {
            released += mapping.resident;
        }
    }
    released
}

fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "the allocator's own function")]
    // SAFETY: takes the allocator's locks and touches only memory that nobody holds.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// A part of this process's address space.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Mapping {
    start: usize,
    length: usize,
    resident: usize,
}

/// The mappings of files, in the words of `smaps`, that nobody can write and nobody has written.
fn clean(smaps: &str) -> Vec<Mapping> {
    let mut found = Vec::new();
    let mut current: Option<Mapping> = None;
    for line in smaps.lines() {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let Some(field) = first.strip_suffix(':') {
            let kib = || rest.trim().strip_suffix(" kB").and_then(|number| number.parse::<usize>().ok());
            match (field, &mut current) {
                ("Rss", Some(mapping)) => mapping.resident = kib().unwrap_or(0) * 1024,
                // Relocated data looks read-only and is not: it would be lost.
                ("Anonymous" | "Private_Dirty" | "Shared_Dirty" | "Locked", _) if kib() != Some(0) => {
                    current = None;
                }
                // The last one of an entry.
                ("VmFlags", _) => found.extend(current.take().filter(|mapping| mapping.resident > 0)),
                _ => {}
            }
        } else {
            current = header(first, rest);
        }
    }
    found
}

/// `start-end perms offset device inode path`
fn header(range: &str, rest: &str) -> Option<Mapping> {
    let (start, end) = range.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let mut words = rest.split_ascii_whitespace();
    let permissions = words.next()?;
    let path = words.nth(3)?;
    let private_file = path.starts_with('/') && permissions.starts_with('r') && permissions.ends_with('p');
    (private_file && !permissions.contains('w') && end > start).then_some(Mapping {
        start,
        length: end - start,
        resident: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str =
        "Size: 16 kB\nRss: 8 kB\nPrivate_Dirty: 0 kB\nAnonymous: 0 kB\nLocked: 0 kB\nVmFlags: rd\n";

    #[test]
    fn only_what_the_file_holds_unchanged_is_taken() {
        let entry = |header: &str, from: &str, to: &str| format!("{header}\n{}", ENTRY.replace(from, to));
        let smaps = [
            entry("1000-5000 r-xp 00000000 fe:00 7 /usr/bin/some program", "", ""),
            entry("5000-9000 r--p 00000000 fe:00 7 /relocated", "Anonymous: 0", "Anonymous: 4"),
            entry("9000-a000 r--p 00000000 fe:00 7 /breakpoint", "Private_Dirty: 0", "Private_Dirty: 4"),
            entry("a000-b000 rw-p 00000000 fe:00 7 /writable", "", ""),
            entry("b000-c000 r--s 00000000 fe:00 7 /shared", "", ""),
            entry("c000-d000 r--p 00000000 00:00 0", "", ""),
            entry("d000-e000 r-xp 00000000 00:00 0 [vdso]", "", ""),
            entry("e000-f000 r--p 00000000 fe:00 7 /absent", "Rss: 8", "Rss: 0"),
            entry("f000-ff00 r--p 00000000 fe:00 7 /locked", "Locked: 0", "Locked: 8"),
        ];
        let taken = clean(&smaps.concat());
        assert_eq!(taken, [Mapping { start: 0x1000, length: 0x4000, resident: 8192 }]);
    }

    #[test]
    fn a_process_goes_on_without_the_pages_it_gave_back() {
        let texts: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        assert!(release() > 0, "this test's own program is such a mapping");
        assert_eq!(texts.concat().len(), 10 + 2 * 90 + 3 * 900);
        let before = processor_time();
        assert!(release() > 0 && processor_time() > before);
    }
}
