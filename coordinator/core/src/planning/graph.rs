//! The graph of a plan: names to places, needs, cycles, ancestors.

use std::collections::HashMap;

use nexusmon_shared::name::Name;
use nexusmon_shared::plan::TaskDraft;

use super::capabilities::edit_distance;
use super::{Invalid, Places};

/// Work all ancestor questions of one plan may take; a plan that asks for more must name what it uses in `needs`.
const MAX_ANCESTOR_STEPS: usize = 50_000_000;

/// A plan's needs as places, with an order in which each task follows its needs.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    pub(super) places: Places<'a>,
    pub(super) needs: Vec<Vec<u32>>,
    /// Topological.
    pub(super) order: Vec<u32>,
    /// Longest way from a root: ancestors have smaller ones.
    level: Vec<u32>,
    steps: std::cell::Cell<usize>,
}

/// Whether one task comes before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ancestry {
    Yes,
    No,
    /// Too far away to be found within the bound.
    Unknown,
}

impl<'a> Graph<'a> {
    /// Reads ids and needs; pushes what is wrong with them. `None` where no order exists.
    pub(super) fn read(drafts: &'a [TaskDraft], errors: &mut Vec<Invalid>) -> Option<Self> {
        let places = places(drafts, errors);
        let mut needs = Vec::with_capacity(drafts.len());
        let mut whole = places.len() == drafts.len();
        for (index, draft) in drafts.iter().enumerate() {
            let mut found = Vec::with_capacity(draft.needs.len());
            for (at, need) in draft.needs.iter().enumerate() {
                let pointer = || format!("/tasks/{index}/needs/{at}");
                match places.get(need.as_str()) {
                    None => {
                        whole = false;
                        errors.push(Invalid::new(pointer(), "unknown_need", unknown(need, &places)));
                    }
                    Some(place) => {
                        let place = u32::try_from(*place).unwrap_or(u32::MAX);
                        if found.contains(&place) {
                            errors.push(Invalid::new(
                                pointer(),
                                "duplicate_need",
                                format!("`{need}` stands twice in `needs`"),
                            ));
                        } else {
                            found.push(place);
                        }
                    }
                }
            }
            needs.push(found);
        }
        if !whole {
            return None;
        }
        let (order, level) = sort(&needs);
        if order.len() < drafts.len() {
            errors.push(cycle(drafts, &needs, &order));
            return None;
        }
        Some(Self { places, needs, order, level, steps: std::cell::Cell::new(0) })
    }

    pub(super) fn place(&self, name: &str) -> Option<u32> {
        self.places.get(name).and_then(|place| u32::try_from(*place).ok())
    }

    /// Whether `ancestor` comes before `task` along needs.
    pub(super) fn is_ancestor(&self, ancestor: u32, task: u32) -> Ancestry {
        let floor = self.level[ancestor as usize];
        let mut seen = std::collections::HashSet::new();
        let mut queue = vec![task];
        while let Some(at) = queue.pop() {
            let needs = &self.needs[at as usize];
            if needs.contains(&ancestor) {
                return Ancestry::Yes;
            }
            let steps = self.steps.get() + 1 + needs.len();
            self.steps.set(steps);
            if steps > MAX_ANCESTOR_STEPS {
                return Ancestry::Unknown;
            }
            queue.extend(
                needs.iter().filter(|need| self.level[**need as usize] > floor && seen.insert(**need)),
            );
        }
        Ancestry::No
    }
}

fn places<'a>(drafts: &'a [TaskDraft], errors: &mut Vec<Invalid>) -> Places<'a> {
    let mut places: Places<'a> = HashMap::with_capacity(drafts.len());
    for (index, draft) in drafts.iter().enumerate() {
        match places.entry(draft.id.as_str()) {
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(index);
            }
            std::collections::hash_map::Entry::Occupied(held) => errors.push(Invalid::new(
                format!("/tasks/{index}/id"),
                "duplicate_id",
                format!("`{}` is already the id of task {}", draft.id, held.get()),
            )),
        }
    }
    places
}

/// "There is no task x", with the closest name where one is close.
pub(super) fn unknown(name: &Name, places: &Places<'_>) -> String {
    let wanted = name.as_str();
    let close = places
        .keys()
        .take(1_000)
        .map(|known| (edit_distance(known, wanted), *known))
        .min()
        .filter(|(distance, _)| *distance <= 1 + wanted.len() / 4);
    match close {
        Some((_, close)) => format!("there is no task `{wanted}`; did you mean `{close}`?"),
        None => format!("there is no task `{wanted}` in this plan"),
    }
}

/// Kahn's algorithm: what can be ordered, and the longest way to each.
fn sort(needs: &[Vec<u32>]) -> (Vec<u32>, Vec<u32>) {
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut dependants: Vec<Vec<u32>> = vec![Vec::new(); needs.len()];
    for (index, needs) in (0_u32..).zip(needs) {
        for need in needs {
            dependants[*need as usize].push(index);
        }
    }
    let mut level = vec![0_u32; needs.len()];
    let mut order: Vec<u32> =
        (0_u32..).zip(&open).filter(|(_, open)| **open == 0).map(|(at, _)| at).collect();
    let mut next = 0;
    while let Some(at) = order.get(next).copied() {
        next += 1;
        for dependant in &dependants[at as usize] {
            let place = *dependant as usize;
            level[place] = level[place].max(level[at as usize] + 1);
            open[place] -= 1;
            if open[place] == 0 {
                order.push(*dependant);
            }
        }
    }
    (order, level)
}

/// Names one cycle: from any task that could not be ordered, its first unordered need, until one comes again.
fn cycle(drafts: &[TaskDraft], needs: &[Vec<u32>], order: &[u32]) -> Invalid {
    let mut ordered = vec![false; needs.len()];
    for at in order {
        ordered[*at as usize] = true;
    }
    let start = ordered.iter().position(|done| !done).unwrap_or(0);
    let (mut path, mut at) = (Vec::new(), start);
    let mut seen = HashMap::new();
    while seen.insert(at, path.len()).is_none() {
        path.push(at);
        let Some(next) = needs[at].iter().map(|need| *need as usize).find(|need| !ordered[*need]) else {
            break;
        };
        at = next;
    }
    let around = &path[seen.get(&at).copied().unwrap_or(0).min(path.len())..];
    let around = if around.is_empty() { &path[..] } else { around };
    let first = around.first().copied().unwrap_or(start);
    let mut names: Vec<&str> = around.iter().take(20).map(|at| drafts[*at].id.as_str()).collect();
    if around.len() > names.len() {
        names.push("…");
    }
    names.push(drafts[first].id.as_str());
    let message = format!("these tasks wait for each other: {}", names.join(" needs "));
    Invalid::new(format!("/tasks/{first}/needs"), "cycle", message)
}
