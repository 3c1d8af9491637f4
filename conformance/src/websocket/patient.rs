//! Bounds how long cases wait for an opening handshake.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::websocket::{WebSocketCapabilities, WebSocketClient, WebSocketConnection, WebSocketRequest};
use networking_spi::{ErrorKind, NetworkError, Result};

/// A client under test. An opening handshake that takes longer than `patience` fails with an error that no case expects,
/// and that says what the case waited for.
#[derive(Debug)]
pub(super) struct PatientClient {
    inner: Arc<dyn WebSocketClient>,
    patience: Duration,
}

impl PatientClient {
    pub(super) fn new(inner: Arc<dyn WebSocketClient>, patience: Duration) -> Self {
        Self { inner, patience }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl WebSocketClient for PatientClient {
    async fn connect(&self, request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
        let what = format!("the opening handshake of {}", request.url);
        tokio::time::timeout(self.patience, self.inner.connect(request))
            .await
            .map_err(|_| {
                let message = format!("the case waited {:?} for {what}", self.patience);
                NetworkError::new(ErrorKind::Internal, "conformance.wait", message)
            })?
    }

    fn capabilities(&self) -> WebSocketCapabilities {
        self.inner.capabilities()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Hangs;

    #[async_trait]
    impl WebSocketClient for Hangs {
        async fn connect(&self, _: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
            std::future::pending().await
        }

        fn capabilities(&self) -> WebSocketCapabilities {
            WebSocketCapabilities::none()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_has_a_limit_and_a_message() {
        let client = PatientClient::new(Arc::new(Hangs), Duration::from_secs(5));
        let request = WebSocketRequest::new("ws://peer.test/silent").unwrap();
        let error = client.connect(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        let expected = "the case waited 5s for the opening handshake of ws://peer.test/silent";
        assert!(error.to_string().contains(expected), "{error}");
    }
}
