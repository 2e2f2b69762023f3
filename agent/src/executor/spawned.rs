//! Tasks that a process added by writing them down: read when it has ended well, one JSON object per line.

use nexusmon_shared::outcome::{Cause, Ending};
use nexusmon_shared::plan::MAX_SPAWNED;
use serde_json::Value;

use crate::worker::{CancelToken, Spawner};

/// Bytes of the file.
pub(super) const MOST_BYTES: u64 = 1024 * 1024;

/// The lines of the file, each a task.
pub(super) fn read(text: &[u8]) -> Result<Vec<Value>, Cause> {
    let bad = |detail: String| Cause::BadParameters { detail: format!("NEXUSMON_SPAWN {detail}") };
    let mut tasks = Vec::new();
    for (number, line) in (1_usize..).zip(text.split(|byte| *byte == b'\n')) {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let task = serde_json::from_slice(line).map_err(|error| bad(format!("line {number}: {error}")))?;
        if tasks.len() == MAX_SPAWNED as usize {
            return Err(bad(format!("holds more than {MAX_SPAWNED} tasks")));
        }
        tasks.push(task);
    }
    Ok(tasks)
}

/// Adds all of them; the first that is refused is how the attempt ends.
pub(super) async fn add(
    tasks: Vec<Value>,
    spawn: Option<Spawner>,
    cancel: &mut CancelToken,
) -> Result<(), Ending> {
    let failed = |detail: String| Ending::Failed { cause: Cause::BadParameters { detail } };
    if tasks.is_empty() {
        return Ok(());
    }
    let Some(spawn) = spawn else {
        return Err(failed("NEXUSMON_SPAWN: the leaf of this task has no `spawn`".to_owned()));
    };
    // All are asked for before the first is answered.
    let answers: Vec<_> = tasks.into_iter().map(|task| spawn(task)).collect();
    for (number, answer) in (1..).zip(answers) {
        let answered = tokio::select! {
            answered = answer => answered,
            _ = cancel.cancelled() => return Err(Ending::Cancelled),
        };
        answered.map_err(|why| failed(format!("NEXUSMON_SPAWN: task {number}: {why}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_task_or_named() {
        assert_eq!(read(b"\n{\"id\": \"a\"}\n\n{\"id\": \"b\"}").unwrap().len(), 2);
        assert!(read(b"").unwrap().is_empty());
        let Err(Cause::BadParameters { detail }) = read(b"{}\nnonsense\n") else { panic!("a bad line") };
        assert!(detail.contains("line 2"), "{detail}");
        let many = "{}\n".repeat(MAX_SPAWNED as usize + 1);
        assert!(read(many.as_bytes()).is_err());
    }
}
