//! Reads server-sent events. Each connection ends after three events. The client reconnects with the id of the last event, so
//! it misses none.
//!
//! ```sh
//! cargo run -p networking-examples --bin server_sent_events
//! cargo run -p networking-examples --features tls --bin server_sent_events -- --url https://stream.wikimedia.org/v2/stream/recentchange
//! ```
//!
//! It needs the feature `tls` for https.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use networking_examples::loopback::{Loopback, Request, response};
use networking_impls::http::{EventSource, HttpClientBuilder};
use networking_spi::http::{Method, RetryPolicy};
use networking_spi::prelude::*;

const TICKS: u64 = 8;

#[derive(Parser)]
struct Arguments {
    /// The URL of the stream; defaults to a server in this process.
    #[arg(long)]
    url: Option<String>,
    /// The number of events after which the program stops.
    #[arg(long)]
    events: Option<usize>,
}

#[derive(serde::Deserialize)]
struct Tick {
    tick: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let server = Loopback::start(|request, _| ticks(&request)).await?;
    let own_server = arguments.url.is_none();
    let url = arguments.url.unwrap_or_else(|| server.url("/ticks"));

    let http: Arc<dyn HttpClient> = Arc::new(HttpClientBuilder::new().build()?);
    let mut events = EventSource::new(http, HttpRequest::new(Method::GET, url.as_str()))?
        .with_reconnect(RetryPolicy::new(5).with_delays(Duration::from_millis(20), Duration::from_secs(5)))?
        .on_reconnect(|reconnect| match reconnect.error {
            Some(error) => println!("-- {error}; reconnecting in {:?}", reconnect.delay),
            None => println!("-- the server ended the stream; reconnecting in {:?}", reconnect.delay),
        });

    let mut count = 0;
    let mut seen = Vec::new();
    while let Some(event) = events.try_next().await? {
        println!("{} {} {}", event.id, event.event, event.data);
        if own_server {
            seen.push(event.json::<Tick>()?.tick);
        }
        count += 1;
        if Some(count) == arguments.events {
            return Ok(());
        }
    }
    println!("the server has no more events");

    if own_server && !seen.iter().copied().eq(1..=TICKS) {
        return Err(format!("events are missing or repeated: {seen:?}").into());
    }
    Ok(())
}

/// The three ticks after the last one that the client received, or 204 if there are no more.
fn ticks(request: &Request) -> Vec<u8> {
    let last: u64 = request
        .header("last-event-id")
        .and_then(|id| id.parse().ok())
        .unwrap_or_default();
    if last >= TICKS {
        return response("204 No Content", &[], 0, b"");
    }
    let mut body = String::from("retry: 50\n: ticks\n\n");
    for tick in last + 1..=(last + 3).min(TICKS) {
        let _ = write!(body, "event: tick\nid: {tick}\ndata: {{\"tick\": {tick}}}\n\n");
    }
    response(
        "200 OK",
        &[("content-type", "text/event-stream")],
        body.len(),
        body.as_bytes(),
    )
}
