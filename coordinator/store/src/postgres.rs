//! PostgreSQL: a pool, units that are tried again after deadlocks, and beside it what gives audit entries their numbers
//! and carries wake-ups between nodes.

mod announcer;
mod lease;
mod news;
mod presence;
mod sequencer;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Pool};

use crate::connection::{Connection, Link};
use crate::duty;
use crate::error::{Fate, StoreError, fate};
use crate::migrate;
use crate::rider::Rider;
use crate::store::{Context, StoreConfig};
use crate::transaction::Tx;
use announcer::Announcer;
use news::News;
pub(crate) use presence::CLASS as PRESENCE_CLASS;
use presence::Presence;

/// Tries of one unit of work.
const TRIES: u32 = 10;

pub(crate) struct Postgres {
    pool: Pool<sqlx::Postgres>,
    context: Context,
    announcer: Arc<Announcer>,
    pub(crate) news: Arc<News>,
}

impl Postgres {
    pub(crate) async fn open(config: &StoreConfig, context: &Context) -> Result<Self, StoreError> {
        let options: PgConnectOptions =
            config.url.parse().map_err(|error: sqlx::Error| StoreError::Url { reason: error.to_string() })?;
        let options = options
            .application_name(&format!("nexusmon {}", context.node))
            .statement_cache_capacity(512)
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            // Two are taken for good: one listens, one keeps this node's place.
            .max_connections(config.connections.max(4) + 2)
            .acquire_timeout(Duration::from_secs(30))
            .connect_with(options)
            .await
            .map_err(|error| StoreError::of("connecting to the database", error))?;
        let presence = Presence::new(pool.clone(), context.clone(), config.alone);
        let place = presence.enter().await?;
        let mut connection = pooled(&pool, "migrating the database").await?;
        migrate::run(&mut connection).await?;
        context.signals.raise_seq(connection.newest_seq().await?);
        drop(connection);
        let (news, queue) = News::new(context.clone());
        let news = Arc::new(news);
        context.lifecycle.spawn("store.news", news::drive(pool.clone(), context.clone(), queue));
        let announcer = Arc::new(Announcer::new(pool.clone(), context.clone(), Arc::clone(&news)));
        context.lifecycle.spawn("store.presence", presence.stay(place));
        context.lifecycle.spawn("store.announcer", announcer.clone().announce());
        context.lifecycle.spawn("store.listener", announcer.clone().listen());
        context
            .lifecycle
            .spawn("store.sequencer", sequencer::run(pool.clone(), context.clone(), announcer.clone()));
        Ok(Self { pool, context: context.clone(), announcer, news })
    }

    pub(crate) async fn write<T, E, F>(&self, name: &'static str, work: F) -> Result<T, E>
    where
        E: From<StoreError>,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync,
    {
        let rider = Rider::current();
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_write(name, &work, rider.as_ref()).await {
                Ok(value) => return Ok(value),
                Err(Failure { error, retry }) if !retry || tries == TRIES => return Err(error),
                Err(_) => {}
            }
            tracing::debug!(unit = name, tries, "a unit of work is tried again");
            tokio::time::sleep(Duration::from_millis(1 << tries.min(6))).await;
        }
    }

    async fn try_write<T, E, F>(
        &self,
        name: &'static str,
        work: &F,
        rider: Option<&Rider>,
    ) -> Result<T, Failure<E>>
    where
        E: From<StoreError>,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, E>>,
    {
        let begun = self.pool.begin().await.map_err(|error| Failure::of(name, error))?;
        let mut tx =
            Tx::new(Link::Postgres(begun), name, self.context.clock.clone(), self.context.ids.clone());
        if let Err(error) = duty::prove(&mut tx, &self.context.node).await {
            return Err(Failure { error: error.into(), retry: tx.connection.retry });
        }
        let result = work(&mut tx).await;
        let value = match (result, tx.connection.broken()) {
            (Ok(value), None) => value,
            // Whatever the work made of a failed statement: nothing of it stays.
            (Ok(_), Some(error)) => return Err(Failure { error: error.into(), retry: tx.connection.retry }),
            (Err(error), _) => return Err(Failure { error, retry: tx.connection.retry }),
        };
        let collected = tx.take_collected();
        let mut rode = false;
        let written = async {
            if let Some(rider) = rider {
                rode = rider.board(&mut tx, &collected.audit).await?;
            }
            tx.append_waiting_audit(&collected.audit).await?;
            tx.append_openings(&collected.openings).await
        };
        if let Err(error) = written.await {
            return Err(Failure { error: error.into(), retry: tx.connection.retry });
        }
        if let Link::Postgres(transaction) = tx.connection.link {
            nexusmon_shared::planted::failure("store.commit")
                .map_err(|error| Failure::of(name, sqlx::Error::Io(error)))?;
            transaction.commit().await.map_err(|error| Failure::of(name, error))?;
        }
        if let (true, Some(rider)) = (rode, rider) {
            rider.arrived();
        }
        self.context.signals.fire(collected.topics);
        self.announcer.committed(collected.topics, !collected.audit.is_empty());
        Ok(value)
    }

    /// Takes or renews a lease; its epoch, or `None` if another node holds it.
    pub(crate) async fn take_up(&self, name: &str, length: Duration) -> Result<Option<i64>, StoreError> {
        const DOING: &str = "taking up a duty";
        let begun = self.pool.begin().await.map_err(|error| StoreError::of(DOING, error))?;
        let mut tx =
            Tx::new(Link::Postgres(begun), DOING, self.context.clock.clone(), self.context.ids.clone());
        let epoch = tx.take_lease(name, &self.context.node, length).await?;
        if let Link::Postgres(transaction) = tx.connection.link {
            transaction.commit().await.map_err(|error| StoreError::of(DOING, error))?;
        }
        Ok(epoch)
    }

    pub(crate) async fn read(&self) -> Result<Connection, StoreError> {
        pooled(&self.pool, "reading").await
    }
}

struct Failure<E> {
    error: E,
    retry: bool,
}

impl<E: From<StoreError>> Failure<E> {
    fn of(name: &str, error: sqlx::Error) -> Self {
        let retry = fate(&error) == Fate::Retry;
        Self { error: StoreError::of(name, error).into(), retry }
    }
}

async fn pooled(pool: &Pool<sqlx::Postgres>, doing: &'static str) -> Result<Connection, StoreError> {
    let connection = pool.acquire().await.map_err(|error| StoreError::of(doing, error))?;
    Ok(Connection::new(Link::PostgresPooled(connection), doing))
}
