//! The line to the coordinator: certificate, clock, and a handshake.

use std::time::Duration;

use nexusmon_shared::doctor::Check;
use nexusmon_shared::lifecycle::chain;
use nexusmon_shared::time::{Clock as _, SharedClock, SystemClock};
use nexusmon_shared::tls::ConnectError;

use crate::config::Config;
use crate::enroll::Home;

const REACH_WITHIN: Duration = Duration::from_secs(12);

pub(super) fn certificate(home: &Home) -> Vec<Check> {
    let now = SystemClock.now();
    let renewal = match home.renewal(0.0) {
        Ok(renewal) => renewal,
        Err(error) => return vec![Check::fail("certificate", chain(&error)).advise("leave and join again")],
    };
    let life = if now >= renewal.expires {
        Check::warn("certificate", format!("expired at {}", renewal.expires))
            .because("the agent was off for longer than it lives")
            .advise(
                "none needed if the coordinator is reachable: the next start renews it by its identity key",
            )
    } else {
        Check::ok("certificate", format!("until {}, renewed from {}", renewal.expires, renewal.due))
    };
    let clock = if now < renewal.begins {
        Check::fail("clock", format!("{now} is before the certificate begins ({})", renewal.begins))
            .because("no certificate counts yet by this clock, so no connection is trusted")
            .advise("this machine's clock is behind; set it, or let NTP do it (systemd-timesyncd or chrony)")
    } else {
        Check::ok("clock", now.to_string())
    };
    vec![life, clock]
}

/// Shakes hands with the coordinator; opens no session, so that an agent that runs keeps its own.
pub(super) async fn reach(config: &Config, home: &Home, clock: SharedClock) -> Check {
    const NAME: &str = "coordinator";
    let address = config.coordinator.as_ref();
    let shown = address.unwrap_or(&home.membership().address).to_string();
    let connector = match home.connector(address, clock) {
        Ok(connector) => connector,
        Err(error) => return Check::fail(NAME, chain(&error)).advise("leave and join again"),
    };
    let error = match tokio::time::timeout(REACH_WITHIN, connector.connect()).await {
        Ok(Ok(_)) => {
            return Check::ok(NAME, format!("{shown} answers and takes this agent's certificate"));
        }
        Ok(Err(error)) => error,
        Err(_) => {
            let check = Check::fail(NAME, format!("{shown} does not answer"))
                .because("nothing new arrives; what runs goes on, and is reported when the line is back")
                .advise(
                    "is there a firewall in between? The coordinator's agent port (7301) has to be reachable",
                );
            return check;
        }
    };
    let found = chain(&error);
    match error {
        ConnectError::CredentialRefused { .. } => Check::warn(NAME, found)
            .because("it does not take this agent's certificate: expired, or the agent was revoked")
            .advise("`nexusmon-agent run` renews by its identity key; if that is refused, ask the operator"),
        ConnectError::WrongPin { .. } | ConnectError::Untrusted { .. } => Check::fail(NAME, found)
            .because("another installation answers there, or somebody is in between; the agent gives it nothing")
            .advise(
                "is the address right (--coordinator)? Was the coordinator set up anew without its old data and master \
                 key? Then leave, and join the new one",
            ),
        ConnectError::Expired(_) | ConnectError::NotYetValid(_) => Check::fail(NAME, found)
            .because("its certificate is renewed every day, so it is this clock or that one")
            .advise("set the time on both machines (systemd-timesyncd or chrony)"),
        ConnectError::NotTls(_) | ConnectError::NotHttp2 { .. } => Check::fail(NAME, found)
            .because("something answers that is not the agent port")
            .advise("the agent port is 7301 by default, 7300 is the API; a proxy in between must pass TCP through as it is"),
        ConnectError::Unreachable { .. } | ConnectError::Slow(_) | ConnectError::Handshake { .. } => {
            Check::fail(NAME, found)
                .because("nothing new arrives; what runs goes on, and is reported when the line is back")
                .advise("is the coordinator up, its agent port open, the address right (--coordinator)?")
        }
    }
}
