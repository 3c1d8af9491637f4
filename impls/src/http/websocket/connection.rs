//! An open connection: a task that reads and keeps it alive, and a sink for all who send.

use std::fmt;
use std::future::{Future, pending};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use networking_spi::validate;
use networking_spi::websocket::{CloseFrame, WebSocketConnection, WebSocketMessage, WebSocketOptions};
use networking_spi::{ErrorKind, NetworkError, Phase, Result};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::CloseFrame as Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;

use super::connect::Socket;
use super::error;
use crate::http::shared_error::copy;

/// Messages read ahead of the receiver.
const INBOX: usize = 16;

/// The payload of the pings sent here. Their pongs are not handed on.
const PING: Bytes = Bytes::from_static(b"networking-keepalive");

const RECEIVE: &str = "websocket.receive";

pub(super) struct Connection {
    shared: Arc<Shared>,
    inbox: Mutex<mpsc::Receiver<WebSocketMessage>>,
    protocol: Option<String>,
}

/// What the connection and its reading task share.
struct Shared {
    /// `None` when the connection ended: the socket goes with it.
    sink: Mutex<Option<SplitSink<Socket, Message>>>,
    options: WebSocketOptions,
    /// Set when one side has begun to close: nothing is sent any more.
    closing: AtomicBool,
    /// The application closes: the reader does not wait for a receiver any more.
    closed_here: CancellationToken,
    /// Nobody needs the socket any more.
    dropped: CancellationToken,
    /// Nothing is read any more.
    ended: CancellationToken,
    /// Why, if not by a closing handshake.
    failure: OnceLock<Arc<NetworkError>>,
}

