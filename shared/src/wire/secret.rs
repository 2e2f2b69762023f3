//! Secrets on the line; they are sealed by then.

use super::field::{self, Read, WireError};
use super::proto;
use crate::message::{SealedSecret, SecretAnswer};
use crate::plan::MAX_SECRETS;
use crate::trust::sealed::MAX_SECRET_BYTES;

const MAX_REASON_BYTES: usize = 2048;
/// A binding as canonical text.
const MAX_SCOPE_BYTES: usize = 256 * 1024;
/// Encapsulated key and tag.
const SEAL: usize = 48;

pub(super) fn answer(answer: proto::Secret) -> Read<SecretAnswer> {
    let proto::Secret { attempt, secrets, refused } = answer;
    Ok(SecretAnswer {
        attempt: field::required("secret.attempt", attempt)?,
        secrets: field::list("secret.secrets", secrets, MAX_SECRETS)?,
        refused: field::text("secret.refused", refused, MAX_REASON_BYTES)?,
    })
}

impl From<SecretAnswer> for proto::Secret {
    fn from(answer: SecretAnswer) -> Self {
        let SecretAnswer { attempt, secrets, refused } = answer;
        let secrets = secrets.into_iter().map(Into::into).collect();
        Self { attempt: Some(attempt.into()), secrets, refused }
    }
}

impl TryFrom<proto::SealedSecret> for SealedSecret {
    type Error = WireError;

    fn try_from(secret: proto::SealedSecret) -> Read<Self> {
        let proto::SealedSecret { name, version, scope, sealed } = secret;
        Ok(Self {
            name: field::parse("name", &name)?,
            version,
            scope: field::text("scope", scope, MAX_SCOPE_BYTES)?,
            sealed: field::blob("sealed", sealed, MAX_SECRET_BYTES + SEAL)?,
        })
    }
}

impl From<SealedSecret> for proto::SealedSecret {
    fn from(secret: SealedSecret) -> Self {
        let SealedSecret { name, version, scope, sealed } = secret;
        Self { name: name.to_string(), version, scope, sealed }
    }
}
