//! Randomness as a parameter: one seeded generator behind a small handle.

use std::fmt;
use std::sync::Mutex;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// Holds the generator. Tests seed it; the process seeds it from the operating system.
pub struct Randomness(Mutex<StdRng>);

impl Randomness {
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    pub fn new(rng: StdRng) -> Self {
        Self(Mutex::new(rng))
    }

    /// Runs `draw` with the generator; keep it short, others wait.
    pub fn with<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.0.lock().expect("no holder panics"))
    }

    /// A generator of its own for a longer piece of work.
    pub fn fork(&self) -> StdRng {
        self.with(StdRng::from_rng)
    }
}

impl fmt::Debug for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Randomness")
    }
}
