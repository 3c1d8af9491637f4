//! Clients with one fault each, to show that every case finds the fault it is there for.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use networking_spi::compression::CompressionType;
use networking_spi::http::{
    ConnectionPoolStats, HttpExtended, HttpExtendedCapabilities, HttpRequest, HttpStream, JwtAlgorithm, JwtClaims,
    OAuth2Request, OAuth2Token,
};
use networking_spi::websocket::{CloseFrame, WebSocketConnection, WebSocketMessage, WebSocketRequest};
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use tokio::sync::Mutex;

use super::WebSocketHarness;
use crate::case::{CaseRuntime, Harness};

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident => $case:literal),+ $(,)?) => {
        /// What is wrong with a client.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Fault {
            $($(#[$doc])* $name),+
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The cases that must fail: one each.
            pub const fn caught_by(self) -> &'static [&'static str] {
                match self {
                    $(Self::$name => &[concat!("websocket::", $case)]),+
                }
            }
        }
    };
}

faults! {
    /// Empty messages are not sent.
    LosesEmptyMessages => "messages::they_come_back_as_they_were",
    /// The chosen sub-protocol is not told.
    HidesProtocols => "handshake::headers_and_sub_protocols_are_negotiated",
    /// Mistakes are not called invalid input.
    MisnamesMistakes => "handshake::mistakes_are_invalid_input",
    /// All refusals are the same.
    LumpsRefusals => "handshake::refusals_have_their_status",
    /// Does not know that a refused connection sent nothing.
    UnsureAfterRefusal => "handshake::failed_connections_are_told_apart",
    /// Whoever receives keeps others from sending.
    Serialises => "messages::sending_does_not_wait_for_receiving",
    /// A message is taken before it is handed on.
    LosesOnCancel => "messages::a_cancelled_receive_loses_nothing",
    /// Limits are a byte too long.
    OffByOne => "messages::the_size_limit_is_exact",
    /// Takes messages after the end.
    SendsAfterClose => "closing::our_close_reaches_the_peer",
    /// The peer's close frame is dropped.
    HidesCloseFrames => "closing::the_peers_close_is_received",
    /// A vanished peer has closed.
    ForgivesVanishing => "closing::a_peer_that_vanishes_is_an_error",
    /// A close is good without its answer.
    ForgivesSilence => "closing::a_close_without_an_answer_is_a_timeout",
    /// Sends no pings, and waits for a while that nobody will wait.
    NeverPings => "liveness::pings_keep_an_idle_connection",
    /// A missing pong is a closed connection.
    MisnamesMissingPongs => "liveness::a_peer_that_does_not_answer_is_noticed",
    /// Asks for the path alone.
    LosesQueries => "handshake::path_and_query_arrive",
    /// Leaves out what it sets itself, without a word.
    DropsWhatCannotBeSet => "handshake::what_it_sets_itself_cannot_be_set",
    /// A sub-protocol that nobody offered is like a refusal.
    MisnamesUnaskedProtocols => "handshake::sub_protocols_that_nobody_offered_are_refused",
    /// The first fragment is the message.
    LosesFragments => "messages::fragments_are_put_together",
    /// Only messages have a limit.
    ForgetsFrameLimits => "messages::frames_have_a_limit_of_their_own",
    /// Text that is no text ends the connection without an error.
    ForgivesGarbledText => "messages::text_must_be_utf8",
    /// Pongs are not handed on.
    HidesPongs => "messages::pings_of_the_application_are_answered",
    /// Pings are not handed on.
    HidesPings => "liveness::pings_of_the_peer_are_answered",
    /// Closes also when it is asked in a wrong way.
    ClosesByMistake => "closing::mistakes_leave_the_connection_open",
    /// A close frame that is sent like a message goes nowhere.
    LosesCloseFrames => "closing::sending_a_close_frame_closes",
    /// The socket outlives its connection.
    KeepsSockets => "closing::a_dropped_connection_lets_go",
}

/// A harness whose clients have one fault.
#[derive(Debug)]
pub struct Saboteur<H> {
    inner: H,
    fault: Fault,
}

impl<H: WebSocketHarness> Saboteur<H> {
    /// Puts `fault` into the clients of `inner`.
    pub const fn new(inner: H, fault: Fault) -> Self {
        Self { inner, fault }
    }
}

impl<H: WebSocketHarness> Harness for Saboteur<H> {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    fn runtime(&self) -> CaseRuntime {
        self.inner.runtime()
    }
}

impl<H: WebSocketHarness> WebSocketHarness for Saboteur<H> {
    /// Short for faults that let a case wait.
    fn patience(&self) -> Duration {
        let waits = matches!(
            self.fault,
            Fault::LosesEmptyMessages
                | Fault::Serialises
                | Fault::LosesOnCancel
                | Fault::NeverPings
                | Fault::HidesPongs
                | Fault::HidesPings
                | Fault::KeepsSockets
        );
        if waits {
            Duration::from_secs(1)
        } else {
            self.inner.patience()
        }
    }

    fn client(&self) -> Arc<dyn HttpExtended> {
        Arc::new(Client {
            inner: self.inner.client(),
            fault: self.fault,
        })
    }
}

#[derive(Debug)]
struct Client {
    inner: Arc<dyn HttpExtended>,
    fault: Fault,
}

#[async_trait]
impl HttpExtended for Client {
    async fn stream_request(&self, request: HttpRequest, chunk_size: usize) -> Result<HttpStream> {
        self.inner.stream_request(request, chunk_size).await
    }

