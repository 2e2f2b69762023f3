//! How an S3-compatible store is reached: endpoint, region, credentials from the environment or a file, and a look at
//! the start whether bucket and credentials are good.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, RetryConfig,
};

use super::error::BlobError;

/// Requests are tried again for this long; whoever waits for one has a deadline of its own.
const RETRIES: RetryConfig = RetryConfig {
    backoff: BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        base: 2.0,
    },
    max_retries: 8,
    retry_timeout: Duration::from_secs(30),
};
/// The look at the start.
const FIRST_LOOK: Duration = Duration::from_secs(20);
const PROBE: &[u8] = b"nexusmon looks whether it can write here\n";

/// Settings beside the URL; what is absent comes from the environment (`AWS_…`).
#[derive(Debug, Clone, Default)]
pub struct ObjectStoreConfig {
    /// For example `http://127.0.0.1:9000`; AWS itself if absent here and in the environment.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    /// In the form of `~/.aws/credentials`.
    pub credentials_file: Option<PathBuf>,
    /// Plain HTTP to other machines.
    pub allow_http: bool,
}

/// Builds the client; `refused` makes the error.
pub(super) fn client(
    bucket: &str,
    config: &ObjectStoreConfig,
    refused: &impl Fn(String) -> BlobError,
) -> Result<AmazonS3, BlobError> {
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(RETRIES);
    if let Some(endpoint) = &config.endpoint {
        // The more specific name of the environment would win over the plain one.
        builder = builder.with_endpoint(endpoint).with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    let value =
        |builder: &AmazonS3Builder, key| builder.get_config_value(&key).filter(|text| !text.is_empty());
    let endpoint = value(&builder, AmazonS3ConfigKey::S3Endpoint)
        .or_else(|| value(&builder, AmazonS3ConfigKey::Endpoint));
    if let Some(plain) = endpoint.as_deref().and_then(|endpoint| endpoint.strip_prefix("http://")) {
        let allowed =
            config.allow_http || std::env::var_os("AWS_ALLOW_HTTP").is_some_and(|value| value == "true");
        if !allowed && !is_loopback(plain) {
            return Err(refused(format!(
                "http://{plain} would carry everything in the clear: use https://, or set s3_allow_http where the \
                 network between is your own"
            )));
        }
        builder = builder.with_allow_http(true);
    }
    if let Some(path) = &config.credentials_file {
        let found =
            read_credentials(path).map_err(|reason| refused(format!("{}: {reason}", path.display())))?;
        builder = builder.with_access_key_id(found.id).with_secret_access_key(found.secret);
        if let Some(token) = found.token {
            builder = builder.with_token(token);
        }
    } else if let (Some(id), Some(secret)) =
        (secret_file("AWS_ACCESS_KEY_ID_FILE", refused)?, secret_file("AWS_SECRET_ACCESS_KEY_FILE", refused)?)
    {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    } else if endpoint.is_some() && value(&builder, AmazonS3ConfigKey::AccessKeyId).is_none() {
        // Only AWS has machines that hand out credentials.
        return Err(refused(
            "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or s3_credentials_file"
                .to_owned(),
        ));
    }
    builder.build().map_err(|e| refused(e.to_string()))
}

/// The content of the file an environment variable names, as container platforms give secrets.
fn secret_file(name: &str, refused: &impl Fn(String) -> BlobError) -> Result<Option<String>, BlobError> {
    let Some(path) = std::env::var_os(name).filter(|path| !path.is_empty()) else { return Ok(None) };
    let text = std::fs::read_to_string(&path).map_err(|e| {
        refused(format!("{name} names {}, which cannot be read: {e}", Path::new(&path).display()))
    })?;
    Ok(Some(text.trim().to_owned()))
}

fn is_loopback(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

struct Credentials {
    id: String,
    secret: String,
    token: Option<String>,
}

/// The profile `AWS_PROFILE` names, or `default`. A file others may read is refused.
fn read_credentials(path: &Path) -> Result<Credentials, String> {
    let meta = std::fs::metadata(path).map_err(|e| format!("cannot be read: {e}"))?;
    if meta.mode() & 0o077 != 0 {
        return Err("others than its owner may read it: chmod 600 it".to_owned());
    }
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"))?;
    let profile = std::env::var("AWS_PROFILE").unwrap_or_else(|_| "default".to_owned());
    parse_credentials(&text, &profile)
}

fn parse_credentials(text: &str, profile: &str) -> Result<Credentials, String> {
    let mut within = false;
    let (mut id, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            within = name.trim() == profile;
        } else if let (true, Some((key, value))) = (within, line.split_once('=')) {
            let place = match key.trim() {
                "aws_access_key_id" => &mut id,
                "aws_secret_access_key" => &mut secret,
                "aws_session_token" => &mut token,
                _ => continue,
            };
            *place = Some(value.trim().to_owned());
        }
    }
    match (id, secret) {
        (Some(id), Some(secret)) => Ok(Credentials { id, secret, token }),
        _ => Err(format!("has no aws_access_key_id and aws_secret_access_key under [{profile}]")),
    }
}

/// Writes, reads and deletes a small object; says whether the store refuses to overwrite when asked to (RFC 9110,
/// If-None-Match).
pub(super) async fn probe(
    store: &dyn ObjectStore,
    key: &Key,
    refused: &impl Fn(String) -> BlobError,
) -> Result<bool, BlobError> {
    let create = || store.put_opts(key, PutPayload::from(Bytes::from_static(PROBE)), PutMode::Create.into());
    let looked = async {
        let conditional = match create().await {
            Ok(_) => match create().await {
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => true,
                Ok(_) | Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => false,
                Err(error) => return Err(error),
            },
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
                store.put(key, PutPayload::from(Bytes::from_static(PROBE))).await?;
                false
            }
            Err(error) => return Err(error),
        };
        let read = store.get(key).await?.bytes().await?;
        store.delete(key).await?;
        Ok((conditional, read == PROBE))
    };
    match tokio::time::timeout(FIRST_LOOK, looked).await {
        Err(_) => Err(refused(format!(
            "it does not answer within {} s: check the endpoint, and whether this machine may reach it",
            FIRST_LOOK.as_secs()
        ))),
        Ok(Ok((conditional, true))) => Ok(conditional),
        Ok(Ok((_, false))) => Err(refused("it does not give back what was written".to_owned())),
        Ok(Err(error)) => Err(refused(explain(&error))),
    }
}

