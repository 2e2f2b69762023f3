//! What a node does before it serves: caches are filled from the database, which has the truth.

use nexusmon_store::{PrincipalKind, PrincipalRow, Role, Tx, pressing};

use super::{agents, dispatch, flags, halt, policies, secrets};
use crate::app::App;
use crate::error::{Error, Result};

/// Shapes whose runs are known from the start; others are predicted from their capabilities until they run again.
const REMEMBERED_SHAPES: u32 = 20_000;

/// Prepares a node. Idempotent.
pub(crate) async fn prepare(app: &App) -> Result<()> {
    let unit_app = app.clone();
    let prepared = app.store.write("start.prepare", move |tx| {
        let app = unit_app.clone();
        Box::pin(async move { write(&app, tx).await })
    });
    // As the keys are read: see there.
    pressing(prepared).await?;
    halt::load(app).await?;
    flags::load(app).await?;
    policies::load(app).await?;
    secrets::load(app).await?;
    agents::refresh_fleet(app).await?;
    super::restored::begin(app).await?;
    super::roster::refresh(app).await?;
    let mut read = app.store.read().await?;
    for row in read.classes().await? {
        app.classes.learn(nexusmon_core::schedule::ClassId(row.id.0), &row.key);
    }
    let counts = read.trust_counts().await?;
    app.history.learn(&counts, &read.newest_shape_records(REMEMBERED_SHAPES).await?);
    // Backlog keeps its place: new work queues behind the least tag that is waiting.
    if let Some(tag) = read.least_ready_tag().await? {
        app.advance_virtual_time(u64::try_from(tag).unwrap_or(0));
    }
    drop(read);
    dispatch::refresh(app).await?;
    dispatch::wake(app);
    Ok(())
}

async fn write(app: &App, tx: &mut Tx) -> Result<()> {
    let now = tx.now();
    tx.one_node_at_a_time().await?;
    if tx.principal(app.system).await?.is_none() {
        tx.insert_principal(&PrincipalRow {
            id: app.system,
            kind: PrincipalKind::System,
            name: "nexusmon".to_owned(),
            role: Role::Service,
            secret_hash: None,
            rank_ceiling: None,
            created_by: None,
            created_at: now,
            expires_at: None,
            revoked_at: None,
            version: 1,
        })
        .await?;
    }
    if app.store.is_single_node() {
        // Whoever held a session before is gone with its process.
        for session in tx.agent_sessions().await? {
            if session.connected {
                tx.close_session(session.agent, session.session, now).await?;
            }
        }
    } else {
        tx.close_sessions_of(&app.config.node, now).await?;
    }
    Ok::<(), Error>(())
}
