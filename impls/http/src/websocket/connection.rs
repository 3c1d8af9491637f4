//! An open connection: a task that reads messages and sends pings, and a sink that all senders share.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use networking_spi::error::context;
use networking_spi::validate::Validate;
use networking_spi::websocket::{CloseFrame, WebSocketConnection, WebSocketMessage, WebSocketOptions};
use networking_spi::{ErrorKind, NetworkError, Phase, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::CloseFrame as Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;

use super::connect::Socket;
use super::keepalive::{Due, KeepAlive};
use super::wire::Activity;
use super::{RECEIVE, SEND, error};

/// The largest number of messages that are buffered until the application receives them.
const INBOX: usize = 16;

/// The payload of keepalive pings. Pongs with this payload are not delivered.
const PING: Bytes = Bytes::from_static(b"networking-keepalive");

/// The largest number of bytes that are read after a close frame for a protocol error.
const LINGER: u64 = 1 << 20;

pub(super) struct Connection {
    shared: Arc<Shared>,
    inbox: Mutex<mpsc::Receiver<WebSocketMessage>>,
    protocol: Option<String>,
}

/// State that the connection and its reading task share.
struct Shared {
    /// `None` after the end of the connection.
    sink: Mutex<Option<SplitSink<Socket, Message>>>,
    options: WebSocketOptions,
    /// Set when one side has started to close. Nothing is sent after that.
    closing: AtomicBool,
    /// The application has called `close`: the reader no longer waits for a receiver.
    closed_here: CancellationToken,
    /// The connection was dropped, or closing timed out: the socket is dropped.
    dropped: CancellationToken,
    /// Reading has ended.
    ended: CancellationToken,
    /// The error that ended reading; unset after a closing handshake.
    failure: OnceLock<NetworkError>,
}

impl Connection {
    pub(super) fn start(socket: Socket, protocol: Option<String>, options: WebSocketOptions) -> Self {
        let activity = socket.get_ref().activity();
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
        tokio::spawn(Arc::clone(&shared).run(stream, sender, activity));
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
                        .with_context(context::LIMIT, limit.to_string()),
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
            Some(failure) => Err(failure.clone()),
            None => Ok(None),
        }
    }

    async fn close(&self, frame: CloseFrame) -> Result<()> {
        const CLOSE: &str = "websocket.close";
        frame.validate()?;
        let shared = &self.shared;
        let limit = shared.options.close_timeout;
        let first = !shared.closing.swap(true, Ordering::SeqCst);
        shared.closed_here.cancel();
        let handshake = async {
            if first {
                let frame = Frame {
                    code: CloseCode::from(frame.code),
                    reason: frame.reason.into(),
                };
                // An error is ignored: the connection is being closed.
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
            biased; // poll the end only while the work is pending
            done = work => Some(done),
            () = self.ended.cancelled() => None,
        }
    }

    fn failure(&self, operation: &'static str) -> NetworkError {
        match self.failure.get() {
            Some(failure) => failure.clone().with_operation(operation),
            None => NetworkError::closed(operation, "the connection"),
        }
    }

    async fn run(
        self: Arc<Self>,
        mut stream: SplitStream<Socket>,
        inbox: mpsc::Sender<WebSocketMessage>,
        activity: Arc<Activity>,
    ) {
        let outcome = tokio::select! {
            outcome = self.read(&mut stream, &inbox, &activity) => outcome,
            () = self.dropped.cancelled() => Ok(()),
        };
        let began = self.closing.swap(true, Ordering::SeqCst);
        let close_frame = match &outcome {
            Err(failure) if !began => close_frame(failure),
            _ => None,
        };
        if let Err(failure) = outcome {
            let _ = self.failure.set(failure);
        }
        // The failure is set first, so that a receiver that finds the inbox closed sees it.
        drop(inbox);
        self.ended.cancel();
        let sink = self.sink.lock().await.take();
        if let (Some(sink), Some(frame)) = (sink, close_frame) {
            tokio::select! {
                _ = timeout(self.options.close_timeout, send_close(sink, stream, frame)) => {}
                () = self.dropped.cancelled() => {}
            }
        }
    }

    /// Reads until the connection ends.
    async fn read(
        self: &Arc<Self>,
        stream: &mut SplitStream<Socket>,
        inbox: &mpsc::Sender<WebSocketMessage>,
        activity: &Arc<Activity>,
    ) -> Result<()> {
        let mut alive = KeepAlive::new(&self.options, activity);
        let mut timer = pin!(sleep_until(alive.as_ref().map_or_else(Instant::now, KeepAlive::next)));
        loop {
            let next = tokio::select! {
                biased;
                next = stream.next() => next,
                Some(due) = wait_until_due(timer.as_mut(), alive.as_mut()) => {
                    match due {
                        Due::TimedOut(error) => return Err(error),
                        Due::Ping(sent) => self.ping(sent),
                        Due::Nothing => {}
                    }
                    continue;
                }
            };
            let message = match next {
                Some(Ok(message)) => message,
                None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => return Ok(()),
                // While closing, a broken connection counts as closed.
                Some(Err(_)) if self.closing.load(Ordering::SeqCst) => return Ok(()),
                Some(Err(failure)) => return Err(error::established(failure, RECEIVE)),
            };
            let message = match message {
                Message::Text(text) => WebSocketMessage::text(text.as_str()),
                Message::Binary(data) => WebSocketMessage::Binary(data),
                Message::Ping(data) => WebSocketMessage::Ping(data),
                Message::Pong(data) if data == PING => continue,
                Message::Pong(data) => WebSocketMessage::Pong(data),
                Message::Close(frame) => {
                    self.closing.store(true, Ordering::SeqCst);
                    let frame = frame.map(|frame| CloseFrame::new(frame.code.into(), frame.reason.as_str()));
                    self.deliver(inbox, WebSocketMessage::Close(frame)).await;
                    // tungstenite sends the close frame in response; then the peer closes the socket.
                    let rest = async { while let Some(Ok(_)) = stream.next().await {} };
                    let _ = timeout(self.options.close_timeout, rest).await;
                    return Ok(());
                }
                Message::Frame(_) => continue,
            };
            if let Err(TrySendError::Full(message)) = inbox.try_send(message) {
                self.deliver(inbox, message).await;
                // The wait for the receiver must not count as inactivity of the peer.
                activity.record_read();
            }
        }
    }

    /// Sends a ping in a separate task, because it may wait for other senders while the reader must continue.
    fn ping(self: &Arc<Self>, sent: Arc<OnceLock<Instant>>) {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            if let Some(Ok(())) = shared.until_ended(shared.write(Message::Ping(PING))).await {
                let _ = sent.set(Instant::now());
            }
        });
    }

    async fn deliver(&self, inbox: &mpsc::Sender<WebSocketMessage>, message: WebSocketMessage) {
        tokio::select! {
            biased;
            permit = inbox.reserve() => if let Ok(permit) = permit {
                permit.send(message);
            },
            // `close` must not wait until all messages are received.
            () = self.closed_here.cancelled() => {}
        }
    }
}

