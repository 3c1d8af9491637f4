//! Connections that come back.

mod driver;
mod outbox;
mod policy;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use futures_util::stream;
use networking_spi::http::HttpExtended;
use networking_spi::validate::Validate;
use networking_spi::websocket::{CloseFrame, WebSocketConnection, WebSocketMessage, WebSocketRequest};
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};
use tokio::sync::{Mutex, broadcast, mpsc};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::driver::Driver;
use self::outbox::{Outbox, Route};
pub use self::policy::ReconnectPolicy;
use super::SEND;

/// Messages read ahead of the receiver, beside those that the connection itself reads ahead.
const INBOX: usize = 16;

/// Events kept for a subscriber that is behind.
const EVENTS: usize = 64;

/// What is done with every new connection before anything else is sent on it: subscribing, for instance.
pub type OpenHook = Arc<dyn Fn(Arc<dyn WebSocketConnection>) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// A WebSocket connection that is opened again when it breaks, over any [`HttpExtended`].
///
/// It is a [`WebSocketConnection`] itself: what holds one need not know, and a
/// [`WebSocketListener`](super::WebSocketListener) may listen to it.
///
/// * **When it comes back**: after errors that are worth a retry ([`NetworkError::retryability`]), and after a close frame
///   of the peer whose code is not one of [`final_codes`](ReconnectPolicy::final_codes). Other errors (a message above the
///   limit, refused credentials), `close`, and [`max_attempts`](ReconnectPolicy::max_attempts) failures in a row end it for
///   good, and `receive` tells the last error.
/// * **What receivers see** of an outage is nothing: messages of the new connection follow those of the old one. Close
///   frames are handed on only at the end. [`events`](Self::events) tells of outages.
/// * **What was sent** shortly before an outage may be lost: `send` means that a connection took it, as for every
///   connection, and nothing is sent twice. What is sent *during* an outage is an error of the kind
///   [`ConnectionClosed`](ErrorKind::ConnectionClosed) that says `NotSent`, or is kept in a bounded queue
///   ([`queue_messages`](ReconnectPolicy::queue_messages)) and sent in its order after the hook of
///   [`on_open`](ReconnectingWebSocketBuilder::on_open). A full queue is [`Exhausted`](ErrorKind::Exhausted). Pings and pongs
///   are not queued.
/// * `is_open` is true during an outage, and `protocol` tells that of the latest connection.
///
/// The task that does this ends with the connection, or when this is dropped.
///
/// ```
/// use std::sync::Arc;
/// use networking_http::websocket::{ReconnectPolicy, ReconnectingWebSocket};
/// use networking_spi::prelude::*;
/// use networking_spi::websocket::WebSocketRequest;
///
/// async fn prices(http: Arc<dyn HttpExtended>) -> Result<(), NetworkError> {
///     let connection = ReconnectingWebSocket::builder(http, WebSocketRequest::new("wss://example.com/prices")?)
///         .policy(ReconnectPolicy::new().with_queue(100, 1 << 20))
///         .on_open(|fresh| async move { fresh.send_text("subscribe EUR").await })
///         .connect()
///         .await?;
///     while let Some(message) = connection.next_data().await? {
///         println!("{message:?}");
///     }
///     Ok(())
/// }
/// ```
pub struct ReconnectingWebSocket {
    shared: Arc<Shared>,
    inbox: Mutex<mpsc::Receiver<WebSocketMessage>>,
    close_timeout: Duration,
    max_message_size: usize,
    _alive: DropGuard,
}

/// What happened to a [`ReconnectingWebSocket`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ReconnectEvent {
    /// The connection was lost. An attempt follows, unless `max_attempts` are used up.
    Disconnected {
        /// How. A close frame of the peer is an error of the kind `ConnectionClosed` with its code as context.
        cause: NetworkError,
    },
    /// Another attempt will be made.
    Reconnecting {
        /// Which in a row, from 1.
        attempt: u32,
        /// After so long.
        delay: Duration,
    },
    /// An attempt failed.
    Failed {
        /// Which.
        attempt: u32,
        /// How.
        cause: NetworkError,
    },
    /// There is a connection again; the hook has run and the queue was sent.
    Reconnected {
        /// Attempts that it took in a row.
        attempts: u32,
    },
    /// The end. No event follows.
    Ended {
        /// Why, if not by a closing handshake.
        cause: Option<NetworkError>,
        /// Queued messages that were never sent.
        unsent: usize,
    },
}

/// Sets a [`ReconnectingWebSocket`] up.
#[must_use = "nothing is opened before `connect`"]
pub struct ReconnectingWebSocketBuilder {
    client: Arc<dyn HttpExtended>,
    request: WebSocketRequest,
    policy: ReconnectPolicy,
    hook: Option<OpenHook>,
}

impl ReconnectingWebSocketBuilder {
    /// Sets when to try again, and what is kept meanwhile.
    pub fn policy(mut self, policy: ReconnectPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets what is done with every new connection, the first included, before anything else is sent on it. An error, or no
    /// end within the request's `handshake_timeout`, is a failed attempt. The hook must not receive.
    pub fn on_open<F: Future<Output = Result<()>> + Send + 'static>(
        mut self,
        hook: impl Fn(Arc<dyn WebSocketConnection>) -> F + Send + Sync + 'static,
    ) -> Self {
        self.hook = Some(Arc::new(move |connection| Box::pin(hook(connection))));
        self
    }

