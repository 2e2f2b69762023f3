//! Entries for `make prove RUN=fuzz`: what sandboxed programs say to the proxy. Only with the feature `fuzzing`.

/// The head of a request.
pub fn request(bytes: &[u8]) -> bool {
    matches!(super::request::read(bytes), Ok(Some(_)))
}

/// An entry of `network`.
pub fn host(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<nexusmon_shared::egress::Host>().is_ok())
}
