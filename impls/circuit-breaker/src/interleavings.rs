//! Small scenarios that loom runs in every interleaving. CONTRIBUTING describes how to run them.
//!
//! They cover the real code of the gate (word, streak and open time), the lock, the probe slots and leases, late results and
//! pending events. The counters do not use loom's atomics, which would multiply the interleavings: all threads add to the
//! shared stripe. A separate model covers the owned stripes: loads and stores by threads that own a bit in turn.

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
use super::counters::{release_bit, take_bit};
use super::events::EventHub;

const OPEN: Duration = Duration::from_secs(1);

/// A clock that only the scenario advances.
#[derive(Debug, Default)]
struct ManualClock(StdAtomicU64);

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

impl ManualClock {
    fn advance(&self, time: Duration) {
        self.0.fetch_add(super::nanos(time), Ordering::Relaxed);
    }
}

/// A circuit that opens for one second at the first failure, with one probe whose lease is one second.
fn circuit() -> (Arc<SlidingWindowCircuit>, Arc<ManualClock>) {
    let (circuit, clock, _) = circuit_that_opens_after(1);
    (circuit, clock)
}

fn circuit_that_opens_after(failures: u32) -> (Arc<SlidingWindowCircuit>, Arc<ManualClock>, Arc<EventHub>) {
    let clock = Arc::new(ManualClock::default());
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
    let token = circuit.acquire().expect("the circuit admits the call");
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
fn a_success_that_races_with_the_trip_does_not_keep_the_circuit_closed() {
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
fn a_late_success_does_not_override_a_failed_probe() {
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

/// In both orders, three failures with a success among them are not consecutive.
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

/// A probe ends just after its lease, while another call asks for its slot.
#[test]
fn a_slot_whose_lease_has_ended_is_reused_once() {
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
        assert!(next.is_ok(), "the slot is free, whether its probe has ended or not");
        assert!(circuit.acquire().is_err(), "there is only one slot");
        let metrics = circuit.metrics();
        assert_eq!(
            (metrics.state, metrics.stale, metrics.in_flight),
            (CircuitState::HalfOpen, 1, 1)
        );
    });
}

/// Two threads change the state concurrently: a subscriber gets every change, in order.
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
            .expect("the breaker is dropped, so the stream has ended");
        let mut state = CircuitState::Closed;
        let mut seen = 0;
        for event in events {
            if let CircuitEventKind::StateChanged { from, to, .. } = event.kind {
                assert_eq!(from, state, "no change is missing or out of order");
                state = to;
                seen += 1;
            }
        }
        // A reset also resets `transition_count`: earlier changes are only in the events.
        assert!(
            seen >= changes && (1..=2).contains(&seen),
            "{seen} events of {changes} changes"
        );
    });
}

/// Threads that own a stripe in turn count with loads and stores and lose no count.
#[test]
fn a_stripe_has_one_owner_at_a_time() {
    loom::model(|| {
        let taken = loom::sync::Arc::new(AtomicU32::new(0));
        let stripe = loom::sync::Arc::new(AtomicU64::new(0));
        let count = |taken: &AtomicU32, stripe: &AtomicU64| {
            // There is one stripe. A thread that does not get it does not count.
            let Some(bit) = take_bit(taken, 1) else { return 0 };
            stripe.store(stripe.load(Ordering::Relaxed) + 1, Ordering::Release);
            release_bit(taken, bit);
            1
        };
        let (their_taken, their_stripe) = (taken.clone(), stripe.clone());
        let theirs = thread::spawn(move || count(&their_taken, &their_stripe));
        let counted = count(&taken, &stripe) + theirs.join().unwrap();
        assert_eq!(stripe.load(Ordering::Acquire), counted);
    });
}
