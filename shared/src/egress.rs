//! Where a task's network may lead: hosts as a plan lists them, and what kind of place an address is. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::network::Network;

/// Ports of a host that names none.
const USUAL_PORTS: [u16; 2] = [80, 443];
/// Hosts one task may list.
pub const MOST_HOSTS: usize = 64;
const LONGEST_NAME: usize = 253;
/// Names that no public registry gives out.
const LOCAL_ENDINGS: [&str; 8] =
    ["local", "localhost", "localdomain", "lan", "internal", "home.arpa", "home", "intranet"];

/// One entry of `network`: `example.org`, `example.org:8443`, `*.example.org`, `192.168.1.5:80`, `[fd00::5]:443`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Host {
    name: Name,
    /// Absent: 80 and 443.
    port: Option<u16>,
}

/// Whom a host entry names.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Name {
    Address(IpAddr),
    /// Lower case, without a final dot.
    Exactly(String),
    /// Every name below this one.
    Below(String),
}

/// Why an entry is no host.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{text}` is no host: {reason}")]
pub struct HostError {
    text: String,
    reason: &'static str,
}

impl Host {
    /// Whether a request for this name and port is one of those listed. `name` as in a URL, brackets taken off.
    pub fn allows(&self, name: &str, port: u16) -> bool {
        let port_fits = self.port.map_or_else(|| USUAL_PORTS.contains(&port), |wanted| wanted == port);
        port_fits && self.name.covers(name)
    }

    /// Whether the entry itself says that it means something in the neighbourhood: such a host ranks B.
    pub fn is_local(&self) -> bool {
        match &self.name {
            Name::Address(address) => Place::of(*address) != Place::Global,
            Name::Exactly(name) | Name::Below(name) => is_local_name(name),
        }
    }

    /// Whether the entry is this name, or covers it.
    pub fn names(&self, name: &str) -> bool {
        self.name.covers(name)
    }
}

impl Name {
    fn covers(&self, wanted: &str) -> bool {
        match self {
            Self::Address(address) => wanted.parse::<IpAddr>().is_ok_and(|wanted| wanted == *address),
            Self::Exactly(name) => plain(wanted) == *name,
            Self::Below(name) => plain(wanted)
                .strip_suffix(name.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        }
    }
}

/// As names are compared.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn is_local_name(name: &str) -> bool {
    !name.contains('.')
        || LOCAL_ENDINGS.iter().any(|ending| {
            name.strip_suffix(ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let wrong = |reason| HostError { text: text.chars().take(80).collect(), reason };
        let (name, port) = split_port(text).map_err(wrong)?;
        if let Some(inner) = name.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or_else(|| wrong("a bracket is not closed"))?;
            let address: Ipv6Addr = inner.parse().map_err(|_| wrong("no IPv6 address in the brackets"))?;
            return Ok(Self { name: Name::Address(address.into()), port });
        }
        if let Ok(address) = name.parse::<Ipv4Addr>() {
            return Ok(Self { name: Name::Address(address.into()), port });
        }
        if name.contains(':') {
            return Err(wrong("write an IPv6 address in brackets"));
        }
        let (below, name) = name.strip_prefix("*.").map_or((false, name), |name| (true, name));
        let name = plain(name);
        check_name(&name).map_err(wrong)?;
        if below && !name.contains('.') {
            return Err(wrong("`*.` wants at least two labels behind it"));
        }
        Ok(Self { name: if below { Name::Below(name) } else { Name::Exactly(name) }, port })
    }
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let Some((name, port)) = text.rsplit_once(':') else { return Ok((text, None)) };
    if name.ends_with(']') || !name.contains(':') {
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port =
            port.parse().ok().filter(|port| digits && *port != 0).ok_or("the port is not 1 to 65535")?;
        return Ok((name, Some(port)));
    }
    Ok((text, None))
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err("a name has 1 to 253 characters");
    }
    for label in name.split('.') {
        let good = (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !good {
            return Err("its labels are 1 to 63 letters, digits, `-` and `_` (no scheme, path or user)");
        }
    }
    // Resolvers read `0x7f.1` and the like as addresses.
    if name.rsplit('.').next().is_some_and(|last| last.as_bytes()[0].is_ascii_digit()) {
        return Err("its last label begins with a digit: write an address as four numbers");
    }
    Ok(())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Name::Address(address) => write!(f, "{address}")?,
            Name::Exactly(name) => f.write_str(name)?,
            Name::Below(name) => write!(f, "*.{name}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// What a machine's admin opens of its neighbourhood (`allow_private`): a network, an address, or a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Neighbour {
    Network(Network),
    Name(String),
}

impl FromStr for Neighbour {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        let name = plain(text);
        check_name(&name).map_err(|reason| HostError { text: text.chars().take(80).collect(), reason })?;
        Ok(Self::Name(name))
    }
}

/// Whether a task that lists these hosts may reach into the neighbourhood of a machine with this `allow_private`.
pub fn reaches_neighbours(hosts: &[Host], allowed: &[Neighbour]) -> bool {
    hosts.iter().any(|host| {
        host.is_local() || allowed.iter().any(|one| matches!(one, Neighbour::Name(name) if host.names(name)))
    })
}

/// What kind of place an address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    Global,
    /// Private networks: RFC 1918, shared address space, unique local.
    Neighbourhood,
    /// The machine itself.
    Machine,
    /// Link-local and metadata addresses, multicast, and whatever is reserved or carries another address inside it.
    Never,
}

