//! An OpenID provider that people may log in with, and the roles that follow from what it says of them.

use super::{ConfigError, Environment, Secret, secret};

/// `[oidc]` of the file, `--oidc-…`, `NEXUSMON_OIDC_…`.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OidcSettings {
    /// OpenID provider people may log in with, for example `https://id.example`; its redirect address is
    /// `<public_url>/v1/auth/oidc/callback`. The secret comes by `NEXUSMON_OIDC_CLIENT_SECRET` or `…_FILE`.
    #[arg(id = "oidc_issuer", long = "oidc-issuer", env = "NEXUSMON_OIDC_ISSUER", value_name = "URL")]
    pub issuer: Option<String>,
    /// What this coordinator is called there.
    #[arg(
        id = "oidc_client_id",
        long = "oidc-client-id",
        env = "NEXUSMON_OIDC_CLIENT_ID",
        value_name = "ID"
    )]
    pub client_id: Option<String>,
    /// What the button says: "Log in with …" [default: the provider's host].
    #[arg(id = "oidc_name", long = "oidc-name", env = "NEXUSMON_OIDC_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// What to ask for [default: openid profile].
    #[arg(id = "oidc_scopes", long = "oidc-scopes", env = "NEXUSMON_OIDC_SCOPES", value_name = "SCOPES")]
    pub scopes: Option<String>,
    /// The claim that roles follow from: a text or a list of texts [default: groups].
    #[arg(id = "oidc_claim", long = "oidc-claim", env = "NEXUSMON_OIDC_CLAIM", value_name = "NAME")]
    pub claim: Option<String>,
    /// `value=role`, the first that fits counts; `*` fits everybody. Without a role nobody gets in.
    #[arg(
        id = "oidc_roles",
        long = "oidc-roles",
        env = "NEXUSMON_OIDC_ROLES",
        value_name = "VALUE=ROLE",
        value_delimiter = ','
    )]
    pub roles: Option<Vec<String>>,
}

/// Checked.
#[derive(Debug, Clone)]
pub struct Oidc {
    /// As the provider calls itself, to the byte.
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Option<Secret>,
    pub name: String,
    pub scopes: String,
    pub claim: String,
    /// Value and role, the first that fits counts.
    pub roles: Vec<(String, &'static str)>,
}

/// Nobody is made owner from outside, and a service has no person.
const ROLES: [&str; 3] = ["operator", "approver", "viewer"];

/// Whether what is sent there stays private: TLS, or this machine.
pub fn is_private(scheme: &str, host: &str) -> bool {
    scheme == "https" || (scheme == "http" && ["localhost", "127.0.0.1", "[::1]"].contains(&host))
}

impl OidcSettings {
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            issuer: self.issuer.or(other.issuer),
            client_id: self.client_id.or(other.client_id),
            name: self.name.or(other.name),
            scopes: self.scopes.or(other.scopes),
            claim: self.claim.or(other.claim),
            roles: self.roles.or(other.roles),
        }
    }

    pub(super) fn check(self, environment: &impl Environment) -> Result<Option<Oidc>, ConfigError> {
        let Some(issuer) = self.issuer else {
            return match self.client_id {
                None => Ok(None),
                Some(_) => Err(ConfigError::new("oidc.issuer", "is not set, and oidc.client_id is")),
            };
        };
        let wrong = |why: &str| ConfigError::new("oidc.issuer", format!("`{issuer}` {why}"));
        let uri: http::Uri = issuer.parse().map_err(|_| wrong("is not a URL"))?;
        let host = uri.host().unwrap_or_default();
        if host.is_empty() || uri.query().is_some() || !is_private(uri.scheme_str().unwrap_or_default(), host)
        {
            return Err(wrong("must be an https:// address, such as https://id.example"));
        }
        let client_id = self.client_id.filter(|id| !id.is_empty()).ok_or_else(|| {
            ConfigError::new("oidc.client_id", "is not set: say what the provider calls this coordinator")
        })?;
        let scopes = self.scopes.unwrap_or_else(|| "openid profile".to_owned());
        if !scopes.split(' ').any(|scope| scope == "openid") {
            return Err(ConfigError::new("oidc.scopes", format!("`{scopes}` must hold `openid`")));
        }
        let roles =
            self.roles.unwrap_or_default().iter().map(|text| role(text)).collect::<Result<Vec<_>, _>>()?;
        if roles.is_empty() {
            let why = "is not set: say who gets which role, for example nexus-operators=operator,*=viewer";
            return Err(ConfigError::new("oidc.roles", why));
        }
        Ok(Some(Oidc {
            name: self.name.unwrap_or_else(|| host.to_owned()),
            claim: self.claim.unwrap_or_else(|| "groups".to_owned()),
            client_secret: secret::read(environment, "NEXUSMON_OIDC_CLIENT_SECRET")?,
            issuer,
            client_id,
            scopes,
            roles,
        }))
    }
}

