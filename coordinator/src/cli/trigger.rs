//! What the commands of schedules, webhooks and event triggers have in common.

use serde_json::json;

use super::client::{Client, CommandError, escape};
use super::render;

/// The address of one, by id or by name. `list` is where they are all, `kind` what one is called.
pub(super) async fn path(
    client: &Client,
    list: &str,
    kind: &str,
    given: &str,
) -> Result<String, CommandError> {
    if given.starts_with("trg_") {
        return Ok(format!("{list}/{}", escape(given)));
    }
    let items = client.list(list, usize::MAX).await?;
    let found = items.iter().find(|item| item["name"] == given).and_then(|item| item["id"].as_str());
    let found = found.ok_or_else(|| CommandError::Refused {
        status: 404,
        body: json!({"detail": format!("there is no {kind} `{}`", render::plain(given)), "code": "not_found"}),
    })?;
    Ok(format!("{list}/{}", escape(found)))
}
