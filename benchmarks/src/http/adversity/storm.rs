//! Ten thousand requests to a server that at random resets, stalls, truncates, or announces wrong lengths.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use futures_util::{StreamExt, stream};
use networking_impls::circuit_breaker::SlidingWindowCircuitBreaker;
use networking_impls::http::{Configured, ConfiguredTransport, HttpClientBuilder, StandardHttpClient, TransportConfig};
use networking_spi::circuit_breaker::{CircuitBreakerConfig, CircuitMode};
use networking_spi::http::{HttpCircuitOptions, HttpClient, HttpClientExt, RetryPolicy};
use tokio::time::{Instant, timeout};

use super::hostile::{BODY_LIMIT, HostileServer, Plan, Verdict};
use crate::measure::Samples;
use crate::report::{Better, Row};

const REQUESTS: u64 = 10_000;
const IN_FLIGHT: usize = 256;
const SEED: u64 = 20_260_101;

/// The time limit of a request.
const LIMIT: Duration = Duration::from_secs(2);
/// An allowance for a busy machine.
const SLACK: Duration = Duration::from_millis(500);
/// A request that takes longer counts as hung.
const FOR_EVER: Duration = Duration::from_secs(30);

struct Outcome {
    number: u64,
    /// `None` if the request hung.
    ended: Option<(Verdict, &'static str)>,
    took: Duration,
}

pub(super) fn rows() -> Vec<Row> {
    let url = serve();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let clients: [(_, Box<dyn HttpClient>); 2] = [
        ("hyper", Box::new(client(HttpClientBuilder::hyper()))),
        ("reqwest", Box::new(client(HttpClientBuilder::reqwest()))),
    ];
    clients
        .iter()
        .flat_map(|(transport, client)| rows_of(transport, &runtime.block_on(outcomes(&**client, &url))))
        .collect()
}

async fn outcomes(client: &dyn HttpClient, url: &str) -> Vec<Outcome> {
    stream::iter(0..REQUESTS)
        .map(|number| request(client, url, number))
        .buffer_unordered(IN_FLIGHT)
        .collect()
        .await
}

fn rows_of(transport: &str, outcomes: &[Outcome]) -> Vec<Row> {
    print_breakdown(transport, outcomes);
    let row = |what: &str, unit, better, found, goal| {
        Row::absolute(
            format!("10 000 requests to a hostile server, over {transport}: {what}"),
            unit,
            better,
            &Samples::counted(found),
            Some(goal),
        )
    };
    let count = |wanted: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count() as f64;
    let judged = |verdict| count(&|outcome| outcome.ended.is_some_and(|(found, _)| found == verdict));
    let slowest = outcomes
        .iter()
        .map(|outcome| outcome.took.as_secs_f64())
        .fold(0.0, f64::max);
    let none = |what: &str, found: f64| row(what, "requests", Better::Lower, found, 0.0);
    vec![
        row(
            "ended within their limit",
            "requests",
            Better::Higher,
            count(&|outcome| outcome.ended.is_some() && outcome.took <= LIMIT + SLACK),
            REQUESTS as f64,
        ),
        row(
            "the slowest, of 2 s allowed",
            "s",
            Better::Lower,
            slowest,
            (LIMIT + SLACK).as_secs_f64(),
        ),
        none("hung", count(&|outcome| outcome.ended.is_none())),
        none("error of the wrong kind", judged(Verdict::Unclassified)),
        none("wrong body", judged(Verdict::WrongBody)),
    ]
}

/// All layers except retries. The breaker is in metrics-only mode, so it rejects nothing.
fn client<T: ConfiguredTransport>(builder: HttpClientBuilder<Configured<T>>) -> StandardHttpClient<T> {
    let breaker = SlidingWindowCircuitBreaker::builder()
        .default_config(CircuitBreakerConfig::new().with_mode(CircuitMode::MetricsOnly))
        .build()
        .expect("the settings are valid");
    super::super::full_stack(builder)
        .transport(
            TransportConfig::new()
                .with_connect_timeout(LIMIT / 2)
                .with_read_timeout(LIMIT * 3 / 4),
        )
        .retry(RetryPolicy::disabled())
        .circuit_breaker(Arc::new(breaker), HttpCircuitOptions::default())
        .total_timeout(LIMIT)
        .attempt_timeout(LIMIT / 2)
        .max_response_size(Some(BODY_LIMIT))
        .build()
        .expect("the settings are valid")
}

async fn request(client: &dyn HttpClient, url: &str, number: u64) -> Outcome {
    let url = format!("{url}{number}");
    let begin = Instant::now();
    let result = timeout(FOR_EVER, async { client.get(&url).await?.bytes().await }).await;
    let took = begin.elapsed();
    let ended = result.ok().map(|result| {
        let kind = result.as_ref().map_or_else(|error| error.kind().as_str(), |_| "body");
        (Plan::new(SEED, number).judge(&result), kind)
    });
    Outcome { number, ended, took }
}

/// Prints how the requests ended, by the behaviour of the server.
fn print_breakdown(transport: &str, outcomes: &[Outcome]) {
    let mut counts: BTreeMap<_, BTreeMap<&str, u64>> = BTreeMap::new();
    for outcome in outcomes {
        let kinds = counts.entry(Plan::new(SEED, outcome.number).behaviour).or_default();
        let kind = outcome.ended.map_or("hung", |(_, kind)| kind);
        *kinds.entry(kind).or_default() += 1;
    }
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["the server", &format!("requests over {transport} ended in")]);
    for (behaviour, kinds) in counts {
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        table.add_row([format!("{behaviour:?}"), kinds.join(", ")]);
    }
    println!("{table}");
}

/// Starts the server in its own thread, which runs until the process ends. Returns the URL to which the number of a
/// request is appended.
fn serve() -> String {
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be built");
        runtime.block_on(async {
            let server = HostileServer::start(SEED).await.expect("a free port");
            let url = server.url(0);
            tell.send(url.trim_end_matches('0').to_owned())
                .expect("the caller waits for the URL");
            std::future::pending::<()>().await;
        });
    });
    told.recv().expect("the server starts")
}
