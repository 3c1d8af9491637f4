//! The endpoints of a bridge. Backends implement them, and the bridge calls them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{BridgeMessage, BridgeProtocol, BridgeReceipt, EndpointHealth};
use crate::error::{ErrorKind, NetworkError, Result};

/// Callback of a source for the outcome of one message.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait Acknowledge: Send + 'static {
    /// Is called once, with the outcome. Must not block.
    fn acknowledge(self: Box<Self>, result: Result<BridgeReceipt>);
}

/// A received message that must be acknowledged or rejected.
///
/// Call exactly one of [`acknowledge`](Self::acknowledge) and [`reject`](Self::reject). Dropping a delivery rejects it with
/// [`Cancelled`](ErrorKind::Cancelled), so that no message is lost silently.
#[must_use = "a dropped delivery is rejected"]
pub struct Delivery {
    message: Option<BridgeMessage>,
    acknowledge: Option<Box<dyn Acknowledge>>,
}

impl Delivery {
    /// For implementers of [`BridgeSource`].
    pub fn new(message: BridgeMessage, acknowledge: Box<dyn Acknowledge>) -> Self {
        Self {
            message: Some(message),
            acknowledge: Some(acknowledge),
        }
    }

    /// The message; `None` after [`take_message`](Self::take_message).
    pub const fn message(&self) -> Option<&BridgeMessage> {
        self.message.as_ref()
    }

    /// Takes the message, to deliver it. The delivery must still be acknowledged or rejected.
    pub fn take_message(&mut self) -> Option<BridgeMessage> {
        self.message.take()
    }

    /// Reports that the message was delivered, dead-lettered or dropped.
    pub fn acknowledge(mut self, receipt: BridgeReceipt) {
        self.finish(Ok(receipt));
    }

    /// Reports that the message failed. The peer of the source keeps it.
    pub fn reject(mut self, error: NetworkError) {
        self.finish(Err(error));
    }

    fn finish(&mut self, result: Result<BridgeReceipt>) {
        if let Some(acknowledge) = self.acknowledge.take() {
            acknowledge.acknowledge(result);
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.finish(Err(NetworkError::new(
            ErrorKind::Cancelled,
            "bridge.deliver",
            "the delivery was dropped before it was acknowledged or rejected",
        )));
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

/// The source of a bridge.
///
/// The bridge calls [`start`](Self::start) once, [`receive`](Self::receive) while it can process messages, and
/// [`stop`](Self::stop) once. After `stop`, `receive` returns the messages that the source has already received from its
/// peer, so that they are acknowledged or rejected, and then `None`.
///
/// The contract in numbered clauses is `docs/contract/endpoint.md` in the repository. The suites of `networking-conformance`
/// test them against any source and sink.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait BridgeSource: fmt::Debug + Send + Sync + 'static {
    /// The protocol of this endpoint. It never changes.
    fn protocol(&self) -> BridgeProtocol;

    /// Starts to accept messages from the peer (binds a socket, subscribes).
    ///
    /// # Errors
    /// Connection errors, [`InvalidInput`](ErrorKind::InvalidInput), [`Conflict`](ErrorKind::Conflict) if it is started twice, and
    /// [`Closed`](ErrorKind::Closed) after `stop`.
    async fn start(&self) -> Result<()>;

    /// Returns the next message; `None` when the source has stopped and has no further message, and then always. Waits while
    /// there is no message. Concurrent calls are possible; each message is returned once.
    ///
    /// While it is not called, the source takes only a bounded number of messages from its peer.
    ///
    /// Cancel safety: if the future is dropped, no message is lost. A later call returns it.
    ///
    /// # Errors
    /// After an error that is [retryable](NetworkError::retryability), the bridge calls `receive` again. Any other error ends
    /// the bridge.
    async fn receive(&self) -> Result<Option<Delivery>>;

    /// Stops accepting messages from the peer, and wakes the calls of `receive` that wait. Messages in flight can still be
    /// acknowledged and rejected. Stopping twice, or before `start`, is not an error.
    ///
    /// # Errors
    /// Connection errors; the source is stopped anyway.
    async fn stop(&self) -> Result<()>;

    /// The health of this endpoint: `up` only while it runs and, as far as it knows, its peer is available; `down` after `stop`.
    async fn health(&self) -> EndpointHealth;
}

/// The sink of a bridge.
///
/// The contract in numbered clauses is `docs/contract/endpoint.md` in the repository.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait BridgeSink: fmt::Debug + Send + Sync + 'static {
    /// The protocol of this endpoint.
    fn protocol(&self) -> BridgeProtocol;

    /// The time after which [`deliver`](Self::deliver) returns at the latest; `None` if the sink has no limit. A bridge with a
    /// shorter [`delivery_timeout`](super::BridgeConfig::delivery_timeout) would retry deliveries that the sink is still
    /// making, so that messages are delivered twice: it refuses the sink.
    fn delivery_limit(&self) -> Option<Duration>;

    /// Prepares for deliveries (connects, creates a producer).
    ///
    /// # Errors
    /// Connection errors, [`InvalidInput`](ErrorKind::InvalidInput), [`Conflict`](ErrorKind::Conflict) if it is started twice, and
    /// [`Closed`](ErrorKind::Closed) after `stop`.
    async fn start(&self) -> Result<()>;

    /// Delivers a message to `target`, and waits until the peer has acknowledged it. Returns the position of the message, if
    /// the peer reports one. Concurrent calls are possible.
    ///
    /// Cancel safety: the message may be delivered although the call was cancelled. The sink can still be used.
    ///
    /// # Errors
    /// [`Closed`](ErrorKind::Closed) after `stop`; before `start` it may be `Closed`, too. Otherwise any. The
    /// [retryability](NetworkError::retryability) of the error decides whether the bridge retries.
    async fn deliver(&self, target: &str, message: BridgeMessage) -> Result<Option<String>>;

    /// Waits for deliveries in progress, and releases all resources. Stopping twice, or before `start`, is not an error.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout) and connection errors; the sink is stopped anyway.
    async fn stop(&self) -> Result<()>;

    /// The health of this endpoint: `up` only while it runs and, as far as it knows, its peer is available; `down` after `stop`.
    async fn health(&self) -> EndpointHealth;
}

macro_rules! delegate {
    ($($pointer:ident),+) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<S: BridgeSource + ?Sized> BridgeSource for $pointer<S> {
            fn protocol(&self) -> BridgeProtocol {
                (**self).protocol()
            }

            async fn start(&self) -> Result<()> {
                (**self).start().await
            }

            async fn receive(&self) -> Result<Option<Delivery>> {
                (**self).receive().await
            }

            async fn stop(&self) -> Result<()> {
                (**self).stop().await
            }

            async fn health(&self) -> EndpointHealth {
                (**self).health().await
            }
        }

        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<S: BridgeSink + ?Sized> BridgeSink for $pointer<S> {
            fn protocol(&self) -> BridgeProtocol {
                (**self).protocol()
            }

            fn delivery_limit(&self) -> Option<Duration> {
                (**self).delivery_limit()
            }

            async fn start(&self) -> Result<()> {
                (**self).start().await
            }

            async fn deliver(&self, target: &str, message: BridgeMessage) -> Result<Option<String>> {
                (**self).deliver(target, message).await
            }

            async fn stop(&self) -> Result<()> {
                (**self).stop().await
            }

            async fn health(&self) -> EndpointHealth {
                (**self).health().await
            }
        }
    )+};
}

delegate!(Arc, Box);
