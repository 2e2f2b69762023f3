//! Who may approve a plan, and how many of them must. Counted by person: a second key is no second person.

use std::collections::BTreeSet;

use super::Roster;
use crate::id::PrincipalId;
use crate::plan::Author;
use crate::rank::Rank;

impl Roster {
    /// The persons who may approve less the author; the author where nobody else may.
    ///
    /// Only a person can be the author in this sense: what a planner, token or trigger wrote, any approver may approve.
    pub fn eligible(&self, author: &Author) -> BTreeSet<PrincipalId> {
        let mut persons: BTreeSet<_> = self
            .persons
            .iter()
            .filter(|(_, person)| person.role.may_approve() && !person.keys.is_empty())
            .map(|(id, _)| *id)
            .collect();
        if let Author::Person(id) = author
            && persons.len() > 1
        {
            persons.remove(id);
        }
        persons
    }

    /// How many of the `eligible` persons have to approve work of this rank: what the roster wants, or all there are.
    /// Never none, so that nobody eligible means no approval.
    ///
    /// Ranks below A need what A does: an agent may ask for signatures at any rank.
    pub fn needed(&self, rank: Rank, eligible: usize) -> usize {
        let wanted = if rank == Rank::S { self.need.s.max(self.need.a) } else { self.need.a };
        usize::from(wanted).min(eligible).max(1)
    }
}
