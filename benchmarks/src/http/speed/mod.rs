//! Requests over loopback with our client and with peers: same server, same requests, same checks.
//!
//! Each comparison has three rows. Requests per second and the 99th percentile of the latency are what a user sees, but other
//! load on the machine disturbs them. The CPU time of the client's thread per request explains them, and is stable.

mod http2;
mod latency;

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use cpu_time::ThreadTime;
use futures_util::{StreamExt, stream};
use networking_impls::http::{HttpClientBuilder, HyperTransport, ReqwestTransport, TransportConfig};
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::http::{HttpClient, HttpRequest, Method};
use reqwest_middleware::ClientWithMiddleware;
use reqwest_retry::RetryTransientMiddleware;
use reqwest_retry::policies::ExponentialBackoff;
use reqwest_tracing::TracingMiddleware;
use tokio::runtime::Runtime;

pub(super) use self::http2::rows as http2;
pub(super) use self::latency::rows as latency;
use super::server;
use crate::measure::{Rounds, Samples, in_turn, nanos_per_call, per_second, percentile_micros, time};
use crate::report::{Better, Row};

const LOADS: [(usize, &str, usize); 3] = [(0, "0 B", 6_000), (1 << 10, "1 KiB", 6_000), (1 << 20, "1 MiB", 500)];

/// Requests per second, 99th percentiles, and CPU time.
pub(super) fn rows(rounds: Rounds) -> Vec<Row> {
    let address = server::serve();
    // Client and server have a core each.
    let runtime = runtime();
    let raw = raw_reqwest();
    let middleware = reqwest_middleware::ClientBuilder::new(raw_reqwest())
        .with(TracingMiddleware::default())
        .with(RetryTransientMiddleware::new_with_policy(
            ExponentialBackoff::builder().build_with_max_retries(2),
        ))
        .build();
    let over_reqwest = ReqwestTransport::new(TransportConfig::default()).expect("the defaults are valid");
    let over_hyper = HyperTransport::new(TransportConfig::default()).expect("the defaults are valid");
    let stack_over_reqwest = super::full_stack(HttpClientBuilder::over(over_reqwest.clone()))
        .build()
        .expect("the configuration is valid");
    let stack_over_hyper = super::full_stack(HttpClientBuilder::over(over_hyper.clone()))
        .build()
        .expect("the configuration is valid");

    let mut rows = Vec::new();
    for (size, name, calls) in LOADS {
        for in_flight in [1, 64] {
            let load = Load {
                url: format!("http://{address}/{size}"),
                upload: None,
                size,
                calls,
                in_flight,
            };
            let measured = in_turn(
                rounds,
                &mut [
                    &mut || load.through_reqwest(&runtime, &raw),
                    &mut || load.through_middleware(&runtime, &middleware),
                    &mut || load.through_client(&runtime, &over_reqwest),
                    &mut || load.through_client(&runtime, &stack_over_reqwest),
                    &mut || load.through_client(&runtime, &over_hyper),
                    &mut || load.through_client(&runtime, &stack_over_hyper),
                ],
            );
            let [raw, middleware, ours @ ..] = &measured[..] else {
                unreachable!("as many results as sides");
            };
            for (transport, pair) in ["reqwest", "hyper"].iter().zip(ours.chunks(2)) {
                let work = |part: &str| format!("{part} over {transport}, {name} body, {in_flight} in flight");
                rows.extend(compare(&work("transport"), &pair[0], "raw reqwest", raw, 0.98));
                rows.extend(compare(&work("full stack"), &pair[1], "raw reqwest", raw, 0.95));
                rows.extend(compare(
                    &work("full stack"),
                    &pair[1],
                    "reqwest-middleware, -retry, -tracing",
                    middleware,
                    1.0,
                ));
            }
        }
    }
    rows
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

fn raw_reqwest() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("the defaults are valid")
}

/// `goal` applies to the throughput, and its inverse to the latency.
fn compare(work: &str, ours: &[Round], peer: &str, theirs: &[Round], goal: f64) -> [Row; 3] {
    let row = |unit, better, figure: fn(&Round) -> f64, goal| {
        let samples = (&Samples::figure(ours, figure), &Samples::figure(theirs, figure));
        Row::against(work, unit, better, peer, samples, goal)
    };
    let inverse = (100.0 / goal).round() / 100.0;
    [
        row("requests/s", Better::Higher, |round| round.per_second, Some(goal)),
        row("us p99", Better::Lower, Round::p99_micros, Some(inverse)),
        row("us CPU/request", Better::Lower, |round| round.cpu_micros, None),
    ]
}

/// The measurements of one side in one round.
struct Round {
    per_second: f64,
    /// Sorted.
    latencies: Vec<Duration>,
    /// CPU time of the client's thread per request.
    cpu_micros: f64,
}

impl Round {
    fn p99_micros(&self) -> f64 {
        percentile_micros(&self.latencies, 99.0)
    }
}

/// `calls` identical requests.
struct Load {
    url: String,
    /// The body of a POST. `None`: a GET.
    upload: Option<Bytes>,
    size: usize,
    calls: usize,
    in_flight: usize,
}

impl Load {
    fn through_client(&self, runtime: &Runtime, client: &dyn HttpClient) -> Round {
        self.run(runtime, || async {
            let request = match &self.upload {
                None => HttpRequest::new(Method::GET, self.url.as_str()),
                Some(body) => HttpRequest::new(Method::POST, self.url.as_str()).with_body(body.clone()),
            };
            let response = client.request(request).await.expect("a response");
            assert!(response.is_success(), "the server answers 200");
            response.bytes().await.expect("a whole body").len()
        })
    }

    fn through_reqwest(&self, runtime: &Runtime, client: &reqwest::Client) -> Round {
        self.run(runtime, || async {
            let request = match &self.upload {
                None => client.get(self.url.as_str()),
                Some(body) => client.post(self.url.as_str()).body(body.clone()),
            };
            let response = request.send().await.expect("a response");
            assert!(response.status().is_success(), "the server answers 200");
            response.bytes().await.expect("a whole body").len()
        })
    }

    fn through_middleware(&self, runtime: &Runtime, client: &ClientWithMiddleware) -> Round {
        self.run(runtime, || async {
            let response = client.get(self.url.as_str()).send().await.expect("a response");
            assert!(response.status().is_success(), "the server answers 200");
            response.bytes().await.expect("a whole body").len()
        })
    }

    /// Checks the total size of the bodies, and measures each latency from the call to the end of the body.
    fn run<F: Future<Output = usize>>(&self, runtime: &Runtime, call: impl Fn() -> F) -> Round {
        let clock = SystemClock::new();
        let latencies = RefCell::new(Vec::with_capacity(self.calls));
        let timed = || async {
            let begin = clock.elapsed();
            let size = call().await;
            latencies.borrow_mut().push(clock.elapsed().saturating_sub(begin));
            size
        };
        let processor = ThreadTime::now();
        let (bytes, elapsed) = time(|| {
            runtime.block_on(
                stream::iter(0..self.calls)
                    .map(|_| timed())
                    .buffer_unordered(self.in_flight)
                    .fold(0, |sum, size| async move { sum + size }),
            )
        });
        let busy: Duration = processor.elapsed();
        assert_eq!(bytes, self.calls * self.size, "every body was whole");
        let mut latencies = latencies.into_inner();
        latencies.sort_unstable();
        Round {
            per_second: per_second(self.calls as u64, elapsed),
            latencies,
            cpu_micros: nanos_per_call(self.calls as u64, busy) / 1e3,
        }
    }
}
