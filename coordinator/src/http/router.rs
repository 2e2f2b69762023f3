//! Every route, on one screen. A protected route cannot be written down without the policy action it stands for.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use bytes::Bytes;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::access::{self, Guard};
use super::openapi::Callers;
use super::problem::Problem;
use super::{Web, admission, envelope, health, metrics, openapi, pages};
use crate::http::v1::{
    agents, approvals, artifact_content, artifact_erasure, artifacts, audit, audit_log, auth, authorities,
    beliefs, bulk, chains, cognition, companion, event_triggers, events, filters, flags, fleet, halt, house,
    learned, logs, memory, mission_acts as acts, missions, notifications, oidc, organism, passkeys, plans,
    playbooks, policies, principals, push, reviews, roster, schedules, secrets, standing, stats, tasks,
    webhooks,
};

/// The whole of HTTP: routes, layers, and the document of the routes (kept in `web`).
pub(super) fn router(web: &Web) -> Router {
    let open = |routes| public(routes);
    let may = |action, routes| protected(web, action, routes);
    let own = |routes| self_protected(routes);
    let (router, document) = OpenApiRouter::with_openapi(openapi::skeleton())
        // Health and version: no credentials, no data.
        .routes(open(routes!(health::live)))
        .routes(open(routes!(health::ready)))
        .routes(open(routes!(metrics::get)))
        .routes(open(routes!(health::version)))
        .routes(may("api.read", routes!(openapi::document)))
        // Log in and out.
        .routes(open(routes!(auth::login)))
        .routes(own(routes!(auth::refresh)))
        .routes(may("session.end", routes!(auth::logout)))
        .routes(may("session.read", routes!(auth::me)))
        .routes(open(routes!(auth::methods)))
        .routes(open(routes!(passkeys::challenge)))
        .routes(open(routes!(oidc::start)))
        .routes(open(routes!(oidc::callback)))
        .routes(may("passkey.read", routes!(passkeys::list)))
        .routes(may("passkey.change", routes!(passkeys::options)))
        .routes(may("passkey.change", routes!(passkeys::register)))
        .routes(may("passkey.change", routes!(passkeys::remove)))
        .routes(may("password.change", routes!(auth::change_password)))
        // One's own.
        .routes(may("filter.read", routes!(filters::list)))
        .routes(may("filter.change", routes!(filters::create)))
        .routes(may("filter.change", routes!(filters::change)))
        .routes(may("filter.change", routes!(filters::remove)))
        .routes(may("push.read", routes!(push::key)))
        .routes(may("push.read", routes!(push::list)))
        .routes(may("push.change", routes!(push::create)))
        .routes(may("push.change", routes!(push::test)))
        .routes(may("push.change", routes!(push::remove)))
        .routes(may("notification.read", routes!(notifications::channels)))
        .routes(may("notification.change", routes!(notifications::create_channel)))
        .routes(may("notification.change", routes!(notifications::test_channel)))
        .routes(may("notification.change", routes!(notifications::remove_channel)))
        .routes(may("notification.read", routes!(notifications::rules)))
        .routes(may("notification.change", routes!(notifications::create_rule)))
        .routes(may("notification.change", routes!(notifications::change_rule)))
        .routes(may("notification.change", routes!(notifications::remove_rule)))
        .routes(may("notification.read", routes!(notifications::deliveries)))
        // Engine.
        .routes(may("mission.create", routes!(missions::create)))
        .routes(may("mission.read", routes!(missions::list)))
        .routes(may("mission.read", routes!(missions::schema)))
        .routes(may("mission.dry_run", routes!(acts::dry_run)))
        .routes(may("mission.read", routes!(missions::get)))
        .routes(may("task.read", routes!(missions::tasks)))
        .routes(may("event.read", routes!(events::of_mission)))
        .routes(may("mission.approve", routes!(acts::approve)))
        .routes(may("mission.run", routes!(acts::run)))
        .routes(may("mission.cancel", routes!(acts::cancel)))
        .routes(may("mission.pause", routes!(acts::pause)))
        .routes(may("mission.resume", routes!(acts::resume)))
        .routes(may("mission.rerun", routes!(acts::rerun)))
        .routes(may("mission.resume", routes!(acts::budget)))
        .routes(may("mission.bulk", routes!(bulk::act)))
        .routes(may("mission.read", routes!(plans::get)))
        .routes(may("mission.plan", routes!(acts::replace_plan)))
        .routes(may("playbook.read", routes!(playbooks::list)))
        .routes(may("playbook.change", routes!(playbooks::create)))
        .routes(may("playbook.read", routes!(playbooks::get)))
        .routes(may("playbook.change", routes!(playbooks::change)))
        .routes(may("playbook.change", routes!(playbooks::retire)))
        .routes(may("playbook.read", routes!(playbooks::versions)))
        .routes(may("playbook.promote", routes!(learned::promote)))
        .routes(may("playbook.read", routes!(learned::list)))
        .routes(may("playbook.read", routes!(learned::get)))
        .routes(may("playbook.promote", routes!(learned::decline)))
        .routes(may("schedule.read", routes!(schedules::list)))
        .routes(may("schedule.change", routes!(schedules::create)))
        .routes(may("schedule.read", routes!(schedules::dry_run)))
        .routes(may("schedule.read", routes!(schedules::get)))
        .routes(may("schedule.change", routes!(schedules::change)))
        .routes(may("schedule.change", routes!(schedules::remove)))
        .routes(may("schedule.change", routes!(schedules::pause)))
        .routes(may("schedule.change", routes!(schedules::resume)))
        .routes(may("schedule.change", routes!(schedules::backfill)))
        .routes(may("schedule.read", routes!(schedules::firings)))
        .routes(may("trigger.read", routes!(event_triggers::list)))
        .routes(may("trigger.change", routes!(event_triggers::create)))
        .routes(may("trigger.read", routes!(event_triggers::get)))
        .routes(may("trigger.change", routes!(event_triggers::change)))
        .routes(may("trigger.change", routes!(event_triggers::remove)))
        .routes(may("trigger.change", routes!(event_triggers::pause)))
        .routes(may("trigger.change", routes!(event_triggers::resume)))
        .routes(may("trigger.read", routes!(event_triggers::firings)))
        .routes(may("mission.read", routes!(chains::story)))
        .routes(may("mission.read", routes!(chains::list)))
        .routes(may("mission.create", routes!(chains::start)))
        .routes(may("mission.create", routes!(chains::dismiss)))
        .routes(may("webhook.read", routes!(webhooks::list)))
        .routes(may("webhook.change", routes!(webhooks::create)))
        .routes(may("webhook.read", routes!(webhooks::get)))
        .routes(may("webhook.change", routes!(webhooks::change)))
        .routes(may("webhook.change", routes!(webhooks::remove)))
        .routes(may("webhook.change", routes!(webhooks::pause)))
        .routes(may("webhook.change", routes!(webhooks::resume)))
        .routes(may("webhook.change", routes!(webhooks::rotate)))
        .routes(may("webhook.read", routes!(webhooks::firings)))
        // Its calls are known by their signatures; no cookie and no token is looked at.
        .routes(open(routes!(webhooks::receive)))
        .routes(may("stats.read", routes!(stats::get)))
        .routes(may("stats.read", routes!(house::get)))
        .routes(may("task.read", routes!(tasks::get)))
        .routes(may("task.resolve", routes!(tasks::resolve)))
        .routes(may("log.read", routes!(logs::read)))
        .routes(may("log.read", routes!(logs::follow)))
        // Vault.
        .routes(may("artifact.read", routes!(artifacts::list)))
        .routes(may("artifact.upload", routes!(artifact_content::upload)))
        .routes(may("artifact.read", routes!(artifacts::get)))
        .routes(may("artifact.read", routes!(artifacts::versions)))
        .routes(may("artifact.read", routes!(artifact_content::download)))
        .routes(may("artifact.read", routes!(artifacts::diff)))
        .routes(may("artifact.read", routes!(artifacts::provenance)))
        .routes(may("artifact.review", routes!(artifacts::review)))
        .routes(may("artifact.erase", routes!(artifact_erasure::erase)))
        // Fleet.
        .routes(may("agent.invite", routes!(fleet::invite)))
        .routes(may("agent.read", routes!(fleet::capabilities)))
        .routes(may("agent.read", routes!(flags::list)))
        .routes(may("capability.flag", routes!(flags::set)))
        .routes(may("capability.flag", routes!(flags::quarantine)))
        .routes(may("capability.flag", routes!(flags::resume)))
        .routes(may("agent.read", routes!(flags::rate_list)))
        .routes(may("capability.flag", routes!(flags::rate_set)))
        .routes(may("capability.flag", routes!(flags::rate_remove)))
        .routes(may("agent.read", routes!(agents::list)))
        .routes(may("agent.read", routes!(agents::get)))
        .routes(may("agent.label", routes!(agents::change)))
        .routes(may("agent.confirm", routes!(agents::confirm)))
        .routes(may("agent.drain", routes!(agents::drain)))
        .routes(may("agent.pause", routes!(agents::pause)))
        .routes(may("agent.resume", routes!(agents::resume)))
        .routes(may("agent.quarantine", routes!(agents::quarantine)))
        .routes(may("agent.revoke", routes!(agents::revoke)))
        .routes(may("authority.read", routes!(authorities::get)))
        .routes(may("authority.change", routes!(authorities::begin)))
        .routes(may("authority.change", routes!(authorities::retire)))
        // Governance.
        .routes(may("approval.read", routes!(approvals::list)))
        .routes(may("approval.read", routes!(approvals::get)))
        .routes(may("approval.decide", routes!(approvals::decide)))
        .routes(may("approval.decide", routes!(notifications::saw)))
        .routes(may("review.read", routes!(reviews::list)))
        .routes(may("review.read", routes!(reviews::get)))
        .routes(may("review.decide", routes!(reviews::decide)))
        .routes(may("approval.read", routes!(standing::list)))
        .routes(may("standing.change", routes!(standing::ask)))
        .routes(may("approval.read", routes!(standing::get)))
        .routes(may("standing.change", routes!(standing::revoke)))
        .routes(may("roster.read", routes!(roster::get)))
        .routes(may("roster.change", routes!(roster::put)))
        .routes(may("audit.read", routes!(audit::list)))
        .routes(may("policy.read", routes!(policies::get)))
        .routes(may("policy.change", routes!(policies::change)))
        .routes(may("policy.replay", routes!(policies::replay)))
        .routes(may("secret.read", routes!(secrets::list)))
        .routes(may("secret.change", routes!(secrets::set)))
        .routes(may("secret.change", routes!(secrets::remove)))
        .routes(may("principal.read", routes!(principals::people)))
        .routes(may("principal.read", routes!(passkeys::of_person)))
        .routes(may("principal.change", routes!(principals::create_person)))
        .routes(may("principal.change", routes!(principals::change)))
        .routes(may("principal.change", routes!(principals::revoke_person)))
        .routes(may("token.read", routes!(principals::tokens)))
        .routes(may("token.change", routes!(principals::create_token)))
        .routes(may("token.change", routes!(principals::revoke_token)))
        .routes(may("halt.pull", routes!(halt::pull)))
        .routes(may("halt.read", routes!(halt::state)))
        .routes(may("halt.release", routes!(halt::release)))
        .routes(may("audit.read", routes!(audit_log::checkpoint)))
        .routes(may("audit.read", routes!(audit_log::proof)))
        .routes(may("audit.export", routes!(audit_log::export)))
        .routes(may("audit.read", routes!(audit_log::restores)))
        .routes(may("audit.restore", routes!(audit_log::sign_restore)))
        // The organism, its thinking, and everything live.
        .routes(may("organism.read", routes!(organism::status)))
        .routes(may("evolution.read", routes!(organism::evolution)))
        .routes(may("trait.change", routes!(organism::change_trait)))
        .routes(may("cognition.read", routes!(cognition::status)))
        .routes(may("cognition.read", routes!(cognition::predictions)))
        .routes(may("cognition.read", routes!(cognition::errors)))
        .routes(may("cognition.read", routes!(beliefs::list)))
        .routes(may("belief.change", routes!(beliefs::assert)))
        .routes(may("cognition.read", routes!(beliefs::get)))
        .routes(may("belief.change", routes!(beliefs::revise)))
        .routes(may("cognition.read", routes!(memory::search)))
        .routes(may("memory.forget", routes!(memory::forget)))
        // Reads, though it takes a body: nothing is changed and nothing is written down.
        .routes(may("companion.ask", routes!(companion::ask)))
        .routes(may("event.read", routes!(events::all)))
        .split_for_parts();
    let text = document.to_json().unwrap_or_default();
    let _ = web.document.set(Bytes::from(text));
    router
        .route("/", get(pages::home))
        .route("/organism", get(pages::organism))
        .route("/organism/{*screen}", get(pages::organism))
        .route("/landing", get(pages::landing))
        .route("/docs", get(pages::docs))
        .route("/assets/{name}", get(pages::asset))
        .route("/apple-touch-icon.png", get(pages::beside))
        .route("/icon-192.png", get(pages::beside))
        .route("/icon-512.png", get(pages::beside))
        .route("/icon-maskable-512.png", get(pages::beside))
        .route("/icon.svg", get(pages::beside))
        .route("/icon-maskable.svg", get(pages::beside))
        .route("/manifest.webmanifest", get(pages::beside))
        .route("/sw.js", get(pages::beside))
        .fallback(nothing)
        // Bodies are bounded where they are read, each by its own limit.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(web.clone(), admission::admit))
        .layer(CatchPanicLayer::custom(envelope::panicked))
        .layer(from_fn_with_state(web.clone(), envelope::wrap))
        .with_state(web.clone())
}

async fn nothing() -> Problem {
    Problem::not_found("There is nothing at this path; `/v1/openapi.json` lists what there is.")
}

/// A route for callers we know, whom the policy allows `action`.
fn protected(web: &Web, action: &'static str, routes: UtoipaMethodRouter<Web>) -> UtoipaMethodRouter<Web> {
    let (schemas, mut paths, methods) = routes;
    openapi::complete(&mut paths, Callers::Allowed(action));
    let guard = Guard { web: web.clone(), action };
    (schemas, paths, methods.route_layer(from_fn_with_state(guard, access::check)))
}

/// A route that reads credentials its own way: the renewal of a token that may have expired.
fn self_protected((schemas, mut paths, methods): UtoipaMethodRouter<Web>) -> UtoipaMethodRouter<Web> {
    openapi::complete(&mut paths, Callers::Holders);
    (schemas, paths, methods)
}

/// A route for everybody.
fn public((schemas, mut paths, methods): UtoipaMethodRouter<Web>) -> UtoipaMethodRouter<Web> {
    openapi::complete(&mut paths, Callers::Everybody);
    (schemas, paths, methods)
}
