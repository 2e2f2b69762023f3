//! Short messages to people who are elsewhere: webhooks, ntfy, Slack-compatible hooks, e-mail. Sends to nobody inside unless
//! that was allowed. Knows no people and decides nothing; `service/notifications` decides who is told what.

mod post;
mod smtp;

use std::sync::OnceLock;
use std::time::Duration;

use nexusmon_shared::network::Network;
use nexusmon_shared::time::Timestamp;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::push::{self, Refused};

/// For one attempt, from the look-up of the name to the last answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for mail: many servers let whoever calls wait before they greet, and look at a message before they take it. Less
/// than the minute for which it is claimed.
const MAIL_PATIENCE: Duration = Duration::from_secs(40);
/// The longest that an answer may ask to wait.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// What is said. All of it is plain text of ours: sentences, ids and ranks.
#[derive(Debug, Clone)]
pub struct Message {
    /// The same for what is sent again.
    pub id: String,
    pub title: String,
    pub lines: Vec<String>,
    /// Into the console.
    pub link: Option<String>,
    /// To be looked at soon.
    pub urgent: bool,
    /// For programs.
    pub body: Value,
}

/// What nobody reads but whoever it is meant for.
#[derive(Clone)]
pub struct Hidden(Zeroizing<String>);

impl Hidden {
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl std::ops::Deref for Hidden {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

/// Into what is sealed, and nowhere else.
impl serde::Serialize for Hidden {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Hidden {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <String as serde::Deserialize>::deserialize(deserializer).map(Self::new)
    }
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// From the first byte, port 465 mostly.
    Tls,
    /// Asked for before anything is said, port 587 mostly.
    Starttls,
    /// In the clear: only within the networks that were allowed.
    None,
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct Mail {
    pub host: String,
    pub port: u16,
    pub security: Security,
    pub username: Option<String>,
    pub password: Option<Hidden>,
    pub from: String,
    pub to: Vec<String>,
}

/// Where to, with what opens the door there.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Address {
    /// Signed as Standard Webhooks has it.
    Webhook {
        url: String,
        key: Hidden,
    },
    /// The URL of a topic.
    Ntfy {
        url: String,
        token: Option<Hidden>,
    },
    /// Slack, Mattermost, and whatever else takes `{"text"}`.
    Slack {
        url: String,
    },
    Email(Mail),
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address")
    }
}

/// What came of an attempt. Texts are ours; nothing that the other side said is in them but its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    Taken,
    /// Taken, and not by everybody it was for.
    TakenBut(String),
    /// To be tried again, perhaps after a while.
    Later(Option<Duration>, String),
    /// Refused for good, or not to be reached from here.
    Refused(String),
}

/// What is wrong with an address: the field and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub pointer: &'static str,
    pub why: String,
}

/// Sends messages; one for the whole process.
#[derive(Debug)]
pub struct Sender {
    http: reqwest::Client,
    inside: Vec<Network>,
}

const INSIDE: &str =
    "names an address that is not public: put its network into NEXUSMON_NOTIFY_INSIDE if it is yours";

impl Sender {
    /// `inside`: networks that may be sent into beside the public ones.
    pub fn new(inside: Vec<Network>) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            // Where an answer sends us on to was never judged.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .no_proxy()
            .user_agent("nexusmon")
            .dns_resolver(push::Judged::new(inside.clone()))
            .build()?;
        Ok(Self { http, inside })
    }

    /// Whether messages may go there at all; names are judged again when they are looked up.
    pub fn check(&self, address: &Address) -> Result<(), Wrong> {
        match address {
            Address::Webhook { url, .. } | Address::Ntfy { url, .. } | Address::Slack { url } => {
                let judged = push::judge(url, &self.inside);
                judged.map(drop).map_err(|refused| Wrong { pointer: "/url", why: worded(&refused) })
            }
            Address::Email(mail) => smtp::check(mail, &self.inside),
        }
    }

    /// One attempt.
    pub async fn send(&self, address: &Address, message: &Message, now: Timestamp) -> Sent {
        if let Err(Wrong { why, .. }) = self.check(address) {
            return Sent::Refused(format!("the address {why}"));
        }
        match address {
            Address::Email(mail) => {
                let handed = OnceLock::new();
                let sending = smtp::send(mail, &self.inside, message, now, &handed);
                let sent = tokio::time::timeout(MAIL_PATIENCE, sending).await;
                sent.unwrap_or_else(|_| late(handed.into_inner()))
            }
            other => post::send(&self.http, other, message, now).await,
        }
    }
}

/// A mail server that has the whole message mostly keeps it, however late it says so: sent again it would come twice.
fn late(handed: Option<Sent>) -> Sent {
    handed.unwrap_or_else(|| {
        Sent::Later(None, format!("the mail server took longer than {} s", MAIL_PATIENCE.as_secs()))
    })
}

fn worded(refused: &Refused) -> String {
    match refused {
        Refused::Inside => INSIDE.to_owned(),
        Refused::Plain => "must be https, or http to an address within NEXUSMON_NOTIFY_INSIDE".to_owned(),
        Refused::Unreadable => {
            "is not an address such as https://hooks.example/… without credentials in it".to_owned()
        }
    }
}

/// Reads what a mail server says, as one message would; `true` where all of it was a reply.
#[cfg(feature = "fuzzing")]
pub fn fuzz(bytes: &[u8]) -> bool {
    smtp::fuzz(bytes)
}
