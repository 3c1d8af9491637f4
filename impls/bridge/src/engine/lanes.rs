//! Order by key: messages of the same key form a lane, and a lane is processed one message at a time.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::Engine;
use super::in_flight::InFlight;

/// The lanes of the keys in flight. The limit of messages in flight bounds them.
#[derive(Default)]
pub(super) struct Lanes {
    closed: bool,
    waiting: HashMap<Bytes, VecDeque<InFlight>>,
}

impl Lanes {
    /// Makes [`enter`] reject further messages.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The number of keys only: a key may be a secret.
        f.debug_struct("Lanes")
            .field("closed", &self.closed)
            .field("keys", &self.waiting.len())
            .finish()
    }
}

/// Starts work on a message, or queues it behind the messages of its key. If the lanes are closed, rejects the message and
/// returns `false`.
pub(super) fn enter(engine: &Arc<Engine>, message: InFlight) -> bool {
    let mut lanes = engine.lanes.lock();
    if lanes.closed {
        // Unlocked first: rejecting calls the source, which may call the bridge.
        drop(lanes);
        drop(message);
        return false;
    }
    let Some(key) = message.key() else {
        spawn(engine, None, message);
        return true;
    };
    if let Some(queue) = lanes.waiting.get_mut(&key) {
        queue.push_back(message);
    } else {
        lanes.waiting.insert(key.clone(), VecDeque::new());
        spawn(engine, Some(key), message);
    }
    true
}

fn spawn(engine: &Arc<Engine>, key: Option<Bytes>, first: InFlight) {
    let engine = Arc::clone(engine);
    let tasks = engine.tasks.clone();
    tasks.spawn(async move {
        let given_up = engine.give_up.clone();
        let work = async {
            let mut next = Some(first);
            while let Some(message) = next {
                Engine::process(&engine, message).await;
                next = key.as_ref().and_then(|key| next_in_lane(&engine, key));
            }
        };
        tokio::select! {
            biased;
            () = given_up.cancelled() => {}
            () = work => return,
        }
        // The messages that wait in the lane are also rejected. They must not be dropped while the lock is held.
        let rest = key.and_then(|key| engine.lanes.lock().waiting.remove(&key));
        drop(rest);
    });
}

/// The next message of a lane. An empty lane is removed.
fn next_in_lane(engine: &Engine, key: &Bytes) -> Option<InFlight> {
    let mut lanes = engine.lanes.lock();
    let next = lanes.waiting.get_mut(key)?.pop_front();
    if next.is_none() {
        lanes.waiting.remove(key);
    }
    next
}
