//! Channels as people write them: what is given becomes an address that is sealed and a part of it that may be shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nexusmon_store::ChannelKind;
use rand::Rng as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::app::App;
use crate::error::{Error, FieldError, Result};
use crate::outward::{Address, Hidden, Mail, Security};

const NAME: usize = 60;
const LONGEST_SECRET: usize = 4096;

/// A mail server.
#[derive(Debug, Clone)]
pub struct GivenServer {
    pub host: String,
    pub port: u16,
    /// `tls`, `starttls`, `none`.
    pub security: String,
    pub username: Option<String>,
    pub password: Option<Hidden>,
}

/// A channel as it is asked for.
#[derive(Debug, Clone)]
pub struct NewChannel {
    pub name: String,
    pub kind: String,
    /// Webhook, ntfy (of the topic), Slack-compatible.
    pub url: Option<String>,
    /// Webhook: `whsec_…`; made where it is absent.
    pub key: Option<Hidden>,
    /// ntfy.
    pub token: Option<Hidden>,
    /// E-mail.
    pub server: Option<GivenServer>,
    pub from: Option<String>,
    pub to: Vec<String>,
}

/// What a channel is made of.
pub(super) struct Read {
    pub(super) name: String,
    pub(super) kind: ChannelKind,
    /// Absent for browsers, whose addresses are their own.
    pub(super) address: Option<Address>,
    pub(super) shown: Value,
    /// A key that was made just now.
    pub(super) made: Option<Hidden>,
}

fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default().to_owned()
}

pub(super) fn named(name: &str) -> Result<String> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
        let message = format!("must be 1 to {NAME} characters of plain text");
        return Err(Error::field("/name", "invalid_value", message));
    }
    Ok(name.to_owned())
}

pub(super) fn read(app: &App, new: NewChannel) -> Result<Read> {
    let name = named(&new.name)?;
    let kind = ChannelKind::parse(&new.kind).ok_or_else(|| {
        Error::field("/kind", "unknown_value", "must be one of webhook, ntfy, slack, email, push")
    })?;
    only_its_fields(kind, &new)?;
    let NewChannel { url, key, token, server, from, to, .. } = new;
    let url = || {
        url.clone().ok_or_else(|| {
            Error::field("/url", "required", "where to: an address such as https://hooks.example/…")
        })
    };
    let (mut made, mut shown) = (None, json!({}));
    let address = match kind {
        ChannelKind::Webhook => {
            let key = match key {
                Some(key) => own_key(key)?,
                None => made.insert(make_key(app)).clone(),
            };
            Some(Address::Webhook { url: url()?, key })
        }
        ChannelKind::Ntfy => Some(Address::Ntfy { url: url()?, token: token.map(own_token).transpose()? }),
        ChannelKind::Slack => Some(Address::Slack { url: url()? }),
        ChannelKind::Email => {
            let server = server.ok_or_else(|| {
                Error::field(
                    "/server",
                    "required",
                    "the mail server: host, port, security, username, password",
                )
            })?;
            let from = from.ok_or_else(|| Error::field("/from", "required", "the address it comes from"))?;
            let mail = mail(server, from, to)?;
            shown = json!({"host": mail.host, "port": mail.port, "security": mail.security,
                "username": mail.username, "from": mail.from, "to": mail.to});
            Some(Address::Email(mail))
        }
        ChannelKind::Push => None,
    };
    if let Some(address) = &address {
        app.outward.check(address).map_err(|wrong| Error::field(wrong.pointer, "not_allowed", wrong.why))?;
        if let Address::Webhook { url, .. } | Address::Ntfy { url, .. } | Address::Slack { url } = address {
            // The rest of it opens the door.
            shown = json!({"host": host_of(url)});
        }
    }
    Ok(Read { name, kind, address, shown, made })
}

/// What belongs to another kind is refused rather than forgotten.
fn only_its_fields(kind: ChannelKind, new: &NewChannel) -> Result<()> {
    let NewChannel { name: _, kind: _, url, key, token, server, from, to } = new;
    let given = [
        (
            "/url",
            url.is_some(),
            matches!(kind, ChannelKind::Webhook | ChannelKind::Ntfy | ChannelKind::Slack),
        ),
        ("/key", key.is_some(), kind == ChannelKind::Webhook),
        ("/token", token.is_some(), kind == ChannelKind::Ntfy),
        ("/server", server.is_some(), kind == ChannelKind::Email),
        ("/from", from.is_some(), kind == ChannelKind::Email),
        ("/to", !to.is_empty(), kind == ChannelKind::Email),
    ];
    let wrong: Vec<_> = given
        .into_iter()
        .filter(|(_, given, belongs)| *given && !belongs)
        .map(|(pointer, ..)| {
            FieldError::new(
                pointer,
                "unexpected",
                format!("does not belong to a channel of kind {}", kind.as_str()),
            )
        })
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(Error::Invalid(wrong)) }
}

fn own_key(key: Hidden) -> Result<Hidden> {
    let bytes = key.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    if bytes.is_some_and(|bytes| (24..=64).contains(&bytes.len())) {
        return Ok(key);
    }
    let message = "must be `whsec_` and 24 to 64 bytes as base64; leave it out and one is made";
    Err(Error::field("/key", "invalid_value", message))
}

fn make_key(app: &App) -> Hidden {
    app.rng.with(|rng| {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        rng.fill_bytes(bytes.as_mut_slice());
        Hidden::new(format!("whsec_{}", STANDARD.encode(*bytes)))
    })
}

fn own_token(token: Hidden) -> Result<Hidden> {
    if token.is_empty() || token.len() > LONGEST_SECRET || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(Error::field(
            "/token",
            "invalid_value",
            "must be letters and digits as the server gave them",
        ));
    }
    Ok(token)
}

fn mail(server: GivenServer, from: String, to: Vec<String>) -> Result<Mail> {
    let GivenServer { host, port, security, username, password } = server;
    let security = match security.as_str() {
        "tls" => Security::Tls,
        "starttls" => Security::Starttls,
        "none" => Security::None,
        _ => {
            return Err(Error::field(
                "/server/security",
                "unknown_value",
                "must be one of tls, starttls, none",
            ));
        }
    };
    let sane =
        |text: &str| !text.is_empty() && text.len() <= LONGEST_SECRET && !text.chars().any(char::is_control);
    if username.as_deref().is_some_and(|text| !sane(text)) {
        return Err(Error::field("/server/username", "invalid_value", "must be plain text"));
    }
    if password.as_ref().is_some_and(|text| !sane(text)) {
        return Err(Error::field("/server/password", "invalid_value", "must be plain text"));
    }
    Ok(Mail { host, port, security, username, password, from, to })
}
