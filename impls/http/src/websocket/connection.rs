//! An open connection: the sink that all senders share. `reader` has the task that reads.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use networking_spi::validate::Validate;
use networking_spi::websocket::{CloseFrame, WebSocketConnection, WebSocketMessage, WebSocketOptions};
use networking_spi::{NetworkError, Phase, Result, SendState};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame as Frame, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

use super::extension::Agreement;
use super::frames::Frames;
use super::handshake::Agreed;
use super::inbox::Inbox;
use super::reader::Reader;
use super::wire::Wire;
use super::{SEND, error};

/// The size of the write buffer, in bytes.
const WRITE_BUFFER: usize = 16 << 10;

/// The size of the read buffer, in bytes. tungstenite clears it before each read, so that a large one costs time.
const READ_BUFFER: usize = 32 << 10;

/// How long a sender that finds the connection ended waits for the reader's report.
const REPORT: Duration = Duration::from_secs(1);

pub(super) type Socket = WebSocketStream<Wire>;

pub(super) struct Connection {
    shared: Arc<Shared>,
    protocol: Option<String>,
    compressed: bool,
}

/// State that the connection and its reading task share.
pub(super) struct Shared {
    /// `None` after the end of the connection.
    pub(super) outgoing: Mutex<Option<Outgoing>>,
    pub(super) inbox: Inbox,
    pub(super) options: WebSocketOptions,
    /// Set when one side has started to close. Nothing is sent after that.
    pub(super) closing: AtomicBool,
    /// The application has called `close`: the reader no longer waits for a receiver.
    pub(super) closed_here: CancellationToken,
    /// The connection was dropped, or closing timed out: the socket is dropped.
    pub(super) dropped: CancellationToken,
    /// Reading has ended.
    pub(super) ended: CancellationToken,
    /// The error that ended reading; unset after a closing handshake.
    pub(super) failure: OnceLock<NetworkError>,
}

/// What messages are sent with.
pub(super) struct Outgoing {
    pub(super) sink: SplitSink<Socket, Message>,
    #[cfg(feature = "websocket-compression")]
    compressor: Option<super::deflate::Compressor>,
}

impl Connection {
    pub(super) async fn start(agreed: Agreed, options: WebSocketOptions) -> Self {
        let Agreed {
            switched,
            protocol,
            compression,
        } = agreed;
        let wire = Wire::new(switched.stream, switched.first, Frames::new(compression.is_some()));
        let (activity, frames) = (wire.activity(), wire.frames());
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(options.max_message_size.saturating_add(4 * WRITE_BUFFER))
            .max_message_size(Some(options.max_message_size))
            .max_frame_size(Some(options.max_frame_size));
        let socket = WebSocketStream::from_raw_socket(wire, Role::Client, Some(config)).await;
        let (sink, stream) = socket.split();
        let shared = Arc::new(Shared {
            outgoing: Mutex::new(Some(Outgoing::new(sink, compression.as_ref()))),
            inbox: Inbox::new(options.max_unread),
            options,
            closing: AtomicBool::new(false),
            closed_here: CancellationToken::new(),
            dropped: CancellationToken::new(),
            ended: CancellationToken::new(),
            failure: OnceLock::new(),
        });
        let reader = Reader::new(Arc::clone(&shared), stream, activity, frames, compression.as_ref());
        tokio::spawn(reader.run());
        Self {
            shared,
            protocol,
            compressed: compression.is_some(),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl WebSocketConnection for Connection {
    async fn send(&self, message: WebSocketMessage) -> Result<()> {
        if let WebSocketMessage::Close(frame) = message {
            return self.close_with(frame.unwrap_or_else(CloseFrame::normal)).await;
        }
        error::check_size(&message, self.shared.options.max_message_size)?;
        let message = match message {
            WebSocketMessage::Close(_) => unreachable!("it was handled above"),
            WebSocketMessage::Text(text) => Message::text(text),
            WebSocketMessage::Binary(data) => Message::Binary(data),
            WebSocketMessage::Ping(data) => Message::Ping(data),
            WebSocketMessage::Pong(data) => Message::Pong(data),
        };
        if !self.is_open() {
            return Err(self.shared.failure(SEND).with_send_state(SendState::NotSent));
        }
        match self.shared.until_ended(self.shared.write(message)).await {
            Some(Ok(())) => Ok(()),
            // The reader has noticed the end, and reports what it was.
            Some(Err(Error::AlreadyClosed | Error::ConnectionClosed)) => {
                let _ = timeout(REPORT, self.shared.ended.cancelled()).await;
                Err(self.shared.failure(SEND))
            }
            Some(Err(failure)) => Err(error::established(failure, SEND)),
            None => Err(self.shared.failure(SEND)),
        }
    }

    async fn receive(&self) -> Result<Option<WebSocketMessage>> {
        if let Some(message) = self.shared.inbox.take().await {
            return Ok(Some(message));
        }
        match self.shared.failure.get() {
            Some(failure) => Err(failure.clone()),
            None => Ok(None),
        }
    }

    async fn close_with(&self, frame: CloseFrame) -> Result<()> {
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

    fn is_compressed(&self) -> bool {
        self.compressed
    }
}

impl Shared {
    pub(super) async fn write(&self, message: Message) -> Result<(), Error> {
        match self.outgoing.lock().await.as_mut() {
            Some(outgoing) => outgoing.send(message).await,
            None => Err(Error::AlreadyClosed),
        }
    }

    /// `None` when the connection ended first.
    pub(super) async fn until_ended<F: Future>(&self, work: F) -> Option<F::Output> {
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
}

impl Outgoing {
    #[cfg(feature = "websocket-compression")]
    fn new(sink: SplitSink<Socket, Message>, agreement: Option<&Agreement>) -> Self {
        Self {
            sink,
            compressor: agreement.and_then(super::deflate::Compressor::new),
        }
    }

    #[cfg(not(feature = "websocket-compression"))]
    fn new(sink: SplitSink<Socket, Message>, _agreement: Option<&Agreement>) -> Self {
        Self { sink }
    }

    async fn send(&mut self, message: Message) -> Result<(), Error> {
        poll_fn(|cx| self.sink.poll_ready_unpin(cx)).await?;
        #[cfg(feature = "websocket-compression")]
        if let Some(compressor) = &mut self.compressor
            && let Some(frame) = compressor.frame(&message).await
        {
            // Nothing is awaited before the sink has the frame.
            self.sink.start_send_unpin(frame)?;
            compressor.sent();
            return self.sink.flush().await;
        }
        self.sink.start_send_unpin(message)?;
        self.sink.flush().await
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
            .field("compressed", &self.compressed)
            .finish_non_exhaustive()
    }
}