fn role(text: &str) -> Result<(String, &'static str), ConfigError> {
    let wrong = || {
        let why = format!("`{text}` must be value=role, with one of the roles {}", ROLES.join(", "));
        ConfigError::new("oidc.roles", why)
    };
    let (value, named) = text.rsplit_once('=').ok_or_else(wrong)?;
    let role = ROLES.into_iter().find(|role| *role == named.trim()).ok_or_else(wrong)?;
    if value.trim().is_empty() { Err(wrong()) } else { Ok((value.trim().to_owned(), role)) }
}

impl Oidc {
    /// The role of somebody with these values.
    pub fn role(&self, values: &[String]) -> Option<&'static str> {
        let fits = |value: &String| value == "*" || values.contains(value);
        self.roles.iter().find(|(value, _)| fits(value)).map(|(_, role)| *role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> OidcSettings {
        OidcSettings {
            issuer: Some("https://id.example".to_owned()),
            client_id: Some("nexusmon".to_owned()),
            roles: Some(vec!["admins=operator".to_owned(), "*=viewer".to_owned()]),
            ..OidcSettings::default()
        }
    }

    fn check(settings: OidcSettings) -> Result<Option<Oidc>, String> {
        settings.check(&|_: &str| None).map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_value_that_fits_gives_the_role() {
        let oidc = check(settings()).unwrap().unwrap();
        assert_eq!((oidc.name.as_str(), oidc.claim.as_str()), ("id.example", "groups"));
        assert_eq!(oidc.role(&["staff".to_owned(), "admins".to_owned()]), Some("operator"));
        assert_eq!(oidc.role(&[]), Some("viewer"));
        let strict = OidcSettings { roles: Some(vec!["admins=approver".to_owned()]), ..settings() };
        assert_eq!(check(strict).unwrap().unwrap().role(&["staff".to_owned()]), None);
    }

    #[test]
    fn what_would_be_unsafe_is_refused_with_its_key() {
        for (settings, key) in [
            (OidcSettings { issuer: Some("http://id.example".to_owned()), ..settings() }, "oidc.issuer"),
            (OidcSettings { issuer: None, ..settings() }, "oidc.issuer"),
            (OidcSettings { client_id: None, ..settings() }, "oidc.client_id"),
            (OidcSettings { scopes: Some("profile".to_owned()), ..settings() }, "oidc.scopes"),
            (OidcSettings { roles: None, ..settings() }, "oidc.roles"),
            (OidcSettings { roles: Some(vec!["admins=owner".to_owned()]), ..settings() }, "oidc.roles"),
            (OidcSettings { roles: Some(vec!["=viewer".to_owned()]), ..settings() }, "oidc.roles"),
        ] {
            let error = check(settings).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
        assert!(check(OidcSettings::default()).unwrap().is_none());
        let here = OidcSettings { issuer: Some("http://localhost:9000".to_owned()), ..settings() };
        assert!(check(here).unwrap().is_some());
    }
}
