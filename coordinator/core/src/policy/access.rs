//! What each role may do over the API: Cedar policies over groups of actions, asked once for every pair and remembered.

use std::collections::{BTreeMap, HashSet};
use std::str::FromStr;
use std::sync::LazyLock;

use cedar_policy::{
    Authorizer, Context, Decision as Answer, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicySet, Request,
};

/// Roles, as they are stored.
pub const ROLES: [&str; 5] = ["owner", "operator", "approver", "viewer", "service"];

/// Every action of the API with the group it belongs to. An action that is not here is denied to everyone.
pub const ACTIONS: [(&str, &str); 90] = [
    ("agent.confirm", "administer"),
    ("agent.drain", "operate"),
    ("agent.invite", "administer"),
    ("agent.label", "operate"),
    ("agent.pause", "operate"),
    ("agent.quarantine", "operate"),
    ("agent.read", "view"),
    ("agent.resume", "operate"),
    ("agent.revoke", "administer"),
    ("api.read", "view"),
    ("approval.decide", "judge"),
    ("approval.read", "view"),
    ("artifact.erase", "administer"),
    ("artifact.read", "view"),
    ("artifact.review", "operate"),
    ("artifact.upload", "work"),
    ("audit.export", "view"),
    ("audit.read", "view"),
    ("audit.restore", "administer"),
    ("authority.change", "administer"),
    ("authority.read", "view"),
    ("background.read", "view"),
    ("background.run", "administer"),
    ("belief.change", "work"),
    ("capability.flag", "operate"),
    ("cognition.read", "view"),
    ("companion.ask", "view"),
    ("event.read", "view"),
    ("evolution.read", "view"),
    ("filter.change", "oneself"),
    ("filter.read", "oneself"),
    ("halt.pull", "operate"),
    ("halt.read", "view"),
    ("halt.release", "administer"),
    ("invite.read", "view"),
    ("invite.revoke", "administer"),
    ("log.read", "view"),
    ("memory.forget", "operate"),
    ("metrics.read", "view"),
    ("mission.approve", "judge"),
    ("mission.bulk", "work"),
    ("mission.cancel", "work"),
    ("mission.create", "work"),
    ("mission.dry_run", "work"),
    ("mission.pause", "work"),
    ("mission.plan", "work"),
    ("mission.read", "view"),
    ("mission.rerun", "work"),
    ("mission.resume", "work"),
    ("mission.run", "work"),
    ("notification.change", "oneself"),
    ("notification.read", "oneself"),
    ("organism.read", "view"),
    ("passkey.change", "oneself"),
    ("passkey.read", "oneself"),
    ("password.change", "oneself"),
    ("playbook.change", "work"),
    ("playbook.promote", "operate"),
    ("playbook.read", "view"),
    ("policy.change", "administer"),
    ("policy.read", "view"),
    ("policy.replay", "operate"),
    ("principal.change", "administer"),
    ("principal.read", "view"),
    ("push.change", "oneself"),
    ("push.read", "oneself"),
    ("review.decide", "operate"),
    ("review.read", "view"),
    ("roster.change", "administer"),
    ("roster.read", "view"),
    ("schedule.change", "work"),
    ("schedule.read", "view"),
    ("secret.change", "administer"),
    ("secret.read", "view"),
    ("session.end", "oneself"),
    ("session.read", "oneself"),
    ("settings.change", "administer"),
    ("settings.read", "view"),
    ("snapshot.change", "administer"),
    ("standing.change", "operate"),
    ("stats.read", "view"),
    ("task.read", "view"),
    ("task.resolve", "work"),
    ("token.change", "administer"),
    ("token.read", "administer"),
    ("trait.change", "administer"),
    ("trigger.change", "work"),
    ("trigger.read", "view"),
    ("webhook.change", "operate"),
    ("webhook.read", "view"),
];

const POLICIES: &str = include_str!("access.cedar");

static ALLOWED: LazyLock<HashSet<(&'static str, &'static str)>> =
    LazyLock::new(|| table().expect("the shipped access policies are tested"));

/// Whether `role` may do `action`; unknown roles and actions may nothing.
pub fn permits(role: &str, action: &str) -> bool {
    ALLOWED.contains(&(role, action))
}

/// The actions each role may do, for documentation and for the role × route test.
pub fn matrix() -> BTreeMap<&'static str, Vec<&'static str>> {
    let may = |role: &'static str| -> Vec<&'static str> {
        ACTIONS.iter().map(|(action, _)| *action).filter(|action| permits(role, action)).collect()
    };
    ROLES.into_iter().map(|role| (role, may(role))).collect()
}

fn table() -> Result<HashSet<(&'static str, &'static str)>, String> {
    let policies = PolicySet::from_str(POLICIES).map_err(|error| error.to_string())?;
    let uid = |kind: &str, id: &str| -> Result<EntityUid, String> {
        let kind = EntityTypeName::from_str(kind).map_err(|error| error.to_string())?;
        Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
    };
    let mut entities = Vec::new();
    for (action, group) in ACTIONS {
        let parents = std::iter::once(uid("Action", group)?).collect();
        entities.push(
            Entity::new(uid("Action", action)?, std::collections::HashMap::new(), parents)
                .map_err(|error| error.to_string())?,
        );
    }
    let entities = Entities::from_entities(entities, None).map_err(|error| error.to_string())?;
    let (authorizer, organism) = (Authorizer::new(), uid("Organism", "organism")?);
    let mut allowed = HashSet::new();
    for role in ROLES {
        for (action, _) in ACTIONS {
            let request = Request::new(
                uid("Role", role)?,
                uid("Action", action)?,
                organism.clone(),
                Context::empty(),
                None,
            )
            .map_err(|error| error.to_string())?;
            if authorizer.is_authorized(&request, &policies, &entities).decision() == Answer::Allow {
                allowed.insert((role, action));
            }
        }
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_and_groups_fit_the_schema() {
        let (schema, _) =
            cedar_policy::Schema::from_cedarschema_str(include_str!("access.cedarschema")).unwrap();
        let policies = PolicySet::from_str(POLICIES).unwrap();
        let validator = cedar_policy::Validator::new(schema);
        let checked = validator.validate(&policies, cedar_policy::ValidationMode::Strict);
        assert!(checked.validation_passed(), "{checked}");
        let groups = ["view", "work", "operate", "judge", "administer", "oneself"];
        assert!(ACTIONS.iter().all(|(_, group)| groups.contains(group)));
        let mut names: Vec<&str> = ACTIONS.iter().map(|(action, _)| *action).collect();
        names.dedup();
        assert_eq!(names.len(), ACTIONS.len());
        assert!(names.is_sorted(), "the list is sorted, so that it can be read");
    }

    #[test]
    fn roles_may_what_they_are_for() {
        for (action, _) in ACTIONS {
            assert!(permits("owner", action), "{action}");
        }
        assert!(permits("viewer", "mission.read") && !permits("viewer", "mission.create"));
        assert!(permits("approver", "approval.decide") && !permits("approver", "mission.run"));
        assert!(permits("operator", "agent.drain") && !permits("operator", "approval.decide"));
        assert!(permits("service", "mission.create") && !permits("service", "agent.drain"));
        assert!(!permits("service", "approval.decide"));
        assert!(!permits("nobody", "mission.read") && !permits("owner", "mission.unheard_of"));
    }
}
