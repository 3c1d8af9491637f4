//! WebSocket connections that reconnect.

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
use networking_spi::error::ResultExt;
use networking_spi::validate::Validate;
use networking_spi::websocket::{
    CloseFrame, WebSocketCapabilities, WebSocketClient, WebSocketConnection, WebSocketMessage, WebSocketRequest,
};
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};
use tokio::sync::broadcast;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::driver::Driver;
use self::outbox::{Outbox, Route};
pub use self::policy::ReconnectPolicy;
use super::SEND;
use super::error::check_size;
use super::inbox::Inbox;

/// The largest number of events that are kept for a slow subscriber.
const EVENTS: usize = 64;

/// Runs on every new connection before other messages are sent, for example to subscribe.
pub type OpenHook = Arc<dyn Fn(Arc<dyn WebSocketConnection>) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// A WebSocket connection over any [`WebSocketClient`] that reconnects after a failure.
///
/// It is a [`WebSocketConnection`], so it can replace a plain one, also in a [`WebSocketListener`](super::WebSocketListener).
///
/// * **Reconnection**: after retryable errors ([`NetworkError::retryability`]), and after a close frame of the peer whose code is
///   not one of [`final_codes`](ReconnectPolicy::final_codes). Other errors (a message above the limit, refused credentials) and
///   [`max_attempts`](ReconnectPolicy::max_attempts) attempts without a stable connection end it permanently, and `receive`
///   returns the last error. A final close code and `close` end it without an error.
/// * **Receiving**: messages are read ahead of the application up to the request's
///   [`max_unread`](networking_spi::websocket::WebSocketOptions::max_unread), so that the end of a connection is noticed without a
///   call of `receive`; the current connection reads ahead of that as far again. `receive` waits during an outage, and then returns the messages of the new connection. A close frame is
///   delivered only at the permanent end. [`events`](Self::events) reports outages.
/// * **Sending**: `send` only means that the connection accepted the message. What was sent before an outage is noticed may be lost:
///   with a silent peer, that is the time of `ping_interval` and `pong_timeout`, 40 s by default. Where this matters, have the peer
///   acknowledge messages. No message is sent twice. During an outage, `send` fails with
///   [`ConnectionClosed`](ErrorKind::ConnectionClosed) and `NotSent`, or the message is put into a bounded queue
///   ([`queue_messages`](ReconnectPolicy::queue_messages)), which is sent in order after the hook of
///   [`on_open`](ReconnectingWebSocketBuilder::on_open). A full queue fails with [`Exhausted`](ErrorKind::Exhausted). Pings and
///   pongs are not queued.
/// * `is_open` is true during an outage, and `protocol` is that of the latest connection.
///
/// The background task ends with the connection, or when this value is dropped.
///
/// ```
/// use std::sync::Arc;
/// use networking_http::websocket::{ReconnectPolicy, ReconnectingWebSocket};
/// use networking_spi::prelude::*;
/// use networking_spi::websocket::WebSocketRequest;
///
/// async fn prices(client: Arc<dyn WebSocketClient>) -> Result<(), NetworkError> {
///     let connection = ReconnectingWebSocket::builder(client, WebSocketRequest::new("wss://example.com/prices")?)
///         .policy(ReconnectPolicy::new().with_queue(100, 1 << 20))
///         .on_open(|fresh| async move { fresh.send_text("subscribe EUR").await })
///         .connect()
///         .await?;
///     while let Some(message) = connection.next().await? {
///         println!("{message:?}");
///     }
///     Ok(())
/// }
/// ```
pub struct ReconnectingWebSocket {
    shared: Arc<Shared>,
    close_timeout: Duration,
    max_message_size: usize,
    _alive: DropGuard,
}

/// An event of a [`ReconnectingWebSocket`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ReconnectEvent {
    /// The connection ended. An attempt follows, unless `max_attempts` is reached.
    Disconnected {
        /// The error. For a close frame of the peer, the kind is `ConnectionClosed`, and the context has the code.
        cause: NetworkError,
    },
    /// Another attempt follows.
    Reconnecting {
        /// The number of this attempt since the last stable connection, from 1.
        attempt: u32,
        /// The wait before the attempt.
        delay: Duration,
    },
    /// An attempt failed.
    Failed {
        /// The number of this attempt since the last stable connection, from 1.
        attempt: u32,
        /// The error.
        cause: NetworkError,
    },
    /// A new connection is open, the hook has run, and the queue has been sent.
    Reconnected {
        /// The number of attempts since the last stable connection.
        attempts: u32,
    },
    /// The permanent end. No event follows.
    Ended {
        /// The error, unless a closing handshake ended the connection.
        cause: Option<NetworkError>,
        /// Queued messages that were not sent, or may not have been.
        unsent: usize,
    },
}

/// Configures a [`ReconnectingWebSocket`].
#[must_use = "nothing is opened before `connect`"]
pub struct ReconnectingWebSocketBuilder {
    client: Arc<dyn WebSocketClient>,
    request: WebSocketRequest,
    policy: ReconnectPolicy,
    hook: Option<OpenHook>,
}

impl ReconnectingWebSocketBuilder {
    /// Sets when to reconnect, and the queue for outages.
    pub fn policy(mut self, policy: ReconnectPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets a hook that runs on every new connection, including the first, before other messages are sent. If it fails or exceeds
    /// the request's `handshake_timeout`, the attempt fails. The hook must not receive.
    pub fn on_open<F: Future<Output = Result<()>> + Send + 'static>(
        mut self,
        hook: impl Fn(Arc<dyn WebSocketConnection>) -> F + Send + Sync + 'static,
    ) -> Self {
        self.hook = Some(Arc::new(move |connection| Box::pin(hook(connection))));
        self
    }

