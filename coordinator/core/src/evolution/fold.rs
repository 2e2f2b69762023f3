//! The fold.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use nexusmon_shared::id::{MissionId, PrincipalId};
use nexusmon_shared::time::Timestamp;

use super::{Entry, LedgerEntry, Stage, Trait, TraitState, TraitView};

/// How long a suspension lasts at least.
pub const SUSPENSION: Duration = Duration::from_hours(168);
/// XP that must be earned after a suspension before the trait returns.
pub const XP_TO_RETURN: u64 = 100;

/// What the ledger says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Organism {
    pub stage: Stage,
    pub xp: u64,
    /// Verified missions that were not taken back.
    pub verified: u64,
    pub next_stage: Option<Stage>,
    /// Verified missions until the next stage; 0 at the last.
    pub missions_to_next: u64,
    pub traits: Vec<TraitView>,
}

impl Organism {
    /// Whether a trait may be used now: earned or granted.
    pub fn may(&self, wanted: Trait) -> bool {
        self.traits.iter().any(|held| {
            held.name == wanted && matches!(held.state, TraitState::Earned | TraitState::Granted { .. })
        })
    }
}

#[derive(Debug, Clone, Default)]
struct Marks {
    suspended: Option<(String, Timestamp, u64)>,
    disabled: Option<PrincipalId>,
    granted: Option<(PrincipalId, Timestamp)>,
}

/// The ledger up to some entry. Each mission counts once; what was taken back counts nothing, and a mission taken back
/// cannot count again.
#[derive(Debug, Clone, Default)]
pub struct Folded {
    counted: HashMap<MissionId, u64>,
    taken_back: HashSet<MissionId>,
    /// XP ever earned, which taking back does not lower: what a suspension counts from.
    earned: u64,
    marks: BTreeMap<Trait, Marks>,
}

impl Folded {
    /// Takes the next entry, in the order of the ledger.
    pub fn add(&mut self, LedgerEntry { at, entry }: &LedgerEntry) {
        match entry {
            Entry::Verified { mission, xp, .. } => {
                if !self.taken_back.contains(mission) && !self.counted.contains_key(mission) {
                    self.counted.insert(*mission, *xp);
                    self.earned = self.earned.saturating_add(*xp);
                }
            }
            Entry::TakenBack { mission, .. } => {
                self.counted.remove(mission);
                self.taken_back.insert(*mission);
            }
            Entry::Suspended { r#trait, evidence } => {
                let marks = self.marks.entry(*r#trait).or_default();
                marks.suspended = Some((evidence.clone(), *at, self.earned));
                // Whoever granted it had not seen this evidence; with it they may grant it again.
                marks.granted = None;
            }
            Entry::Disabled { r#trait, by } => self.marks.entry(*r#trait).or_default().disabled = Some(*by),
            Entry::Enabled { r#trait, .. } => self.marks.entry(*r#trait).or_default().disabled = None,
            Entry::Granted { r#trait, by, until } => {
                self.marks.entry(*r#trait).or_default().granted = Some((*by, *until));
            }
        }
    }

    /// What that comes to now: grants and suspensions end with time.
    pub fn organism(&self, now: Timestamp) -> Organism {
        let verified = self.counted.len() as u64;
        let stage = Stage::at(verified);
        let next_stage = stage.next();
        let unmarked = Marks::default();
        let view = |name: Trait| {
            let marks = self.marks.get(&name).unwrap_or(&unmarked);
            trait_view(name, stage, verified, marks, self.earned, now)
        };
        Organism {
            stage,
            xp: self.counted.values().fold(0, |sum: u64, xp| sum.saturating_add(*xp)),
            verified,
            next_stage,
            missions_to_next: next_stage.map_or(0, |next| next.threshold().saturating_sub(verified)),
            traits: Trait::ALL.into_iter().map(view).collect(),
        }
    }
}

/// Recomputes everything from the ledger, in its order.
pub fn fold<'a>(entries: impl IntoIterator<Item = &'a LedgerEntry>, now: Timestamp) -> Organism {
    let mut folded = Folded::default();
    entries.into_iter().for_each(|entry| folded.add(entry));
    folded.organism(now)
}

fn trait_view(
    name: Trait,
    stage: Stage,
    verified: u64,
    marks: &Marks,
    earned: u64,
    now: Timestamp,
) -> TraitView {
    let needed = name.stage();
    let missions = if verified == 1 { "mission" } else { "missions" };
    let count = format!("{verified} verified {missions}; {} begins at {}", needed.name(), needed.threshold());
    let suspended = marks.suspended.as_ref().and_then(|(because, at, earned_then)| {
        let until = *at + SUSPENSION;
        let xp_needed = XP_TO_RETURN.saturating_sub(earned.saturating_sub(*earned_then));
        (now < until || xp_needed > 0).then(|| (because.clone(), until, xp_needed))
    });
    let (held, evidence) = if let Some(by) = marks.disabled {
        (TraitState::Disabled { by }, format!("disabled by {by}"))
    } else if let Some((by, until)) = marks.granted.filter(|(_, until)| now < *until) {
        (TraitState::Granted { by, until }, format!("granted by {by} until {until}; not earned"))
    } else if stage < needed {
        (TraitState::Locked, count)
    } else if let Some((because, until, xp_needed)) = suspended {
        let evidence = format!("{because}; returns after {until} and {xp_needed} more XP");
        (TraitState::Suspended { because, until, xp_needed }, evidence)
    } else {
        (TraitState::Earned, count)
    };
    TraitView { name, state: held, stage: needed, description: name.description(), evidence }
}
