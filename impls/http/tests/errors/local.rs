//! Calls that fail before they are sent.

use std::sync::Arc;
use std::time::Duration;

use networking_conformance::proof::circuit_breaker::ModelBreaker;
use networking_http::layer::RateLimit;
use networking_spi::circuit_breaker::{CircuitBreakerConfig, TripPolicy};
use networking_spi::http::{HttpCircuitOptions, HttpClient, RetryPolicy};
use tokio::sync::mpsc;

use crate::errors::backend::{Backend, ConnectSettings, Failed, SECRET, failing, post};
use crate::raw::{RawServer, closed_port};

pub(crate) async fn invalid_url(backend: &Backend) -> Failed {
    failing(&*backend.client(), post(&format!("http://u:{SECRET}@host:port/"))).await
}

pub(crate) async fn foreign_scheme(backend: &Backend) -> Failed {
    failing(&*backend.client(), post(&format!("ftp://u:{SECRET}@127.0.0.1/"))).await
}

pub(crate) async fn no_turn(backend: &Backend) -> Failed {
    let (seen, _requests) = mpsc::unbounded_channel();
    let server = RawServer::answering("HTTP/1.1 204 No Content\r\n\r\n", seen).await;
    let one_per_hour = RateLimit::new(1, Duration::from_secs(3_600)).with_max_wait(Duration::ZERO);
    let client = backend.client_with(ConnectSettings::default(), |builder| builder.rate_limit(one_per_hour));
    client.request(post(&server.url("/"))).await.unwrap();
    failing(&*client, post(&server.url("/"))).await
}

pub(crate) async fn circuit_open(backend: &Backend) -> Failed {
    let breaker = ModelBreaker::new(CircuitBreakerConfig::new().with_trip(TripPolicy::consecutive(1)));
    let client = backend.client_with(ConnectSettings::default(), |builder| {
        builder
            .retry(RetryPolicy::disabled())
            .circuit_breaker(Arc::new(breaker), HttpCircuitOptions::default())
    });
    let url = format!("http://127.0.0.1:{}/", closed_port());
    client.request(post(&url)).await.unwrap_err();
    failing(&*client, post(&url)).await
}
