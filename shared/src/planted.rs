//! Bugs planted on purpose: `make prove` sees whether its runs find them. A harness that cannot fail proves nothing.
//!
//! Without the feature `planted` the question is a constant `false`, and nothing of a bug is compiled.

/// Whether this bug is planted here: named (with others, separated by commas) in `NEXUSMON_PLANTED`, or by [`with`].
#[cfg(feature = "planted")]
pub fn planted(bug: &str) -> bool {
    static NAMED: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| {
        let named = std::env::var("NEXUSMON_PLANTED").unwrap_or_default();
        named.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    });
    HERE.get() == Some(bug) || NAMED.iter().any(|named| named == bug)
}

/// Whether this bug is planted here: never, in a build without the feature.
#[cfg(not(feature = "planted"))]
#[inline]
pub const fn planted(_bug: &str) -> bool {
    false
}

/// True for one call in `count` of this process: a bug that shows now and then, and is sure to.
pub fn every(count: u64) -> bool {
    static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed).is_multiple_of(count)
}

#[cfg(feature = "planted")]
thread_local! {
    static HERE: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Runs `body` with a bug planted in this thread alone; for decisions that need no process of their own.
#[cfg(feature = "planted")]
pub fn with<T>(bug: &'static str, body: impl FnOnce() -> T) -> T {
    let before = HERE.replace(Some(bug));
    let result = body();
    HERE.set(before);
    result
}

/// Fails where it is asked to: `NEXUSMON_FAULTS` names points and how often, such as `store.commit=17` for every 17th.
/// What failed is told to the file named in `NEXUSMON_FAULTS_LOG`, a line each. Full disks and broken ones take turns.
#[cfg(feature = "planted")]
pub fn failure(point: &'static str) -> std::io::Result<()> {
    use std::io::{Error, ErrorKind, Write as _};
    use std::sync::atomic::{AtomicU64, Ordering};

    static POINTS: std::sync::LazyLock<Vec<(String, u64, AtomicU64)>> = std::sync::LazyLock::new(|| {
        let asked = std::env::var("NEXUSMON_FAULTS").unwrap_or_default();
        let point = |part: &str| {
            let (name, every) = part.split_once('=')?;
            Some((name.to_owned(), every.parse().ok().filter(|every| *every > 0)?, AtomicU64::new(0)))
        };
        asked.split(',').filter_map(point).collect()
    });
    let Some((_, every, calls)) = POINTS.iter().find(|(name, ..)| name == point) else { return Ok(()) };
    let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
    if !call.is_multiple_of(*every) {
        return Ok(());
    }
    if let Some(log) = std::env::var_os("NEXUSMON_FAULTS_LOG")
        && let Ok(mut log) = std::fs::OpenOptions::new().create(true).append(true).open(log)
    {
        let _ = writeln!(log, "{point} {call}");
    }
    let kind = if (call / every).is_multiple_of(2) { ErrorKind::StorageFull } else { ErrorKind::Other };
    Err(Error::new(kind, format!("{point} was asked to fail")))
}

/// Fails where it is asked to: never, in a build without the feature.
#[cfg(not(feature = "planted"))]
#[inline]
pub const fn failure(_point: &'static str) -> std::io::Result<()> {
    Ok(())
}
