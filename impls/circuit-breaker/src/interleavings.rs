//! Every interleaving of small scenarios, tried by loom. How to run it: see CONTRIBUTING.
//!
//! Covered with the real code: the gate's word, streak and open time, the lock, probe slots and their leases, late results,
//! the outbox of events. Counters are not loom's here, lest their interleavings multiply: all threads add to the shared stripe. The owned stripes have a model
//! of their own, of plain loads and stores handed from thread to thread by a bit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64 as StdAtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::{FutureExt, StreamExt};
use loom::sync::atomic::{AtomicU32, AtomicU64};
use loom::thread;
use networking_spi::circuit_breaker::{
    CallOutcome, CallRecord, Circuit, CircuitBreakerConfig, CircuitEventKind, CircuitMode, CircuitState, OpenPolicy,
    TripPolicy,
};
use networking_spi::clock::Clock;

use super::circuit::SlidingWindowCircuit;
use super::counters::{give_back, take_bit};
use super::events::EventHub;

const OPEN: Duration = Duration::from_secs(1);

/// Time that only the scenario moves.
#[derive(Debug, Default)]
struct Hand(StdAtomicU64);

impl Clock for Hand {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

impl Hand {
    fn advance(&self, time: Duration) {
        self.0.fetch_add(super::nanos(time), Ordering::Relaxed);
    }
}

/// A circuit that the first failure opens, for a second; one probe, whose lease is as long.
fn circuit() -> (Arc<SlidingWindowCircuit>, Arc<Hand>) {
    let (circuit, clock, _) = circuit_that_opens_after(1);
    (circuit, clock)
}

fn circuit_that_opens_after(failures: u32) -> (Arc<SlidingWindowCircuit>, Arc<Hand>, Arc<EventHub>) {
    let clock = Arc::new(Hand::default());
    let config = CircuitBreakerConfig::new()
        .with_trip(TripPolicy::consecutive(failures))
        .with_open(OpenPolicy::fixed(OPEN));
    let hub = Arc::new(EventHub::new(16, Arc::clone(&clock) as _));
    let circuit = SlidingWindowCircuit::new(
        "subject".into(),
        1,
        Arc::new(config),
        Arc::clone(&clock) as _,
        Arc::clone(&hub),
        fastrand::Rng::with_seed(1),
    );
    (Arc::new(circuit), clock, hub)
}

fn end(circuit: &SlidingWindowCircuit, outcome: CallOutcome) {
    let token = circuit.acquire().expect("the circuit lets the call through");
    circuit.settle(token, CallRecord::new(outcome));
}

fn half_open() -> Arc<SlidingWindowCircuit> {
    let (circuit, clock) = circuit();
    let token = circuit.acquire().expect("closed");
    circuit.settle(token, CallRecord::new(CallOutcome::Failure));
    clock.advance(OPEN);
    circuit
}

#[test]
fn one_slot_admits_one_of_two() {
    loom::model(|| {
        let circuit = half_open();
        let other = Arc::clone(&circuit);
        let second = thread::spawn(move || other.acquire().is_ok());
        let first = circuit.acquire().is_ok();
        assert!(first ^ second.join().unwrap(), "exactly one probe");
    });
}

#[test]
fn a_success_that_races_with_the_trip_keeps_nothing_closed() {
    loom::model(|| {
        let (circuit, _) = circuit();
        let other = Arc::clone(&circuit);
        let succeeding = thread::spawn(move || {
            if let Ok(token) = other.acquire() {
                other.settle(token, CallRecord::new(CallOutcome::Success));
            }
        });
        if let Ok(token) = circuit.acquire() {
            circuit.settle(token, CallRecord::new(CallOutcome::Failure));
        }
        succeeding.join().unwrap();
        let metrics = circuit.metrics();
        assert_eq!((metrics.state, metrics.in_flight), (CircuitState::Open, 0));
        assert_eq!(metrics.failures, 1);
        assert_eq!(metrics.successes + metrics.stale + metrics.rejected, 1);
    });
}

#[test]
fn a_late_success_does_not_outvote_a_failed_probe() {
    loom::model(|| {
        let (circuit, clock) = circuit();
        let late = circuit.acquire().expect("closed");
        let token = circuit.acquire().expect("closed");
        circuit.settle(token, CallRecord::new(CallOutcome::Failure));
        clock.advance(OPEN);
        let other = Arc::clone(&circuit);
        let late = thread::spawn(move || other.settle(late, CallRecord::new(CallOutcome::Success)));
        let probe = circuit.acquire().expect("half-open");
        circuit.settle(probe, CallRecord::new(CallOutcome::Failure));
        late.join().unwrap();
        let metrics = circuit.metrics();
        assert_eq!((metrics.state, metrics.stale), (CircuitState::Open, 1));
    });
}

/// Whichever of the two comes first, three failures around a success are not three in a row.
#[test]
fn a_success_that_races_with_a_failure_still_ends_the_streak() {
    loom::model(|| {
        let (circuit, _, _) = circuit_that_opens_after(3);
        end(&circuit, CallOutcome::Failure);
        let other = Arc::clone(&circuit);
        let failing = thread::spawn(move || end(&other, CallOutcome::Failure));
        end(&circuit, CallOutcome::Success);
        failing.join().unwrap();
        end(&circuit, CallOutcome::Failure);
        assert_eq!(circuit.metrics().state, CircuitState::Closed);
    });
}

/// A probe comes back when its lease has just ended, as another call wants its slot.
#[test]
fn a_slot_whose_lease_has_ended_is_given_away_once() {
    loom::model(|| {
        let (circuit, clock) = circuit();
        end(&circuit, CallOutcome::Failure);
        clock.advance(OPEN);
        let late = circuit.acquire().expect("half-open");
        clock.advance(OPEN);
        let other = Arc::clone(&circuit);
        let late = thread::spawn(move || other.settle(late, CallRecord::new(CallOutcome::Success)));
        let next = circuit.acquire();
        late.join().unwrap();
        assert!(next.is_ok(), "the slot is free, whether its probe came back or not");
        assert!(circuit.acquire().is_err(), "and it is one slot");
        let metrics = circuit.metrics();
        assert_eq!(
            (metrics.state, metrics.stale, metrics.in_flight),
            (CircuitState::HalfOpen, 1, 1)
        );
    });
}

/// Two threads change the state at once: a subscriber gets each change, and in an order that makes sense.
#[test]
fn every_change_reaches_the_subscriber_in_order() {
    loom::model(|| {
        let (circuit, _, hub) = circuit_that_opens_after(1);
        let events = hub.subscribe();
        let other = Arc::clone(&circuit);
        let resetting = thread::spawn(move || other.reset());
        circuit.force(CircuitMode::ForcedOpen);
        resetting.join().unwrap();
        let changes = circuit.metrics().transition_count;
        drop((circuit, hub));
        let events: Vec<_> = events
            .collect()
            .now_or_never()
            .expect("the breaker is gone, so nothing is left to come");
        let mut state = CircuitState::Closed;
        let mut seen = 0;
        for event in events {
            if let CircuitEventKind::StateChanged { from, to, .. } = event.kind {
                assert_eq!(from, state, "no change is missing or overtaken");
                state = to;
                seen += 1;
            }
        }
        // A reset also sets the number back: what came before it is only in the events.
        assert!(
            seen >= changes && (1..=2).contains(&seen),
            "{seen} events of {changes} changes"
        );
    });
}

/// Threads that own a stripe one after the other, or one each, count with plain loads and stores and lose nothing.
#[test]
fn a_stripe_has_one_owner_at_a_time() {
    loom::model(|| {
        let taken = loom::sync::Arc::new(AtomicU32::new(0));
        let stripe = loom::sync::Arc::new(AtomicU64::new(0));
        let count = |taken: &AtomicU32, stripe: &AtomicU64| {
            // One stripe for all: who finds it taken does not count here.
            let Some(bit) = take_bit(taken, 1) else { return 0 };
            stripe.store(stripe.load(Ordering::Relaxed) + 1, Ordering::Release);
            give_back(taken, bit);
            1
        };
        let (their_taken, their_stripe) = (taken.clone(), stripe.clone());
        let theirs = thread::spawn(move || count(&their_taken, &their_stripe));
        let counted = count(&taken, &stripe) + theirs.join().unwrap();
        assert_eq!(stripe.load(Ordering::Acquire), counted);
    });
}
