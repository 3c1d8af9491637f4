//! HTTP/2 (RFC 9113), over each transport: what ends a body, what an error is, what may be sent again, and how requests share
//! connections. Servers are scripts of frames.

mod bodies;
pub(crate) mod frames;
mod heads;
mod interim;
mod sharing;
mod unprocessed;

use std::time::Duration;

use networking_http::{HttpVersion, TransportConfig};
use networking_spi::NetworkError;
use networking_spi::http::HttpClient;

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
