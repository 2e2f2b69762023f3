//! Entries for `make prove RUN=fuzz`: access tokens, ID tokens. Only with the feature `fuzzing`.

use nexusmon_shared::id::{PrincipalId, SessionId};
use nexusmon_shared::time::Timestamp;

use super::token as tokens;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

/// Whether the bytes are taken for a token; none but the one issued here may be.
pub fn token(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let taken = tokens::read(KEY, "org_x", text, NOW, false).is_ok();
    assert!(!taken || seeds().iter().any(|good| good == bytes), "a token that was not issued is taken");
    let _ = tokens::read(KEY, "org_x", text, NOW, true);
    taken
}

/// A good token.
pub fn seeds() -> Vec<Vec<u8>> {
    let issued = tokens::issue(KEY, "org_x", PrincipalId::from_bits(1), SessionId::from_bits(2), NOW);
    issued.into_iter().map(String::into_bytes).collect()
}

/// Whether a token is taken when its time is over.
pub fn takes_expired() -> bool {
    let later = NOW + std::time::Duration::from_secs(tokens::LIFE.unsigned_abs());
    let expired = |bytes: &Vec<u8>| {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        tokens::read(KEY, "org_x", text, later, false).is_ok()
    };
    seeds().iter().any(expired)
}

/// Whether the bytes are taken for somebody's ID token: there is no key that could have signed one.
pub fn id_token(bytes: &[u8]) -> bool {
    crate::provider::fuzz(bytes)
}
