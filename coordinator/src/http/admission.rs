//! Whether a request is let in at all, before anybody asks who sends it: the `Host` it names, where it comes from, and
//! how often.
//!
//! The `Host` rule is what stops a foreign page from reaching a coordinator on this machine by DNS rebinding.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::HeaderName;
use http::{StatusCode, Uri, header, request};
use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::network::Network as Proxies;

use super::Web;
use super::problem::Problem;
use crate::error::Error;

/// Requests without good credentials that one network may send before they are not even told why: at once, and per
/// second. Good credentials are never slowed down by somebody else's bad ones.
const FAILURES: (u32, u32) = (1000, 20);

/// The address of the peer, or what a configured proxy says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network(pub(super) IpAddr);

/// The site a request was sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    /// `localhost:7300`, as sent.
    pub(super) authority: String,
    pub(super) secure: bool,
}

impl Site {
    /// The origin pages of this site have.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.authority)
    }

    /// Domain and origin of passkeys made here: a name over HTTPS, or `localhost`. An address has none.
    pub(super) fn place(&self) -> Option<(String, String)> {
        let host = host_of(&self.authority)?;
        let named = self.secure && host.parse::<IpAddr>().is_err();
        (named || host == "localhost").then(|| (host.to_owned(), self.origin()))
    }
}

/// Which hosts are us.
#[derive(Debug)]
pub(super) struct Hosts {
    /// Authority and whether it is HTTPS.
    public: Option<(String, bool)>,
    /// Our own listener speaks TLS.
    tls: bool,
    proxies: Vec<Proxies>,
    /// Names inside, in lower case.
    names: Vec<String>,
}

impl Hosts {
    pub(super) fn new(
        public_url: Option<&str>,
        tls: bool,
        proxies: Vec<Proxies>,
        names: Vec<String>,
    ) -> Self {
        let public = public_url.and_then(|url| url.parse::<Uri>().ok()).and_then(|uri| {
            let secure = uri.scheme_str() == Some("https");
            Some((uri.authority()?.as_str().to_ascii_lowercase(), secure))
        });
        Self { public, tls, proxies, names }
    }

    /// The site, if it is ours: this machine by a loopback name, a configured name, or the public URL.
    fn site(&self, authority: &str) -> Option<Site> {
        let authority = authority.to_ascii_lowercase();
        let public = self.public.as_ref().filter(|(public, _)| same_host(public, &authority));
        let secure = match public {
            Some((_, secure)) => *secure || self.tls,
            None if is_loopback(host_of(&authority)?) => self.tls,
            None if self.names.iter().any(|name| Some(name.as_str()) == host_of(&authority)) => self.tls,
            None => return None,
        };
        Some(Site { authority, secure })
    }

    /// The address to count by: the peer's, or the nearest one that is no proxy of ours.
    fn network(&self, peer: IpAddr, forwarded: Option<&str>) -> Network {
        let mut address = peer.to_canonical();
        for hop in forwarded.unwrap_or_default().rsplit(',').take(16) {
            if !self.proxies.iter().any(|proxies| proxies.contains(address)) {
                break;
            }
            let Ok(next) = hop.trim().parse::<IpAddr>() else { break };
            address = next.to_canonical();
        }
        Network(address)
    }
}

fn same_host(public: &str, authority: &str) -> bool {
    public == authority
        || host_of(public).is_some_and(|host| Some(host) == host_of(authority) && !public.contains(':'))
}

/// The host of `host`, `host:port` or `[v6]:port`.
fn host_of(authority: &str) -> Option<&str> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return port_is_good(port).then_some(host);
    }
    match authority.split_once(':') {
        Some((host, port)) => (!host.is_empty() && port_is_good(&format!(":{port}"))).then_some(host),
        None => (!authority.is_empty()).then_some(authority),
    }
}

fn port_is_good(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The peer as the listener saw it; a router called without one (in a test) counts as this machine.
fn peer(extensions: &http::Extensions) -> IpAddr {
    let found = extensions.get::<ConnectInfo<SocketAddr>>();
    found.map_or(IpAddr::from([127, 0, 0, 1]), |ConnectInfo(address)| address.ip())
}

fn authority(parts: &request::Parts) -> Option<&str> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        (None, _) => parts.uri.authority().map(http::uri::Authority::as_str),
        (Some(_), Some(_)) => None,
    }
}

/// Layer: refuses what is not sent to us and what a network sends too often without knowing who it is.
pub(super) async fn admit(State(web): State<Web>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let named = authority(&parts);
    let site = named.and_then(|authority| web.hosts.site(authority));
    let site = site.or_else(|| probed(parts.uri.path(), named?, web.hosts.tls)).ok_or_else(|| {
        Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "host_not_allowed",
            "The `Host` of the request is neither this machine nor the configured `public_url`.",
        )
    })?;
    let forwarded = parts.headers.get(HeaderName::from_static("x-forwarded-for"));
    let network = web.hosts.network(peer(&parts.extensions), forwarded.and_then(|value| value.to_str().ok()));
    parts.extensions.insert(site);
    parts.extensions.insert(network);
    let response = next.run(Request::from_parts(parts, body)).await;
    let refused = response.status() == StatusCode::UNAUTHORIZED;
    if refused && !web.failures.spend(network.0, web.app.clock.boot()) {
        return Err(Error::RateLimited { retry_after: Duration::from_secs(1) }.into());
    }
    Ok(response)
}

