//! Who answers for what browsers are told while nobody looks.

use nexusmon_shared::network::Network;

use super::ConfigError;

/// Push services want to know who sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// `mailto:` or `https:`.
    pub contact: String,
    /// Networks that push services may be in beside the public ones.
    pub inside: Vec<Network>,
}

pub(super) fn read(
    contact: Option<String>,
    inside: Option<Vec<Network>>,
    public_url: Option<&str>,
) -> Result<Option<Push>, ConfigError> {
    let contact = contact.or_else(|| public_url.filter(|url| url.starts_with("https://")).map(str::to_owned));
    let Some(contact) = contact else { return Ok(None) };
    let mail = contact.strip_prefix("mailto:").and_then(|mail| mail.split_once('@'));
    let mailed = mail.is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
    let plain = contact.len() <= 200 && contact.chars().all(|c| c.is_ascii_graphic());
    if !plain || !(mailed || contact.starts_with("https://")) {
        let reason =
            format!("`{contact}` must be an address such as mailto:you@example.org or https://nexus.example");
        return Err(ConfigError::new("push_contact", reason));
    }
    Ok(Some(Push { contact, inside: inside.unwrap_or_default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_answers_for_it_or_nothing_is_sent() {
        let of = |contact: Option<&str>, public: Option<&str>| {
            read(contact.map(str::to_owned), None, public).map(|push| push.map(|push| push.contact))
        };
        assert_eq!(of(None, None).unwrap(), None);
        assert_eq!(of(None, Some("http://nexus.lan")).unwrap(), None);
        assert_eq!(
            of(None, Some("https://nexus.example")).unwrap().as_deref(),
            Some("https://nexus.example")
        );
        let given = of(Some("mailto:ops@nexus.example"), Some("https://nexus.example")).unwrap();
        assert_eq!(given.as_deref(), Some("mailto:ops@nexus.example"));
        for wrong in
            ["ops@nexus.example", "mailto:ops", "mailto:@x.y", "http://nexus.example", "mailto:a b@x.y"]
        {
            let refused = of(Some(wrong), None).unwrap_err().to_string();
            assert!(refused.contains("push_contact") && refused.contains(wrong), "{refused}");
        }
    }
}
