//! What an OpenID provider says: discovery, its keys, and the exchange of a code for an identity (OpenID Connect Core 1.0,
//! section 3.1, with PKCE). Knows nobody here and decides nothing.
//!
//! Everything a provider sends is bounded, parsed totally, and believed only behind its signature or over its own TLS.

mod identity;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::JwkSet;
use nexusmon_shared::time::SharedClock;
use reqwest::Url;
use tokio::sync::Mutex;

use crate::config::Oidc;
use crate::error::{Error, Result};
use identity::Expected;
pub use identity::Identity;

/// What it said of itself is asked for again after this.
const KEPT: Duration = Duration::from_hours(1);
/// A key that is not known makes us ask again, this often at most.
const PAUSE: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(10);
/// Of any of its answers.
const LARGEST: usize = 256 * 1024;

pub struct Provider {
    pub config: Oidc,
    http: reqwest::Client,
    clock: SharedClock,
    known: Mutex<Option<Arc<Known>>>,
}

/// What it says of itself.
#[derive(Debug, serde::Deserialize)]
struct Discovered {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

#[derive(Debug)]
struct Known {
    said: Discovered,
    keys: JwkSet,
    at: Duration,
}

/// Where to send a browser.
#[derive(Debug)]
pub struct Ask<'a> {
    pub redirect: &'a str,
    pub state: &'a str,
    pub nonce: &'a str,
    /// SHA-256 of the verifier, base64url.
    pub challenge: &'a str,
    /// The person has to prove anew who they are.
    pub anew: bool,
}

/// What a browser brought back, and what it must fit to.
#[derive(Debug)]
pub struct Exchange<'a> {
    pub code: &'a str,
    pub verifier: &'a str,
    pub nonce: &'a str,
    pub redirect: &'a str,
    /// Seconds since the epoch.
    pub now: i64,
}

#[derive(serde::Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.config.issuer).finish_non_exhaustive()
    }
}

fn silent(what: &str, error: impl std::fmt::Display) -> Error {
    Error::unavailable(format!("the OpenID provider did not answer as it should ({what}): {error}"))
}

