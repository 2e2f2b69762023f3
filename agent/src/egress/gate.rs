//! What may be reached: the task's list, the machine's `allow_private`, and never the coordinator or a metadata address.

use std::net::{IpAddr, SocketAddr};

use nexusmon_shared::egress::{Host, Neighbour, Place};
use tokio::net::{TcpStream, lookup_host};

use super::request::Refusal;

/// What holds for every task of this machine.
#[derive(Debug, Clone, Default)]
pub struct EgressConfig {
    /// Neighbours that tasks may be let through to.
    pub allow_private: Vec<Neighbour>,
    /// Names or addresses of the coordinator, which no task may reach.
    pub coordinators: Vec<String>,
}

/// The way out of one task.
#[derive(Debug)]
pub struct Gate {
    hosts: Vec<Host>,
    config: EgressConfig,
}

impl Gate {
    pub fn new(hosts: Vec<Host>, config: EgressConfig) -> Self {
        Self { hosts, config }
    }

    /// A connection to a listed host, at an address that was judged.
    pub(super) async fn connect(&self, name: &str, port: u16) -> Result<TcpStream, Refusal> {
        if !self.hosts.iter().any(|host| host.allows(name, port)) {
            let text = format!("{name}:{port} is not among the hosts in `network` of this task");
            return Err(Refusal::new(403, text));
        }
        let found = resolve(name, port).await?;
        let coordinator = self.coordinator().await;
        let judged = found.iter().map(|address| self.judge(name, address.ip(), &coordinator));
        let mut refused = None;
        let mut last = None;
        for (address, judgement) in found.iter().zip(judged) {
            match judgement {
                Err(refusal) => refused = Some(refusal),
                Ok(()) => match TcpStream::connect(address).await {
                    Ok(stream) => {
                        let _ = stream.set_nodelay(true);
                        return Ok(stream);
                    }
                    Err(error) => last = Some(Refusal::new(502, format!("{address}: {error}"))),
                },
            }
        }
        Err(last.or(refused).unwrap_or_else(|| Refusal::new(502, format!("{name} has no address"))))
    }

    /// Where the coordinator is now. What cannot be resolved cannot be connected to by that name either.
    async fn coordinator(&self) -> Vec<IpAddr> {
        let mut found = Vec::new();
        for name in &self.config.coordinators {
            if let Ok(addresses) = lookup_host((name.as_str(), 0)).await {
                found.extend(addresses.map(|address| address.ip().to_canonical()));
            }
        }
        found
    }

    fn judge(&self, name: &str, address: IpAddr, coordinator: &[IpAddr]) -> Result<(), Refusal> {
        let address = address.to_canonical();
        let no = |why: &str| Err(Refusal::new(403, format!("{name} is {address}: {why}")));
        if coordinator.contains(&address) {
            return no("the coordinator is out of reach for tasks");
        }
        let place = match Place::of(address) {
            Place::Never => {
                return no("link-local, metadata and reserved addresses are out of reach for tasks");
            }
            Place::Global | Place::Neighbourhood if is_own(address) => Place::Machine,
            place => place,
        };
        match place {
            Place::Global => Ok(()),
            Place::Machine
                if coordinator.iter().any(|one| Place::of(*one) == Place::Machine || is_own(*one)) =>
            {
                no("the coordinator runs on this machine, which is out of reach for tasks")
            }
            _ if self.opened(name, address, place) => Ok(()),
            _ => no(
                "an address of the neighbourhood; only hosts that the task lists and that are in this machine's \
                     `allow_private` are reached",
            ),
        }
    }

    /// Whether the task's rank already tells that it reaches the neighbourhood, and the machine's admin lets it.
    fn opened(&self, name: &str, address: IpAddr, place: Place) -> bool {
        let told = self.hosts.iter().any(|host| host.names(name) && host.is_local());
        self.config.allow_private.iter().any(|one| match one {
            Neighbour::Network(network) => told && network.contains(address),
            // A name may be made to point anywhere, so it never opens this machine.
            Neighbour::Name(allowed) => {
                place == Place::Neighbourhood
                    && name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case(allowed)
            }
        })
    }
}

async fn resolve(name: &str, port: u16) -> Result<Vec<SocketAddr>, Refusal> {
    match lookup_host((name, port)).await {
        Ok(found) => Ok(found.take(16).collect()),
        Err(error) => Err(Refusal::new(502, format!("{name} cannot be resolved: {error}"))),
    }
}

/// Whether an address is one of this machine: only those can be bound.
fn is_own(address: IpAddr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(hosts: &[&str], allowed: &[&str], name: &str, address: &str, coordinator: &[&str]) -> bool {
        let hosts = hosts.iter().map(|text| text.parse().unwrap()).collect();
        let allow_private = allowed.iter().map(|text| text.parse().unwrap()).collect();
        let gate = Gate::new(hosts, EgressConfig { allow_private, coordinators: Vec::new() });
        let coordinator: Vec<IpAddr> = coordinator.iter().map(|text| text.parse().unwrap()).collect();
        gate.judge(name, address.parse().unwrap(), &coordinator).is_ok()
    }

    #[test]
    fn the_neighbourhood_takes_both_the_task_and_the_machine() {
        assert!(judge(&["nas.lan"], &["192.168.0.0/16"], "nas.lan", "192.168.7.9", &[]));
        assert!(judge(&["nas.example.org"], &["nas.example.org"], "nas.example.org", "192.168.7.9", &[]));
        assert!(!judge(&["nas.lan"], &[], "nas.lan", "192.168.7.9", &[]));
        assert!(!judge(&["nas.lan"], &["10.0.0.0/8"], "nas.lan", "192.168.7.9", &[]));
        // A name that looks like anybody's, pointed at a neighbour behind the operator's back.
        assert!(!judge(&["example.org"], &["192.168.0.0/16"], "example.org", "192.168.7.9", &[]));
        assert!(!judge(&["nas.example.org"], &["nas.example.org"], "nas.example.org", "127.0.0.1", &[]));
    }

    #[test]
    fn some_addresses_are_out_of_reach_whatever_is_listed() {
        for address in ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "0.0.0.0"] {
            assert!(!judge(&["x.lan"], &["0.0.0.0/0", "::/0", "x.lan"], "x.lan", address, &[]), "{address}");
        }
        let everything = ["0.0.0.0/0"];
        assert!(judge(&["x.lan"], &everything, "x.lan", "192.168.7.9", &["192.168.7.8"]));
        assert!(!judge(&["x.lan"], &everything, "x.lan", "192.168.7.9", &["192.168.7.9"]), "the coordinator");
        assert!(judge(&["localhost"], &everything, "localhost", "127.0.0.1", &["192.168.7.8"]));
        assert!(
            !judge(&["localhost"], &everything, "localhost", "127.0.0.1", &["127.0.0.1"]),
            "with a coordinator"
        );
    }
}
