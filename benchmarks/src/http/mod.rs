//! The HTTP client: the cost of the layers alone, and requests over loopback, compared with peers.

mod adversity;
mod null;
mod server;
mod speed;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use networking_impls::circuit_breaker::SlidingWindowCircuitBreaker;
use networking_impls::http::HttpClientBuilder;
use networking_impls::http::layer::RateLimit;
use networking_spi::http::{HttpCircuitOptions, Interceptor, RetryPolicy};

use crate::measure::Rounds;
use crate::report::Row;

/// A part of the domain: its name, and the function that measures it.
type Part = (&'static str, fn(Rounds) -> Vec<Row>);

const PARTS: [Part; 8] = [
    ("null", null::rows),
    ("speed", speed::rows),
    ("http2", speed::http2),
    ("latency", speed::latency),
    ("websocket", websocket::rows),
    ("hostile", adversity::hostile),
    ("bombs", adversity::bombs),
    ("streams", adversity::streams),
];

/// The rows of one part, or of all.
pub(crate) fn run(rounds: Rounds, part: Option<&str>) -> Vec<Row> {
    let wanted = |name: &str| part.is_none_or(|part| part == name);
    assert!(
        PARTS.iter().any(|(name, _)| wanted(name)),
        "the parts of this domain are {:?}",
        PARTS.map(|(name, _)| name)
    );
    let parts = PARTS.into_iter().filter(|(name, _)| wanted(name));
    parts.flat_map(|(_, rows)| rows(rounds)).collect()
}

pub(crate) use adversity::child;

/// The full stack: metrics, rate limit, timeouts, budgeted retry, circuit breaker and one interceptor.
fn full_stack<S>(builder: HttpClientBuilder<S>) -> HttpClientBuilder<S> {
    #[derive(Debug)]
    struct PassOn;

    #[async_trait::async_trait]
    impl Interceptor for PassOn {}

    let breaker = SlidingWindowCircuitBreaker::builder()
        .build()
        .expect("the defaults are valid");
    builder
        .rate_limit(RateLimit::per_second(1_000_000).with_burst(1_000_000))
        .total_timeout(Duration::from_secs(60))
        .attempt_timeout(Duration::from_secs(30))
        .retry(RetryPolicy::default())
        .circuit_breaker(Arc::new(breaker), HttpCircuitOptions::default())
        .interceptor(Arc::new(PassOn))
}
