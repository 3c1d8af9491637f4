//! The cost of the layers alone: the full stack over a transport that responds immediately, without a network.

use std::sync::Arc;

use async_trait::async_trait;
use cpu_time::ThreadTime;
use networking_impls::http::HttpClientBuilder;
use networking_spi::circuit_breaker::CircuitBreaker;
use networking_spi::http::{
    HttpCapabilities, HttpCircuitOptions, HttpClient, HttpClientMetrics, HttpRequest, HttpResponse, Method,
    RetryPolicy, StatusCode,
};
use networking_spi::{NetworkError, Result};
use url::Url;

use crate::allocations;
use crate::measure::{Rounds, alone, nanos_per_call};
use crate::report::{Better, Row};

const CALLS: u64 = 200_000;

/// CPU time and allocations per request, including the construction of the request.
pub(super) fn rows(rounds: Rounds) -> Vec<Row> {
    let (at_once, after_a_wait) = (NullTransport { waits: false }, NullTransport { waits: true });
    let stack = |transport| {
        super::full_stack(HttpClientBuilder::over(transport))
            .build()
            .expect("the configuration is valid")
    };
    let subjects: [(_, &dyn HttpClient, _); 4] = [
        ("null transport alone", &at_once, None),
        (
            "full stack over a null transport",
            &stack(at_once),
            Some((2_000.0, 20.0)),
        ),
        ("null transport that waits once, alone", &after_a_wait, None),
        (
            "full stack over a null transport that waits once",
            &stack(after_a_wait),
            None,
        ),
    ];
    let mut rows = Vec::new();
    for (work, client, goals) in subjects {
        let time = alone(rounds, || {
            let begin = ThreadTime::now();
            calls(client, CALLS);
            nanos_per_call(CALLS, begin.elapsed())
        });
        let made = alone(rounds, || {
            let ((), made) = allocations::count(|| calls(client, CALLS / 100));
            made as f64 / (CALLS / 100) as f64
        });
        rows.push(Row::absolute(
            work,
            "ns CPU/request",
            Better::Lower,
            &time,
            goals.map(|(nanos, _)| nanos),
        ));
        rows.push(Row::absolute(
            work,
            "allocations/request",
            Better::Lower,
            &made,
            goals.map(|(_, made)| made),
        ));
    }
    rows
}

fn calls(client: &dyn HttpClient, calls: u64) {
    let url = Url::parse("http://localhost:8080/items?page=7").expect("a URL");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        for _ in 0..calls {
            let request = HttpRequest::new(Method::GET, url.clone());
            let response = client.request(request).await.expect("a response");
            assert_eq!(response.status, StatusCode::OK);
        }
    });
}

/// Responds with 200 and an empty body, either immediately or after it has yielded once.
#[derive(Debug, Clone, Copy)]
struct NullTransport {
    /// Whether it yields before it responds. Timeouts start their timers only if it does.
    waits: bool,
}

#[async_trait]
impl HttpClient for NullTransport {
    async fn request(&self, _request: HttpRequest) -> Result<HttpResponse> {
        if self.waits {
            tokio::task::yield_now().await;
        }
        Ok(HttpResponse::new(StatusCode::OK))
    }

    fn capabilities(&self) -> HttpCapabilities {
        HttpCapabilities::none()
    }

    fn client_metrics(&self) -> Result<HttpClientMetrics> {
        Err(NetworkError::unsupported("http.client_metrics", "metrics"))
    }

    fn configure_retry_policy(&self, _policy: RetryPolicy) -> Result<()> {
        Err(NetworkError::unsupported("http.configure_retry_policy", "retry"))
    }

    fn configure_circuit_breaker(&self, _breaker: Arc<dyn CircuitBreaker>, _options: HttpCircuitOptions) -> Result<()> {
        Err(NetworkError::unsupported(
            "http.configure_circuit_breaker",
            "circuit_breaker",
        ))
    }
}
