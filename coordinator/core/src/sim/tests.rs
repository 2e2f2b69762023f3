use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::{World, WorldConfig};

/// Seeds of one run; `NEXUSMON_SIM_SEEDS` asks for more.
fn seeds() -> u64 {
    std::env::var("NEXUSMON_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

#[test]
fn no_seed_breaks_an_invariant() {
    let (mut stale, mut applied) = (0, 0);
    for seed in 0..seeds() {
        match World::new(WorldConfig::default(), StdRng::seed_from_u64(seed)).run() {
            Ok(world) => {
                stale += world.stale;
                applied += world.applied;
            }
            Err(violation) => {
                let tail = violation.trace.len().saturating_sub(30);
                panic!("seed {seed}: {violation}\n{:#?}", &violation.trace[tail..]);
            }
        }
    }
    assert!(
        stale > 100 && applied > 1_000,
        "the world must provoke what it checks: {stale} stale, {applied} applied"
    );
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        let run = || {
            World::new(WorldConfig::default(), StdRng::seed_from_u64(seed)).run().map(|w| w.trace().to_vec())
        };
        assert_eq!(run().ok(), run().ok());
    }
}

#[test]
fn skipping_the_fence_check_is_caught() {
    let config = WorldConfig { ignore_fences: true, ..WorldConfig::default() };
    let caught =
        (0..200).filter(|seed| World::new(config, StdRng::seed_from_u64(*seed)).run().is_err()).count();
    assert!(caught > 0, "a world that cannot fail proves nothing");
}
