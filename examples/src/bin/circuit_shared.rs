//! One circuit breaker for several HTTP clients: when requests of one client to a host fail, the circuit of the host opens for
//! all clients. The hosts are in memory.
//!
//! ```sh
//! cargo run -p networking-examples --bin circuit_shared
//! ```

use std::sync::Arc;
use std::time::Duration;

use networking_impls::circuit_breaker::SlidingWindowCircuitBreaker;
use networking_impls::http::{HttpClientBuilder, MemoryHttpClient, Reply, Responder};
use networking_spi::circuit_breaker::{CircuitBreakerConfig, OpenPolicy, TripPolicy};
use networking_spi::http::{HttpCircuitOptions, Method, StatusCode};
use networking_spi::prelude::*;

const OPEN: Duration = Duration::from_millis(100);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), NetworkError> {
    let config = CircuitBreakerConfig::new()
        .with_trip(TripPolicy::consecutive(3))
        .with_open(OpenPolicy::fixed(OPEN));
    let breaker: Arc<dyn CircuitBreaker> =
        Arc::new(SlidingWindowCircuitBreaker::builder().default_config(config).build()?);

    // The search host fails three times and then works. The other host always works.
    let hosts = MemoryHttpClient::new();
    let down = || Reply::new(StatusCode::SERVICE_UNAVAILABLE);
    let search = Responder::in_order([down(), down(), down(), Reply::ok()]);
    hosts.route(Method::GET, "https://search.example/query", search)?;
    hosts.route(Method::GET, "https://users.example/me", Reply::ok())?;

    let clients = [
        ("checkout", Duration::from_secs(2)),
        ("catalogue", Duration::from_secs(5)),
        ("mobile", Duration::from_secs(1)),
    ]
    .map(|(name, timeout)| {
        // Each client has separate wrappers and settings. They share the breaker and its circuits.
        let client = HttpClientBuilder::over(hosts.clone())
            .timeout(timeout)
            .retries(0)
            .circuit_breaker(Arc::clone(&breaker), HttpCircuitOptions::default())
            .build();
        client.map(|client| (name, client))
    });
    let clients = clients.into_iter().collect::<Result<Vec<_>, _>>()?;

    println!("the search host fails:");
    let (name, first) = &clients[0];
    for _ in 0..3 {
        show(name, first, "https://search.example/query").await;
    }
    println!("the circuit is open for every client, and no request reaches the host:");
    for (name, client) in &clients {
        show(name, client, "https://search.example/query").await;
    }
    println!("another host has another circuit:");
    for (name, client) in &clients {
        show(name, client, "https://users.example/me").await;
    }
    tokio::time::sleep(OPEN).await;
    println!("after the open time one client probes, and the circuit closes for all:");
    for (name, client) in clients.iter().rev() {
        show(name, client, "https://search.example/query").await;
    }

    println!("requests that reached a host: {}", hosts.received().len());
    for (circuit, state) in breaker.all_circuit_states() {
        let metrics = breaker.circuit_metrics(&circuit)?;
        println!(
            "{circuit}: {state}, {} succeeded, {} failed, {} rejected, {} transitions, open for {:?}",
            metrics.successes, metrics.failures, metrics.rejected, metrics.transition_count, metrics.time_in.open
        );
    }
    Ok(())
}

async fn show(name: &str, client: &dyn HttpClient, url: &str) {
    match client.get(url).await {
        Ok(response) => println!("  {name:<10} {url}: {}", response.status),
        Err(error) => println!("  {name:<10} {url}: {error}"),
    }
}
