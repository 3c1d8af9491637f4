//! Harnesses of the WebSocket connections, shared by the tests that run the conformance suite.
#![allow(dead_code, reason = "each test binary uses some of it")]

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use networking_conformance::Harness;
use networking_conformance::websocket::WebSocketHarness;
use networking_http::websocket::{ReconnectPolicy, ReconnectingWebSocket, WebSocketConnector};
use networking_http::{HttpClientBuilder, MemoryHttpClient, TransportConfig};
use networking_spi::Result;
use networking_spi::compression::CompressionType;
use networking_spi::http::{
    ConnectionPoolStats, HttpExtended, HttpExtendedCapabilities, HttpRequest, HttpStream, JwtAlgorithm, JwtClaims,
    OAuth2Request, OAuth2Token,
};
use networking_spi::websocket::{WebSocketConnection, WebSocketRequest};

/// The connections of the standard client.
pub(crate) struct Tungstenite;

/// The same, each in a reconnecting connection that is configured not to reconnect.
pub(crate) struct Reconnecting;

impl Harness for Tungstenite {
    fn backend(&self) -> &'static str {
        "tungstenite"
    }
}

impl WebSocketHarness for Tungstenite {
    fn client(&self) -> Arc<dyn HttpExtended> {
        // The transport is not used, and one without a network is created faster.
        let connector = WebSocketConnector::new(TransportConfig::default()).expect("the defaults are valid");
        let client = HttpClientBuilder::over(MemoryHttpClient::new())
            .websocket(connector)
            .build()
            .expect("the defaults are valid");
        Arc::new(client)
    }
}

impl Harness for Reconnecting {
    fn backend(&self) -> &'static str {
        "tungstenite-reconnecting"
    }
}

impl WebSocketHarness for Reconnecting {
    fn client(&self) -> Arc<dyn HttpExtended> {
        Arc::new(ReconnectingClient(Tungstenite.client()))
    }
}

#[derive(Debug)]
struct ReconnectingClient(Arc<dyn HttpExtended>);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl HttpExtended for ReconnectingClient {
    async fn stream_request(&self, request: HttpRequest, chunk_size: usize) -> Result<HttpStream> {
        self.0.stream_request(request, chunk_size).await
    }

    async fn websocket_connect(&self, request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
        let connection = ReconnectingWebSocket::builder(Arc::clone(&self.0), request)
            .policy(ReconnectPolicy::new().with_max_attempts(0))
            .connect()
            .await?;
        Ok(connection)
    }

    async fn authenticate_oauth2(&self, request: OAuth2Request) -> Result<OAuth2Token> {
        self.0.authenticate_oauth2(request).await
    }

    async fn authenticate_jwt(&self, token: &str, algorithm: JwtAlgorithm) -> Result<JwtClaims> {
        self.0.authenticate_jwt(token, algorithm).await
    }

    async fn compress_request(&self, data: Bytes, compression: CompressionType) -> Result<Bytes> {
        self.0.compress_request(data, compression).await
    }

    async fn decompress_response(&self, data: Bytes, compression: CompressionType) -> Result<Bytes> {
        self.0.decompress_response(data, compression).await
    }

    fn connection_pool_stats(&self) -> Result<ConnectionPoolStats> {
        self.0.connection_pool_stats()
    }

    fn extended_capabilities(&self) -> HttpExtendedCapabilities {
        self.0.extended_capabilities()
    }
}
