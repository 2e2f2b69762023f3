//! The one line a new machine is given: `nxj1.` and base64url.
//!
//! Holds a secret, so `Debug` shows none of it and memory is wiped on drop; `Display` is the token itself, for the one
//! time it is shown. Knows nothing of networks: the address is text that `host:port` was found in.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::{Zeroize as _, Zeroizing};

use crate::digest::Digest;
use crate::id::InviteId;
use crate::trust::enrollment::{InviteKey, invite_key};

const PREFIX: &str = "nxj1.";
const FIXED: usize = 16 + 32 + 32 + 32;
const MAX_ADDRESS: usize = 300;

/// What a machine needs to become an agent.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    address: Address,
    invite: InviteId,
    secret: [u8; 32],
    authority: Digest,
    owner_key: [u8; 32],
}

/// Why a text is not a join token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinTokenError {
    #[error("a join token starts with `{PREFIX}`")]
    Prefix,
    #[error("the join token is of a newer kind than this agent knows; upgrade the agent")]
    Newer,
    #[error("the join token is damaged: it holds characters that are not base64url; was it copied in full?")]
    Encoding,
    #[error("the join token is {0} characters long, too long to be one")]
    TooLong(usize),
    #[error("the join token is cut off; was it copied in full?")]
    TooShort,
    #[error("the join token's address is wrong")]
    Address(#[from] AddressError),
}

impl JoinToken {
    /// `authority` is the SHA-256 of the organism's CA public key (its `SubjectPublicKeyInfo`); `owner_key` is all zero
    /// until there is one.
    pub fn new(
        address: Address,
        invite: InviteId,
        secret: [u8; 32],
        authority: Digest,
        owner_key: [u8; 32],
    ) -> Self {
        Self { address, invite, secret, authority, owner_key }
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    pub fn invite(&self) -> InviteId {
        self.invite
    }

    /// The pin: what the CA's public key must hash to.
    pub fn authority(&self) -> Digest {
        self.authority
    }

    pub fn owner_key(&self) -> &[u8; 32] {
        &self.owner_key
    }

    /// The key both sides authenticate the join with.
    pub fn key(&self) -> InviteKey {
        invite_key(&self.secret, self.invite)
    }
}

impl Drop for JoinToken {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Zeroizing::new(Vec::with_capacity(FIXED + self.address.as_str().len()));
        bytes.extend_from_slice(&self.invite.to_bits().to_be_bytes());
        bytes.extend_from_slice(&self.secret);
        bytes.extend_from_slice(self.authority.as_bytes());
        bytes.extend_from_slice(&self.owner_key);
        bytes.extend_from_slice(self.address.as_str().as_bytes());
        f.write_str(PREFIX)?;
        f.write_str(&Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice())))
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("address", &self.address)
            .field("invite", &self.invite)
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let text = text.trim();
        if text.len() > PREFIX.len() + (FIXED + MAX_ADDRESS) * 4 / 3 + 4 {
            return Err(JoinTokenError::TooLong(text.len()));
        }
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            let newer = text.strip_prefix("nxj").is_some_and(|rest| {
                rest.split_once('.').is_some_and(|(number, _)| number.parse::<u32>().is_ok_and(|n| n > 1))
            });
            return Err(if newer { JoinTokenError::Newer } else { JoinTokenError::Prefix });
        };
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| JoinTokenError::Encoding)?);
        let (invite, rest) = bytes.split_first_chunk::<16>().ok_or(JoinTokenError::TooShort)?;
        let (secret, rest) = rest.split_first_chunk::<32>().ok_or(JoinTokenError::TooShort)?;
        let (authority, rest) = rest.split_first_chunk::<32>().ok_or(JoinTokenError::TooShort)?;
        let (owner_key, address) = rest.split_first_chunk::<32>().ok_or(JoinTokenError::TooShort)?;
        if address.is_empty() {
            return Err(JoinTokenError::TooShort);
        }
        let address = std::str::from_utf8(address).map_err(|_| AddressError::NotText)?;
        Ok(Self {
            address: address.parse()?,
            invite: InviteId::from_bits(u128::from_be_bytes(*invite)),
            secret: *secret,
            authority: Digest::from_bytes(*authority),
            owner_key: *owner_key,
        })
    }
}