    /// Opens the first connection. It is tried once: a server that was never reached is an error, not an outage.
    ///
    /// Cancel safety: dropping the future drops the connection.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field, those of [`HttpExtended::websocket_connect`], and what the hook
    /// gives.
    pub async fn connect(self) -> Result<Arc<ReconnectingWebSocket>> {
        self.policy.validate().map_err(|error| error.in_field("policy"))?;
        let options = &self.request.options;
        let (close_timeout, max_message_size) = (options.close_timeout, options.max_message_size);
        let shared = Arc::new(Shared {
            outbox: Outbox::new(&self.policy),
            events: broadcast::Sender::new(EVENTS),
            closing: CancellationToken::new(),
            stopped: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        let alive = shared.stopped.clone().drop_guard();
        let (sender, inbox) = mpsc::channel(INBOX);
        let driver = Driver {
            client: self.client,
            request: self.request,
            policy: self.policy,
            hook: self.hook,
            shared: Arc::clone(&shared),
            inbox: sender,
        };
        let first = driver.open().await?;
        tokio::spawn(driver.run(first));
        Ok(Arc::new(ReconnectingWebSocket {
            shared,
            inbox: Mutex::new(inbox),
            close_timeout,
            max_message_size,
            _alive: alive,
        }))
    }
}

/// What the connection and its driver share.
struct Shared {
    outbox: Outbox,
    events: broadcast::Sender<ReconnectEvent>,
    /// The application closes.
    closing: CancellationToken,
    /// Nobody needs the connection any more.
    stopped: CancellationToken,
    /// The driver is done.
    ended: CancellationToken,
}

impl ReconnectingWebSocket {
    /// A connection that is opened by `request` over `client`, with the default policy.
    pub fn builder(client: Arc<dyn HttpExtended>, request: WebSocketRequest) -> ReconnectingWebSocketBuilder {
        ReconnectingWebSocketBuilder {
            client,
            request,
            policy: ReconnectPolicy::default(),
            hook: None,
        }
    }

    /// What happens from now on, up to the end. A subscriber that is more than 64 events behind misses the oldest.
    pub fn events(&self) -> BoxStream<'static, ReconnectEvent> {
        if self.shared.ended.is_cancelled() {
            return Box::pin(stream::empty());
        }
        let receiver = self.shared.events.subscribe();
        let ended = self.shared.ended.clone();
        Box::pin(stream::unfold(Some((receiver, ended)), |state| async {
            let (mut receiver, ended) = state?;
            loop {
                let event = tokio::select! {
                    biased;
                    event = receiver.recv() => event,
                    // It ended before this was subscribed.
                    () = ended.cancelled() => return None,
                };
                match event {
                    Ok(event @ ReconnectEvent::Ended { .. }) => return Some((event, None)),
                    Ok(event) => return Some((event, Some((receiver, ended)))),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        }))
    }

    /// Whether there is a connection just now.
    pub fn is_connected(&self) -> bool {
        self.shared.outbox.is_connected()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl WebSocketConnection for ReconnectingWebSocket {
    async fn send(&self, message: WebSocketMessage) -> Result<()> {
        if let WebSocketMessage::Close(frame) = message {
            let frame = frame.unwrap_or_else(|| CloseFrame::new(CloseFrame::NORMAL, ""));
            return self.close(frame).await;
        }
        if message.len() > self.max_message_size {
            return Err(too_large(self.max_message_size));
        }
        if self.shared.closing.is_cancelled() {
            return Err(NetworkError::closed(SEND, "the connection"));
        }
        match self.shared.outbox.route(message)? {
            Route::Queued => Ok(()),
            Route::Direct(connection, message) => match connection.send(message).await {
                // It broke just now, and its successor is not there yet.
                Err(error) if error.kind() == ErrorKind::Closed && self.is_open() => Err(absent().with_source(error)),
                sent => sent,
            },
        }
    }

    async fn receive(&self) -> Result<Option<WebSocketMessage>> {
        if let Some(message) = self.inbox.lock().await.recv().await {
            return Ok(Some(message));
        }
        match self.shared.outbox.failure() {
            Some(failure) => Err(failure.clone()),
            None => Ok(None),
        }
    }

    async fn close(&self, frame: CloseFrame) -> Result<()> {
        frame.validate()?;
        self.shared.closing.cancel();
        let closed = if let Some(connection) = self.shared.outbox.connection() {
            connection.close(frame).await
        } else {
            self.shared.stopped.cancel();
            Ok(())
        };
        let limit = self.close_timeout;
        if timeout(limit, self.shared.ended.cancelled()).await.is_err() {
            self.shared.stopped.cancel();
            return closed.and(Err(NetworkError::timeout("websocket.close", Phase::Total, limit)));
        }
        closed
    }

    fn protocol(&self) -> Option<String> {
        self.shared.outbox.protocol()
    }

    fn is_open(&self) -> bool {
        !self.shared.closing.is_cancelled() && !self.shared.outbox.is_finished()
    }
}

fn too_large(limit: usize) -> NetworkError {
    NetworkError::new(ErrorKind::TooLarge, SEND, "the message is longer than the limit")
        .with_context("limit", limit.to_string())
}

/// There is no connection just now.
fn absent() -> NetworkError {
    NetworkError::new(
        ErrorKind::ConnectionClosed,
        SEND,
        "the connection is lost and not there again yet",
    )
    .with_send_state(SendState::NotSent)
}

impl fmt::Debug for ReconnectingWebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingWebSocket")
            .field("open", &self.is_open())
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ReconnectingWebSocketBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingWebSocketBuilder")
            .field("request", &self.request)
            .field("policy", &self.policy)
            .field("on_open", &self.hook.is_some())
            .finish_non_exhaustive()
    }
}
