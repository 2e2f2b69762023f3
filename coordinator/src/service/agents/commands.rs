//! What people tell agents to be, and what agents tell of themselves between Hellos.

use nexusmon_shared::id::{AgentId, InviteId};
use nexusmon_shared::join_token::{Address, JoinToken};
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::message::{CoordinatorMessage, GoodbyeCode};
use nexusmon_shared::selector::Labels;
use nexusmon_shared::trust::enrollment::invite_key;
use nexusmon_store::{AgentRow, AgentState, InviteRow, Json, Topic, pressing_if};
use rand::Rng as _;
use serde_json::{Value, json};

use super::record::HelloRecord;
use super::session::profile;
use super::{AgentCommand, InviteView, NewInvite};
use crate::app::App;
use crate::app::sessions::Live;
use crate::error::{Error, Result};
use crate::service::Caller;
use crate::service::unit::{Actor, Unit};

/// Longest life of an invite.
const LONGEST: std::time::Duration = std::time::Duration::from_hours(168);

pub(super) async fn invite(app: &App, caller: &Caller, invite: NewInvite) -> Result<InviteView> {
    if invite.ttl.is_zero() || invite.ttl > LONGEST {
        return Err(Error::field("/ttl", "out_of_range", "must be from 1s to 7 days"));
    }
    if app.fleet.get().by_name.contains_key(invite.name.as_str()) {
        return Err(Error::conflict("name_taken", format!("an agent is called `{}` already", invite.name)));
    }
    let now = app.clock.now();
    let (id, secret) = app.rng.with(|rng| {
        let mut secret = [0_u8; 32];
        let id = InviteId::new(now, rng);
        rng.fill_bytes(&mut secret);
        (id, secret)
    });
    let key = invite_key(&secret, id);
    let context = key_context(app, id);
    let wrapped = app.rng.with(|rng| app.keyring.master.wrap(&context, key.as_slice(), rng));
    let address = match &app.config.agent_address {
        Some(address) => address.clone(),
        None => Address::from(app.agent_address()),
    };
    let pin = app.keyring.authorities.get().current.pin();
    let token = JoinToken::new(address, id, secret, pin, owner_key(app)).to_string();
    let row = InviteRow {
        id,
        name: invite.name.to_string(),
        labels: Json(invite.labels.clone()),
        max_rank: invite.max_rank,
        key_wrapped: hex::encode(wrapped),
        created_by: caller.principal,
        created_at: now,
        expires_at: now + invite.ttl,
        used_at: None,
        used_by: None,
        revoked_at: None,
    };
    let expires_at = row.expires_at;
    let unit_app = app.clone();
    app.store
        .write_with("agents.invite", (row, Actor::from(caller)), move |tx, (row, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                unit.tx.insert_invite(row).await?;
                let body = json!({"name": row.name, "max_rank": row.max_rank, "labels": row.labels.0,
                    "expires_at": row.expires_at});
                unit.audit(actor.0.clone(), "invite.created", ("invite", row.id.to_string()), None, body);
                unit.finish().await
            })
        })
        .await?;
    Ok(InviteView {
        id,
        name: invite.name,
        max_rank: invite.max_rank,
        labels: invite.labels,
        expires_at,
        command: format!("nexusmon-agent join {token}"),
        token,
    })
}

/// What new agents pin; all zero until somebody has made a key.
pub(in crate::service) fn owner_key(app: &App) -> [u8; 32] {
    app.roster.get().map_or([0; 32], |known| *known.pin.0.as_bytes())
}

/// What an invite's key is bound to under the master key.
pub(in crate::service) fn key_context(app: &App, id: InviteId) -> String {
    format!("invite {id} of {}", app.organism)
}

