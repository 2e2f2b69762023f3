//! The store on both databases: every test here runs on SQLite and on PostgreSQL, unless it is about one of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "store/audit.rs"]
mod audit;
#[path = "store/entities.rs"]
mod entities;
#[path = "store/fixtures.rs"]
mod fixtures;
#[path = "store/graph.rs"]
mod graph;
#[path = "store/house.rs"]
mod house;
#[path = "store/lists.rs"]
mod lists;
#[path = "store/memory.rs"]
mod memory;
#[path = "store/nodes.rs"]
mod nodes;
#[path = "store/opening.rs"]
mod opening;
#[path = "store/plans_of_queries.rs"]
mod plans_of_queries;
#[path = "store/scheduling.rs"]
mod scheduling;
#[path = "store/tree.rs"]
mod tree;
#[path = "store/vault.rs"]
mod vault;
#[path = "store/writing.rs"]
mod writing;
