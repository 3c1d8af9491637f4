//! The task that reads a connection, answers the peer, and sends pings.

use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use networking_spi::websocket::{CloseFrame, UnreadPolicy, WebSocketMessage};
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::CloseFrame as Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::connection::{Shared, Socket};
use super::extension::Agreement;
use super::frames::{Form, Frames};
use super::keepalive::{Due, KeepAlive};
use super::wire::Activity;
use super::{RECEIVE, error};

/// The payload of keepalive pings. Pongs with this payload are not delivered.
const PING: Bytes = Bytes::from_static(b"networking-keepalive");

/// The largest number of bytes that are read after a close frame for a protocol error.
const LINGER: u64 = 1 << 20;

pub(super) struct Reader {
    shared: Arc<Shared>,
    stream: SplitStream<Socket>,
    activity: Arc<Activity>,
    frames: Arc<Mutex<Frames>>,
    #[cfg(feature = "websocket-compression")]
    decompressor: Option<super::deflate::Decompressor>,
}

/// How reading ended without an error.
enum End {
    /// By a close frame of the peer.
    Closed,
    /// By the end of the stream.
    Lost,
}

impl Reader {
    pub(super) fn new(
        shared: Arc<Shared>,
        stream: SplitStream<Socket>,
        activity: Arc<Activity>,
        frames: Arc<Mutex<Frames>>,
        agreement: Option<&Agreement>,
    ) -> Self {
        #[cfg(not(feature = "websocket-compression"))]
        let _ = agreement;
        Self {
            #[cfg(feature = "websocket-compression")]
            decompressor: agreement
                .map(|agreement| super::deflate::Decompressor::new(agreement, shared.options.max_message_size)),
            shared,
            stream,
            activity,
            frames,
        }
    }

    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let outcome = tokio::select! {
            outcome = self.read() => outcome,
            () = shared.dropped.cancelled() => Ok(End::Lost),
        };
        let closed = matches!(outcome, Ok(End::Closed));
        let began = shared.closing.swap(true, Ordering::SeqCst);
        let close_frame = match &outcome {
            Err(failure) if !began => close_frame(failure),
            _ => None,
        };
        if let Err(failure) = outcome {
            let _ = shared.failure.set(failure);
        }
        // The failure is set first, so that a receiver that finds the end sees it.
        shared.inbox.end();
        shared.ended.cancel();
        if closed {
            // The server closes the socket first (RFC 6455, section 7.1.1). tungstenite has sent our close frame, or sends the rest.
            let rest = async { while let Some(Ok(_)) = self.stream.next().await {} };
            tokio::select! {
                _ = timeout(shared.options.close_timeout, rest) => {}
                () = shared.dropped.cancelled() => {}
            }
        }
        let outgoing = shared.outgoing.lock().await.take();
        if let (Some(outgoing), Some(frame)) = (outgoing, close_frame) {
            tokio::select! {
                _ = timeout(shared.options.close_timeout, send_close(outgoing.sink, self.stream, frame)) => {}
                () = shared.dropped.cancelled() => {}
            }
        }
    }

    /// Reads until the connection ends.
    async fn read(&mut self) -> Result<End> {
        let mut alive = KeepAlive::new(&self.shared.options, &self.activity);
        let mut timer = pin!(sleep_until(alive.as_ref().map_or_else(Instant::now, KeepAlive::next)));
        loop {
            self.wait_for_room().await;
            let next = tokio::select! {
                biased;
                next = self.stream.next() => next,
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
                None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => return Ok(End::Lost),
                // While closing, a broken connection counts as closed.
                Some(Err(_)) if self.shared.closing.load(Ordering::SeqCst) => return Ok(End::Lost),
                Some(Err(failure)) => return Err(error::established(failure, RECEIVE)),
            };
            let message = match message {
                Message::Ping(data) => WebSocketMessage::Ping(data),
                Message::Pong(data) if data == PING => continue,
                Message::Pong(data) => WebSocketMessage::Pong(data),
                Message::Close(_) => {
                    self.shared.closing.store(true, Ordering::SeqCst);
                    let frame = self.frames.lock().close_frame();
                    self.shared.inbox.put(WebSocketMessage::Close(frame));
                    // tungstenite sends the close frame in response when it is polled.
                    let _ = futures_util::poll!(self.stream.next());
                    return Ok(End::Closed);
                }
                Message::Frame(_) => continue,
                data => self.data(data).await?,
            };
            self.deliver(message)?;
        }
    }

    /// Waits while the application has too much to receive, if that is the policy.
    async fn wait_for_room(&self) {
        let shared = &self.shared;
        if shared.options.unread_policy == UnreadPolicy::Wait && shared.inbox.is_full() {
            tokio::select! {
                () = shared.inbox.room() => {}
                // `close` must not wait until all messages are received.
                () = shared.closed_here.cancelled() => {}
            }
            // The wait must not count as inactivity of the peer.
            self.activity.record_read();
        }
    }

    fn deliver(&self, message: WebSocketMessage) -> Result<()> {
        let shared = &self.shared;
        if message.is_data() && shared.inbox.is_full() {
            if shared.closed_here.is_cancelled() {
                return Ok(());
            }
            return Err(error::unread(shared.options.max_unread));
        }
        shared.inbox.put(message);
        Ok(())
    }

    /// The text or binary message as the application gets it.
    async fn data(&mut self, message: Message) -> Result<WebSocketMessage> {
        let form = self.frames.lock().next_form();
        match message {
            Message::Text(text) => Ok(WebSocketMessage::text(text.as_str())),
            message if form == Form::Plain => Ok(WebSocketMessage::Binary(message.into_data())),
            compressed => self.decompressed(&compressed.into_data(), form).await,
        }
    }

    #[cfg(feature = "websocket-compression")]
    async fn decompressed(&mut self, payload: &[u8], form: Form) -> Result<WebSocketMessage> {
        let decompressor = self.decompressor.as_mut().expect("compression was negotiated");
        let data = decompressor.decompress(payload).await?;
        if form == Form::CompressedBinary {
            return Ok(WebSocketMessage::binary(data));
        }
        String::from_utf8(data)
            .map(WebSocketMessage::Text)
            .map_err(|_| NetworkError::new(ErrorKind::Decode, RECEIVE, "a text message is not UTF-8"))
    }

    #[cfg(not(feature = "websocket-compression"))]
    async fn decompressed(&mut self, _payload: &[u8], _form: Form) -> Result<WebSocketMessage> {
        unreachable!("compression was not offered")
    }

    /// Sends a ping in a separate task, because it may wait for other senders while the reader must continue.
    fn ping(&self, sent: Arc<OnceLock<Instant>>) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            if let Some(Ok(())) = shared.until_ended(shared.write(Message::Ping(PING))).await {
                let _ = sent.set(Instant::now());
            }
        });
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

/// The close frame that ends the connection because of this failure; `None` if it is broken anyway.
fn close_frame(failure: &NetworkError) -> Option<Frame> {
    let code = match failure.kind() {
        ErrorKind::TooLarge => CloseCode::Size,
        ErrorKind::Decode => CloseCode::Invalid,
        ErrorKind::Protocol => CloseCode::Protocol,
        ErrorKind::Exhausted => CloseCode::Policy,
        _ => return None,
    };
    let mut reason = failure.message().to_owned();
    reason.truncate(CloseFrame::MAX_REASON);
    Some(Frame {
        code,
        reason: reason.into(),
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
