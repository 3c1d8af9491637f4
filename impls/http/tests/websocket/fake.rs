//! A WebSocket client without a network: the test is the peer.

use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::websocket::{
    CloseFrame, MockWebSocketClient, WebSocketClient, WebSocketConnection, WebSocketMessage,
};
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The outcome of an attempt to connect.
pub(crate) type Attempt = Result<(), NetworkError>;

/// The peer of all connections of one client.
pub(crate) struct Peer {
    connected: mpsc::UnboundedReceiver<Remote>,
    attempts: mpsc::UnboundedSender<Attempt>,
}

/// The other end of one connection.
pub(crate) struct Remote {
    /// The messages that the application has sent. The channel closes when the connection is dropped.
    pub(crate) sent: mpsc::UnboundedReceiver<WebSocketMessage>,
    inbound: mpsc::UnboundedSender<Result<WebSocketMessage>>,
}

/// A client whose attempts have the outcomes that the peer sets, and succeed otherwise.
pub(crate) fn client() -> (Arc<dyn WebSocketClient>, Peer) {
    let (remotes, connected) = mpsc::unbounded_channel();
    let (attempts, outcomes) = mpsc::unbounded_channel::<Attempt>();
    let outcomes = Mutex::new(outcomes);
    let mut client = MockWebSocketClient::new();
    client.expect_connect().returning(move |_| {
        outcomes.lock().try_recv().unwrap_or(Ok(()))?;
        let (connection, remote) = pair();
        remotes.send(remote).expect("the peer outlives its connections");
        Ok(connection)
    });
    (Arc::new(client), Peer { connected, attempts })
}

/// A connection and its other end.
pub(crate) fn pair() -> (Arc<dyn WebSocketConnection>, Remote) {
    let (outbound, sent) = mpsc::unbounded_channel();
    let (inbound, messages) = mpsc::unbounded_channel();
    let connection = Connection {
        outbound,
        inbound: tokio::sync::Mutex::new(messages),
        closed: CancellationToken::new(),
    };
    (Arc::new(connection), Remote { sent, inbound })
}

impl Peer {
    /// Sets the outcomes of the next attempts.
    pub(crate) fn set_outcomes(&self, attempts: impl IntoIterator<Item = Attempt>) {
        for attempt in attempts {
            self.attempts.send(attempt).expect("a client");
        }
    }

    /// The next connection.
    pub(crate) async fn accept(&mut self) -> Remote {
        self.connected.recv().await.expect("a client")
    }
}

impl Remote {
    /// Sends a text to the application.
    pub(crate) fn send_to_client(&self, text: &str) {
        self.deliver(Ok(WebSocketMessage::text(text)));
    }

    pub(crate) fn close(&self, code: u16) {
        self.deliver(Ok(WebSocketMessage::Close(Some(CloseFrame::new(code, "bye")))));
    }

    pub(crate) fn fail(&self, kind: ErrorKind) {
        self.deliver(Err(NetworkError::new(kind, "test", "caused by the test")));
    }

    /// The next message of the application.
    pub(crate) async fn next_from_client(&mut self) -> WebSocketMessage {
        self.sent.recv().await.expect("a connection")
    }

    fn deliver(&self, message: Result<WebSocketMessage>) {
        self.inbound.send(message).expect("a connection");
    }
}

#[derive(Debug)]
struct Connection {
    outbound: mpsc::UnboundedSender<WebSocketMessage>,
    inbound: tokio::sync::Mutex<mpsc::UnboundedReceiver<Result<WebSocketMessage>>>,
    closed: CancellationToken,
}

/// The text of a message whose `send` never completes.
pub(crate) const STUCK: &str = "stuck";

/// The text of a message whose `send` fails, and may have sent it.
pub(crate) const FAILS: &str = "fails";

/// The text of a message whose `send` fails before anything is sent.
pub(crate) const REFUSED: &str = "refused";

#[async_trait]
impl WebSocketConnection for Connection {
    async fn send(&self, message: WebSocketMessage) -> Result<()> {
        if !self.is_open() {
            return Err(NetworkError::closed("test", "the connection"));
        }
        if message == WebSocketMessage::text(STUCK) {
            std::future::pending::<()>().await;
        }
        for (text, state) in [(FAILS, SendState::MaybeSent), (REFUSED, SendState::NotSent)] {
            if message == WebSocketMessage::text(text) {
                let error = NetworkError::new(ErrorKind::ConnectionClosed, "test", "caused by the test");
                return Err(error.with_send_state(state));
            }
        }
        self.outbound.send(message).expect("the other end outlives it");
        Ok(())
    }

    async fn receive(&self) -> Result<Option<WebSocketMessage>> {
        if self.closed.is_cancelled() {
            return Ok(None);
        }
        let mut inbound = self.inbound.lock().await;
        let received = tokio::select! {
            biased;
            received = inbound.recv() => received.transpose(),
            () = self.closed.cancelled() => return Ok(None),
        };
        if !matches!(&received, Ok(Some(message)) if !matches!(message, WebSocketMessage::Close(_))) {
            self.closed.cancel();
        }
        received
    }

    async fn close_with(&self, frame: CloseFrame) -> Result<()> {
        let _ = self.outbound.send(WebSocketMessage::Close(Some(frame)));
        self.closed.cancel();
        Ok(())
    }

    fn protocol(&self) -> Option<String> {
        None
    }

    fn is_open(&self) -> bool {
        !self.closed.is_cancelled()
    }
}
