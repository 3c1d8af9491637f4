//! The client of each saboteur, and its connections.

use std::sync::Arc;

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

use super::Saboteur;

#[derive(Debug)]
pub(super) struct SaboteurClient {
    pub(super) inner: Arc<dyn HttpExtended>,
    pub(super) saboteur: Saboteur,
}

#[async_trait]
impl HttpExtended for SaboteurClient {
    async fn stream_request(&self, request: HttpRequest, chunk_size: usize) -> Result<HttpStream> {
        self.inner.stream_request(request, chunk_size).await
    }

    async fn websocket_connect(&self, mut request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
        match self.saboteur {
            Saboteur::LimitIsOffByOne if request.options.max_message_size == request.options.max_frame_size => {
                request.options.max_message_size += 1;
                request.options.max_frame_size += 1;
            }
            // A limit of 0 bytes is kept, because it must be refused as invalid.
            Saboteur::IgnoresFrameLimits if request.options.max_frame_size > 0 => {
                request.options.max_frame_size = request.options.max_message_size;
            }
            Saboteur::LosesQueries => request.url.set_query(None),
            Saboteur::DropsReservedHeaders => {
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
            Saboteur::NeverPings if request.url.path() == "/echo" => request.options.ping_interval = None,
            _ => {}
        }
        let wrong = |kind| NetworkError::new(kind, "http.websocket_connect", "another kind of error");
        match (self.inner.websocket_connect(request).await, self.saboteur) {
            (Ok(inner), Saboteur::KeepsSockets) => {
                std::mem::forget(Arc::clone(&inner));
                Ok(inner)
            }
            (Ok(inner), saboteur) => Ok(Arc::new(SaboteurConnection {
                inner,
                saboteur,
                turn: Mutex::new(()),
            })),
            (Err(error), Saboteur::WrongKindForInvalidInput)
                if matches!(error.field(), Some("url" | "options.max_frame_size")) =>
            {
                Err(wrong(ErrorKind::Unsupported))
            }
            (Err(error), Saboteur::WrongKindForUnofferedProtocols) if error.kind() == ErrorKind::Protocol => {
                Err(wrong(ErrorKind::Status))
            }
            (Err(error), Saboteur::SameKindForAllRefusals) if error.status().is_some() => {
                Err(wrong(ErrorKind::Status).with_status(error.status().unwrap_or_default()))
            }
            (Err(error), Saboteur::MaybeSentAfterRefusal) if error.kind() == ErrorKind::ConnectionRefused => {
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
struct SaboteurConnection {
    inner: Arc<dyn WebSocketConnection>,
    saboteur: Saboteur,
    turn: Mutex<()>,
}

#[async_trait]
impl WebSocketConnection for SaboteurConnection {
    async fn send(&self, message: WebSocketMessage) -> Result<()> {
        let _turn = match self.saboteur {
            Saboteur::OneOperationAtATime => Some(self.turn.lock().await),
            Saboteur::LosesEmptyMessages if message.is_empty() => return Ok(()),
            Saboteur::LosesCloseFrames if matches!(message, WebSocketMessage::Close(_)) => return Ok(()),
            Saboteur::SendsAfterClose if !self.inner.is_open() => return Ok(()),
            _ => None,
        };
        self.inner.send(message).await
    }

    async fn receive(&self) -> Result<Option<WebSocketMessage>> {
        let _turn = match self.saboteur {
            Saboteur::OneOperationAtATime => Some(self.turn.lock().await),
            _ => None,
        };
        let received = self.inner.receive().await;
        match (received, self.saboteur) {
            (received, Saboteur::LosesOnCancel) => {
                tokio::task::yield_now().await;
                received
            }
            (Ok(Some(WebSocketMessage::Close(_))), Saboteur::HidesCloseFrames) => Ok(None),
            (Ok(Some(WebSocketMessage::Pong(_))), Saboteur::HidesPongs)
            | (Ok(Some(WebSocketMessage::Ping(_))), Saboteur::HidesPings) => self.receive().await,
            (Ok(Some(WebSocketMessage::Text(text))), Saboteur::LosesFragments) => {
                let first = text.find('|').map_or(text.as_str(), |end| &text[..end]);
                // Padded to the length of the whole message.
                Ok(Some(WebSocketMessage::text(format!(
                    "{first:<width$}",
                    width = text.chars().count()
                ))))
            }
            (Err(error), Saboteur::InvalidTextEndsTheConnection) if error.kind() == ErrorKind::Decode => Ok(None),
            (Err(error), Saboteur::LostConnectionsAreClosed) if error.kind() == ErrorKind::ConnectionClosed => Ok(None),
            (Err(error), Saboteur::WrongKindForMissingPongs) if error.kind() == ErrorKind::Timeout => Ok(None),
            (received, _) => received,
        }
    }

    async fn close(&self, frame: CloseFrame) -> Result<()> {
        match self.inner.close(frame).await {
            Err(error)
                if self.saboteur == Saboteur::ClosesOnInvalidInput && error.kind() == ErrorKind::InvalidInput =>
            {
                self.inner.close(CloseFrame::new(CloseFrame::NORMAL, "")).await
            }
            Err(error) if self.saboteur == Saboteur::UnansweredClosesSucceed && error.kind() == ErrorKind::Timeout => {
                Ok(())
            }
            closed => closed,
        }
    }

    fn protocol(&self) -> Option<String> {
        self.inner
            .protocol()
            .filter(|_| self.saboteur != Saboteur::HidesSubProtocols)
    }

    fn is_open(&self) -> bool {
        self.inner.is_open()
    }
}
