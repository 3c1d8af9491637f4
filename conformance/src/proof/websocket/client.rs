//! The client of each saboteur, and its connections.

use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::websocket::{
    CloseFrame, ErrorResponse, UnreadPolicy, WebSocketCapabilities, WebSocketClient, WebSocketConnection,
    WebSocketMessage, WebSocketRequest,
};
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use tokio::sync::Mutex;

use super::Saboteur;

#[derive(Debug)]
pub(super) struct SaboteurClient {
    pub(super) inner: Arc<dyn WebSocketClient>,
    pub(super) saboteur: Saboteur,
}

#[async_trait]
impl WebSocketClient for SaboteurClient {
    async fn connect(&self, mut request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
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
            Saboteur::StopsReading if request.url.path() == "/flood" => {
                request.options = request.options.with_unread(1, UnreadPolicy::Wait);
            }
            Saboteur::IgnoresUnreadLimits => request.options.unread_policy = UnreadPolicy::Wait,
            Saboteur::DropsCompression => request.options.compression = None,
            Saboteur::KeepsEverything if request.url.path() == "/torrent" => {
                request.options.max_unread = usize::MAX / 2;
            }
            Saboteur::HasSmallFrames if request.options.max_frame_size == 16 << 20 => {
                request.options.max_frame_size = 4 << 20;
            }
            Saboteur::NeverPings if request.url.path() == "/echo" => request.options.ping_interval = None,
            _ => {}
        }
        let path = request.url.path().to_owned();
        let wrong = |kind| NetworkError::new(kind, "websocket.connect", "another kind of error");
        match (self.inner.connect(request).await, self.saboteur) {
            (Ok(inner), Saboteur::KeepsSockets) => {
                std::mem::forget(Arc::clone(&inner));
                Ok(inner)
            }
            (Ok(_), Saboteur::RefusesLists) if path == "/tokens" => Err(wrong(ErrorKind::Protocol)),
            (Ok(inner), saboteur) => Ok(Arc::new(SaboteurConnection {
                inner,
                saboteur,
                path,
                turn: Mutex::new(()),
            })),
            (Err(error), Saboteur::WrongKindForInvalidInput)
                if matches!(error.field(), Some("url" | "options.max_frame_size")) =>
            {
                Err(wrong(ErrorKind::Unsupported))
            }
            (Err(error), Saboteur::WrongKindForUnofferedProtocols)
                if path == "/unasked" && error.kind() == ErrorKind::Protocol =>
            {
                Err(wrong(ErrorKind::Status))
            }
            (Err(_), Saboteur::WrongKindForWrongAnswers) if path == "/wrong/no-accept" => Err(wrong(ErrorKind::Status)),
            (Err(error), Saboteur::SameKindForAllRefusals) if error.status().is_some() => {
                let refusal = ErrorResponse::of(&error).cloned();
                let wrong = wrong(ErrorKind::Status).with_status(error.status().unwrap_or_default());
                Err(match refusal {
                    Some(refusal) => wrong.with_source(refusal),
                    None => wrong,
                })
            }
            (Err(error), Saboteur::MaybeSentAfterRefusal) if error.kind() == ErrorKind::ConnectionRefused => {
                Err(error.with_send_state(SendState::MaybeSent))
            }
            (Err(_), Saboteur::WrongKindForUnofferedExtensions) if path == "/extension" => {
                Err(wrong(ErrorKind::Status))
            }
            (Err(error), Saboteur::LosesRefusals) if let Some(status) = error.status() => {
                Err(NetworkError::new(error.kind(), "websocket.connect", "refused").with_status(status))
            }
            (Err(error), _) => Err(error),
        }
    }

    fn capabilities(&self) -> WebSocketCapabilities {
        self.inner.capabilities()
    }
}

#[derive(Debug)]
struct SaboteurConnection {
    inner: Arc<dyn WebSocketConnection>,
    saboteur: Saboteur,
    path: String,
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
            (Ok(Some(WebSocketMessage::Close(_))), Saboteur::HidesCloseFrames) if self.path == "/bye" => Ok(None),
            (Ok(Some(WebSocketMessage::Close(Some(frame)))), Saboteur::ReplacesCloseCodes) if frame.code == 2999 => {
                Ok(Some(WebSocketMessage::Close(Some(CloseFrame::new(
                    CloseFrame::PROTOCOL_ERROR,
                    "as sent",
                )))))
            }
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
            (Err(error), Saboteur::ViolationsEndTheConnection) if error.kind() == ErrorKind::Protocol => Ok(None),
            (Err(error), Saboteur::LostConnectionsAreClosed)
                if self.path == "/lost" && error.kind() == ErrorKind::ConnectionClosed =>
            {
                Ok(None)
            }
            (Err(error), Saboteur::WrongKindForMissingPongs) if error.kind() == ErrorKind::Timeout => Ok(None),
            (received, _) => received,
        }
    }

    async fn close_with(&self, frame: CloseFrame) -> Result<()> {
        match self.inner.close_with(frame).await {
            Err(error)
                if self.saboteur == Saboteur::ClosesOnInvalidInput && error.kind() == ErrorKind::InvalidInput =>
            {
                self.inner.close_with(CloseFrame::new(CloseFrame::NORMAL, "")).await
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