    async fn websocket_connect(&self, mut request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
        match self.fault {
            Fault::OffByOne if request.options.max_message_size == request.options.max_frame_size => {
                request.options.max_message_size += 1;
                request.options.max_frame_size += 1;
            }
            // A limit of nothing is still a mistake.
            Fault::ForgetsFrameLimits if request.options.max_frame_size > 0 => {
                request.options.max_frame_size = request.options.max_message_size;
            }
            Fault::LosesQueries => request.url.set_query(None),
            Fault::DropsWhatCannotBeSet => {
                for name in [
                    "host",
                    "connection",
                    "upgrade",
                    "sec-websocket-key",
                    "sec-websocket-protocol",
                ] {
                    request.headers.remove(name);
                }
                request.protocols.retain(|protocol| protocol.starts_with("chat."));
            }
            Fault::NeverPings if request.url.path() == "/echo" => request.options.ping_interval = None,
            _ => {}
        }
        let wrong = |kind| NetworkError::new(kind, "http.websocket_connect", "another kind of error");
        match (self.inner.websocket_connect(request).await, self.fault) {
            (Ok(inner), Fault::KeepsSockets) => {
                std::mem::forget(Arc::clone(&inner));
                Ok(inner)
            }
            (Ok(inner), fault) => Ok(Arc::new(Connection {
                inner,
                fault,
                turn: Mutex::new(()),
            })),
            (Err(error), Fault::MisnamesMistakes)
                if matches!(error.field(), Some("url" | "options.max_frame_size")) =>
            {
                Err(wrong(ErrorKind::Unsupported))
            }
            (Err(error), Fault::MisnamesUnaskedProtocols) if error.kind() == ErrorKind::Protocol => {
                Err(wrong(ErrorKind::Status))
            }
            (Err(error), Fault::LumpsRefusals) if error.status().is_some() => {
                Err(wrong(ErrorKind::Status).with_status(error.status().unwrap_or_default()))
            }
            (Err(error), Fault::UnsureAfterRefusal) if error.kind() == ErrorKind::ConnectionRefused => {
                Err(error.with_send_state(SendState::MaybeSent))
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn authenticate_oauth2(&self, request: OAuth2Request) -> Result<OAuth2Token> {
        self.inner.authenticate_oauth2(request).await
    }

    async fn authenticate_jwt(&self, token: &str, algorithm: JwtAlgorithm) -> Result<JwtClaims> {
        self.inner.authenticate_jwt(token, algorithm).await
    }

    async fn compress_request(&self, data: Bytes, compression: CompressionType) -> Result<Bytes> {
        self.inner.compress_request(data, compression).await
    }

    async fn decompress_response(&self, data: Bytes, compression: CompressionType) -> Result<Bytes> {
        self.inner.decompress_response(data, compression).await
    }

    fn connection_pool_stats(&self) -> Result<ConnectionPoolStats> {
        self.inner.connection_pool_stats()
    }

    fn extended_capabilities(&self) -> HttpExtendedCapabilities {
        self.inner.extended_capabilities()
    }
}

#[derive(Debug)]
struct Connection {
    inner: Arc<dyn WebSocketConnection>,
    fault: Fault,
    turn: Mutex<()>,
}

#[async_trait]
impl WebSocketConnection for Connection {
    async fn send(&self, message: WebSocketMessage) -> Result<()> {
        let _turn = match self.fault {
            Fault::Serialises => Some(self.turn.lock().await),
            Fault::LosesEmptyMessages if message.is_empty() => return Ok(()),
            Fault::LosesCloseFrames if matches!(message, WebSocketMessage::Close(_)) => return Ok(()),
            Fault::SendsAfterClose if !self.inner.is_open() => return Ok(()),
            _ => None,
        };
        self.inner.send(message).await
    }

    async fn receive(&self) -> Result<Option<WebSocketMessage>> {
        let _turn = match self.fault {
            Fault::Serialises => Some(self.turn.lock().await),
            _ => None,
        };
        let received = self.inner.receive().await;
        match (received, self.fault) {
            (received, Fault::LosesOnCancel) => {
                tokio::task::yield_now().await;
                received
            }
            (Ok(Some(WebSocketMessage::Close(_))), Fault::HidesCloseFrames) => Ok(None),
            (Ok(Some(WebSocketMessage::Pong(_))), Fault::HidesPongs)
            | (Ok(Some(WebSocketMessage::Ping(_))), Fault::HidesPings) => self.receive().await,
            (Ok(Some(WebSocketMessage::Text(text))), Fault::LosesFragments) => {
                let first = text.find('|').map_or(text.as_str(), |end| &text[..end]);
                // As long as it should be.
                Ok(Some(WebSocketMessage::text(format!(
                    "{first:<width$}",
                    width = text.chars().count()
                ))))
            }
            (Err(error), Fault::ForgivesGarbledText) if error.kind() == ErrorKind::Decode => Ok(None),
            (Err(error), Fault::ForgivesVanishing) if error.kind() == ErrorKind::ConnectionClosed => Ok(None),
            (Err(error), Fault::MisnamesMissingPongs) if error.kind() == ErrorKind::Timeout => Ok(None),
            (received, _) => received,
        }
    }

    async fn close(&self, frame: CloseFrame) -> Result<()> {
        match self.inner.close(frame).await {
            Err(error) if self.fault == Fault::ClosesByMistake && error.kind() == ErrorKind::InvalidInput => {
                self.inner.close(CloseFrame::new(CloseFrame::NORMAL, "")).await
            }
            Err(error) if self.fault == Fault::ForgivesSilence && error.kind() == ErrorKind::Timeout => Ok(()),
            closed => closed,
        }
    }

    fn protocol(&self) -> Option<String> {
        self.inner.protocol().filter(|_| self.fault != Fault::HidesProtocols)
    }

    fn is_open(&self) -> bool {
        self.inner.is_open()
    }
}
