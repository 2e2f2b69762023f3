//! Whose signatures this machine believes.

use nexusmon_shared::doctor::Check;
use nexusmon_shared::lifecycle::chain;
use nexusmon_shared::time::Timestamp;

use crate::config::Config;
use crate::enroll::Membership;
use crate::roster::Believed;

const NAME: &str = "signatures";

pub(super) fn look(config: &Config, membership: &Membership, now: Timestamp) -> Check {
    let opened = Believed::open(&config.data_dir, membership.organism, membership.owner_key());
    let mut believed = match opened {
        Ok(believed) => believed,
        Err(error) => return Check::fail(NAME, chain(&error)).because("the agent does not start with it"),
    };
    if let Some((number, from)) = believed.pending() {
        return Check::warn(
            NAME,
            format!("roster {number}, signed by the recovery words, decides from {from}"),
        )
        .because("whoever found the words would decide then who approves A and S work")
        .advise("if that was not you, sign another roster with your key before");
    }
    match (believed.owner_key(), believed.in_force(now)) {
        (None, _) => Check::ok(NAME, "no owner key: A and S work is refused here"),
        (Some(_), None) => Check::ok(NAME, "an owner key, and no roster yet: A and S work is refused here"),
        (Some(_), Some(roster)) => {
            Check::ok(NAME, format!("roster {} of {} persons", roster.number, roster.persons.len()))
        }
    }
}
