//! Acts beside missions: another set of policies, a release of the kill switch, a trait. Where people sign, each rests
//! on an approval of its own over a document that says all of it.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval::{Act, Proposal};
use serde::Deserialize;

/// What an entry says was done.
#[derive(Deserialize)]
pub(super) struct Done {
    #[serde(default)]
    pub(super) approval: Option<String>,
    /// Of a set of policies.
    #[serde(default)]
    pub(super) digest: Option<Digest>,
    /// A set of policies, or a level of the switch.
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    pub(super) to: Option<String>,
    #[serde(default)]
    until: Option<Timestamp>,
}

impl Done {
    /// Whether it is what people signed for. `pulled` is the number of the newest pull of the switch.
    pub(super) fn is(&self, proposal: &Proposal, action: &str, subject: &str, pulled: Option<u64>) -> bool {
        match (action, &proposal.act) {
            ("policy.changed", Act::PolicyChange { from, to, .. }) => {
                self.digest == Some(*to) && self.from.as_ref().is_some_and(|said| *said == from.to_string())
            }
            ("halt.released", Act::HaltRelease { number }) => pulled == Some(*number),
            ("trait.granted", Act::TraitGrant { r#trait, until }) => {
                subject == r#trait.as_str() && self.until == Some(*until)
            }
            _ => false,
        }
    }
}

/// The kind of approval that an action rests on.
pub(super) fn kind(action: &str) -> &'static str {
    match action {
        "policy.changed" => "policy_change",
        "halt.released" => "halt_release",
        _ => "trait_grant",
    }
}

#[cfg(test)]
mod tests {
    use nexusmon_shared::id::OrganismId;
    use serde_json::{Value, json};

    use super::*;

    fn done(body: Value) -> Done {
        serde_json::from_value(body).unwrap()
    }

    fn proposal(act: Act) -> Proposal {
        let at = Timestamp::from_micros(0);
        Proposal { organism: OrganismId::from_bits(1), at, comment: "why".to_owned(), act }
    }

    #[test]
    fn an_act_is_what_the_document_says_and_nothing_else() {
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let change = proposal(Act::PolicyChange { from: one, to: two, text: String::new() });
        let said =
            |from, to| done(json!({"from": from, "digest": to})).is(&change, "policy.changed", "7", None);
        assert!(said(one, two));
        assert!(!said(two, two) && !said(one, one));

        let release = proposal(Act::HaltRelease { number: 4 });
        let body = || done(json!({"from": "halt", "to": "none"}));
        assert!(body().is(&release, "halt.released", "org", Some(4)));
        assert!(!body().is(&release, "halt.released", "org", Some(5)));
        assert!(!body().is(&release, "halt.released", "org", None));
        assert!(!body().is(&release, "trait.granted", "org", Some(4)));

        let until = Timestamp::from_micros(1_000_000);
        let grant = proposal(Act::TraitGrant { r#trait: "RECALL".to_owned(), until });
        assert!(done(json!({"until": until})).is(&grant, "trait.granted", "RECALL", None));
        assert!(!done(json!({"until": until})).is(&grant, "trait.granted", "SELF_EVOLVE", None));
        let longer = Timestamp::from_micros(2_000_000);
        assert!(!done(json!({"until": longer})).is(&grant, "trait.granted", "RECALL", None));
    }
}
