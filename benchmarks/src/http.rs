//! The HTTP client against raw reqwest: same loopback server, same requests, same checks.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use networking_impls::circuit_breaker::SlidingWindowCircuitBreaker;
use networking_impls::http::layer::RateLimit;
use networking_impls::http::{HttpClientBuilder, ReqwestConfig, ReqwestTransport};
use networking_spi::http::{HttpCircuitOptions, HttpClient, HttpRequest, Interceptor, Method, RetryPolicy};
use tokio::runtime::Runtime;

use crate::measure::{Rounds, alternate, per_second, time};
use crate::report::{Better, Row};

/// All rows of the domain.
pub(crate) fn run(rounds: Rounds) -> Vec<Row> {
    let address = serve();
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
    let stack = full_stack();

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

/// Metrics, rate limit, timeouts, budgeted retry, circuit breaker and one interceptor.
fn full_stack() -> Arc<dyn HttpClient> {
    #[derive(Debug)]
    struct PassOn;

    #[async_trait::async_trait]
    impl Interceptor for PassOn {}

    let breaker = SlidingWindowCircuitBreaker::builder()
        .build()
        .expect("the defaults are valid");
    let client = HttpClientBuilder::new()
        .rate_limit(RateLimit::per_second(1_000_000).with_burst(1_000_000))
        .timeout(Duration::from_secs(60))
        .attempt_timeout(Duration::from_secs(30))
        .retry(RetryPolicy::default())
        .circuit_breaker(Arc::new(breaker), HttpCircuitOptions::default())
        .interceptor(Arc::new(PassOn))
        .build()
        .expect("the configuration is valid");
    Arc::new(client)
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

/// A server that answers `/N` with N bytes.
fn serve() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener
        .set_nonblocking(true)
        .expect("a socket can be made non-blocking");
    let address = listener.local_addr().expect("a bound socket has an address");
    let zeros = Bytes::from(vec![0_u8; 1 << 20]);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("the system gives a runtime");
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime with I/O");
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).expect("a TCP socket");
                let zeros = zeros.clone();
                let answer = service_fn(move |request: Request<Incoming>| {
                    let size: usize = request.uri().path()[1..].parse().expect("the path is a size");
                    let body = zeros.slice(..size);
                    async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
                });
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer));
            }
        });
    });
    address
}
