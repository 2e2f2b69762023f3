//! The one writer: what queued while a commit was under way shares the next one.
//!
//! Each unit of a group runs in a savepoint (skipped when it is alone), so that a failing one rolls back alone. If the
//! group's transaction itself breaks, its units run again one by one. Nobody is answered before the commit is durable.
//!
//! On a full disk, pressing units are given reserved space until they fit; from then on others are refused at once.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::carrier::Carrier;
use super::reserve::Reserve;
use crate::connection::{Backend, Link};
use crate::dialect::sql;
use crate::error::StoreError;
use crate::pressing::is_pressing;
use crate::record::args;
use crate::rider::Rider;
use crate::store::Context;
use crate::transaction::{Collected, Tx};

/// Most units of one commit.
const GROUP: usize = 256;

/// A unit of work whose types are forgotten.
pub(crate) trait Unit: Send {
    fn name(&self) -> &'static str;
    /// May use the space kept back for it.
    fn presses(&self) -> bool;
    /// Runs the work and keeps its result. True if it went well.
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, bool>;
    /// Replaces the result.
    fn fail(&mut self, error: StoreError);
    /// Gives the result to the caller.
    fn answer(self: Box<Self>);
}

pub(crate) struct Job<T, E, F> {
    name: &'static str,
    work: F,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
    /// An idempotency key to commit along, and whether the last run took it.
    rider: Option<Rider>,
    rode: bool,
    presses: bool,
}

impl<T, E, F> Job<T, E, F> {
    /// As pressing as the work it is asked for in.
    pub(crate) fn new(
        name: &'static str,
        work: F,
        reply: oneshot::Sender<Result<T, E>>,
        rider: Option<Rider>,
    ) -> Self {
        Self { name, work, result: None, reply, rider, rode: false, presses: is_pressing() }
    }
}

impl<T, E, F> Unit for Job<T, E, F>
where
    T: Send,
    E: From<StoreError> + Send,
    F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn presses(&self) -> bool {
        self.presses
    }

    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            self.rode = false;
            let mut result = (self.work)(tx).await;
            if let (Ok(_), Some(rider)) = (&result, &self.rider) {
                match tx.board(rider).await {
                    Ok(rode) => self.rode = rode,
                    Err(error) => result = Err(error.into()),
                }
            }
            let good = result.is_ok();
            self.result = Some(result);
            good
        })
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Some(Err(error.into()));
    }

    fn answer(self: Box<Self>) {
        // Without a result the work panicked: the caller sees a closed channel. Without a caller nobody minds.
        if let Some(result) = self.result {
            if let (Ok(_), true, Some(rider)) = (&result, self.rode, &self.rider) {
                rider.arrived();
            }
            let _ = self.reply.send(result);
        }
    }
}

pub(crate) struct Writer {
    tx: Tx,
    newest: i64,
    context: Context,
    carrier: Option<Carrier>,
    reserve: Reserve,
}

impl Writer {
    pub(crate) fn new(
        link: Link,
        newest: i64,
        context: Context,
        carrier: Option<Carrier>,
        reserve: Reserve,
    ) -> Self {
        let tx = Tx::new(link, "writing", context.clock.clone(), context.ids.clone());
        Self { tx, newest, context, carrier, reserve }
    }

    /// [`Self::run`] on a thread of its own: statements run where they are called, without a hand-over each.
    pub(crate) async fn run_apart(self, queue: mpsc::Receiver<Box<dyn Unit>>) -> Result<(), StoreError> {
        let runtime = tokio::runtime::Handle::current();
        let thread = tokio::task::spawn_blocking(move || runtime.block_on(self.run(queue)));
        thread.await.map_err(|error| StoreError::io("running the writer", std::io::Error::other(error)))?
    }

