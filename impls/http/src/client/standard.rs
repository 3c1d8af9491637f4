//! The standard client: all wrappers in the right order, over any transport.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::future::BoxFuture;
use networking_spi::circuit_breaker::CircuitBreaker;
use networking_spi::compression::CompressionType;
use networking_spi::http::{
    ConnectionPoolStats, HttpCapabilities, HttpCircuitOptions, HttpClient, HttpClientMetrics, HttpExtended,
    HttpExtendedCapabilities, HttpRequest, HttpResponse, HttpStream, JwtAlgorithm, JwtClaims, OAuth2Request,
    OAuth2Token, RetryPolicy,
};
use networking_spi::websocket::{WebSocketConnection, WebSocketRequest};
use networking_spi::{NetworkError, Result};

#[cfg(feature = "websocket")]
use super::settings::WebSockets;
use super::stack::{Extras, Stack};
use crate::body;
use crate::body::codec;
use crate::chain::Next;
use crate::transport::HyperTransport;
#[cfg(feature = "reqwest")]
use crate::transport::ReqwestTransport;

/// The standard client directly over hyper.
pub type HyperHttpClient = StandardHttpClient<HyperTransport>;

/// The standard client over reqwest.
#[cfg(feature = "reqwest")]
pub type ReqwestHttpClient = StandardHttpClient<ReqwestTransport>;

/// All wrappers over a transport `T`, made by [`HttpClientBuilder`](super::HttpClientBuilder). Clones share everything.
///
/// Of [`HttpExtended`] it implements streaming, compression, pool statistics (if the transport has them), and the operations of
/// the cargo features `jwt`, `oauth2` and `websocket`. Other operations are `Unsupported`;
/// [`extended_capabilities`](HttpExtended::extended_capabilities) lists what is supported.
pub struct StandardHttpClient<T>(Arc<Inner<T>>);

struct Inner<T> {
    stack: Arc<Stack<T>>,
    extras: Extras,
}

impl<T> StandardHttpClient<T> {
    pub(super) fn new(stack: Arc<Stack<T>>, extras: Extras) -> Self {
        Self(Arc::new(Inner { stack, extras }))
    }
}

