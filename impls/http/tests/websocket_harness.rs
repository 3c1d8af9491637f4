//! Harnesses of the WebSocket connections, shared by the tests that run the conformance suite.
#![allow(dead_code, reason = "each test binary uses some of it")]

use std::sync::Arc;

use networking_conformance::Harness;
use networking_conformance::websocket::WebSocketHarness;
use networking_http::ReqwestTransport;
use networking_http::websocket::{ReconnectPolicy, ReconnectingWebSocketClient, WebSocketConnector};
use networking_http::{HttpClientBuilder, HyperTransport, TransportConfig};
use networking_spi::http::HttpClient;
use networking_spi::websocket::{HttpWebSocketClient, WebSocketClient};

/// Connections over a bare transport.
pub(crate) struct Tungstenite;

/// The connections of the standard client.
pub(crate) struct Standard;

/// Connections over the transport over reqwest.
pub(crate) struct OverReqwest;

/// Connections that reconnect, but are configured not to.
pub(crate) struct Reconnecting;

fn over(transport: impl HttpClient) -> Arc<dyn WebSocketClient> {
    Arc::new(WebSocketConnector::new(Arc::new(transport)))
}

impl Harness for Tungstenite {
    fn backend(&self) -> &'static str {
        "tungstenite"
    }
}

impl WebSocketHarness for Tungstenite {
    fn client(&self) -> Arc<dyn WebSocketClient> {
        over(HyperTransport::new(TransportConfig::default()).expect("the defaults are valid"))
    }
}

impl Harness for Standard {
    fn backend(&self) -> &'static str {
        "tungstenite-standard"
    }
}

impl WebSocketHarness for Standard {
    fn client(&self) -> Arc<dyn WebSocketClient> {
        // A case does not wait for retries of a refused handshake.
        let http = HttpClientBuilder::new()
            .retries(0)
            .build()
            .expect("the defaults are valid");
        Arc::new(HttpWebSocketClient::new(http))
    }
}

impl Harness for OverReqwest {
    fn backend(&self) -> &'static str {
        "tungstenite-reqwest"
    }
}

impl WebSocketHarness for OverReqwest {
    fn client(&self) -> Arc<dyn WebSocketClient> {
        over(ReqwestTransport::new(TransportConfig::default()).expect("the defaults are valid"))
    }
}

impl Harness for Reconnecting {
    fn backend(&self) -> &'static str {
        "tungstenite-reconnecting"
    }
}

impl WebSocketHarness for Reconnecting {
    fn client(&self) -> Arc<dyn WebSocketClient> {
        let policy = ReconnectPolicy::new().with_max_attempts(0);
        Arc::new(ReconnectingWebSocketClient::new(Tungstenite.client(), policy))
    }
}