impl Provider {
    pub fn new(config: Oidc, clock: SharedClock) -> Result<Self> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .map_err(Error::internal)?;
        Ok(Self { config, http, clock, known: Mutex::new(None) })
    }

    /// The address a browser goes to.
    pub async fn address(&self, ask: &Ask<'_>) -> Result<String> {
        let known = self.known(None).await?;
        let mut url = endpoint("authorization_endpoint", &known.said.authorization_endpoint)?;
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", ask.redirect)
            .append_pair("scope", &self.config.scopes)
            .append_pair("state", ask.state)
            .append_pair("nonce", ask.nonce)
            .append_pair("code_challenge", ask.challenge)
            .append_pair("code_challenge_method", "S256");
        if ask.anew {
            query.append_pair("prompt", "login").append_pair("max_age", "0");
        }
        drop(query);
        Ok(url.into())
    }

    /// Who came back with this code.
    pub async fn identity(&self, exchange: &Exchange<'_>) -> Result<Identity> {
        let known = self.known(None).await?;
        let tokens = self.tokens(&known, exchange).await?;
        let key = identity::key_id(&tokens.id_token)?;
        let known = if known.keys.keys.iter().any(|jwk| jwk.common.key_id == key) {
            known
        } else {
            self.known(Some(&known)).await?
        };
        let expected = Expected {
            issuer: &known.said.issuer,
            client: &self.config.client_id,
            nonce: exchange.nonce,
            now: exchange.now,
        };
        let mut claims = identity::verify(&tokens.id_token, &known.keys, &expected)?;
        // Many providers keep groups and names for those who ask with the access token.
        if !claims.contains_key(&self.config.claim)
            && let (Some(place), Some(token)) = (&known.said.userinfo_endpoint, &tokens.access_token)
        {
            let url = endpoint("userinfo_endpoint", place)?;
            let answer = self.http.get(url).bearer_auth(token).send().await;
            let more = read(answer.map_err(|error| silent("userinfo", error))?, "userinfo").await?;
            identity::add(&mut claims, &more)?;
        }
        Identity::read(&known.said.issuer, &claims, &self.config.claim)
    }

    async fn tokens(&self, known: &Known, exchange: &Exchange<'_>) -> Result<Tokens> {
        let url = endpoint("token_endpoint", &known.said.token_endpoint)?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", exchange.code),
            ("redirect_uri", exchange.redirect),
            ("code_verifier", exchange.verifier),
        ];
        let request = self.http.post(url).header("content-type", "application/x-www-form-urlencoded");
        let methods = known.said.token_endpoint_auth_methods_supported.as_deref();
        // Basic is what a provider takes that says nothing (Discovery 1.0, section 3).
        let basic =
            methods.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"));
        let request = match &self.config.client_secret {
            Some(secret) if basic => {
                let pair = format!("{}:{}", encoded(&self.config.client_id), encoded(secret.expose()));
                request.header("authorization", format!("Basic {}", STANDARD.encode(pair)))
            }
            secret => {
                form.push(("client_id", &self.config.client_id));
                if let Some(secret) = secret {
                    form.push(("client_secret", secret.expose()));
                }
                request
            }
        };
        let answer = request.body(form_of(&form)).send().await;
        read(answer.map_err(|error| silent("token endpoint", error))?, "token endpoint").await
    }

    /// What it said of itself; asked anew after a while, or where `lacking` does not have what is looked for.
    async fn known(&self, lacking: Option<&Arc<Known>>) -> Result<Arc<Known>> {
        let mut kept = self.known.lock().await;
        let now = self.clock.boot();
        if let Some(known) = kept.as_ref() {
            let age = now.saturating_sub(known.at);
            let enough = lacking.is_none() || age < PAUSE;
            if age < KEPT && enough {
                return Ok(Arc::clone(known));
            }
        }
        let issuer = self.config.issuer.trim_end_matches('/');
        let url = endpoint("issuer", &format!("{issuer}/.well-known/openid-configuration"))?;
        let said: Discovered = self.get(url, "discovery").await?;
        // Whoever answers at this address must say they are it (Discovery 1.0, section 4.3).
        if said.issuer != self.config.issuer {
            return Err(silent("discovery", format!("it calls itself `{}`", said.issuer)));
        }
        let keys = self.get(endpoint("jwks_uri", &said.jwks_uri)?, "keys").await?;
        let known = Arc::new(Known { said, keys, at: now });
        *kept = Some(Arc::clone(&known));
        Ok(known)
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: Url, what: &str) -> Result<T> {
        let answer = self.http.get(url).send().await.map_err(|error| silent(what, error))?;
        read(answer, what).await
    }
}

/// Secrets and keys travel by TLS, or not at all beyond this machine.
fn endpoint(what: &str, text: &str) -> Result<Url> {
    let url: Url = text.parse().map_err(|error| silent(what, error))?;
    if crate::config::is_private(url.scheme(), url.host_str().unwrap_or_default()) {
        return Ok(url);
    }
    Err(silent(what, "it is not HTTPS"))
}

async fn read<T: serde::de::DeserializeOwned>(mut answer: reqwest::Response, what: &str) -> Result<T> {
    let status = answer.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| silent(what, error))? {
        if bytes.len() + chunk.len() > LARGEST {
            return Err(silent(what, "the answer is too large"));
        }
        bytes.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        // What it refused is for the log; it may name the client, never the secret.
        let said: String =
            String::from_utf8_lossy(&bytes).chars().filter(|c| !c.is_control()).take(300).collect();
        tracing::warn!(%status, said, what, "the OpenID provider refused");
        return Err(silent(what, status));
    }
    serde_json::from_slice(&bytes).map_err(|error| silent(what, error))
}

/// For `make prove RUN=fuzz`: an ID token held against keys of which the bytes may be one.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let expected = Expected { issuer: "https://id.example", client: "nexusmon", nonce: "n", now: 1 };
    let keys: JwkSet = serde_json::from_slice(bytes).unwrap_or(JwkSet { keys: Vec::new() });
    let taken = identity::verify(&text, &keys, &expected).is_ok();
    assert!(!taken, "nobody signed this");
    let claims = serde_json::from_slice(bytes).unwrap_or_default();
    Identity::read("https://id.example", &claims, "groups").is_ok() || identity::key_id(&text).is_ok()
}

fn form_of(pairs: &[(&str, &str)]) -> String {
    let mut url: Url = "http://localhost".parse().expect("a URL");
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

/// As in a form (RFC 6749, section 2.3.1).
fn encoded(text: &str) -> String {
    form_of(&[("", text)]).trim_start_matches('=').to_owned()
}
