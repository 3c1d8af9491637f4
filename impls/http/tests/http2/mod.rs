//! HTTP/2 (RFC 9113), over each transport: what ends a body, what an error is, what may be sent again, and how requests share
//! connections. Servers are scripts of frames.

mod bodies;
mod frames;
mod heads;
mod sharing;
mod unprocessed;

use std::sync::Arc;
use std::time::Duration;

use networking_http::{HttpVersion, HyperTransport, ReqwestTransport, TransportConfig};
use networking_spi::NetworkError;
use networking_spi::http::HttpClient;

/// A transport that speaks HTTP/2 without TLS.
type Make = fn(TransportConfig) -> Arc<dyn HttpClient>;

const HYPER: Make = |config| Arc::new(HyperTransport::new(config).unwrap());
const REQWEST: Make = |config| Arc::new(ReqwestTransport::new(config).unwrap());

fn config() -> TransportConfig {
    TransportConfig::new()
        .with_version(HttpVersion::Http2)
        .with_read_timeout(Duration::from_secs(3_600))
}

/// The error of a request, up to the last byte of the response.
async fn error_of(client: &dyn HttpClient, request: networking_spi::http::HttpRequest) -> NetworkError {
    match client.request(request).await {
        Err(error) => error,
        Ok(response) => match response.bytes().await {
            Err(error) => error,
            Ok(body) => panic!("the request succeeded with {body:?}"),
        },
    }
}

/// A test of each function over each transport.
macro_rules! over_both {
    ($($test:ident),+ $(,)?) => {
        mod hyper {
            $(#[tokio::test] async fn $test() { super::$test($crate::http2::HYPER).await; })+
        }
        mod reqwest {
            $(#[tokio::test] async fn $test() { super::$test($crate::http2::REQWEST).await; })+
        }
    };
}

/// Tests over the hyper transport alone.
macro_rules! over_hyper {
    ($($test:ident),+ $(,)?) => {
        mod hyper_alone {
            $(#[tokio::test] async fn $test() { super::$test($crate::http2::HYPER).await; })+
        }
    };
}

use {over_both, over_hyper};
