//! Where a message may go: to public addresses over TLS. A subscription is an address that somebody gave us, and must not
//! become a way to what only this machine reaches. A name is looked up once, judged, and the judged addresses are used.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use nexusmon_shared::egress::Place;
use nexusmon_shared::network::Network;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::LONGEST;

/// Addresses of a name that are looked at.
const MOST: usize = 16;

/// Why an address is not for us, in words for who gave it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("is not an address such as https://push.example/…, of at most {LONGEST} characters")]
    Unreadable,
    #[error("must be https")]
    Plain,
    #[error("names an address that is not public; push services are on the internet")]
    Inside,
}

/// Whether an address may be sent to: a public one, or one inside where that is allowed.
pub(crate) fn open(address: IpAddr, inside: &[Network]) -> bool {
    Place::of(address) == Place::Global
        || inside.iter().any(|network| network.contains(address.to_canonical()))
}

/// An endpoint that may be sent to, as far as it says by itself.
pub fn judge(endpoint: &str, inside: &[Network]) -> Result<Url, Refused> {
    if endpoint.len() > LONGEST || endpoint.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Refused::Unreadable);
    }
    let url: Url = endpoint.parse().map_err(|_| Refused::Unreadable)?;
    let host = url.host_str().ok_or(Refused::Unreadable)?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(Refused::Unreadable);
    }
    let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    if address.is_some_and(|address| !open(address, inside)) {
        return Err(Refused::Inside);
    }
    let named = address.is_some_and(|address| inside.iter().any(|one| one.contains(address.to_canonical())));
    match url.scheme() {
        "https" => Ok(url),
        "http" if named => Ok(url),
        _ => Err(Refused::Plain),
    }
}

/// Looks names up and gives only addresses that may be reached.
#[derive(Debug)]
pub(crate) struct Judged(Arc<[Network]>);

impl Judged {
    pub(crate) fn new(inside: Vec<Network>) -> Arc<Self> {
        Arc::new(Self(inside.into()))
    }
}

impl Resolve for Judged {
    fn resolve(&self, name: Name) -> Resolving {
        let inside = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let good: Vec<SocketAddr> =
                found.take(MOST).filter(|address| open(address.ip(), &inside)).collect();
            if good.is_empty() {
                return Err(Refused::Inside.into());
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_public_services_over_tls_are_sent_to() {
        let inside: Vec<Network> = vec!["127.0.0.0/8".parse().unwrap()];
        assert!(judge("https://fcm.googleapis.com/fcm/send/a:b", &[]).is_ok());
        assert!(judge("https://[2606:4700::1111]/x", &[]).is_ok());
        for (endpoint, why) in [
            ("http://push.example/x", Refused::Plain),
            ("ftp://push.example/x", Refused::Plain),
            ("https://127.0.0.1/x", Refused::Inside),
            ("https://2130706433/x", Refused::Inside),
            ("https://[::1]/x", Refused::Inside),
            ("https://[::ffff:10.0.0.1]/x", Refused::Inside),
            ("https://169.254.169.254/latest", Refused::Inside),
            ("https://192.168.1.1/x", Refused::Inside),
            ("https://a:b@push.example/x", Refused::Unreadable),
            ("https://push.example/x#y", Refused::Unreadable),
            ("/relative", Refused::Unreadable),
            ("https://push.example/ x", Refused::Unreadable),
            ("", Refused::Unreadable),
        ] {
            assert_eq!(judge(endpoint, &[]).unwrap_err(), why, "{endpoint}");
        }
        assert!(judge("http://127.0.0.1:9/x", &inside).is_ok());
        assert!(judge("http://10.0.0.1/x", &inside).is_err());
        let long = format!("https://push.example/{}", "x".repeat(LONGEST));
        assert_eq!(judge(&long, &[]).unwrap_err(), Refused::Unreadable);
    }

    /// A name that is looked up to an address inside is as good as none.
    #[tokio::test]
    async fn a_name_leads_inside_only_where_that_is_allowed() {
        let name = || "localhost".parse::<Name>().unwrap();
        assert!(Judged::new(Vec::new()).resolve(name()).await.is_err());
        let inside = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        assert!(Judged::new(inside).resolve(name()).await.is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text in ".{0,200}") {
            if let Ok(url) = judge(&text, &[]) {
                prop_assert_eq!(url.scheme(), "https");
            }
        }
    }
}