/// Changes an agent's row under its version, writes it down, and makes the change known.
async fn change(
    app: &App,
    actor: Actor,
    id: AgentId,
    action: &'static str,
    if_match: Option<u64>,
    edit: impl Fn(&mut AgentRow) -> Result<Value> + Send + Sync + 'static,
) -> Result<AgentRow> {
    let unit_app = app.clone();
    let (row, after) = app
        .store
        .write_with("agents.change", (actor, edit), move |tx, (actor, edit)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let mut row = unit.tx.lock_agent(id).await?.ok_or_else(|| Error::not_found("agent", id))?;
                let current = u64::try_from(row.version).unwrap_or(0);
                if if_match.is_some_and(|wanted| wanted != current) {
                    return Err(Error::PreconditionFailed { current: current.to_string() });
                }
                let body = edit(&mut row)?;
                unit.tx.update_agent(&row).await?;
                row.version += 1;
                unit.tx.clear_bars(id).await?;
                if matches!(row.state, AgentState::Quarantined | AgentState::Revoked) {
                    let now = unit.now;
                    unit.tx.shut_session(id, now).await?;
                }
                unit.audit(actor.0.clone(), action, ("agent", id.to_string()), None, body);
                unit.tx.wake(Topic::Fleet);
                unit.tx.wake(Topic::Ready);
                Ok((row, unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    app.barred.clear(id);
    super::fleet::learn(app, &row);
    if let Some(live) = app.sessions.get(id) {
        let record = HelloRecord::read(&row).unwrap_or_default();
        let fresh = profile(&row, &record);
        live.change_profile(|place| *place = fresh);
        crate::service::flags::tell(app, &live);
    }
    crate::service::dispatch::wake(app);
    Ok(row)
}

/// Shutting one out is written even on a full disk.
pub(super) async fn command(app: &App, caller: &Caller, id: AgentId, wanted: AgentCommand) -> Result<()> {
    let shuts_out = matches!(wanted, AgentCommand::Quarantine | AgentCommand::Revoke);
    pressing_if(shuts_out, carry_out(app, caller, id, wanted)).await
}

async fn carry_out(app: &App, caller: &Caller, id: AgentId, command: AgentCommand) -> Result<()> {
    let (state, action) = match command {
        AgentCommand::Drain => (AgentState::Draining, "agent.drained"),
        AgentCommand::Pause => (AgentState::Paused, "agent.paused"),
        AgentCommand::Resume => (AgentState::Active, "agent.resumed"),
        AgentCommand::Quarantine => (AgentState::Quarantined, "agent.quarantined"),
        AgentCommand::Revoke => (AgentState::Revoked, "agent.revoked"),
    };
    let now = app.clock.now();
    change(app, Actor::from(caller), id, action, None, move |row| {
        if row.state == AgentState::Revoked {
            return Err(Error::conflict("revoked", "the agent is revoked for good; enroll the machine anew"));
        }
        let from = row.state;
        // Whatever happened to it meanwhile, what was never compared is never trusted.
        let waits = row.words.is_some() && row.confirmed_at.is_none();
        if waits && !matches!(command, AgentCommand::Quarantine | AgentCommand::Revoke) {
            if from == AgentState::Quarantined && command == AgentCommand::Resume {
                row.state = AgentState::Pending;
                return Ok(json!({"from": from.as_str(), "to": row.state.as_str()}));
            }
            return Err(Error::conflict(
                "not_confirmed",
                format!(
                    "`{}` waits for its six words: compare them with the machine's own screen, then \
                     `nexusmon agent confirm {} WORD WORD WORD WORD WORD WORD`",
                    row.name, row.name
                ),
            ));
        }
        row.state = state;
        if state == AgentState::Revoked {
            row.revoked_at = Some(now);
        }
        Ok(json!({"from": from.as_str(), "to": state.as_str()}))
    })
    .await?;
    match command {
        AgentCommand::Drain | AgentCommand::Pause => {
            app.sessions.offer(id, CoordinatorMessage::Drain { on: true });
            app.sessions.offer(id, CoordinatorMessage::Recall(Vec::new()));
        }
        AgentCommand::Resume => drop(app.sessions.offer(id, CoordinatorMessage::Drain { on: false })),
        AgentCommand::Quarantine => {
            fence(app, id).await?;
            app.sessions.cut(id, GoodbyeCode::Quarantined, "an operator quarantined this agent");
        }
        AgentCommand::Revoke => {
            fence(app, id).await?;
            app.sessions.cut(id, GoodbyeCode::Revoked, "an operator revoked this agent");
        }
    }
    Ok(())
}

/// Lets a pending agent in, if the words are those of its enrollment.
pub(super) async fn confirm(app: &App, caller: &Caller, id: AgentId, words: &str) -> Result<()> {
    let said = plain(words);
    let (now, by) = (app.clock.now(), caller.principal);
    let row = app.store.read().await?.agent(id).await?.ok_or_else(|| Error::not_found("agent", id))?;
    let Some(known) = row.words.as_deref().map(plain).filter(|_| row.confirmed_at.is_none()) else {
        return Err(Error::conflict("not_pending", format!("`{}` waits for no confirmation", row.name)));
    };
    if known != said {
        differ(app, Actor::from(caller), id).await?;
        let text = "these are not the words of this enrollment. If they stand so on the machine's own screen, somebody else \
                    has enrolled in its place: revoke it and invite the machine anew";
        return Err(Error::conflict("words_differ", text));
    }
    change(app, Actor::from(caller), id, "agent.confirmed", None, move |row| {
        if row.state != AgentState::Pending || row.confirmed_at.is_some() {
            return Err(Error::conflict("not_pending", format!("`{}` waits for no confirmation", row.name)));
        }
        row.state = AgentState::Active;
        row.confirmed_at = Some(now);
        row.confirmed_by = Some(by);
        Ok(json!({"identity_key": row.identity_key, "max_rank": row.max_rank}))
    })
    .await?;
    app.sessions.offer(id, CoordinatorMessage::Drain { on: false });
    Ok(())
}

fn plain(words: &str) -> String {
    words
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase()
}

/// Somebody read other words: that is worth knowing even if nobody asks.
async fn differ(app: &App, actor: Actor, id: AgentId) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("agents.differ", actor, move |tx, actor| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let body = json!({"alert": "other words were read on the machine than are known here"});
                unit.audit(actor.0.clone(), "agent.words_differ", ("agent", id.to_string()), None, body);
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

/// Ends every lease of an agent that must not report any more.
async fn fence(app: &App, agent: AgentId) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write("agents.fence", move |tx| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let rows = unit.tx.leases_of(agent).await?;
                crate::service::leases::end_all(&mut unit, rows).await?;
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

pub(super) async fn set_labels(
    app: &App,
    caller: &Caller,
    id: AgentId,
    labels: Labels,
    if_match: Option<u64>,
) -> Result<()> {
    for (key, value) in &labels {
        let good = key.parse::<nexusmon_shared::name::Name>().is_ok() && value.len() <= 256;
        if !good {
            return Err(Error::field(
                format!("/labels/{key}"),
                "invalid",
                "a label's key is a name of 1 to 64 letters, digits, `_`, `-`, `.`, its value at most 256 bytes",
            ));
        }
    }
    change(app, Actor::from(caller), id, "agent.labelled", if_match, move |row| {
        let body = json!({"from": row.labels.0, "to": labels});
        row.labels = Json(labels.clone());
        Ok(body)
    })
    .await
    .map(drop)
}

pub(super) async fn capabilities_changed(app: &App, live: &Live, manifests: Vec<Manifest>) -> Result<()> {
    let agent = live.agent();
    change(app, Actor::agent(agent), agent, "agent.capabilities", None, move |row| {
        let mut record = HelloRecord::read(row).unwrap_or_default();
        record.manifests.clone_from(&manifests);
        row.hello = Some(record.text());
        let names: Vec<_> =
            manifests.iter().map(|manifest| format!("{}@{}", manifest.name, manifest.version)).collect();
        Ok(json!({"plugins": names}))
    })
    .await
    .map(drop)
}

pub(super) async fn drain_requested(app: &App, live: &Live, reason: String) -> Result<()> {
    let agent = live.agent();
    change(app, Actor::agent(agent), agent, "agent.drain_requested", None, move |row| {
        let mut record = HelloRecord::read(row).unwrap_or_default();
        record.paused = true;
        row.hello = Some(record.text());
        Ok(json!({"reason": reason.chars().take(200).collect::<String>()}))
    })
    .await
    .map(drop)
}
