//! Order by key: messages with the same key form a lane and are processed one after the other.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::engine::Engine;
use super::ticket::Ticket;

/// Lanes of the keys that are in work. Their content is bounded by the messages in work.
#[derive(Default)]
pub(super) struct Lanes {
    closed: bool,
    waiting: HashMap<Bytes, VecDeque<Ticket>>,
}

impl Lanes {
    /// No message enters from now on.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys may hold anything.
        f.debug_struct("Lanes")
            .field("closed", &self.closed)
            .field("keys", &self.waiting.len())
            .finish()
    }
}

/// Starts work on a message, or queues it behind its key. When the bridge takes no more, the message is rejected.
pub(super) fn enter(engine: &Arc<Engine>, ticket: Ticket) -> bool {
    let mut lanes = engine.lanes.lock();
    if lanes.closed {
        // Whoever is told of it must not find the lock taken.
        drop(lanes);
        drop(ticket);
        return false;
    }
    let Some(key) = ticket.key() else {
        spawn(engine, None, ticket);
        return true;
    };
    if let Some(queue) = lanes.waiting.get_mut(&key) {
        queue.push_back(ticket);
    } else {
        lanes.waiting.insert(key.clone(), VecDeque::new());
        spawn(engine, Some(key), ticket);
    }
    true
}

fn spawn(engine: &Arc<Engine>, key: Option<Bytes>, first: Ticket) {
    let lane = Arc::clone(engine);
    engine.tasks.spawn(async move {
        let given_up = lane.give_up.clone();
        let work = async {
            let mut next = Some(first);
            while let Some(ticket) = next {
                Engine::process(&lane, ticket).await;
                next = key.as_ref().and_then(|key| following(&lane, key));
            }
        };
        tokio::select! {
            biased;
            () = given_up.cancelled() => {}
            () = work => return,
        }
        // What waits in the lane is given up too; it must not be dropped under the lock.
        let rest = key.and_then(|key| lane.lanes.lock().waiting.remove(&key));
        drop(rest);
    });
}

/// The next message of a lane; without one the lane ends.
fn following(engine: &Engine, key: &Bytes) -> Option<Ticket> {
    let mut lanes = engine.lanes.lock();
    let next = lanes.waiting.get_mut(key)?.pop_front();
    if next.is_none() {
        lanes.waiting.remove(key);
    }
    next
}