/// Waits for the next keepalive action. `None` without keepalive.
async fn wait_until_due(mut timer: Pin<&mut Sleep>, alive: Option<&mut KeepAlive>) -> Option<Due> {
    let alive = alive?;
    timer.as_mut().await;
    let due = alive.due();
    timer.reset(alive.next());
    Some(due)
}

/// The close frame for a violation by the peer; `None` for other errors.
fn close_frame(failure: &NetworkError) -> Option<Frame> {
    let code = match failure.kind() {
        ErrorKind::TooLarge => CloseCode::Size,
        ErrorKind::Decode => CloseCode::Invalid,
        ErrorKind::Protocol => CloseCode::Protocol,
        _ => return None,
    };
    Some(Frame {
        code,
        reason: failure.message().to_owned().into(),
    })
}

/// Sends the close frame, and then reads up to [`LINGER`] bytes: closing a socket with unread bytes resets the connection, and
/// the peer may not receive the frame.
async fn send_close(mut sink: SplitSink<Socket, Message>, stream: SplitStream<Socket>, frame: Frame) {
    if sink.send(Message::Close(Some(frame))).await.is_err() {
        return;
    }
    let Ok(mut socket) = stream.reunite(sink) else { return };
    let wire = socket.get_mut();
    if wire.shutdown().await.is_ok() {
        let _ = tokio::io::copy(&mut (&mut *wire).take(LINGER), &mut tokio::io::sink()).await;
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
