//! Whether an agent can take work of a class.

use nexusmon_shared::sandbox::provides;

use super::{AgentView, Availability, ClassId, DemandClass, Dynamic, LimitUse};

/// How far an agent gets with a class; the first thing that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fit {
    Capability,
    Version,
    /// Its build is too old to know tasks that add tasks.
    Build,
    Selector,
    Sandbox,
    Rank,
    Consent,
    /// Its own config forbids the capability, or it refused this class.
    Refused,
    /// A flag switches the capability off there.
    Disabled,
    /// Its own rate of starts is spent.
    Limited,
    /// It would fit, but takes no new work now.
    Availability,
    Fits,
}

/// The first thing that keeps `agent` from taking work of `class`. Slots and limits are not looked at.
pub fn fits(id: ClassId, class: &DemandClass, agent: &AgentView) -> Fit {
    let offer = &*agent.offer;
    let Some(version) = offer.capabilities.get(&class.capability) else {
        return Fit::Capability;
    };
    if class.plugin.as_ref().is_some_and(|wanted| wanted != version) {
        return Fit::Version;
    }
    if class.dynamic != Dynamic::None && !offer.spawns {
        return Fit::Build;
    }
    if !class.selector.matches(agent.id, &offer.labels) {
        return Fit::Selector;
    }
    if !provides(&offer.levels, class.profile) {
        return Fit::Sandbox;
    }
    if class.rank > offer.max_rank {
        return Fit::Rank;
    }
    if needs_consent(class) && !offer.consents {
        return Fit::Consent;
    }
    let allowed = offer.allowed.as_ref().is_none_or(|allowed| allowed.contains(&class.capability));
    if !allowed || agent.barred.contains(&id) {
        return Fit::Refused;
    }
    if agent.disabled.contains(&class.capability) {
        return Fit::Disabled;
    }
    if agent.rate.and_then(LimitUse::left) == Some(0) {
        return Fit::Limited;
    }
    if agent.availability == Availability::Live { Fit::Fits } else { Fit::Availability }
}

/// A, S and `requires_approval` work runs only on agents that can check who approved it.
pub(super) fn needs_consent(class: &DemandClass) -> bool {
    class.rank.needs_approval() || class.requires_approval
}