    /// Serves until every handle is gone, or, once the shutdown has begun, until nobody else is left to write.
    async fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Unit>>) -> Result<(), StoreError> {
        let soft = self.context.lifecycle.soft();
        let mut group = Vec::with_capacity(GROUP);
        loop {
            let stopping = soft.is_cancelled();
            let received = tokio::select! {
                biased;
                received = queue.recv_many(&mut group, GROUP) => Some(received),
                () = soft.cancelled(), if !stopping => None,
                () = tokio::time::sleep(Duration::from_millis(20)), if stopping => None,
            };
            match received {
                Some(0) => break,
                Some(_) => self.commit_group(std::mem::take(&mut group)).await,
                None if stopping && self.context.lifecycle.len() <= 1 => break,
                None => {}
            }
        }
        queue.close();
        while let Some(unit) = queue.recv().await {
            self.commit_group(vec![unit]).await;
        }
        Ok(())
    }

    async fn commit_group(&mut self, mut units: Vec<Box<dyn Unit>>) {
        if !self.reserve.admits() {
            let (pressing, others) = units.into_iter().partition(|unit| unit.presses());
            units = pressing;
            for mut unit in others {
                unit.fail(StoreError::Full);
                unit.answer();
            }
            if units.is_empty() {
                return;
            }
        }
        match self.try_group(&mut units).await {
            Ok(()) => {}
            Err(error) if units.len() == 1 => self.again(&mut units[0], error).await,
            Err(error) => {
                tracing::warn!(units = units.len(), %error, "a group commit broke; its units run one by one");
                for unit in &mut units {
                    if let Err(error) = self.try_group(std::slice::from_mut(unit)).await {
                        self.again(unit, error).await;
                    }
                }
            }
        }
        for unit in units {
            unit.answer();
        }
        if let (Some(carrier), Backend::Sqlite(connection)) =
            (&self.carrier, self.tx.connection.link.backend())
        {
            carrier.tend(connection);
        }
    }

    /// A unit that failed alone: once more with reserved space, if that is what it lacked and may have.
    async fn again(&mut self, unit: &mut Box<dyn Unit>, mut error: StoreError) {
        while matches!(error, StoreError::Full) && unit.presses() && self.reserve.give() {
            match self.try_group(std::slice::from_mut(unit)).await {
                Ok(()) => return,
                Err(next) => error = next,
            }
        }
        unit.fail(error);
    }

    /// Runs units in one transaction. An error means that nothing of it was committed.
    async fn try_group(&mut self, units: &mut [Box<dyn Unit>]) -> Result<(), StoreError> {
        let done = self.run_group(units).await;
        if done.is_err() {
            // Already rolled back where SQLite did it by itself (full disk, IO error): then this fails, rightly.
            self.tx.connection.mend();
            let _ = self.tx.execute(sql!("ROLLBACK"), args![]).await;
        }
        self.tx.connection.mend();
        done
    }

    async fn run_group(&mut self, units: &mut [Box<dyn Unit>]) -> Result<(), StoreError> {
        let alone = units.len() == 1;
        self.tx.connection.mend();
        self.tx.connection.doing = "beginning to write";
        self.tx.execute(sql!("BEGIN IMMEDIATE"), args![]).await?;
        let mut collected = Collected::default();
        let mut any = false;
        for unit in units.iter_mut() {
            if !alone {
                self.tx.execute(sql!("SAVEPOINT unit"), args![]).await?;
            }
            self.tx.connection.doing = unit.name();
            let good = self.run_unit(unit).await;
            let left = self.tx.take_collected();
            // One that presses is run again by itself, with space given back.
            let full = matches!(self.tx.connection.broken(), Some(StoreError::Full));
            if !good && full && (alone || unit.presses()) {
                return Err(StoreError::Full);
            }
            if good {
                any = true;
                collected.append(left);
                if !alone {
                    self.tx.execute(sql!("RELEASE unit"), args![]).await?;
                }
            } else if !alone {
                self.tx.connection.mend();
                self.tx.execute(sql!("ROLLBACK TO unit"), args![]).await?;
                self.tx.execute(sql!("RELEASE unit"), args![]).await?;
            }
        }
        if !any {
            self.tx.connection.mend();
            let _ = self.tx.execute(sql!("ROLLBACK"), args![]).await;
            return Ok(());
        }
        self.tx.connection.doing = "writing the audit log";
        let newest = self.tx.append_audit(collected.audit, self.newest).await?;
        self.tx.append_openings(&collected.openings).await?;
        if nexusmon_shared::planted::planted("answered-without-commit")
            && newest > 60
            && nexusmon_shared::planted::every(8)
        {
            self.tx.execute(sql!("ROLLBACK"), args![]).await?;
            return Ok(());
        }
        self.tx.connection.doing = "committing";
        self.tx.execute(sql!("COMMIT"), args![]).await?;
        self.newest = newest;
        self.context.signals.raise_seq(newest);
        self.context.signals.fire(collected.topics);
        Ok(())
    }

    async fn run_unit(&mut self, unit: &mut Box<dyn Unit>) -> bool {
        let name = unit.name();
        let Ok(good) = AssertUnwindSafe(unit.run(&mut self.tx)).catch_unwind().await else {
            tracing::error!(unit = name, "a unit of work panicked; it was rolled back");
            return false;
        };
        match self.tx.connection.broken() {
            // A unit that swallowed a statement's error must not commit half of its work.
            Some(error) if good => {
                unit.fail(error);
                false
            }
            _ => good,
        }
    }
}
