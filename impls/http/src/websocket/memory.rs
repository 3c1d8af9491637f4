//! WebSocket connections inside the process, for tests.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use networking_spi::validate::Validate;
use networking_spi::websocket::{
    CloseFrame, UnreadPolicy, WebSocketCapabilities, WebSocketClient, WebSocketConnection, WebSocketMessage,
    WebSocketOptions, WebSocketRequest,
};
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::inbox::Inbox;
use super::{CAPABILITIES, OPERATION, RECEIVE, SEND, error, handshake};

/// The largest number of connections that wait for [`MemoryWebSocketServer::accept`].
const BACKLOG: usize = 64;

/// Decides about a handshake: the sub-protocol, or the error with which it is refused.
type Decision = Arc<dyn Fn(&WebSocketRequest) -> Result<Option<String>> + Send + Sync>;

/// The peer of [`MemoryWebSocketClient`]s: a test accepts their connections, and sends and receives at the other end.
///
/// Messages, closing handshakes, pings, size limits and backpressure work as over a network. An offer of compression
/// is declined, and no keepalive pings are sent. Dropping one end is a lost connection for the other.
///
/// ```
/// use std::sync::Arc;
/// use networking_http::websocket::MemoryWebSocketServer;
/// use networking_spi::prelude::*;
/// use networking_spi::websocket::{WebSocketMessage, WebSocketRequest};
///
/// async fn greet(client: Arc<dyn WebSocketClient>) -> Result<(), NetworkError> {
///     let connection = client.connect(WebSocketRequest::new("wss://chat.example.com/")?).await?;
///     connection.send_text("hello").await?;
///     connection.close().await
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), NetworkError> {
/// let server = MemoryWebSocketServer::new();
/// let application = tokio::spawn(greet(Arc::new(server.client())));
/// let (request, peer) = server.accept().await;
/// assert_eq!(request.url.as_str(), "wss://chat.example.com/");
/// assert_eq!(peer.next().await?, Some(WebSocketMessage::text("hello")));
/// assert_eq!(peer.next().await?, None);
/// application.await.expect("no panic")
/// # }
/// ```
pub struct MemoryWebSocketServer {
    waiting: Mutex<mpsc::Receiver<Accepted>>,
    client: MemoryWebSocketClient,
}

/// A handshake, and the server's end of its connection.
type Accepted = (WebSocketRequest, Arc<dyn WebSocketConnection>);

/// Opens connections to a [`MemoryWebSocketServer`], whatever their URL is. Clones open connections to the same server.
#[derive(Clone)]
pub struct MemoryWebSocketClient {
    connections: mpsc::Sender<Accepted>,
    decision: Decision,
}

impl MemoryWebSocketServer {
    /// A server that accepts every handshake, and chooses the first sub-protocol that is offered.
    pub fn new() -> Self {
        Self::deciding(|request| Ok(request.protocols.first().cloned()))
    }

    /// A server that decides about each handshake: `decide` returns the sub-protocol, or the error that
    /// [`connect`](WebSocketClient::connect) returns.
    pub fn deciding(decide: impl Fn(&WebSocketRequest) -> Result<Option<String>> + Send + Sync + 'static) -> Self {
        let (connections, waiting) = mpsc::channel(BACKLOG);
        Self {
            waiting: Mutex::new(waiting),
            client: MemoryWebSocketClient {
                connections,
                decision: Arc::new(decide),
            },
        }
    }

    /// A client of this server.
    pub fn client(&self) -> MemoryWebSocketClient {
        self.client.clone()
    }

    /// Waits for the next connection, and returns its handshake and the server's end. Up to 64 connections wait for this call;
    /// connecting waits above that.
    ///
    /// Cancel safety: if the future is dropped, no connection is lost.
    pub async fn accept(&self) -> (WebSocketRequest, Arc<dyn WebSocketConnection>) {
        let accepted = self.waiting.lock().await.recv().await;
        accepted.expect("the server has a client")
    }
}

impl Default for MemoryWebSocketServer {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl WebSocketClient for MemoryWebSocketClient {
    async fn connect(&self, request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
        handshake::check(&request)?;
        let protocol = (self.decision)(&request).map_err(|error| error.with_operation(OPERATION))?;
        if let Some(chosen) = &protocol
            && !request.protocols.contains(chosen)
        {
            return Err(handshake::violation(
                "the peer chose a sub-protocol that was not offered",
            ));
        }
        let (client, server) = pair(&request.options, protocol);
        self.connections.send((request, Arc::new(server))).await.map_err(|_| {
            NetworkError::new(ErrorKind::ConnectionRefused, OPERATION, "the server was dropped")
                .with_send_state(SendState::NotSent)
        })?;
        Ok(Arc::new(client))
    }

    fn capabilities(&self) -> WebSocketCapabilities {
        CAPABILITIES
    }
}

/// One end of a connection.
struct MemoryConnection {
    own: Arc<End>,
    peer: Arc<End>,
    protocol: Option<String>,
}

struct End {
    inbox: Inbox,
    options: WebSocketOptions,
    closing: AtomicBool,
    failure: OnceLock<NetworkError>,
    ended: CancellationToken,
}

fn pair(options: &WebSocketOptions, protocol: Option<String>) -> (MemoryConnection, MemoryConnection) {
    let end = |options: WebSocketOptions| {
        Arc::new(End {
            inbox: Inbox::new(options.max_unread),
            options,
            closing: AtomicBool::new(false),
            failure: OnceLock::new(),
            ended: CancellationToken::new(),
        })
    };
    let (here, there) = (
        end(options.clone()),
        end(options.clone().with_unread(options.max_unread, UnreadPolicy::Wait)),
    );
    let client = MemoryConnection {
        own: Arc::clone(&here),
        peer: Arc::clone(&there),
        protocol: protocol.clone(),
    };
    let server = MemoryConnection {
        own: there,
        peer: here,
        protocol,
    };
    (client, server)
}

impl End {
    /// No message follows.
    fn end(&self, failure: Option<NetworkError>) {
        self.closing.store(true, Ordering::SeqCst);
        if self.ended.is_cancelled() {
            return;
        }
        if let Some(failure) = failure {
            let _ = self.failure.set(failure);
        }
        self.inbox.end();
        self.ended.cancel();
    }

    /// The peer closes the connection.
    fn closed_by_peer(&self, frame: CloseFrame) {
        if !self.closing.swap(true, Ordering::SeqCst) {
            self.inbox.put(WebSocketMessage::Close(Some(frame)));
        }
        self.end(None);
    }
}

impl MemoryConnection {
    /// Waits until the peer has room, or ends the connection if that is the peer's policy.
    async fn wait_for_room(&self) -> Result<()> {
        if !self.peer.inbox.is_full() {
            return Ok(());
        }
        if self.peer.options.unread_policy == UnreadPolicy::Close {
            let full = error::unread(self.peer.options.max_unread);
            self.peer.end(Some(full));
            self.own.closed_by_peer(error::unread_close());
        } else {
            tokio::select! {
                () = self.peer.inbox.room() => {}
                () = self.own.ended.cancelled() => {}
            }
        }
        self.check_open()
    }

    fn check_open(&self) -> Result<()> {
        if self.is_open() {
            return Ok(());
        }
        Err(match self.own.failure.get() {
            Some(failure) => failure.clone().with_operation(SEND),
            None => NetworkError::closed(SEND, "the connection"),
        })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl WebSocketConnection for MemoryConnection {
    async fn send(&self, message: WebSocketMessage) -> Result<()> {
        if let WebSocketMessage::Close(frame) = message {
            return self.close_with(frame.unwrap_or_else(CloseFrame::normal)).await;
        }
        error::check_size(&message, self.own.options.max_message_size)?;
        self.check_open()?;
        if message.is_data() {
            self.wait_for_room().await?;
        }
        if let WebSocketMessage::Ping(payload) = &message {
            self.own.inbox.put(WebSocketMessage::Pong(payload.clone()));
        }
        self.peer.inbox.put(message);
        Ok(())
    }

    async fn receive(&self) -> Result<Option<WebSocketMessage>> {
        if let Some(message) = self.own.inbox.take().await {
            return Ok(Some(message));
        }
        match self.own.failure.get() {
            Some(failure) => Err(failure.clone()),
            None => Ok(None),
        }
    }

    async fn close_with(&self, frame: CloseFrame) -> Result<()> {
        frame.validate()?;
        self.peer.closed_by_peer(frame);
        self.own.end(None);
        Ok(())
    }

    fn protocol(&self) -> Option<String> {
        self.protocol.clone()
    }

    fn is_open(&self) -> bool {
        !self.own.closing.load(Ordering::SeqCst)
    }

    fn is_compressed(&self) -> bool {
        false
    }
}

impl Drop for MemoryConnection {
    fn drop(&mut self) {
        self.own.end(None);
        self.peer.end(Some(error::lost(RECEIVE)));
    }
}

impl fmt::Debug for MemoryConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryConnection")
            .field("open", &self.is_open())
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MemoryWebSocketServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryWebSocketServer").finish_non_exhaustive()
    }
}

impl fmt::Debug for MemoryWebSocketClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryWebSocketClient").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::{FutureExt, StreamExt};
    use networking_spi::websocket::WebSocketConnectionExt;

    use super::*;

    async fn connected(options: WebSocketOptions) -> (Arc<dyn WebSocketConnection>, Arc<dyn WebSocketConnection>) {
        let server = MemoryWebSocketServer::new();
        let request = WebSocketRequest::new("ws://peer.test/").unwrap().with_options(options);
        let client = server.client().connect(request).await.unwrap();
        (client, server.accept().await.1)
    }

    #[tokio::test]
    async fn messages_pass_in_both_directions_and_end_with_the_close() {
        let (client, server) = connected(WebSocketOptions::default()).await;
        client.send_text("up").await.unwrap();
        client
            .send(WebSocketMessage::Ping(Bytes::from_static(b"?")))
            .await
            .unwrap();
        server.send_binary("down").await.unwrap();
        let pong = WebSocketMessage::Pong(Bytes::from_static(b"?"));
        assert_eq!(client.receive().await.unwrap(), Some(pong));
        client.close_with(CloseFrame::new(4000, "bye")).await.unwrap();
        client.close().await.unwrap();
        assert_eq!(client.send_text("late").await.unwrap_err().kind(), ErrorKind::Closed);
        let received: Vec<_> = client.messages().map(Result::unwrap).collect().await;
        assert_eq!(received, [WebSocketMessage::binary("down")]);
        assert_eq!(server.next().await.unwrap(), Some(WebSocketMessage::text("up")));
        assert!(matches!(
            server.receive().await.unwrap(),
            Some(WebSocketMessage::Ping(_))
        ));
        let close = WebSocketMessage::Close(Some(CloseFrame::new(4000, "bye")));
        assert_eq!(server.receive().await.unwrap(), Some(close));
        assert_eq!(server.receive().await.unwrap(), None);
        assert!(!server.is_open());
    }

    #[tokio::test]
    async fn a_dropped_end_is_a_lost_connection() {
        let (client, server) = connected(WebSocketOptions::default()).await;
        server.send_text("last").await.unwrap();
        drop(server);
        assert_eq!(client.next().await.unwrap(), Some(WebSocketMessage::text("last")));
        let error = client.receive().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionClosed);
        assert!(!client.is_open());
        assert_eq!(
            client.send_text("?").await.unwrap_err().kind(),
            ErrorKind::ConnectionClosed
        );
    }

    #[tokio::test]
    async fn an_end_that_does_not_receive_slows_the_peer_down_or_ends() {
        let (client, server) = connected(WebSocketOptions::new().with_unread(1, UnreadPolicy::Wait)).await;
        server.send_text("1").await.unwrap();
        assert!(server.send_text("2").now_or_never().is_none());
        client.next().await.unwrap();
        server.send_text("2").await.unwrap();

        let (client, server) = connected(WebSocketOptions::new().with_unread(1, UnreadPolicy::Close)).await;
        server.send_text("1").await.unwrap();
        assert_eq!(server.send_text("2").await.unwrap_err().kind(), ErrorKind::Closed);
        assert!(client.next().await.unwrap().is_some());
        assert_eq!(client.next().await.unwrap_err().kind(), ErrorKind::Exhausted);
        let Some(WebSocketMessage::Close(Some(frame))) = server.receive().await.unwrap() else {
            panic!("a close frame");
        };
        assert_eq!(frame.code, 1008);
    }

    #[tokio::test]
    async fn handshakes_are_decided() {
        let server = MemoryWebSocketServer::deciding(|request| match request.url.path() {
            "/" => Ok(Some("chat.v2".to_owned())),
            _ => Err(NetworkError::new(ErrorKind::NotFound, "test", "no such path")),
        });
        let client = server.client();
        let request = |url| WebSocketRequest::new(url).unwrap().with_protocol("chat.v2");
        let connection = client.connect(request("ws://peer.test/")).await.unwrap();
        assert_eq!(connection.protocol().as_deref(), Some("chat.v2"));
        let refused = client.connect(request("ws://peer.test/x")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
        let unasked = client.connect(WebSocketRequest::new("ws://peer.test/").unwrap()).await;
        assert_eq!(unasked.unwrap_err().kind(), ErrorKind::Protocol);
        drop(server);
        let gone = client.connect(request("ws://peer.test/")).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);
    }
}
