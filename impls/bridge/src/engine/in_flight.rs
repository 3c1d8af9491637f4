//! A message in flight: it is acknowledged or rejected exactly once, and counted at that time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use networking_spi::bridge::{BridgeMessage, BridgeReceipt, Delivery};
use networking_spi::{ErrorKind, NetworkError, Result};
use tokio::sync::OwnedSemaphorePermit;

use super::Engine;
use crate::routing::Router;

/// A message in flight. Dropping it rejects the message, for example when the work on it is cancelled.
pub(super) struct InFlight {
    engine: Arc<Engine>,
    delivery: Option<Delivery>,
    /// The routing at the time of arrival.
    pub(super) router: Arc<Router>,
    /// `None` while the message waits for a permit.
    permit: Option<OwnedSemaphorePermit>,
    payload_size: usize,
    started: Duration,
}

impl InFlight {
    pub(super) fn new(engine: &Arc<Engine>, delivery: Delivery) -> Self {
        engine.statistics.received();
        engine.in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            payload_size: delivery.message().map_or(0, |message| message.payload.len()),
            started: engine.clock.elapsed(),
            router: engine.router.load_full(),
            engine: Arc::clone(engine),
            delivery: Some(delivery),
            permit: None,
        }
    }

    pub(super) fn with_permit(mut self, permit: OwnedSemaphorePermit) -> Self {
        self.permit = Some(permit);
        self
    }

    /// The key of the message: messages of the same key are processed in order.
    pub(super) fn key(&self) -> Option<Bytes> {
        self.delivery.as_ref()?.message()?.key.clone()
    }

    /// Takes the message out.
    pub(super) fn take_message(&mut self) -> Result<BridgeMessage> {
        let message = self.delivery.as_mut().and_then(Delivery::take_message);
        message.ok_or_else(|| NetworkError::new(ErrorKind::Internal, "bridge.deliver", "a delivery without a message"))
    }

    /// Acknowledges or rejects the message.
    pub(super) fn complete(mut self, result: Result<BridgeReceipt>) {
        self.finish(result);
    }

    fn finish(&mut self, result: Result<BridgeReceipt>) {
        let Some(delivery) = self.delivery.take() else { return };
        let engine = &self.engine;
        // Counted first, so that a caller that has the result finds it in the counters.
        let latency = engine.clock.elapsed().saturating_sub(self.started);
        engine.statistics.finished(&result, self.payload_size, latency);
        engine.in_flight.fetch_sub(1, Ordering::Relaxed);
        drop(self.permit.take());
        let completed = catch_unwind(AssertUnwindSafe(|| match result {
            Ok(receipt) => delivery.acknowledge(receipt),
            Err(error) => {
                engine.record_error(&error);
                delivery.reject(error);
            }
        }));
        if completed.is_err() {
            tracing::error!(bridge = %engine.name, "the source panicked while it acknowledged or rejected a message");
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.delivery.is_none() {
            return;
        }
        self.engine.given_up.fetch_add(1, Ordering::Relaxed);
        self.finish(Err(NetworkError::new(
            ErrorKind::Cancelled,
            "bridge.deliver",
            "the bridge ended before the message was delivered",
        )));
    }
}