/// What orchestrators and scrapers ask by the address of the machine, or by a name of their own. A page that rebinds its
/// name could reach these by that name only: the two that hold no data, then; numbers go to who names an address.
fn probed(path: &str, authority: &str, secure: bool) -> Option<Site> {
    let host = host_of(authority)?;
    let may = match path {
        "/healthz" | "/readyz" => true,
        "/metrics" => host.parse::<IpAddr>().is_ok(),
        _ => false,
    };
    may.then(|| Site { authority: authority.to_ascii_lowercase(), secure })
}

/// Token buckets by key. Bounded: when too many keys are known, full buckets are forgotten.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    burst: f64,
    per_second: f64,
    known: Mutex<HashMap<K, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

/// Keys kept before full buckets are dropped.
const MAX_KEYS: usize = 16_384;

impl<K: Hash + Eq> Buckets<K> {
    fn new(burst: u32, per_second: u32) -> Self {
        Self { burst: f64::from(burst), per_second: f64::from(per_second), known: Mutex::default() }
    }

    fn filled(&self, bucket: Bucket, now: Duration) -> f64 {
        let since = now.saturating_sub(bucket.at).as_secs_f64();
        (bucket.tokens + since * self.per_second).min(self.burst)
    }

    /// Takes a token; false if there was none.
    pub(super) fn spend(&self, key: K, now: Duration) -> bool {
        let mut known = self.known.lock().expect("no holder panics");
        if known.len() >= MAX_KEYS && !known.contains_key(&key) {
            known.retain(|_, bucket| self.filled(*bucket, now) < self.burst);
        }
        let bucket = known.entry(key).or_insert(Bucket { tokens: self.burst, at: now });
        let tokens = self.filled(*bucket, now);
        let allowed = tokens >= 1.0;
        *bucket = Bucket { tokens: if allowed { tokens - 1.0 } else { tokens }, at: now };
        allowed
    }
}

/// Buckets for failures by network.
pub(super) fn failures() -> Buckets<IpAddr> {
    Buckets::new(FAILURES.0, FAILURES.1)
}

/// Buckets for everything a known caller does.
pub(super) fn callers(per_second: u32) -> Buckets<PrincipalId> {
    Buckets::new(per_second.saturating_mul(2), per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_ours() {
        let hosts = Hosts::new(Some("https://nexus.example"), false, Vec::new(), vec!["inside".to_owned()]);
        for (ours, secure) in [
            ("localhost:7300", false),
            ("127.0.0.1:1", false),
            ("[::1]:7300", false),
            ("127.9.9.9", false),
            ("NEXUS.example", true),
            ("nexus.example:443", true),
            ("Inside:7300", false),
        ] {
            assert_eq!(hosts.site(ours).map(|site| site.secure), Some(secure), "{ours}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "inside.evil.example",
            "nexus.example.evil",
            "",
            ":80",
            "10.0.0.1",
            "[::1",
            "localhost:x",
        ] {
            assert_eq!(hosts.site(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn forwarded_addresses_are_believed_from_proxies_only() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let hosts = Hosts::new(None, false, vec![ip("10.0.0.1").into()], Vec::new());
        assert_eq!(hosts.network(ip("192.0.2.7"), Some("198.51.100.1")).0, ip("192.0.2.7"));
        assert_eq!(hosts.network(ip("10.0.0.1"), Some("203.0.113.9, 198.51.100.1")).0, ip("198.51.100.1"));
        assert_eq!(hosts.network(ip("10.0.0.1"), Some("198.51.100.1, 10.0.0.1")).0, ip("198.51.100.1"));
        assert_eq!(hosts.network(ip("10.0.0.1"), Some("nonsense")).0, ip("10.0.0.1"));
        assert_eq!(hosts.network(ip("10.0.0.1"), None).0, ip("10.0.0.1"));
    }

    #[test]
    fn probes_may_name_what_they_like_and_scrapers_an_address() {
        let let_in = |path, host| probed(path, host, false).is_some();
        assert!(let_in("/healthz", "healthcheck.example") && let_in("/readyz", "10.1.2.3:7300"));
        assert!(let_in("/metrics", "10.1.2.3:7300") && let_in("/metrics", "[fd00::1]:7300"));
        assert!(!let_in("/metrics", "evil.example") && !let_in("/v1/version", "10.1.2.3"));
    }

    #[test]
    fn a_bucket_empties_and_fills() {
        let buckets = Buckets::new(2, 1);
        let at = Duration::from_secs;
        assert!(buckets.spend("a", at(0)) && buckets.spend("a", at(0)));
        assert!(!buckets.spend("a", at(0)));
        assert!(buckets.spend("b", at(0)));
        assert!(buckets.spend("a", at(1)) && !buckets.spend("a", at(1)));
    }
}
