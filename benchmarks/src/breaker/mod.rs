//! Compares the circuit breaker with its peers: the cost of successful calls, and the behaviour in known pitfalls.

mod cost;
mod pitfalls;
mod subject;
mod threads;

use std::sync::Arc;

use networking_impls::circuit_breaker::SlidingWindowCircuitBreaker;
use networking_spi::circuit_breaker::{Circuit, CircuitBreaker, CircuitState};

use crate::measure::{Rounds, Samples, alternate};
use crate::report::{Better, Row};

pub(crate) use pitfalls::table as pitfalls;

const TOWER: &str = "tower-resilience";
const RECLOSER: &str = "recloser sync";

/// All rows of the domain. Values are CPU time of the calling thread, so other load on the machine does not count. Time
/// that a peer's calls wait for a lock does not count either, which favours the peer.
pub(crate) fn run(rounds: Rounds) -> Vec<Row> {
    let breaker: Arc<dyn CircuitBreaker> = Arc::new(SlidingWindowCircuitBreaker::new());
    let circuit = breaker.circuit("benchmark").expect("the name is valid");
    let mut rows = handle_rows(rounds, &*circuit);
    rows.extend(execute_rows(rounds, &breaker));
    assert_eq!(circuit.state(), CircuitState::Closed, "every call succeeded");
    rows.extend(window_rows(rounds));
    rows
}

fn handle_rows(rounds: Rounds, circuit: &dyn Circuit) -> Vec<Row> {
    let recloser = recloser::Recloser::default();
    let before = circuit.metrics().successes;
    let (one, peer_one) = alternate(
        rounds,
        || threads::one(cost::CALLS, || cost::handle(circuit)),
        || threads::one(cost::CALLS, || cost::recloser_sync(&recloser)),
    );
    let (two, peer_two) = alternate(
        rounds,
        || threads::two(cost::CALLS, || cost::handle(circuit)),
        || threads::two(cost::CALLS, || cost::recloser_sync(&recloser)),
    );
    // Both sides of the ratio run in the same round, so that a change of the CPU's speed does not look like contention.
    let (contended, alone) = alternate(
        rounds,
        || threads::two(cost::CALLS, || cost::handle(circuit)),
        || threads::one(cost::CALLS, || cost::handle(circuit)),
    );
    let counted = circuit.metrics().successes - before;
    assert!(counted >= cost::CALLS * 7 * rounds.0 as u64, "every call was counted");
    vec![
        Row::against(
            "handle, closed, success, 1 thread",
            "ns/call",
            Better::Lower,
            RECLOSER,
            (&one, &peer_one),
            Some(0.8),
        ),
        Row::against(
            "handle, closed, success, 2 threads",
            "ns/call",
            Better::Lower,
            RECLOSER,
            (&two, &peer_two),
            Some(0.8),
        ),
        Row::absolute(
            "handle, 2 contended threads over 1 thread",
            "x",
            Better::Lower,
            &Samples::ratio(&contended, &alone),
            Some(1.5),
        ),
    ]
}

fn execute_rows(rounds: Rounds, breaker: &Arc<dyn CircuitBreaker>) -> Vec<Row> {
    let service = cost::tower_consecutive();
    let (one, peer_one) = alternate(
        rounds,
        || threads::one(cost::ASYNC_CALLS, || cost::execute(breaker)),
        || threads::one(cost::ASYNC_CALLS, || cost::tower(&service)),
    );
    let (two, peer_two) = alternate(
        rounds,
        || threads::two(cost::ASYNC_CALLS, || cost::execute(breaker)),
        || threads::two_that_wait(cost::ASYNC_CALLS, || cost::tower(&service)),
    );
    vec![
        Row::against(
            "dyn execute_with_circuit_breaker by name, 1 thread",
            "ns/call",
            Better::Lower,
            TOWER,
            (&one, &peer_one),
            Some(0.5),
        ),
        Row::against(
            "dyn execute_with_circuit_breaker by name, 2 threads",
            "ns/call",
            Better::Lower,
            TOWER,
            (&two, &peer_two),
            Some(0.5),
        ),
    ]
}

/// The cost of a call by the number of calls that are already in the time window.
fn window_rows(rounds: Rounds) -> Vec<Row> {
    let (many, few) = alternate(rounds, || cost::time_window(1_000_000), || cost::time_window(1_000));
    let (peer_more, peer_few) = alternate(
        rounds,
        || cost::tower_time_window(10_000),
        || cost::tower_time_window(1_000),
    );
    let (more, _) = alternate(rounds, || cost::time_window(10_000), || 0.0);
    vec![
        Row::absolute(
            "time window, 1 000 000 calls in it over 1 000",
            "x",
            Better::Lower,
            &Samples::ratio(&many, &few),
            Some(1.2),
        ),
        Row::against(
            "time window, 1 000 calls in it",
            "ns/call",
            Better::Lower,
            TOWER,
            (&few, &peer_few),
            None,
        ),
        Row::against(
            "time window, 10 000 calls in it",
            "ns/call",
            Better::Lower,
            TOWER,
            (&more, &peer_more),
            None,
        ),
    ]
}