impl Place {
    /// IPv4 in IPv6 clothes is what it is.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        // Where clouds keep what a machine may know about itself.
        const METADATA: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
        if METADATA.contains(&address) {
            return Self::Never;
        }
        match address.octets() {
            [127, ..] => Self::Machine,
            [10, ..] | [192, 168, ..] => Self::Neighbourhood,
            [172, second, ..] if (16..32).contains(&second) => Self::Neighbourhood,
            [100, second, ..] if (64..128).contains(&second) => Self::Neighbourhood,
            [0 | 224..=255, ..] | [169, 254, ..] | [192, 0, 0 | 2, _] => Self::Never,
            [192, 88, 99, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => Self::Never,
            _ => Self::Global,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let embedded =
            |high: u16, low: u16| Self::of_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Machine,
            // What a translator makes of it counts.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => match embedded(high, low) {
                Self::Global => Self::Global,
                _ => Self::Never,
            },
            [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => Self::Never,
            [0xfc00..=0xfdff, ..] => Self::Neighbourhood,
            [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Self::Never,
            [0x2000..=0x3fff, ..] => Self::Global,
            _ => Self::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(text: &str) -> Host {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_allow_what_they_say() {
        assert!(
            host("Example.org").allows("example.ORG.", 443) && host("example.org").allows("example.org", 80)
        );
        assert!(!host("example.org").allows("example.org", 22));
        assert!(!host("example.org").allows("example.org.evil.net", 443));
        assert!(!host("example.org").allows("www.example.org", 443));
        assert!(host("example.org:8443").allows("example.org", 8443));
        assert!(!host("example.org:8443").allows("example.org", 443));
        assert!(host("*.example.org").allows("a.b.example.org", 443));
        for other in ["example.org", "xexample.org", ".example.org", "example.org.", ""] {
            assert!(!host("*.example.org").allows(other, 443), "{other}");
        }
        assert!(host("[fd00::5]:443").allows("fd00:0::5", 443) && host("192.0.2.7").allows("192.0.2.7", 80));
        assert!(!host("192.0.2.7").allows("::ffff:192.0.2.7", 80), "another spelling is another host");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "*",
            "*.org",
            "http://x.org",
            "x.org/",
            "x.org:",
            "x.org:0",
            "x.org:65536",
            "x.org:+80",
            "a b",
            "user@x.org",
            "-x.org",
            "x..org",
            "fd00::5",
            "[fd00::5",
            "[x]:80",
            "0x7f.1",
            "127.1",
            "2130706433",
            "x.org\n",
            "*.*.x.org",
            "ünicode.org",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn neighbours_are_told_by_their_names() {
        for text in
            ["nas", "nas.local", "nas.lan:80", "localhost:8080", "10.1.2.3", "[fd00::1]", "x.home.arpa"]
        {
            assert!(host(text).is_local(), "{text}");
        }
        for text in ["example.org", "8.8.8.8", "notlocal.com", "*.lan.example.org"] {
            assert!(!host(text).is_local(), "{text}");
        }
        let allowed: [Neighbour; 2] = ["nas.example.org".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        assert!(reaches_neighbours(&[host("*.example.org")], &allowed));
        assert!(!reaches_neighbours(&[host("www.example.org")], &allowed));
    }

    #[test]
    fn addresses_are_what_they_are_in_every_dress() {
        for (place, addresses) in [
            (Place::Global, "1.1.1.1 8.8.8.8 172.32.0.1 100.128.0.1 192.0.1.1 2606:4700::1 64:ff9b::101:101"),
            (
                Place::Neighbourhood,
                "10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 fd12::1 ::ffff:10.0.0.1",
            ),
            (Place::Machine, "127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1"),
            (
                Place::Never,
                "169.254.169.254 ::ffff:169.254.169.254 100.100.100.200 168.63.129.16 192.0.0.192 0.0.0.0 0.1.2.3 \
                 224.0.0.1 255.255.255.255 240.0.0.1 198.18.0.1 192.0.2.1 198.51.100.1 203.0.113.1 :: fe80::1 fec0::1 \
                 ff02::1 fd00:ec2::254 fd20:ce::254 2001:db8::1 2001::1 2002:7f00:1:: 2002:a9fe:a9fe:: 64:ff9b::7f00:1 \
                 64:ff9b::a00:1 64:ff9b:1::1 100::1 ::7f00:1 5f00::1 3fff::1",
            ),
        ] {
            for address in addresses.split_ascii_whitespace() {
                assert_eq!(Place::of(address.parse().unwrap()), place, "{address}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in "\\PC{0,40}", name in "[a-z*.:\\[\\]0-9]{0,20}") {
            for text in [text, name] {
                if let Ok(host) = text.parse::<Host>() {
                    prop_assert_eq!(host.to_string().parse::<Host>(), Ok(host));
                }
            }
        }
    }
}
