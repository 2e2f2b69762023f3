//! What waits to be sent to one agent: bounded in messages and in bytes, its own and those of all sessions together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nexusmon_shared::message::{CoordinatorMessage, Goodbye, Order};
use tokio::sync::{mpsc, watch};

/// What may wait. An agent that lets its queue fill is cut off: reconnecting costs less than guessing which message may
/// be dropped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Messages of one session.
    pub messages: usize,
    /// Bytes of one session.
    pub bytes: usize,
    /// Bytes over all sessions of this node; beyond, whoever has more than a fair share is cut off.
    pub all: usize,
    /// A session may have this much waiting whatever the others have.
    pub fair: usize,
}

pub(super) const BOUNDS: Bounds =
    Bounds { messages: 4096, bytes: 8 * 1024 * 1024, all: 256 * 1024 * 1024, fair: 1024 * 1024 };

/// The sending end.
#[derive(Debug)]
pub(super) struct Queue {
    /// Boxed: a channel allocates places by the dozen, and most of ten thousand are empty.
    sender: mpsc::Sender<Box<Waiting>>,
    bytes: Bytes,
}

/// Why a message was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Closed,
    Full,
}

/// A queue whose bytes count among `all`, and its end.
pub(super) fn queue(
    bounds: Bounds,
    all: &Arc<AtomicUsize>,
    farewell: watch::Receiver<Option<Goodbye>>,
) -> (Queue, Outgoing) {
    let (sender, queue) = mpsc::channel(bounds.messages);
    let bytes = Bytes { bounds, own: Arc::default(), all: Arc::clone(all) };
    (Queue { sender, bytes }, Outgoing { queue, farewell, ended: false })
}

impl Queue {
    pub(super) fn offer(&self, message: CoordinatorMessage) -> Result<(), Refused> {
        let size = size(&message);
        if !self.bytes.fits(size) {
            return Err(Refused::Full);
        }
        self.bytes.add(size);
        let waiting = Waiting { message, size, bytes: self.bytes.clone() };
        self.sender.try_send(Box::new(waiting)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Closed(_) => Refused::Closed,
            mpsc::error::TrySendError::Full(_) => Refused::Full,
        })
    }
}

/// A message in the queue; its bytes count until it is taken out or thrown away.
#[derive(Debug)]
struct Waiting {
    message: CoordinatorMessage,
    size: usize,
    bytes: Bytes,
}

impl Waiting {
    fn taken(mut self) -> CoordinatorMessage {
        // The bytes are given back as this is dropped.
        std::mem::replace(&mut self.message, CoordinatorMessage::Recall(Vec::new()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.bytes.remove(self.size);
    }
}

/// Bytes waiting: of one session, and of all.
#[derive(Debug, Clone)]
struct Bytes {
    bounds: Bounds,
    own: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
}

impl Bytes {
    /// A message alone always fits: the protocol bounds it.
    fn fits(&self, size: usize) -> bool {
        let Bounds { bytes, all, fair, .. } = self.bounds;
        let own = self.own.load(Ordering::Relaxed);
        let with = own + size;
        own == 0 || (with <= bytes && (with <= fair || self.all.load(Ordering::Relaxed) + size <= all))
    }

    fn add(&self, size: usize) {
        self.own.fetch_add(size, Ordering::Relaxed);
        self.all.fetch_add(size, Ordering::Relaxed);
    }

    fn remove(&self, size: usize) {
        self.own.fetch_sub(size, Ordering::Relaxed);
        self.all.fetch_sub(size, Ordering::Relaxed);
    }
}

/// About what a message takes in memory.
fn size(message: &CoordinatorMessage) -> usize {
    let content = match message {
        CoordinatorMessage::Orders(orders) => orders.orders.iter().map(Order::size_hint).sum(),
        CoordinatorMessage::Plan(plan) => plan.header.len(),
        CoordinatorMessage::Ack(attempts) | CoordinatorMessage::Recall(attempts) => {
            size_of_val(attempts.as_slice())
        }
        CoordinatorMessage::Cancel(cancel) => size_of_val(cancel.attempts.as_slice()),
        _ => 0,
    };
    content + size_of::<Waiting>()
}

/// What is to be sent to one agent.
#[derive(Debug)]
pub struct Outgoing {
    queue: mpsc::Receiver<Box<Waiting>>,
    farewell: watch::Receiver<Option<Goodbye>>,
    ended: bool,
}

impl Outgoing {
    /// The next message; after a goodbye, nothing. Cancellation-safe.
    pub async fn next(&mut self) -> Option<CoordinatorMessage> {
        if self.ended {
            return None;
        }
        let goodbye = tokio::select! {
            biased;
            said = self.farewell.wait_for(Option::is_some) => said.ok().and_then(|said| said.clone()),
            message = self.queue.recv() => {
                self.ended = message.is_none();
                return message.map(|waiting| waiting.taken());
            }
        };
        self.ended = true;
        goodbye.map(CoordinatorMessage::Goodbye)
    }

    /// A further message that is already waiting; for writing several at once.
    pub fn try_next(&mut self) -> Option<CoordinatorMessage> {
        if self.ended || self.farewell.borrow().is_some() {
            None
        } else {
            self.queue.try_recv().ok().map(|waiting| waiting.taken())
        }
    }
}

#[cfg(test)]
mod tests;
