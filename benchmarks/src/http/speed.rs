//! Requests over loopback against raw reqwest: same server, same requests, same checks.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use networking_impls::http::{HttpClientBuilder, ReqwestConfig, ReqwestTransport};
use networking_spi::http::{HttpClient, HttpRequest, Method};
use tokio::runtime::Runtime;

use super::server;
use crate::measure::{Rounds, alternate, per_second, time};
use crate::report::{Better, Row};

/// Requests per second.
pub(super) fn rows(rounds: Rounds) -> Vec<Row> {
    let address = server::serve();
    // Client and server have a core each.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system gives a runtime");
    let raw = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("the defaults are valid");
    let transport = ReqwestTransport::new(ReqwestConfig::default()).expect("the defaults are valid");
    let stack: Arc<dyn HttpClient> = Arc::new(
        super::full_stack(HttpClientBuilder::new())
            .build()
            .expect("the configuration is valid"),
    );

    let mut rows = Vec::new();
    for (size, name, calls) in [(0, "0 B", 4_000), (1 << 10, "1 KiB", 4_000), (1 << 20, "1 MiB", 150)] {
        for in_flight in [1, 64] {
            let load = Load {
                url: format!("http://{address}/{size}"),
                size,
                calls,
                in_flight,
            };
            for (ours, client, goal) in [
                ("transport", &transport as &dyn HttpClient, 0.98),
                ("full stack", &*stack as &dyn HttpClient, 0.95),
            ] {
                let (our_samples, raw_samples) = alternate(
                    rounds,
                    || load.through_client(&runtime, client),
                    || load.through_reqwest(&runtime, &raw),
                );
                rows.push(Row::against(
                    format!("{ours}, {name} body, {in_flight} in flight"),
                    "requests/s",
                    Better::Higher,
                    "raw reqwest",
                    (&our_samples, &raw_samples),
                    Some(goal),
                ));
            }
        }
    }
    rows
}

/// A number of equal requests.
struct Load {
    url: String,
    size: usize,
    calls: usize,
    in_flight: usize,
}

impl Load {
    fn through_client(&self, runtime: &Runtime, client: &dyn HttpClient) -> f64 {
        self.run(runtime, || async {
            let response = client
                .request(HttpRequest::new(Method::GET, self.url.as_str()))
                .await
                .expect("a response");
            assert!(response.is_success(), "the server answers 200");
            response.bytes().await.expect("a whole body").len()
        })
    }

    fn through_reqwest(&self, runtime: &Runtime, client: &reqwest::Client) -> f64 {
        self.run(runtime, || async {
            let response = client.get(self.url.as_str()).send().await.expect("a response");
            assert!(response.status().is_success(), "the server answers 200");
            response.bytes().await.expect("a whole body").len()
        })
    }

    /// Requests per second; every body is checked.
    fn run<F: Future<Output = usize>>(&self, runtime: &Runtime, call: impl Fn() -> F) -> f64 {
        let (bytes, elapsed) = time(|| {
            runtime.block_on(
                stream::iter(0..self.calls)
                    .map(|_| call())
                    .buffer_unordered(self.in_flight)
                    .fold(0, |sum, size| async move { sum + size }),
            )
        });
        assert_eq!(bytes, self.calls * self.size, "every body was whole");
        per_second(self.calls as u64, elapsed)
    }
}
