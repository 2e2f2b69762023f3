//! Rates of starts within the unit that grants: locked before the plan, spent after it.

use std::collections::{BTreeMap, BTreeSet};

use nexusmon_core::rates::{Rate, Spent};
use nexusmon_core::schedule::{ClassId, LimitUse};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::GrantedTask;

use super::Claim;
use crate::error::Result;
use crate::service::flags;
use crate::service::unit::Unit;

/// Rates that what is granted here may count under, by key; nobody else spends from them until the unit is over.
#[derive(Debug, Default)]
pub(super) struct Rates(BTreeMap<String, (Rate, Spent)>);

impl Rates {
    /// Costs nothing where no rate is set.
    pub(super) async fn lock(unit: &mut Unit<'_>, input: &Claim) -> Result<Self> {
        let known = unit.app.flags.get();
        if known.rates.is_empty() {
            return Ok(Self::default());
        }
        let classes = input.classes.values().flat_map(|class| class.rate_keys());
        let agents = input.agents.iter().map(|agent| format!("agent:{}", agent.id));
        let wanted: BTreeSet<String> =
            classes.chain(agents).filter(|key| known.rates.contains_key(key)).collect();
        let wanted: Vec<String> = wanted.into_iter().collect();
        if wanted.is_empty() {
            return Ok(Self::default());
        }
        let rows = unit.tx.lock_rates(&wanted).await?;
        Ok(Self(rows.into_iter().map(|row| (row.key.clone(), (flags::of_row(&row), row.spent.0))).collect()))
    }

    pub(super) fn used(&self, key: &str, now: Timestamp) -> Option<LimitUse> {
        self.0.get(key).map(|(rate, spent)| LimitUse { live: rate.used(spent, now), least: Some(rate.most) })
    }

    pub(super) fn all(&self, now: Timestamp) -> BTreeMap<String, LimitUse> {
        self.0.keys().filter_map(|key| Some((key.clone(), self.used(key, now)?))).collect()
    }

    /// Counts what was granted.
    pub(super) async fn spend(
        &mut self,
        unit: &mut Unit<'_>,
        input: &Claim,
        tasks: &[GrantedTask],
    ) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut counts = BTreeMap::<String, u32>::new();
        for granted in tasks {
            let class = granted.task.class.and_then(|class| input.classes.get(&ClassId(class.0)));
            let agent = granted.task.agent.map(|agent| format!("agent:{agent}"));
            for key in class.into_iter().flat_map(|class| class.rate_keys()).chain(agent) {
                *counts.entry(key).or_default() += 1;
            }
        }
        let mut written = Vec::new();
        for (key, count) in counts {
            if let Some((rate, spent)) = self.0.get_mut(&key) {
                rate.spend(spent, unit.now, count);
                written.push((key, spent.clone()));
            }
        }
        if !written.is_empty() {
            unit.tx.spend_rates(written).await?;
        }
        Ok(())
    }
}
