//! How a goal became a plan, or what would help, as text.

use serde_json::Value;

use super::render;

/// What each planner said; nothing where none was asked.
pub(super) fn print(mission: &Value) {
    let planning = &mission["planning"];
    if !planning.is_object() {
        return;
    }
    if let Some(planner) = planning["planner"].as_str() {
        println!("planned by {planner}: {}", render::text(&planning["said"]));
        for differs in planning["differs"].as_array().into_iter().flatten() {
            println!("  differs   {}", render::text(differs));
        }
        return;
    }
    for step in planning["steps"].as_array().into_iter().flatten() {
        let (planner, outcome) = (render::text(&step["planner"]), render::text(&step["outcome"]));
        println!("  {planner:<9} {outcome:<8} {}", render::text(&step["said"]));
    }
    println!("What would help:");
    for help in planning["help"].as_array().into_iter().flatten() {
        println!("  {:<10} {}", render::text(&help["kind"]), render::text(&help["text"]));
    }
}
