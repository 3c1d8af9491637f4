//! The two ends of a bridge. Written by backends, driven by the bridge.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{BridgeMessage, BridgeProtocol, BridgeReceipt, EndpointHealth};
use crate::error::{ErrorKind, NetworkError, Result};

/// How a source learns what became of a message.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait Acknowledge: Send + 'static {
    /// The bridge has dealt with the message. Must not block.
    fn acknowledge(self: Box<Self>, result: Result<BridgeReceipt>);
}

/// A message together with the duty to answer for it.
///
/// Exactly one of [`acknowledge`](Self::acknowledge) and [`reject`](Self::reject) is called. A delivery that is dropped is
/// rejected as [`Cancelled`](ErrorKind::Cancelled): no message disappears without a word.
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

    /// The message; `None` once it was taken.
    pub const fn message(&self) -> Option<&BridgeMessage> {
        self.message.as_ref()
    }

    /// Takes the message out, to be delivered; the duty to answer remains.
    pub fn take_message(&mut self) -> Option<BridgeMessage> {
        self.message.take()
    }

    /// The message was dealt with.
    pub fn acknowledge(mut self, receipt: BridgeReceipt) {
        self.finish(Ok(receipt));
    }

    /// The message could not be dealt with: the source's peer keeps it.
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
            "the bridge gave up the message before it was dealt with",
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

/// Where messages come from.
///
/// The bridge calls [`start`](Self::start) once, [`receive`](Self::receive) for as long as it can take messages, and
/// [`stop`](Self::stop) once. Between `stop` and the `None` of `receive` the source hands over what it had already taken
/// from its peer, so that it can still be answered for.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait BridgeSource: fmt::Debug + Send + Sync + 'static {
    /// What it speaks.
    fn protocol(&self) -> BridgeProtocol;

    /// Starts taking messages from the peer (binds, subscribes).
    ///
    /// # Errors
    /// Connection errors, [`InvalidInput`](ErrorKind::InvalidInput), and [`Closed`](ErrorKind::Closed) after `stop`.
    async fn start(&self) -> Result<()>;

    /// The next message; `None` when the source has stopped and nothing is left.
    ///
    /// Cancel safety: cancel safe. A message that was not returned is returned by a later call.
    ///
    /// # Errors
    /// An error that is [retryable](NetworkError::retryability) leaves the source running; any other ends the bridge.
    async fn receive(&self) -> Result<Option<Delivery>>;

    /// Stops taking messages from the peer. Stopping twice is not an error.
    ///
    /// # Errors
    /// Connection errors; the source is stopped all the same.
    async fn stop(&self) -> Result<()>;

    /// How it is doing.
    async fn health(&self) -> EndpointHealth;
}

/// Where messages go.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait BridgeSink: fmt::Debug + Send + Sync + 'static {
    /// What it speaks.
    fn protocol(&self) -> BridgeProtocol;

    /// Gets ready (connects, makes a producer).
    ///
    /// # Errors
    /// Connection errors, [`InvalidInput`](ErrorKind::InvalidInput), and [`Closed`](ErrorKind::Closed) after `stop`.
    async fn start(&self) -> Result<()>;

    /// Delivers a message to a target and waits until the peer has acknowledged it. The result says where exactly it went.
    ///
    /// Cancel safety: the message may have been delivered.
    ///
    /// # Errors
    /// The error's [retryability](NetworkError::retryability) decides whether the bridge tries again or gives up.
    async fn deliver(&self, target: &str, message: BridgeMessage) -> Result<Option<String>>;

    /// Waits for what is on its way and releases everything. Stopping twice is not an error.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout) and connection errors; the sink is stopped all the same.
    async fn stop(&self) -> Result<()>;

    /// How it is doing.
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
