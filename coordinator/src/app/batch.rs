//! A small batcher in front of each hot path: a batch is what queued while the previous one was being committed. No
//! timer: alone, an item goes at once.

use std::future::Future;

use nexusmon_shared::lifecycle::Lifecycle;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Result};

struct Waiting<T, R> {
    item: T,
    answer: oneshot::Sender<Result<R>>,
}

/// The handle; whoever submits waits for its own answer.
#[derive(Debug)]
pub struct Batcher<T, R>(mpsc::Sender<Waiting<T, R>>);

impl<T: Send + 'static, R: Send + 'static> Batcher<T, R> {
    /// Starts the worker. `handle` answers every item of a batch, in order.
    pub fn start<F, Fut>(lifecycle: &Lifecycle, name: &'static str, most: usize, handle: F) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Send + 'static,
        Fut: Future<Output = Vec<Result<R>>> + Send,
    {
        let (sender, mut queue) = mpsc::channel::<Waiting<T, R>>(most * 4);
        let soft = lifecycle.soft();
        lifecycle.spawn(name, async move {
            let mut batch = Vec::new();
            loop {
                tokio::select! {
                    biased;
                    count = queue.recv_many(&mut batch, most) => {
                        if count == 0 {
                            break;
                        }
                    }
                    // What is queued is still done; nothing new is taken.
                    () = soft.cancelled(), if !queue.is_closed() => {
                        queue.close();
                        continue;
                    }
                }
                let (items, answers): (Vec<_>, Vec<_>) =
                    batch.drain(..).map(|waiting| (waiting.item, waiting.answer)).unzip();
                for (result, answer) in handle(items).await.into_iter().zip(answers) {
                    // Whoever asked may have gone away.
                    let _ = answer.send(result);
                }
            }
            Ok::<(), Error>(())
        });
        Self(sender)
    }

    /// Items that wait for a batch.
    pub fn waiting(&self) -> usize {
        self.0.max_capacity() - self.0.capacity()
    }

    /// Queues an item and waits until its batch is committed.
    pub async fn submit(&self, item: T) -> Result<R> {
        // Its unit of work begins elsewhere, which does not know who asked.
        nexusmon_store::may_write()?;
        let (answer, result) = oneshot::channel();
        let closed = || Error::unavailable("the coordinator is shutting down; try again in a moment");
        self.0.send(Waiting { item, answer }).await.map_err(|_| closed())?;
        result.await.map_err(|_| closed())?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures::FutureExt as _;
    use futures::future::join_all;
    use nexusmon_shared::lifecycle::Shutdown;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_stuck_commit_holds_callers_back_and_answers_every_one_of_them_later() {
        const MOST: usize = 10;
        let lifecycle = Lifecycle::new();
        let (begun, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (started, gate) = (Arc::clone(&begun), Arc::clone(&go));
        let batcher = Batcher::start(&lifecycle, "stuck", MOST, move |batch: Vec<usize>| {
            let (started, gate) = (Arc::clone(&started), Arc::clone(&gate));
            async move {
                assert!(batch.len() <= MOST);
                started.add_permits(1);
                gate.acquire().await.expect("never closed").forget();
                batch.into_iter().map(Ok).collect()
            }
        });
        let mut waiting: Vec<_> =
            (0..1000).map(|item| Box::pin(tokio::task::unconstrained(batcher.submit(item)))).collect();
        for one in &mut waiting {
            assert!(one.now_or_never().is_none());
        }
        begun.acquire().await.expect("never closed").forget();
        assert_eq!(batcher.0.max_capacity(), MOST * 4);
        assert!(batcher.0.capacity() <= MOST, "the queue is full but for the batch that was taken out");
        go.add_permits(Semaphore::MAX_PERMITS / 2);
        let answers: Vec<_> =
            join_all(waiting).await.into_iter().map(|answer| answer.expect("done")).collect();
        assert_eq!(answers, (0..1000).collect::<Vec<_>>());
        drop(batcher);
        assert_eq!(lifecycle.shutdown(Duration::from_secs(5)).await, Shutdown::Clean);
    }
}
