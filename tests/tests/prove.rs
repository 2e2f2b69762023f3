//! The small tier of `make prove`, each time the tests run: every promise, on both databases.
#![cfg(feature = "planted")]

use std::time::Duration;

use nexusmon_tests::prove::{self, Order, Tier};

async fn holds(name: &str, shard: (u32, u32)) -> anyhow::Result<()> {
    let order = Order {
        tier: Tier::Small,
        shard,
        resume: false,
        most: Duration::from_mins(30),
        seed: 1,
        only: None,
        evidence: concat!(env!("CARGO_MANIFEST_DIR"), "/../test-results/evidence-small.jsonl").into(),
    };
    let run = prove::run(name).expect("the run is known");
    let summary = prove::carry_out(run, &order).await?;
    let reached = if shard == (0, 1) { summary.is_complete() } else { summary.is_good() };
    assert!(reached, "{}\n{}", summary.table(), summary.details.join("\n"));
    Ok(())
}

macro_rules! small {
    ($($test:ident: $name:literal $shard:expr),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() -> anyhow::Result<()> {
            holds($name, $shard).await
        }
    )*};
}

small! {
    kills: "kills" (0, 1),
    chaos: "chaos" (0, 1),
    simulation: "simulation" (0, 1),
    faults_of_the_coordinator: "faults" (0, 4),
    faults_on_postgres: "faults" (1, 4),
    faults_of_agents: "faults" (2, 4),
    faults_of_journals: "faults" (3, 4),
    clocks: "clocks" (0, 1),
    fuzz: "fuzz" (0, 1),
    requests: "requests" (0, 1),
    tampering: "tampering" (0, 1),
    planted_first: "planted" (0, 3),
    planted_second: "planted" (1, 3),
    planted_third: "planted" (2, 3),
}