fn explain(error: &Error) -> String {
    let text = nexusmon_shared::lifecycle::chain(error);
    match error {
        Error::NotFound { .. } => format!("there is no such bucket; make it first ({text})"),
        Error::Unauthenticated { .. } | Error::PermissionDenied { .. } => format!(
            "the credentials are refused: they must be right, and allow to read, write and delete there ({text})"
        ),
        _ if text.contains("InvalidAccessKeyId") || text.contains("SignatureDoesNotMatch") => {
            format!("the credentials are refused ({text})")
        }
        _ if text.contains("NoSuchBucket") => format!("there is no such bucket; make it first ({text})"),
        _ => format!("it cannot be used: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for (authority, expected) in [
            ("127.0.0.1:9000", true),
            ("localhost/x", true),
            ("[::1]:9000", true),
            ("10.0.0.1:9000", false),
            ("localhost.example", false),
            ("127.0.0.1.example:80", false),
        ] {
            assert_eq!(is_loopback(authority), expected, "{authority}");
        }
    }

    #[test]
    fn credentials_are_those_of_the_profile() {
        let text = "# mine\n[other]\naws_access_key_id = no\naws_secret_access_key = no\n\n[default]\n\
                    aws_access_key_id=AK\naws_secret_access_key = s=3/+\n";
        let found = parse_credentials(text, "default").unwrap();
        assert_eq!((found.id.as_str(), found.secret.as_str(), found.token), ("AK", "s=3/+", None));
        let refused = parse_credentials(text, "third").err().unwrap();
        assert!(refused.contains("[third]"), "{refused}");
        assert!(!refused.contains("AK"));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        std::fs::write(&path, "[default]\naws_access_key_id=a\naws_secret_access_key=b\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read_credentials(&path).err().unwrap().contains("chmod 600"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read_credentials(&path).unwrap().id, "a");
    }
}