#[deny(clippy::missing_trait_methods)]
impl<T: HttpClient> HttpClient for StandardHttpClient<T> {
    fn request<'s, 'f>(&'s self, request: HttpRequest) -> BoxFuture<'f, Result<HttpResponse>>
    where
        's: 'f,
        Self: 'f,
    {
        // The one box for the futures of all wrappers.
        Box::pin(async move {
            let response = self.0.stack.send(Box::new(request)).await?;
            Ok(*response)
        })
    }

    fn capabilities(&self) -> HttpCapabilities {
        self.0.stack.capabilities()
    }

    fn client_metrics(&self) -> Result<HttpClientMetrics> {
        self.0.stack.client_metrics()
    }

    fn configure_retry_policy(&self, policy: RetryPolicy) -> Result<()> {
        self.0.stack.configure_retry_policy(policy)
    }

    fn configure_circuit_breaker(&self, breaker: Arc<dyn CircuitBreaker>, options: HttpCircuitOptions) -> Result<()> {
        self.0.stack.configure_circuit_breaker(breaker, options)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: HttpClient> HttpExtended for StandardHttpClient<T> {
    async fn stream_request(&self, mut request: HttpRequest, chunk_size: usize) -> Result<HttpStream> {
        if chunk_size == 0 {
            return Err(NetworkError::invalid_input("chunk_size", "must be at least 1"));
        }
        // The client's limit protects the memory. It does not apply here, because only one chunk is in memory.
        request.options.max_response_size.get_or_insert(u64::MAX);
        let response = self.request(request).await?;
        let HttpResponse {
            status, headers, body, ..
        } = response;
        Ok(HttpStream::new(
            status,
            headers,
            body::rechunk(body.into_stream(), chunk_size),
        ))
    }

    #[cfg(feature = "websocket")]
    async fn websocket_connect(&self, request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
        match &self.0.extras.websocket {
            WebSockets::Own => crate::websocket::connect(&*self.0.stack, request).await,
            WebSockets::Other(client) => client.connect(request).await,
            WebSockets::Unsupported => Err(NetworkError::unsupported("http.websocket_connect", "websocket")),
        }
    }

    #[cfg(not(feature = "websocket"))]
    async fn websocket_connect(&self, _request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
        Err(NetworkError::not_built(
            "http.websocket_connect",
            "websocket",
            "websocket",
        ))
    }

    #[cfg(feature = "oauth2")]
    async fn authenticate_oauth2(&self, request: OAuth2Request) -> Result<OAuth2Token> {
        crate::auth::oauth2::exchange(&self.0.stack, &request, crate::auth::oauth2::DEFAULT_TIMEOUT).await
    }

    #[cfg(not(feature = "oauth2"))]
    async fn authenticate_oauth2(&self, _request: OAuth2Request) -> Result<OAuth2Token> {
        Err(NetworkError::not_built("http.authenticate_oauth2", "oauth2", "oauth2"))
    }

    #[cfg(feature = "jwt")]
    async fn authenticate_jwt(&self, token: &str, algorithm: JwtAlgorithm) -> Result<JwtClaims> {
        match &self.0.extras.jwt {
            Some(verifier) => verifier.verify(token, algorithm).await,
            None => Err(
                NetworkError::invalid_input("jwt", "the client has no keys: give its builder a key source")
                    .with_operation("http.authenticate_jwt"),
            ),
        }
    }

    #[cfg(not(feature = "jwt"))]
    async fn authenticate_jwt(&self, _token: &str, _algorithm: JwtAlgorithm) -> Result<JwtClaims> {
        Err(NetworkError::not_built("http.authenticate_jwt", "jwt", "jwt"))
    }

    async fn compress_request(&self, data: Bytes, compression: CompressionType) -> Result<Bytes> {
        codec::compress(data, compression).await
    }

    async fn decompress_response(&self, data: Bytes, compression: CompressionType) -> Result<Bytes> {
        codec::decompress(data, compression, self.0.extras.max_decompressed_size).await
    }

    fn connection_pool_stats(&self) -> Result<ConnectionPoolStats> {
        match &self.0.extras.pool {
            Some(pool) => Ok(pool.pool_stats()),
            None => Err(NetworkError::unsupported("http.connection_pool_stats", "pool_stats")),
        }
    }

    fn extended_capabilities(&self) -> HttpExtendedCapabilities {
        let mut capabilities = HttpExtendedCapabilities::default();
        capabilities.streaming = true;
        capabilities.compression = codec::CODINGS.to_vec();
        capabilities.pool_stats = self.0.extras.pool.is_some();
        #[cfg(feature = "websocket")]
        {
            let own = match &self.0.extras.websocket {
                WebSockets::Own => Some(crate::websocket::CAPABILITIES),
                WebSockets::Other(client) => Some(client.capabilities()),
                WebSockets::Unsupported => None,
            };
            capabilities.websocket = own.is_some();
            capabilities.websocket_compression = own.is_some_and(|own| own.compression);
        }
        capabilities.oauth2 = cfg!(feature = "oauth2");
        capabilities.jwt = cfg!(all(feature = "jwt", any(feature = "aws-lc-rs", feature = "ring")));
        capabilities
    }
}

impl<T> Clone for StandardHttpClient<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for StandardHttpClient<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StandardHttpClient")
            .field("stack", &self.0.stack)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::chain::Wrapper;
    use crate::{HttpClientBuilder, MemoryHttpClient};

    fn future_size(next: &impl Next) -> usize {
        let request = Box::new(HttpRequest::new(Method::GET, "http://api.test/"));
        size_of_val(&next.send(request))
    }

    /// Allocators have fast paths for blocks up to 1,024 bytes; larger ones cost several times as much.
    #[test]
    fn the_futures_of_a_call_and_of_an_attempt_are_small_blocks() {
        let client = HttpClientBuilder::over(MemoryHttpClient::new()).build().unwrap();
        let stack = &*client.0.stack;
        let timed = stack.inner().inner();
        #[cfg(feature = "cache")]
        let timed = timed.inner();
        let attempt = timed.inner().inner().inner();
        for (part, size) in [("call", future_size(stack)), ("attempt", future_size(attempt))] {
            assert!(size <= 1_024, "the future of a {part} has {size} bytes");
        }
    }
}
