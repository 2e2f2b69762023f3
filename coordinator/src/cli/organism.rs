//! `nexusmon evolution`.

use serde_json::Value;

use super::client::{Client, CommandError};
use super::render;

pub(super) async fn evolution(client: &Client) -> Result<(), CommandError> {
    let organism = client.get("/v1/nexusmon/organism/status").await?;
    if client.json {
        render::json(&organism);
        return Ok(());
    }
    println!("{}  {} XP", render::text(&organism["stage"]), render::text(&organism["xp"]));
    let next = &organism["next_stage"];
    if next.is_object() {
        println!(
            "next: {} at {} verified missions, {} so far",
            render::text(&next["stage"]),
            render::text(&next["at"]),
            render::text(&next["verified_missions"])
        );
    }
    println!();
    let rows = organism["traits"].as_array().into_iter().flatten().map(|each| {
        let evidence = match &each["evidence"] {
            Value::Null => String::new(),
            Value::String(text) => render::plain(text),
            Value::Object(fields) if fields.contains_key("text") => render::text(&fields["text"]),
            other => other.to_string(),
        };
        vec![render::text(&each["trait"]), render::text(&each["state"]), render::short(&evidence, 80)]
    });
    render::table(&["trait", "state", "evidence"], rows.collect());
    Ok(())
}
