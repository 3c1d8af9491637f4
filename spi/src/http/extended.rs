//! The contract `HttpExtended`: operations that not every client supports.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{
    ByteStream, ByteStreamExt, ConnectionPoolStats, HttpRequest, JwtAlgorithm, JwtClaims, OAuth2Request, OAuth2Token,
};
use crate::capabilities::capabilities;
use crate::compression::CompressionType;
use crate::error::Result;
use crate::redact;
use crate::websocket::{WebSocketConnection, WebSocketRequest};

capabilities! {
    /// What an [`HttpExtended`] supports.
    pub struct HttpExtendedCapabilities {
        /// [`HttpExtended::stream_request`].
        streaming: bool,
        /// [`HttpExtended::websocket_connect`].
        websocket: bool,
        /// [`WebSocketOptions::compression`](crate::websocket::WebSocketOptions::compression).
        websocket_compression: bool,
        /// [`HttpExtended::authenticate_oauth2`].
        oauth2: bool,
        /// [`HttpExtended::authenticate_jwt`].
        jwt: bool,
        /// The codings of [`HttpExtended::compress_request`] and [`HttpExtended::decompress_response`].
        compression: Vec<CompressionType>,
        /// [`HttpExtended::connection_pool_stats`].
        pool_stats: bool,
    }
}

/// A response whose body is returned in chunks of a requested size.
#[non_exhaustive]
pub struct HttpStream {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The chunks. Each has exactly the requested size; the last one may be shorter. At most one chunk is read ahead.
    pub chunks: ByteStream,
}

impl HttpStream {
    /// A streamed response.
    pub fn new(status: StatusCode, headers: HeaderMap, chunks: ByteStream) -> Self {
        Self {
            status,
            headers,
            chunks,
        }
    }

    /// Returns the next chunk; `None` after the end.
    ///
    /// Cancel safety: if the future is dropped, no bytes are lost.
    ///
    /// # Errors
    /// The errors of the transfer.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        self.chunks.chunk().await
    }
}

impl fmt::Debug for HttpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpStream")
            .field("status", &self.status)
            .field("headers", &redact::Headers(&self.headers))
            .finish_non_exhaustive()
    }
}

/// Streaming, WebSocket, authentication, compression and pool statistics.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait HttpExtended: fmt::Debug + Send + Sync + 'static {
    /// Sends a request, and returns the body of the response in chunks of exactly `chunk_size` bytes (the last one may be
    /// shorter). Backpressure slows the peer down if the stream is read slowly.
    ///
    /// Cancel safety: dropping the future or the stream aborts the transfer.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if `chunk_size` is zero,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `streaming`, and the errors of
    /// [`HttpClient::request`](super::HttpClient::request). The stream ends after its first error.
    async fn stream_request(&self, request: HttpRequest, chunk_size: usize) -> Result<HttpStream>;

    /// Opens a WebSocket connection. Applications that only need this depend on
    /// [`WebSocketClient`](crate::websocket::WebSocketClient), which
    /// [`HttpWebSocketClient`](crate::websocket::HttpWebSocketClient) makes of an `HttpExtended`.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `websocket`, and those of
    /// [`WebSocketClient::connect`](crate::websocket::WebSocketClient::connect).
    async fn websocket_connect(&self, request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>>;

    /// Requests an access token.
    ///
    /// Cancel safety: dropping the future aborts the request. If the server has already rotated the refresh token, the new
    /// token is lost.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), [`Unsupported`](crate::ErrorKind::Unsupported) without the
    /// capability `oauth2` and for a grant that the client does not know,
    /// [`Authentication`](crate::ErrorKind::Authentication) if the server refuses the request,
    /// [`Protocol`](crate::ErrorKind::Protocol) naming the member that the response lacks, and the errors of
    /// [`HttpClient::request`](super::HttpClient::request), also for other statuses from 400. The server's code, description and
    /// URI are in the context: [`ERROR`](crate::error::context::ERROR), [`DESCRIPTION`](crate::error::context::DESCRIPTION),
    /// [`ERROR_URI`](crate::error::context::ERROR_URI).
    async fn authenticate_oauth2(&self, request: OAuth2Request) -> Result<OAuth2Token>;

    /// Verifies a JSON Web Token with the key source and the policy of the client: signature, algorithm, issuer, audience
    /// and times. `algorithm` is the algorithm that the caller expects; the key must permit it.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if no key source is configured,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `jwt`,
    /// [`Authentication`](crate::ErrorKind::Authentication) if the token cannot be verified.
    async fn authenticate_jwt(&self, token: &str, algorithm: JwtAlgorithm) -> Result<JwtClaims>;

    /// Compresses a request body.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a coding that the capabilities do not list.
    async fn compress_request(&self, data: Bytes, compression: CompressionType) -> Result<Bytes>;

    /// Decompresses a response body.
    ///
    /// # Errors
    /// [`Decode`](crate::ErrorKind::Decode) for corrupt or truncated data, [`TooLarge`](crate::ErrorKind::TooLarge) if the
    /// decompressed data exceeds the client's limit, [`Unsupported`](crate::ErrorKind::Unsupported) for a coding that the
    /// capabilities do not list.
    async fn decompress_response(&self, data: Bytes, compression: CompressionType) -> Result<Bytes>;

    /// Returns statistics of the connections.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `pool_stats`.
    fn connection_pool_stats(&self) -> Result<ConnectionPoolStats>;

    /// What this implementation supports.
    fn extended_capabilities(&self) -> HttpExtendedCapabilities;
}

macro_rules! delegate {
    ($($pointer:ident),+) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<C: HttpExtended + ?Sized> HttpExtended for $pointer<C> {
            async fn stream_request(&self, request: HttpRequest, chunk_size: usize) -> Result<HttpStream> {
                (**self).stream_request(request, chunk_size).await
            }

            async fn websocket_connect(&self, request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
                (**self).websocket_connect(request).await
            }

            async fn authenticate_oauth2(&self, request: OAuth2Request) -> Result<OAuth2Token> {
                (**self).authenticate_oauth2(request).await
            }

            async fn authenticate_jwt(&self, token: &str, algorithm: JwtAlgorithm) -> Result<JwtClaims> {
                (**self).authenticate_jwt(token, algorithm).await
            }

            async fn compress_request(&self, data: Bytes, compression: CompressionType) -> Result<Bytes> {
                (**self).compress_request(data, compression).await
            }

            async fn decompress_response(&self, data: Bytes, compression: CompressionType) -> Result<Bytes> {
                (**self).decompress_response(data, compression).await
            }

            fn connection_pool_stats(&self) -> Result<ConnectionPoolStats> {
                (**self).connection_pool_stats()
            }

            fn extended_capabilities(&self) -> HttpExtendedCapabilities {
                (**self).extended_capabilities()
            }
        }
    )+};
}

delegate!(Arc, Box);
