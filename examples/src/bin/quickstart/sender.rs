//! The sending side: an application that posts webhooks.

use std::future::ready;
use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use hmac::{Hmac, KeyInit, Mac};
use networking_impls::circuit_breaker::SlidingWindowCircuitBreaker;
use networking_impls::http::HttpClientBuilder;
use networking_spi::circuit_breaker::{CircuitBreakerConfig, CircuitEventKind, OpenPolicy, TripPolicy};
use networking_spi::http::{
    CircuitScope, HttpCircuitOptions, HttpRequest, HttpResponse, Intercepted, Interceptor, RequestOptions, RetryPolicy,
    StatusCode,
};
use networking_spi::prelude::*;
use sha2::Sha256;
use tokio::task::JoinHandle;

use crate::Arguments;
use crate::deliveries::{Deliveries, Delivery};
use crate::pipeline::{Pipeline, SECRET};

/// The name of the listener's circuit.
const CIRCUIT: &str = "listener";

/// The results on the sending side.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Deliveries answered with 2xx: their payload must arrive.
    pub(crate) accepted: Vec<Delivery>,
    /// Deliveries that failed, with the reason.
    pub(crate) given_up: Vec<(String, String)>,
    /// Deliveries answered with 401.
    pub(crate) rejected: usize,
    pub(crate) retries: u64,
    pub(crate) breaker_transitions: usize,
}

impl Sent {
    /// The number of all deliveries.
    pub(crate) fn total(&self) -> usize {
        self.accepted.len() + self.given_up.len() + self.rejected
    }
}

/// Sends all deliveries and the forged ones, and waits for the responses.
pub(crate) async fn send_all(
    arguments: &Arguments,
    pipeline: &Pipeline,
    deliveries: &Deliveries,
) -> Result<Sent, NetworkError> {
    let breaker = Arc::new(
        SlidingWindowCircuitBreaker::builder()
            .default_config(
                CircuitBreakerConfig::new()
                    .with_trip(TripPolicy::consecutive(3))
                    .with_open(OpenPolicy::fixed(Duration::from_millis(20))),
            )
            .seed(arguments.seed)
            .build()?,
    );
    let client: Arc<dyn HttpClient> = Arc::new(
        HttpClientBuilder::new()
            .base_url(pipeline.url())
            .default_header("content-type", "application/json")
            .total_timeout(Duration::from_secs(60))
            .timeout(Duration::from_secs(10))
            // A local listener responds immediately, so the delays are short. There is no retry budget, because with
            // `--fail-rate` most requests may fail.
            .retry(RetryPolicy::new(50).with_delays(Duration::from_millis(5), Duration::from_millis(50)).with_budget(None))
            .circuit_breaker(
                Arc::clone(&breaker) as Arc<dyn CircuitBreaker>,
                HttpCircuitOptions::new().with_scope(CircuitScope::Named(CIRCUIT.to_owned())),
            )
            .interceptor(Arc::new(Sign))
            .build()?,
    );

    let forged = deliveries
        .all
        .iter()
        .cycle()
        .take(arguments.forge)
        .enumerate()
        .map(|(index, delivery)| {
            let delivery = Delivery {
                id: format!("forged-{}", index + 1),
                ..delivery.clone()
            };
            (delivery, true)
        });
    let genuine = deliveries.all.iter().map(|delivery| (delivery.clone(), false));
    let all: Vec<(Delivery, bool)> = genuine.chain(forged).collect();

    let transitions = count_transitions(&*breaker)?;
    let mut progress = Progress::new(all.len());
    let mut sent = Sent {
        accepted: Vec::new(),
        given_up: Vec::new(),
        rejected: 0,
        retries: 0,
        breaker_transitions: 0,
    };
    let mut responses = stream::iter(all)
        .map(|(delivery, forged)| {
            let client = Arc::clone(&client);
            async move { (post(&*client, &delivery, forged).await, delivery) }
        })
        .buffer_unordered(arguments.concurrency.into());
    while let Some((response, delivery)) = responses.next().await {
        progress.advance();
        match response {
            Ok(response) if response.is_success() => sent.accepted.push(delivery),
            Ok(response) if response.status == StatusCode::UNAUTHORIZED => sent.rejected += 1,
            Ok(response) => sent
                .given_up
                .push((delivery.id, format!("answered with {}", response.status))),
            Err(error) => sent.given_up.push((delivery.id, error.to_string())),
        }
    }
    progress.clear();
    drop(responses);

    sent.retries = client.client_metrics()?.retries;
    // The stream of events ends when the breaker is dropped.
    drop((client, breaker));
    sent.breaker_transitions = transitions.await.unwrap_or_default();
    Ok(sent)
}

/// Counts state changes from this call until the breaker is dropped.
fn count_transitions(breaker: &dyn CircuitBreaker) -> Result<JoinHandle<usize>, NetworkError> {
    let events = breaker.subscribe()?;
    let changes = events.filter(|event| ready(matches!(event.kind, CircuitEventKind::StateChanged { .. })));
    Ok(tokio::spawn(changes.count()))
}

async fn post(client: &dyn HttpClient, delivery: &Delivery, forged: bool) -> Result<HttpResponse, NetworkError> {
    let mut request = client
        .post("webhooks")
        .header("x-github-event", &delivery.event)
        .header("x-github-delivery", &delivery.id)
        // The receiver recognizes repeated deliveries by their id, so a retry is safe.
        .options(RequestOptions::new().with_idempotent(true))
        .body(delivery.payload.clone());
    if forged {
        request = request.header(SIGNATURE, format!("sha256={}", "0".repeat(64)));
    }
    request.await
}

const SIGNATURE: &str = "x-hub-signature-256";

/// Signs requests as GitHub does. Requests that have a signature keep it.
#[derive(Debug)]
struct Sign;

#[async_trait]
impl Interceptor for Sign {
    async fn before(&self, request: HttpRequest) -> Result<Intercepted, NetworkError> {
        if request.headers.contains_key(SIGNATURE) {
            return Ok(Intercepted::Continue(request));
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(request.body.as_bytes().map_or(&[][..], |bytes| &bytes[..]));
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        Ok(Intercepted::Continue(request.with_header(SIGNATURE, signature)?))
    }
}

/// The number of finished deliveries, on standard error if that is a terminal.
struct Progress {
    total: usize,
    finished: usize,
    shown: bool,
}

impl Progress {
    fn new(total: usize) -> Self {
        Self {
            total,
            finished: 0,
            shown: stderr().is_terminal(),
        }
    }

    fn advance(&mut self) {
        self.finished += 1;
        if self.shown {
            // Errors of the terminal are ignored.
            let _ = write!(stderr(), "\r{} of {} deliveries", self.finished, self.total);
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
