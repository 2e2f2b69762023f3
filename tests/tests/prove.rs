//! The small tier of `make prove`: every promise, each time the tests run.
#![cfg(feature = "planted")]

use std::time::Duration;

use nexusmon_tests::prove::{self, Order, Tier};

async fn holds(name: &str) -> anyhow::Result<()> {
    let order = Order {
        tier: Tier::Small,
        shard: (0, 1),
        resume: false,
        most: Duration::from_mins(30),
        seed: 1,
        only: None,
        evidence: concat!(env!("CARGO_MANIFEST_DIR"), "/../test-results/evidence-small.jsonl").into(),
    };
    let run = prove::run(name).expect("the run is known");
    let summary = prove::carry_out(run, &order).await?;
    assert!(summary.is_complete(), "{}\n{}", summary.table(), summary.details.join("\n"));
    Ok(())
}

macro_rules! small {
    ($($name:ident),*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() -> anyhow::Result<()> {
            holds(stringify!($name)).await
        }
    )*};
}

small!(kills, chaos, simulation);
