//! The events of all circuits of a breaker, for any number of subscribers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use futures_util::stream;
use networking_spi::circuit_breaker::{CircuitEvent, CircuitEventKind};
use networking_spi::clock::Clock;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// A bounded channel. A subscriber that lags misses the oldest events.
#[derive(Debug)]
pub(super) struct EventHub {
    sender: broadcast::Sender<CircuitEvent>,
    /// The number of subscribers. `sender.receiver_count()` takes a lock, and each rejection needs the number.
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

    /// Whether there are subscribers. Without any, events need not be created.
    pub(super) fn has_subscribers(&self) -> bool {
        self.subscribers.load(Ordering::Relaxed) != 0
    }

    /// Sends an event to all subscribers. The caller must hold no lock, because this wakes the subscribers.
    pub(super) fn publish(&self, event: CircuitEvent) {
        // Fails only if there is no subscriber.
        let _ = self.sender.send(event);
    }

    pub(super) fn subscribe(&self) -> BoxStream<'static, CircuitEvent> {
        // Subscribed before it is counted: a thread that sees the count also reaches the subscriber.
        let receiver = self.sender.subscribe();
        let subscription = Subscription {
            receiver,
            _counted: SubscriberCount::new(&self.subscribers),
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
    _counted: SubscriberCount,
    clock: Arc<dyn Clock>,
}

/// Counts as one subscriber until it is dropped.
struct SubscriberCount(Arc<AtomicUsize>);

impl SubscriberCount {
    fn new(subscribers: &Arc<AtomicUsize>) -> Self {
        subscribers.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(subscribers))
    }
}

impl Drop for SubscriberCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