/// Where the agent port is: `host:port`; IPv6 in brackets.
#[derive(Clone, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Address(String);

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("the address is not text")]
    NotText,
    #[error("`{0}` is not an address: expected `host:port`, such as `nexus.example:7301` or `[::1]:7301`")]
    Malformed(String),
}

impl Address {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Host without brackets.
    pub fn host(&self) -> &str {
        let host = self.0.rsplit_once(':').map_or(self.0.as_str(), |(host, _)| host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    pub fn port(&self) -> u16 {
        self.0.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed(text.chars().take(80).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(malformed)?;
        let port_is_good = port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|number| number != 0);
        let host_is_good = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                (1..=253).contains(&host.len())
                    && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
            }
        };
        if port_is_good && host_is_good { Ok(Self(text.to_owned())) } else { Err(malformed()) }
    }
}

impl From<std::net::SocketAddr> for Address {
    fn from(address: std::net::SocketAddr) -> Self {
        Self(match address {
            std::net::SocketAddr::V4(v4) => v4.to_string(),
            // Without the scope id, which means nothing on another machine.
            std::net::SocketAddr::V6(v6) => format!("[{}]:{}", v6.ip(), v6.port()),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(address: &str, secret: [u8; 32]) -> JoinToken {
        JoinToken::new(
            address.parse().unwrap(),
            InviteId::from_bits(42),
            secret,
            Digest::of(b"authority"),
            [0; 32],
        )
    }

    #[test]
    fn debug_tells_no_secret() {
        let shown = format!("{:?}", token("nexus.example:7301", [0xab; 32]));
        assert!(shown.contains("nexus.example:7301"), "{shown}");
        assert!(!shown.contains("171") && !shown.contains("abab"), "{shown}");
    }

    #[test]
    fn damage_is_named() {
        let text = token("nexus.example:7301", [1; 32]).to_string();
        assert_eq!(text[..60].parse::<JoinToken>(), Err(JoinTokenError::TooShort));
        assert_eq!(text.replace("nxj1.", "nxj2.").parse::<JoinToken>(), Err(JoinTokenError::Newer));
        assert_eq!("hello".parse::<JoinToken>(), Err(JoinTokenError::Prefix));
        assert_eq!(format!("{text}!").parse::<JoinToken>(), Err(JoinTokenError::Encoding));
        assert_eq!(format!(" {text}\n").parse::<JoinToken>(), Ok(token("nexus.example:7301", [1; 32])));
    }

    #[test]
    fn addresses_are_host_and_port() {
        for good in ["nexus:1", "10.0.0.1:7301", "[::1]:7301", "a-b.example:65535"] {
            let address: Address = good.parse().unwrap();
            assert_ne!(address.port(), 0, "{good}");
            assert!(!address.host().contains(['[', ']']), "{good}");
        }
        for bad in ["", "nexus", ":1", "nexus:", "nexus:0", "nexus:70000", "::1:7301", "a b:1", "nexus:+1"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn tokens_round_trip(
            host in "[a-z][a-z0-9-]{0,60}", port in 1_u16.., secret: [u8; 32], invite: u128, owner: [u8; 32],
        ) {
            let address = format!("{host}:{port}").parse().unwrap();
            let pin = Digest::of(&secret);
            let token = JoinToken::new(address, InviteId::from_bits(invite), secret, pin, owner);
            let text = token.to_string();
            prop_assert_eq!(text.parse::<JoinToken>(), Ok(token));
        }

        #[test]
        fn outside_text_never_panics(text in ".{0,400}") {
            let _ = text.parse::<JoinToken>();
            let _ = text.parse::<Address>();
        }

        #[test]
        fn outside_payloads_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let _ = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)).parse::<JoinToken>();
        }
    }
}
