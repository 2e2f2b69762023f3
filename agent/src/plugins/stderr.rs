//! A plugin's standard error, into the agent's log: whole lines, without control characters, never in floods.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use nexusmon_shared::time::SharedClock;
use tokio::io::BufReader;
use tokio::net::unix::pipe;

use super::wire::{Line, Lines};

const MOST_LINE: usize = 2_000;
/// Lines kept for saying why the plugin ended.
const LAST_WORDS: usize = 3;
/// Lines at once, and how fast more are allowed.
const BURST: u32 = 200;
const REFILL: Duration = Duration::from_millis(100);

/// Takes lines until the stream ends; the last ones stay in `said`.
pub(super) async fn listen(
    plugin: &str,
    stream: pipe::Receiver,
    said: &Mutex<VecDeque<String>>,
    clock: &SharedClock,
) {
    let mut lines = Lines::new(BufReader::new(stream), MOST_LINE);
    let mut allowance = Allowance { left: BURST, filled: clock.boot(), dropped: 0 };
    while let Ok(Some(line)) = lines.next().await {
        let (Line::Whole(bytes) | Line::Cut(bytes)) = line;
        let text = clean(&bytes);
        if text.is_empty() {
            continue;
        }
        if allowance.takes(clock.boot()) {
            if allowance.dropped > 0 {
                tracing::warn!(plugin, lines = allowance.dropped, "lines of the plugin were left out");
                allowance.dropped = 0;
            }
            tracing::info!(plugin, "{text}");
        }
        let mut said = said.lock().expect("no holder panics");
        if said.len() == LAST_WORDS {
            said.pop_front();
        }
        said.push_back(text);
    }
}

/// Text that cannot disturb a terminal.
fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.trim_end().chars().map(shown).collect()
}

struct Allowance {
    left: u32,
    filled: Duration,
    dropped: u64,
}

impl Allowance {
    fn takes(&mut self, now: Duration) -> bool {
        let due = now.saturating_sub(self.filled).as_millis() / REFILL.as_millis();
        if due > 0 {
            self.left = self.left.saturating_add(u32::try_from(due).unwrap_or(u32::MAX)).min(BURST);
            self.filled = now;
        }
        if self.left == 0 {
            self.dropped += 1;
            return false;
        }
        self.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floods_are_left_out() {
        let mut allowance = Allowance { left: BURST, filled: Duration::ZERO, dropped: 0 };
        let passed = (0..1_000).filter(|_| allowance.takes(Duration::ZERO)).count();
        assert_eq!(passed, BURST as usize);
        assert_eq!(allowance.dropped, 1_000 - u64::from(BURST));
        assert!(allowance.takes(Duration::from_secs(1)));
    }

    #[test]
    fn terminals_are_not_disturbed() {
        assert_eq!(clean(b"\x1b[31mred\x07 \xff\r\n"), " [31mred  \u{fffd}");
    }
}