    /// Opens the first connection, in one attempt without retries.
    ///
    /// Cancel safety: dropping the future drops the connection.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field, those of [`WebSocketClient::connect`], and those of the
    /// hook.
    pub async fn connect(self) -> Result<Arc<ReconnectingWebSocket>> {
        self.policy.validate().in_field("policy")?;
        let options = &self.request.options;
        let (close_timeout, max_message_size) = (options.close_timeout, options.max_message_size);
        let shared = Arc::new(Shared {
            outbox: Outbox::new(&self.policy),
            events: broadcast::Sender::new(EVENTS),
            closing: CancellationToken::new(),
            stopped: CancellationToken::new(),
            ended: CancellationToken::new(),
            inbox: Inbox::new(options.max_unread),
        });
        let alive = shared.stopped.clone().drop_guard();
        let driver = Driver {
            client: self.client,
            request: self.request,
            policy: self.policy,
            hook: self.hook,
            shared: Arc::clone(&shared),
        };
        let first = driver.open().await?;
        tokio::spawn(driver.run(first));
        Ok(Arc::new(ReconnectingWebSocket {
            shared,
            close_timeout,
            max_message_size,
            _alive: alive,
        }))
    }
}

/// State that the connection and its driver share.
struct Shared {
    outbox: Outbox,
    inbox: Inbox,
    events: broadcast::Sender<ReconnectEvent>,
    /// The application has called `close`.
    closing: CancellationToken,
    /// The connection was dropped, or closing timed out.
    stopped: CancellationToken,
    /// The driver has ended.
    ended: CancellationToken,
}

impl ReconnectingWebSocket {
    /// A builder of a connection that is opened with `request` over `client`. The policy is the default one.
    pub fn builder(client: Arc<dyn WebSocketClient>, request: WebSocketRequest) -> ReconnectingWebSocketBuilder {
        ReconnectingWebSocketBuilder {
            client,
            request,
            policy: ReconnectPolicy::default(),
            hook: None,
        }
    }

    /// A stream of events from now on, up to the permanent end. If a subscriber lags by more than 64 events, the oldest are
    /// dropped.
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
                    // The driver ended before the subscription.
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

    /// Whether a connection is currently open.
    pub fn is_connected(&self) -> bool {
        self.shared.outbox.is_connected()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl WebSocketConnection for ReconnectingWebSocket {
    async fn send(&self, message: WebSocketMessage) -> Result<()> {
        if let WebSocketMessage::Close(frame) = message {
            let frame = frame.unwrap_or_else(CloseFrame::normal);
            return self.close_with(frame).await;
        }
        check_size(&message, self.max_message_size)?;
        if self.shared.closing.is_cancelled() {
            return Err(NetworkError::closed(SEND, "the connection"));
        }
        match self.shared.outbox.route(message)? {
            Route::Queued => Ok(()),
            Route::Direct(connection, message) => match connection.send(message).await {
                // The connection has just ended, and the next one is not open yet.
                Err(error) if error.send_state() == SendState::NotSent && !connection.is_open() && self.is_open() => {
                    Err(absent().with_source(error))
                }
                sent => sent,
            },
        }
    }

    async fn receive(&self) -> Result<Option<WebSocketMessage>> {
        if let Some(message) = self.shared.inbox.take().await {
            return Ok(Some(message));
        }
        match self.shared.outbox.failure() {
            Some(failure) => Err(failure.clone()),
            None => Ok(None),
        }
    }

    async fn close_with(&self, frame: CloseFrame) -> Result<()> {
        frame.validate()?;
        self.shared.closing.cancel();
        let closed = if let Some(connection) = self.shared.outbox.connection() {
            connection.close_with(frame).await
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

    fn is_compressed(&self) -> bool {
        self.shared
            .outbox
            .connection()
            .is_some_and(|connection| connection.is_compressed())
    }
}

/// A [`WebSocketClient`] whose connections reconnect: each is a [`ReconnectingWebSocket`] without a hook.
///
/// ```
/// use std::sync::Arc;
/// use networking_http::websocket::{ReconnectPolicy, ReconnectingWebSocketClient};
/// use networking_spi::prelude::*;
///
/// fn reconnecting(client: Arc<dyn WebSocketClient>) -> Arc<dyn WebSocketClient> {
///     Arc::new(ReconnectingWebSocketClient::new(client, ReconnectPolicy::new()))
/// }
/// ```
#[derive(Debug, Clone)]
pub struct ReconnectingWebSocketClient {
    client: Arc<dyn WebSocketClient>,
    policy: ReconnectPolicy,
}

impl ReconnectingWebSocketClient {
    /// Opens connections with `client`, which reconnect according to `policy`.
    pub fn new(client: Arc<dyn WebSocketClient>, policy: ReconnectPolicy) -> Self {
        Self { client, policy }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl WebSocketClient for ReconnectingWebSocketClient {
    async fn connect(&self, request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
        let connection = ReconnectingWebSocket::builder(Arc::clone(&self.client), request)
            .policy(self.policy.clone())
            .connect()
            .await?;
        Ok(connection)
    }

    fn capabilities(&self) -> WebSocketCapabilities {
        self.client.capabilities()
    }
}

/// The error of sending during an outage.
fn absent() -> NetworkError {
    NetworkError::new(
        ErrorKind::ConnectionClosed,
        SEND,
        "there is no connection; reconnecting",
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
