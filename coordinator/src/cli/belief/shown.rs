//! Beliefs as people read them: tables, and as a tree what rests on what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::cli::render;

/// Counted and asserted ones.
pub(super) fn list(answer: &Value) {
    let use_of = if answer["in_use"] == true {
        "The scheduler uses what was observed (BELIEF_TRACK)."
    } else {
        "The scheduler does not use what was observed: BELIEF_TRACK is not held."
    };
    println!("{use_of}");
    let observed = answer["observed"].as_array().map_or(&[][..], Vec::as_slice);
    if observed.is_empty() {
        println!("Nothing is observed yet: no attempt has ended.");
    }
    let rows = observed.iter().map(|item| {
        let agent = if item["agent_name"].is_null() { &item["agent"] } else { &item["agent_name"] };
        vec![
            render::text(&item["capability"]),
            render::text(&item["plugin_version"]),
            render::text(agent),
            format!("{} of {}", item["successes"], total(item)),
            format!("{} ± {}", render::number(&item["mean"], 2), render::number(&item["deviation"], 2)),
            render::text(&item["band"]),
            render::text(&item["effect"]),
        ]
    });
    render::table(&["observed", "version", "agent", "went well", "trust", "band", "effect"], rows.collect());
    println!();
    let asserted = answer["asserted"].as_array().map_or(&[][..], Vec::as_slice);
    if asserted.is_empty() {
        println!(
            "Nothing is asserted. Assert something: nexusmon belief assert \"…\" --confidence 0.9 --note \"…\""
        );
    }
    let rows = asserted.iter().map(|item| {
        vec![
            render::text(&item["id"]),
            render::status(item["status"].as_str().unwrap_or("-")),
            render::number(&item["confidence"], 2),
            render::text(&item["doubted_by"]),
            render::text(&item["revision"]),
            render::time(&item["changed_at"]),
            render::short(&render::text(&item["statement"]), 60),
        ]
    });
    render::table(
        &["asserted", "status", "confidence", "doubted by", "revision", "changed (UTC)", "statement"],
        rows.collect(),
    );
}

fn total(item: &Value) -> u64 {
    let count = |name: &str| item[name].as_u64().unwrap_or(0);
    count("successes").saturating_add(count("failures"))
}

/// One in full; `asserted` has every belief.
pub(super) fn one(answer: &Value, asserted: &Value) {
    println!(
        "{}  {}  confidence {}  revision {}",
        render::text(&answer["id"]),
        render::status(answer["status"].as_str().unwrap_or("-")),
        render::number(&answer["confidence"], 2),
        answer["revision"]
    );
    println!("{}", render::text(&answer["statement"]));
    if let Some(fallen) = answer["doubted_by"].as_str() {
        println!("Doubted: it rests on {}, which has fallen", render::plain(fallen));
    }
    let graph = Graph::of(asserted);
    let id = answer["id"].as_str().unwrap_or_default();
    graph.print("Rests on", &reached(id, &graph.rests_on));
    graph.print("What rests on it", &reached(id, &graph.carries));
    println!();
    history(&answer["history"]);
}

fn history(revisions: &Value) {
    let rows = revisions.as_array().into_iter().flatten().map(|item| {
        let evidence = item["evidence"].as_array().into_iter().flatten().map(|one| {
            let what = if one["id"].is_null() { &one["note"] } else { &one["id"] };
            format!("{} {}", render::text(&one["kind"]), render::short(&render::text(what), 40))
        });
        vec![
            render::text(&item["revision"]),
            render::time(&item["at"]),
            render::status(item["status"].as_str().unwrap_or("-")),
            render::number(&item["confidence"], 2),
            render::text(&item["author"]),
            evidence.collect::<Vec<_>>().join(", "),
            render::short(&render::text(&item["comment"]), 40),
            render::short(&render::text(&item["statement"]), 40),
        ]
    });
    render::table(
        &["revision", "at (UTC)", "status", "confidence", "by", "evidence added", "comment", "statement"],
        rows.collect(),
    );
}

/// Ids by id.
type Edges<'a> = BTreeMap<&'a str, Vec<&'a str>>;

struct Graph<'a> {
    beliefs: BTreeMap<&'a str, &'a Value>,
    rests_on: Edges<'a>,
    carries: Edges<'a>,
}

impl<'a> Graph<'a> {
    fn of(asserted: &'a Value) -> Self {
        let mut graph =
            Self { beliefs: BTreeMap::new(), rests_on: BTreeMap::new(), carries: BTreeMap::new() };
        for belief in asserted.as_array().into_iter().flatten() {
            let id = belief["id"].as_str().unwrap_or_default();
            graph.beliefs.insert(id, belief);
            for ground in belief["rests_on"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                graph.rests_on.entry(id).or_default().push(ground);
                graph.carries.entry(ground).or_default().push(id);
            }
        }
        graph
    }

    fn print(&self, title: &str, found: &[(usize, &str)]) {
        if found.is_empty() {
            return;
        }
        println!("{title}:");
        for &(depth, id) in found {
            let belief = self.beliefs.get(id);
            let status = belief.and_then(|belief| belief["status"].as_str()).unwrap_or("-");
            let statement = belief.map_or_else(String::new, |belief| render::text(&belief["statement"]));
            println!(
                "{}{}  {}  {}",
                "  ".repeat(depth.min(20)),
                render::plain(id),
                render::status(status),
                render::short(&statement, 60)
            );
        }
    }
}

/// What is reached from `start`, each once, with how far below it that is; depth first, as a tree is printed.
fn reached<'a>(start: &str, edges: &Edges<'a>) -> Vec<(usize, &'a str)> {
    let below = |id: &str, depth: usize| {
        let next = edges.get(id).map_or(&[][..], Vec::as_slice);
        next.iter().rev().map(|id| (depth, *id)).collect::<Vec<_>>()
    };
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let mut open = below(start, 1);
    while let Some((depth, id)) = open.pop() {
        if seen.insert(id) {
            found.push((depth, id));
            open.extend(below(id, depth + 1));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_graph_is_followed_both_ways_and_each_belief_named_once() {
        let asserted = json!([
            {"id": "top", "rests_on": ["left", "right"]}, {"id": "left", "rests_on": ["ground"]},
            {"id": "right", "rests_on": ["ground"]}, {"id": "ground", "rests_on": []}]);
        let graph = Graph::of(&asserted);
        assert_eq!(reached("top", &graph.rests_on), [(1, "left"), (2, "ground"), (1, "right")]);
        assert_eq!(reached("ground", &graph.carries), [(1, "left"), (2, "top"), (1, "right")]);
        assert!(reached("elsewhere", &graph.carries).is_empty());
    }
}
