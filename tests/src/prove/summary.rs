//! What a run came to: sums beside their targets.

use std::collections::BTreeMap;

use super::evidence::{Line, Verdict};
use super::{Bound, Run, Tier};

/// Sums over the cases of a run.
#[derive(Debug)]
pub struct Summary {
    run: &'static str,
    what: &'static str,
    tier: Tier,
    targets: Vec<&'static super::Target>,
    of: u32,
    held: u32,
    violated: u32,
    broken: u32,
    measured: BTreeMap<String, u64>,
    pub details: Vec<String>,
}

impl Summary {
    pub(super) fn new(run: &'static Run, tier: Tier) -> Self {
        Self {
            run: run.name,
            what: run.what,
            tier,
            targets: run.targets().collect(),
            of: run.cases_of(tier),
            held: 0,
            violated: 0,
            broken: 0,
            measured: BTreeMap::new(),
            details: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, line: &Line) {
        match line.verdict {
            Verdict::Held => self.held += 1,
            Verdict::Violated => self.violated += 1,
            Verdict::Broken => self.broken += 1,
        }
        for (name, value) in &line.measured {
            *self.measured.entry(name.clone()).or_default() += value;
        }
        let said =
            line.details.iter().map(|detail| format!("case {} (seed {}): {detail}", line.case, line.seed));
        self.details.extend(said);
    }

    fn value(&self, measure: &str) -> u64 {
        self.measured.get(measure).copied().unwrap_or(0)
    }

    /// Nothing that must not be was, and every case was carried out.
    pub fn is_good(&self) -> bool {
        self.violated == 0 && self.broken == 0 && self.held > 0
    }

    /// Good, and every target of the tier reached.
    pub fn is_complete(&self) -> bool {
        self.is_good() && self.targets.iter().all(|target| self.reached(target))
    }

    fn reached(&self, target: &super::Target) -> bool {
        match target.bound {
            Bound::None => self.value(target.measure) == 0,
            Bound::AtLeast(small, full) => {
                let least = if self.tier == Tier::Small { small } else { full };
                self.value(target.measure) >= least
            }
        }
    }

    /// `measured / target`, a line each.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{} ({}): {}\n    cases {} / {}{}{}\n",
            self.run,
            self.tier.as_str(),
            self.what,
            self.held,
            self.of,
            if self.violated > 0 { format!(", {} violated", self.violated) } else { String::new() },
            if self.broken > 0 { format!(", {} broken", self.broken) } else { String::new() },
        );
        for target in &self.targets {
            let value = self.value(target.measure);
            let wanted = match (target.bound, self.tier) {
                (Bound::None, _) => 0,
                (Bound::AtLeast(small, _), Tier::Small) => small,
                (Bound::AtLeast(_, full), Tier::Full) => full,
            };
            let word = match (self.reached(target), target.bound) {
                (true, _) => "",
                (false, Bound::None) => "   <- violated",
                (false, Bound::AtLeast(..)) => "   <- partial",
            };
            text.push_str(&format!(
                "    {:<36} {value:>10} / {wanted}{word}\n",
                target.measure.replace('_', " ")
            ));
        }
        let others = self
            .measured
            .iter()
            .filter(|(name, _)| !self.targets.iter().any(|target| target.measure == name.as_str()));
        for (name, value) in others {
            text.push_str(&format!("    {:<36} {value:>10}\n", name.replace('_', " ")));
        }
        text
    }
}
