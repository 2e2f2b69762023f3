//! Secrets on their way into logs: found in every form that tools print them in, across any edges of what is read, and
//! replaced by `***`. Stops accidents, not intent: whoever holds a secret can always write it in a form nobody expects.
//!
//! Pure. An attempt without secrets has no redactor.

mod forms;

use std::sync::Arc;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};

/// What stands where a secret was.
const MASK: &[u8] = b"***";

/// Finds the secrets of one attempt.
#[derive(Clone)]
pub struct Redactor {
    automaton: Arc<NFA>,
    /// Bytes of the longest form.
    longest: usize,
    start: StateID,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

/// One stream of bytes on its way through.
#[derive(Debug)]
pub struct Stream {
    redactor: Redactor,
    state: StateID,
    /// Bytes that may belong to a secret whose rest is still to come.
    pending: Vec<u8>,
    masked: Vec<bool>,
    /// In `pending`: no form that is under way begins before this.
    clean: usize,
    /// The last bytes given out were a mask.
    just_masked: bool,
}

impl Redactor {
    /// `None` where there is nothing to look for: values that are too short or too simple are not.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let forms = forms::all(values);
        let longest = forms.iter().map(Vec::len).max()?;
        let automaton = NFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(&forms).ok()?;
        let start = automaton.start_state(Anchored::No).ok()?;
        Some(Self { automaton: Arc::new(automaton), longest, start })
    }

    pub fn stream(&self) -> Stream {
        Stream {
            state: self.start,
            redactor: self.clone(),
            pending: Vec::new(),
            masked: Vec::new(),
            clean: 0,
            just_masked: false,
        }
    }

    /// Whether any form of any secret is in there.
    pub fn finds(&self, bytes: &[u8]) -> bool {
        let mut state = self.start;
        self.finds_in(bytes, &mut state)
    }

    /// The same over pieces: `place` remembers where the last one ended.
    pub fn finds_piece(&self, piece: &[u8], place: &mut Place) -> bool {
        let state = place.0.get_or_insert(self.start);
        self.finds_in(piece, state)
    }

    fn finds_in(&self, bytes: &[u8], state: &mut StateID) -> bool {
        for byte in bytes {
            *state = self.automaton.next_state(Anchored::No, *state, *byte);
            if self.automaton.is_special(*state) && self.automaton.is_match(*state) {
                return true;
            }
        }
        false
    }
}

/// Between two pieces of what is looked through.
#[derive(Debug, Default)]
pub struct Place(Option<StateID>);

impl Stream {
    /// Takes bytes in; gives those that are settled.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let automaton = Arc::clone(&self.redactor.automaton);
        for byte in bytes {
            self.pending.push(*byte);
            self.masked.push(false);
            self.state = automaton.next_state(Anchored::No, self.state, *byte);
            if automaton.is_special(self.state) && automaton.is_match(self.state) {
                let matches = automaton.match_len(self.state);
                let lengths = (0..matches)
                    .map(|index| automaton.pattern_len(automaton.match_pattern(self.state, index)));
                let from = self.pending.len().saturating_sub(lengths.max().unwrap_or(0));
                self.masked[from..].fill(true);
            }
            if self.state == self.redactor.start {
                self.clean = self.pending.len();
            }
        }
        // What is under way is shorter than the longest form, or it would have been found.
        let reach = self.pending.len().saturating_sub(self.redactor.longest - 1);
        self.give(self.clean.max(reach))
    }

    /// Nothing more comes: gives the rest.
    pub fn finish(&mut self) -> Vec<u8> {
        self.state = self.redactor.start;
        self.give(self.pending.len())
    }

    fn give(&mut self, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length);
        for (byte, masked) in self.pending.drain(..length).zip(self.masked.drain(..length)) {
            if !masked {
                out.push(byte);
            } else if !self.just_masked {
                out.extend_from_slice(MASK);
            }
            self.just_masked = masked;
        }
        self.clean = self.clean.saturating_sub(length);
        out
    }
}
