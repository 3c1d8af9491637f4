//! The extended operations of each saboteur.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use networking_spi::compression::CompressionType;
use networking_spi::http::{
    ConnectionPoolStats, HttpExtended, HttpExtendedCapabilities, HttpRequest, HttpStream, JwtAlgorithm, JwtClaims,
    OAuth2Request, OAuth2Token,
};
use networking_spi::websocket::{WebSocketConnection, WebSocketRequest};
use networking_spi::{ErrorKind, NetworkError, Result};

use super::Saboteur;

/// The claims of a token, without any verification.
fn claims(token: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

#[derive(Debug)]
pub(super) struct SaboteurExtended {
    pub(super) inner: Arc<dyn HttpExtended>,
    pub(super) saboteur: Saboteur,
}

#[async_trait]
impl HttpExtended for SaboteurExtended {
    async fn stream_request(&self, request: HttpRequest, chunk_size: usize) -> Result<HttpStream> {
        let more = usize::from(self.saboteur == Saboteur::ChunksTooLong);
        self.inner.stream_request(request, chunk_size + more).await
    }

    async fn websocket_connect(&self, mut request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
        match self.saboteur {
            Saboteur::RefusesWebSockets if request.url.path() == "/chat" => {
                return Err(NetworkError::new(ErrorKind::Remote, "websocket.connect", "refused"));
            }
            Saboteur::NeverCompressesWebSockets => request.options.compression = None,
            _ => {}
        }
        self.inner.websocket_connect(request).await
    }

    async fn authenticate_oauth2(&self, request: OAuth2Request) -> Result<OAuth2Token> {
        match self.inner.authenticate_oauth2(request).await {
            Ok(mut token) if self.saboteur == Saboteur::LosesRefreshTokens => {
                token.refresh_token = None;
                Ok(token)
            }
            Ok(mut token) if self.saboteur == Saboteur::InventsRefreshTokens => {
                token.refresh_token.get_or_insert_with(|| "false".into());
                Ok(token)
            }
            Err(error) if self.saboteur == Saboteur::HidesRefusalCodes && error.kind() == ErrorKind::Authentication => {
                Err(NetworkError::new(
                    ErrorKind::Authentication,
                    "http.authenticate_oauth2",
                    "refused",
                ))
            }
            result => result,
        }
    }

    async fn authenticate_jwt(&self, token: &str, algorithm: JwtAlgorithm) -> Result<JwtClaims> {
        if self.saboteur == Saboteur::AcceptsEveryToken {
            return Ok(JwtClaims::new(algorithm, None, serde_json::Map::new()));
        }
        if self.saboteur == Saboteur::RefusesEveryToken {
            let refused = NetworkError::new(ErrorKind::Authentication, "http.authenticate_jwt", "refused");
            return Err(refused);
        }
        let verified = self.inner.authenticate_jwt(token, algorithm).await;
        match claims(token) {
            Some(claims) if self.saboteur == Saboteur::AcceptsForgedTokens && claims.contains_key("sub") => {
                Ok(verified.unwrap_or_else(|_| JwtClaims::new(algorithm, None, claims)))
            }
            _ => verified,
        }
    }

    async fn compress_request(&self, data: Bytes, compression: CompressionType) -> Result<Bytes> {
        self.inner.compress_request(data, compression).await
    }

    async fn decompress_response(&self, data: Bytes, compression: CompressionType) -> Result<Bytes> {
        match self.inner.decompress_response(data, compression).await {
            Ok(data) if self.saboteur == Saboteur::LosesLastByte && data.len() > 100_000 => Ok(data.slice(1..)),
            Err(error) if self.saboteur == Saboteur::AcceptsCorruptData && error.kind() == ErrorKind::Decode => {
                Ok(Bytes::new())
            }
            result => result,
        }
    }

    fn connection_pool_stats(&self) -> Result<ConnectionPoolStats> {
        let stats = self.inner.connection_pool_stats()?;
        if self.saboteur == Saboteur::KnowsNoPool {
            return Ok(ConnectionPoolStats::default());
        }
        Ok(stats)
    }

    fn extended_capabilities(&self) -> HttpExtendedCapabilities {
        let mut capabilities = self.inner.extended_capabilities();
        capabilities.jwt ^= self.saboteur == Saboteur::DeclaresTooMuchExtended;
        capabilities
    }
}
