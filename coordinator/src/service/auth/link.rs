//! A link that logs the owner in once. The process on this machine makes it for whoever started it and keeps only a
//! digest, in memory; the first who brings it back from this machine gets in, and nobody after a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use nexusmon_shared::digest::Digest;
use rand::Rng as _;

use super::{LoggedIn, Opening, SessionKind};
use crate::app::App;
use crate::config::Secret;
use crate::error::{Error, Result};

/// How long a link opens.
pub const LIFE: Duration = Duration::from_mins(10);
/// What a link holds, in characters.
const LENGTH: usize = 64;

/// Links that were not used yet, by digest, each until a time of the boot clock.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<HashMap<Digest, Duration>>);

impl Links {
    fn keep(&self, digest: Digest, boot: Duration) {
        let mut links = self.0.lock().expect("no holder panics");
        links.retain(|_, until| *until > boot);
        links.insert(digest, boot + LIFE);
    }

    /// True once.
    fn take(&self, digest: &Digest, boot: Duration) -> bool {
        let found = self.0.lock().expect("no holder panics").remove(digest);
        found.is_some_and(|until| until > boot)
    }
}

#[derive(Debug)]
pub struct LinkLogin {
    pub link: String,
    pub kind: SessionKind,
    /// The cookie the browser has now; its session ends with the log-in.
    pub replaces: Option<String>,
    /// Only this machine's own.
    pub network: IpAddr,
}

/// What stands behind `#login=`. Shown once.
pub fn make(app: &App) -> Secret {
    let mut bytes = [0_u8; 32];
    app.rng.with(|rng| rng.fill_bytes(&mut bytes));
    let link = hex::encode(bytes);
    app.auth.links.keep(Digest::of(link.as_bytes()), app.clock.boot());
    Secret::new(link)
}

pub async fn login(app: &App, login: LinkLogin) -> Result<LoggedIn> {
    let LinkLogin { link, kind, replaces, network } = login;
    let over = || Error::Unauthenticated {
        code: "link_over",
        detail:
            "a log-in link opens once, within ten minutes, on the coordinator's own machine: log in with the \
                 operator key, or start `nexusmon up` again for another link"
                .to_owned(),
    };
    // From elsewhere it is not even looked at, so it is not used up either.
    if !network.to_canonical().is_loopback() || link.len() != LENGTH {
        return Err(over());
    }
    if !app.auth.links.take(&Digest::of(link.as_bytes()), app.clock.boot()) {
        return Err(over());
    }
    let owner = app.store.read().await?.owner().await?.filter(|row| row.revoked_at.is_none());
    let owner = owner.ok_or_else(over)?;
    let opening = Opening { kind, method: "link", replaces, answered: None, proved_at: None };
    super::open_session(app, &owner, opening).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_once_and_not_for_ever() {
        let (links, digest) = (Links::default(), Digest::of(b"a"));
        let boot = Duration::from_secs(5);
        links.keep(digest, boot);
        assert!(!links.take(&Digest::of(b"b"), boot));
        assert!(links.take(&digest, LIFE));
        assert!(!links.take(&digest, boot), "it was used");
        links.keep(digest, boot);
        assert!(!links.take(&digest, boot + LIFE), "its time is over");
        links.keep(digest, boot);
        links.keep(Digest::of(b"b"), boot + LIFE);
        assert_eq!(links.0.lock().unwrap().len(), 1, "what is over is forgotten");
    }
}
