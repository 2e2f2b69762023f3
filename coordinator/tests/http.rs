//! The REST API from outside: a real server on port 0, a real database, plain requests.

#[path = "http/served.rs"]
mod served;

#[path = "http/access.rs"]
mod access;
#[path = "http/audit.rs"]
mod audit;
#[path = "http/commands.rs"]
mod commands;
#[path = "http/companion.rs"]
mod companion;
#[path = "http/desk.rs"]
mod desk;
#[path = "http/document.rs"]
mod document;
#[path = "http/engine.rs"]
mod engine;
#[path = "http/events.rs"]
mod events;
#[path = "http/hostile.rs"]
mod hostile;
#[path = "http/learned.rs"]
mod learned;
#[path = "http/lessons.rs"]
mod lessons;
#[path = "http/matrix.rs"]
mod matrix;
#[path = "http/notifications.rs"]
mod notifications;
#[path = "http/operator_key.rs"]
mod operator_key;
#[path = "http/pages.rs"]
mod pages;
#[path = "http/passkeys.rs"]
mod passkeys;
#[path = "http/policies.rs"]
mod policies;
#[path = "http/push.rs"]
mod push;
#[path = "http/triggers.rs"]
mod triggers;
#[path = "http/vault.rs"]
mod vault;