impl Connection {
    pub(super) fn start(socket: Socket, protocol: Option<String>, options: WebSocketOptions) -> Self {
        let (sink, stream) = socket.split();
        let shared = Arc::new(Shared {
            sink: Mutex::new(Some(sink)),
            options,
            closing: AtomicBool::new(false),
            closed_here: CancellationToken::new(),
            dropped: CancellationToken::new(),
            ended: CancellationToken::new(),
            failure: OnceLock::new(),
        });
        let (sender, inbox) = mpsc::channel(INBOX);
        tokio::spawn(Arc::clone(&shared).run(stream, sender));
        Self {
            shared,
            inbox: Mutex::new(inbox),
            protocol,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl WebSocketConnection for Connection {
    async fn send(&self, message: WebSocketMessage) -> Result<()> {
        const SEND: &str = "websocket.send";
        let control = matches!(message, WebSocketMessage::Ping(_) | WebSocketMessage::Pong(_));
        let limit = if control {
            125
        } else {
            self.shared.options.max_message_size
        };
        let message = match message {
            WebSocketMessage::Close(frame) => {
                return self
                    .close(frame.unwrap_or_else(|| CloseFrame::new(CloseFrame::NORMAL, "")))
                    .await;
            }
            message if message.len() > limit => {
                return Err(
                    NetworkError::new(ErrorKind::TooLarge, SEND, "the message is longer than the limit")
                        .with_context("limit", limit.to_string()),
                );
            }
            WebSocketMessage::Text(text) => Message::text(text),
            WebSocketMessage::Binary(data) => Message::Binary(data),
            WebSocketMessage::Ping(data) => Message::Ping(data),
            WebSocketMessage::Pong(data) => Message::Pong(data),
        };
        if !self.is_open() {
            return Err(NetworkError::closed(SEND, "the connection"));
        }
        match self.shared.until_ended(self.shared.write(message)).await {
            Some(sent) => sent.map_err(|failure| error::established(failure, SEND)),
            None => Err(self.shared.failure(SEND)),
        }
    }

    async fn receive(&self) -> Result<Option<WebSocketMessage>> {
        if let Some(message) = self.inbox.lock().await.recv().await {
            return Ok(Some(message));
        }
        match self.shared.failure.get() {
            Some(failure) => Err(copy(failure)),
            None => Ok(None),
        }
    }

    async fn close(&self, frame: CloseFrame) -> Result<()> {
        const CLOSE: &str = "websocket.close";
        let code = CloseCode::from(frame.code);
        validate::ensure(code.is_allowed(), "code", "must be one that may be sent")?;
        validate::ensure(frame.reason.len() <= 123, "reason", "must have at most 123 bytes")?;
        let shared = &self.shared;
        let limit = shared.options.close_timeout;
        let first = !shared.closing.swap(true, Ordering::SeqCst);
        shared.closed_here.cancel();
        let handshake = async {
            if first {
                let frame = Frame {
                    code,
                    reason: frame.reason.into(),
                };
                // A peer that is gone is what closing is for.
                let _ = shared.until_ended(shared.write(Message::Close(Some(frame)))).await;
            }
            shared.ended.cancelled().await;
        };
        if timeout(limit, handshake).await.is_err() {
            shared.dropped.cancel();
            return Err(NetworkError::timeout(CLOSE, Phase::Total, limit));
        }
        Ok(())
    }

    fn protocol(&self) -> Option<String> {
        self.protocol.clone()
    }

    fn is_open(&self) -> bool {
        !self.shared.closing.load(Ordering::SeqCst) && !self.shared.ended.is_cancelled()
    }
}

impl Shared {
    async fn write(&self, message: Message) -> Result<(), Error> {
        match self.sink.lock().await.as_mut() {
            Some(sink) => sink.send(message).await,
            None => Err(Error::AlreadyClosed),
        }
    }

    /// `None` when the connection ended first.
    async fn until_ended<F: Future>(&self, work: F) -> Option<F::Output> {
        tokio::select! {
            done = work => Some(done),
            () = self.ended.cancelled() => None,
        }
    }

    fn failure(&self, operation: &'static str) -> NetworkError {
        match self.failure.get() {
            Some(failure) => copy(failure).with_operation(operation),
            None => NetworkError::closed(operation, "the connection"),
        }
    }

    async fn run(self: Arc<Self>, mut stream: SplitStream<Socket>, inbox: mpsc::Sender<WebSocketMessage>) {
        let outcome = tokio::select! {
            outcome = self.read(&mut stream, &inbox) => outcome,
            () = self.dropped.cancelled() => Ok(()),
        };
        if let Err(failure) = outcome {
            let code = match failure.kind() {
                ErrorKind::TooLarge => Some(CloseCode::Size),
                ErrorKind::Protocol => Some(CloseCode::Protocol),
                _ => None,
            };
            if let (Some(code), false) = (code, self.closing.swap(true, Ordering::SeqCst)) {
                let frame = Frame {
                    code,
                    reason: failure.message().to_owned().into(),
                };
                let goodbye = self.write(Message::Close(Some(frame)));
                let _ = timeout(self.options.close_timeout, goodbye).await;
            }
            let _ = self.failure.set(Arc::new(failure));
        }
        self.closing.store(true, Ordering::SeqCst);
        // Whoever finds the inbox closed must find the failure, too.
        drop(inbox);
        self.ended.cancel();
        drop(self.sink.lock().await.take());
    }

    /// Reads until the end.
    async fn read(
        self: &Arc<Self>,
        stream: &mut SplitStream<Socket>,
        inbox: &mpsc::Sender<WebSocketMessage>,
    ) -> Result<()> {
        let mut alive = KeepAlive::new(&self.options);
        loop {
            let next = tokio::select! {
                next = stream.next() => next,
                () = alive.due() => {
                    if let Some(error) = alive.on_due() {
                        return Err(error);
                    }
                    let shared = Arc::clone(self);
                    // It waits behind others who send, and must not keep this task from reading.
                    tokio::spawn(async move { shared.until_ended(shared.write(Message::Ping(PING))).await });
                    continue;
                }
            };
            let message = match next {
                Some(Ok(message)) => message,
                None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => return Ok(()),
                // The handshake is done as far as it can be when the peer is gone.
                Some(Err(_)) if self.closing.load(Ordering::SeqCst) => return Ok(()),
                Some(Err(failure)) => return Err(error::established(failure, RECEIVE)),
            };
            let message = match message {
                Message::Text(text) => WebSocketMessage::text(text.as_str()),
                Message::Binary(data) => WebSocketMessage::Binary(data),
                Message::Ping(data) => WebSocketMessage::Ping(data),
                Message::Pong(data) if data == PING => {
                    alive.on_traffic();
                    continue;
                }
                Message::Pong(data) => WebSocketMessage::Pong(data),
                Message::Close(frame) => {
                    self.closing.store(true, Ordering::SeqCst);
                    let frame = frame.map(|frame| CloseFrame::new(frame.code.into(), frame.reason.as_str()));
                    self.deliver(inbox, WebSocketMessage::Close(frame)).await;
                    // The answer is on its way; then the peer closes the socket.
                    let rest = async { while let Some(Ok(_)) = stream.next().await {} };
                    let _ = timeout(self.options.close_timeout, rest).await;
                    return Ok(());
                }
                Message::Frame(_) => continue,
            };
            self.deliver(inbox, message).await;
            // However long the receiver took: the peer is not to blame.
            alive.on_traffic();
        }
    }

    async fn deliver(&self, inbox: &mpsc::Sender<WebSocketMessage>, message: WebSocketMessage) {
        tokio::select! {
            biased;
            permit = inbox.reserve() => if let Ok(permit) = permit {
                permit.send(message);
            },
            // Whoever closes cannot be made to receive everything first.
            () = self.closed_here.cancelled() => {}
        }
    }
}

/// When to ping, and when to give the peer up.
struct KeepAlive<'o> {
    options: &'o WebSocketOptions,
    since: Instant,
    pinged: bool,
}

impl<'o> KeepAlive<'o> {
    fn new(options: &'o WebSocketOptions) -> Self {
        Self {
            options,
            since: Instant::now(),
            pinged: false,
        }
    }

    async fn due(&self) {
        match self.options.ping_interval {
            Some(_) if self.pinged => sleep_until(self.since + self.options.pong_timeout).await,
            Some(interval) => sleep_until(self.since + interval).await,
            None => pending().await,
        }
    }

    /// The error when a ping had no answer. Otherwise it is time for one.
    fn on_due(&mut self) -> Option<NetworkError> {
        if self.pinged {
            return Some(NetworkError::timeout(RECEIVE, Phase::Read, self.options.pong_timeout));
        }
        self.pinged = true;
        self.since = Instant::now();
        None
    }

    fn on_traffic(&mut self) {
        self.pinged = false;
        self.since = Instant::now();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.dropped.cancel();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("open", &self.is_open())
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}
