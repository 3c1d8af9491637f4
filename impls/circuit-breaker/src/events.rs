//! Events of all circuits of a breaker, for any number of subscribers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use futures_util::stream;
use networking_spi::circuit_breaker::{CircuitEvent, CircuitEventKind};
use networking_spi::clock::Clock;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// A bounded channel that drops its oldest events for subscribers that are too slow.
#[derive(Debug)]
pub(super) struct EventHub {
    sender: broadcast::Sender<CircuitEvent>,
    /// Asking the channel for its receivers takes a lock; rejections ask every time.
    subscribers: Arc<AtomicUsize>,
    clock: Arc<dyn Clock>,
}

impl EventHub {
    pub(super) fn new(capacity: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            sender: broadcast::Sender::new(capacity),
            subscribers: Arc::default(),
            clock,
        }
    }

    /// Whether anyone listens. Nobody does in most programs: then events are not even made.
    pub(super) fn observed(&self) -> bool {
        self.subscribers.load(Ordering::Relaxed) != 0
    }

    /// Never called with a lock held: subscribers are woken here.
    pub(super) fn publish(&self, event: CircuitEvent) {
        // An error only says that the last subscriber has just left.
        let _ = self.sender.send(event);
    }

    pub(super) fn subscribe(&self) -> BoxStream<'static, CircuitEvent> {
        // The channel first: whoever sees the subscriber counted also reaches it.
        let receiver = self.sender.subscribe();
        let subscription = Subscription {
            receiver,
            _presence: Presence::new(&self.subscribers),
            clock: Arc::clone(&self.clock),
        };
        stream::unfold(subscription, |mut subscription| async move {
            let event = match subscription.receiver.recv().await {
                Ok(event) => event,
                Err(RecvError::Lagged(missed)) => {
                    CircuitEvent::new("".into(), subscription.clock.now(), CircuitEventKind::Lagged { missed })
                }
                Err(RecvError::Closed) => return None,
            };
            Some((event, subscription))
        })
        .boxed()
    }
}

struct Subscription {
    receiver: broadcast::Receiver<CircuitEvent>,
    _presence: Presence,
    clock: Arc<dyn Clock>,
}

/// Counts as one subscriber while it lives.
struct Presence(Arc<AtomicUsize>);

impl Presence {
    fn new(subscribers: &Arc<AtomicUsize>) -> Self {
        subscribers.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(subscribers))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
