//! The use cases against a real store, with agents that are simulated in the process: both databases, no network.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "service/acts.rs"]
mod acts;
#[path = "service/ascent.rs"]
mod ascent;
#[path = "service/beliefs.rs"]
mod beliefs;
#[path = "service/chains.rs"]
mod chains;
#[path = "service/cognition.rs"]
mod cognition;
#[path = "service/companion.rs"]
mod companion;
#[path = "service/consent.rs"]
mod consent;
#[path = "service/echoes.rs"]
mod echoes;
#[path = "service/event_nodes.rs"]
mod event_nodes;
#[path = "service/event_sources.rs"]
mod event_sources;
#[path = "service/event_triggers.rs"]
mod event_triggers;
#[path = "service/flags.rs"]
mod flags;
#[path = "service/halt.rs"]
mod halt;
#[path = "service/harness.rs"]
mod harness;
#[path = "service/kill.rs"]
mod kill;
#[path = "service/learned.rs"]
mod learned;
#[path = "service/lifecycle.rs"]
mod lifecycle;
#[path = "service/logins.rs"]
mod logins;
#[path = "service/memory.rs"]
mod memory;
#[path = "service/notifications.rs"]
mod notifications;
#[path = "service/numbers.rs"]
mod numbers;
#[path = "service/paths.rs"]
mod paths;
#[path = "service/planning.rs"]
mod planning;
#[path = "service/playbooks.rs"]
mod playbooks;
#[path = "service/provenance.rs"]
mod provenance;
#[path = "service/rosters.rs"]
mod rosters;
#[path = "service/secrets.rs"]
mod secrets;
#[path = "service/spawned.rs"]
mod spawned;
#[path = "service/standing.rs"]
mod standing;
#[path = "service/sub_missions.rs"]
mod sub_missions;
#[path = "service/traits.rs"]
mod traits;
#[path = "service/triggers.rs"]
mod triggers;
#[path = "service/words.rs"]
mod words;
