//! One circuit.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use failsafe::{FailurePolicy, StateMachine};
use networking_spi::circuit_breaker::{
    CallOutcome, CallRecord, CancelPolicy, Circuit, CircuitBreakerConfig, CircuitMetrics, CircuitRejection,
    CircuitState, CircuitTransition, Deadline, Permit, PermitToken, TransitionReason, TripPolicy,
};
use networking_spi::clock::{Clock, SystemClock};
use tokio::time::Instant;

/// The transitions that metrics list.
const MAX_TRANSITIONS: usize = 16;

/// A named state machine, and what the contract asks beyond it.
pub(crate) struct FailsafeCircuit {
    name: Arc<str>,
    book: Mutex<Book>,
}

/// The machine has no accessor for its state, so the book follows its decisions.
struct Book {
    machine: StateMachine<Policy, ()>,
    /// What the machine asks when a call fails.
    trip: Arc<Mutex<Trip>>,
    config: Arc<CircuitBreakerConfig>,
    state: CircuitState,
    entered_at: Instant,
    clock: SystemClock,
    /// The time of each state up to `entered_at`, and the counters.
    totals: CircuitMetrics,
    /// Results of calls that were admitted in another generation are stale.
    generation: u64,
}

/// When the machine opens, and for how long.
struct Trip {
    config: Arc<CircuitBreakerConfig>,
    failures: u32,
    /// Openings since the circuit was last closed.
    openings: u32,
    probing: bool,
    /// The dependency asked for no calls until then.
    hold_until: Option<Instant>,
    /// The open time of the latest opening.
    opened_for: Duration,
}

struct Policy(Arc<Mutex<Trip>>);

impl FailurePolicy for Policy {
    fn record_success(&mut self) {
        lock(&self.0).failures = 0;
    }

    fn mark_dead_on_failure(&mut self) -> Option<Duration> {
        let mut trip = lock(&self.0);
        trip.failures = trip.failures.saturating_add(1);
        let TripPolicy::ConsecutiveFailures { failures } = trip.config.trip else {
            return None;
        };
        if !trip.probing && trip.failures < failures {
            return None;
        }
        trip.openings = trip.openings.saturating_add(1);
        let backoff = &trip.config.open.backoff;
        let asked = trip
            .hold_until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        let time = backoff
            .delay(trip.openings, fastrand::f64())
            .max(asked)
            .min(backoff.maximum);
        trip.opened_for = time;
        Some(time)
    }

    fn revived(&mut self) {
        let mut trip = lock(&self.0);
        trip.failures = 0;
        trip.openings = 0;
        trip.hold_until = None;
    }
}

impl FailsafeCircuit {
    pub(crate) fn new(name: &str, config: CircuitBreakerConfig) -> Self {
        let config = Arc::new(config);
        let trip = Arc::new(Mutex::new(Trip {
            config: Arc::clone(&config),
            failures: 0,
            openings: 0,
            probing: false,
            hold_until: None,
            opened_for: Duration::ZERO,
        }));
        Self {
            name: name.into(),
            book: Mutex::new(Book {
                machine: StateMachine::new(Policy(Arc::clone(&trip)), ()),
                trip,
                config,
                state: CircuitState::Closed,
                entered_at: Instant::now(),
                clock: SystemClock::new(),
                totals: CircuitMetrics::default(),
                generation: 1,
            }),
        }
    }

    pub(crate) fn configure(&self, config: CircuitBreakerConfig) {
        let mut book = self.book();
        book.config = Arc::new(config);
        lock(&book.trip).config = Arc::clone(&book.config);
    }

    pub(crate) fn reset(&self) {
        let mut book = self.book();
        book.machine.reset();
        book.machine.on_success();
        book.enter(CircuitState::Closed, TransitionReason::Reset);
        book.generation += 1;
        book.entered_at = Instant::now();
        // Calls in flight and the transitions remain.
        let before = std::mem::take(&mut book.totals);
        book.totals.in_flight = before.in_flight;
        book.totals.transition_count = before.transition_count;
        book.totals.transitions = before.transitions;
        lock(&book.trip).hold_until = None;
    }

    /// The book, after the open time has been looked at.
    fn book(&self) -> MutexGuard<'_, Book> {
        let mut book = lock(&self.book);
        if book.state == CircuitState::Open && book.remaining().is_zero() && book.machine.is_call_permitted() {
            book.enter(CircuitState::HalfOpen, TransitionReason::OpenTimeElapsed);
        }
        book
    }
}

impl Book {
    /// The rest of the open time.
    fn remaining(&self) -> Duration {
        lock(&self.trip).opened_for.saturating_sub(self.entered_at.elapsed())
    }

    fn enter(&mut self, state: CircuitState, reason: TransitionReason) {
        if self.state == state {
            return;
        }
        let (from, now) = (self.state, Instant::now());
        self.totals
            .time_in
            .add(from, now.saturating_duration_since(self.entered_at));
        self.entered_at = now;
        self.state = state;
        self.generation += 1;
        self.totals.transition_count += 1;
        self.totals.times_opened += u64::from(state == CircuitState::Open);
        let at = self.clock.now();
        self.totals
            .transitions
            .push(CircuitTransition::new(from, state, reason, at));
        if self.totals.transitions.len() > MAX_TRANSITIONS {
            self.totals.transitions.remove(0);
        }
        lock(&self.trip).probing = state == CircuitState::HalfOpen;
    }

    fn failed(&mut self, asked: Option<Duration>) {
        {
            let mut trip = lock(&self.trip);
            let until = asked.and_then(|asked| Instant::now().checked_add(asked));
            trip.hold_until = trip.hold_until.max(until);
        }
        let probing = self.state == CircuitState::HalfOpen;
        let openings = lock(&self.trip).openings;
        self.machine.on_error();
        if lock(&self.trip).openings > openings {
            let reason = if probing {
                TransitionReason::ProbeFailed
            } else {
                TransitionReason::ConsecutiveFailures
            };
            self.enter(CircuitState::Open, reason);
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Circuit for FailsafeCircuit {
    fn name(&self) -> &str {
        &self.name
    }

    #[allow(clippy::elidable_lifetime_names, reason = "as the trait")]
    fn try_acquire<'a>(&'a self) -> Result<Permit<'a>, CircuitRejection> {
        let mut book = self.book();
        if !book.machine.is_call_permitted() {
            book.totals.rejected += 1;
            let rest = Some(book.remaining());
            return Err(CircuitRejection::new(Arc::clone(&self.name), CircuitState::Open, rest));
        }
        book.totals.in_flight += 1;
        Ok(Permit::new(self, PermitToken::new(book.generation)))
    }

    fn state(&self) -> CircuitState {
        self.book().state
    }

    fn metrics(&self) -> CircuitMetrics {
        let book = self.book();
        let mut metrics = book.totals.clone();
        metrics.state = book.state;
        metrics.mode = book.config.mode;
        metrics.in_state_for = book.entered_at.elapsed();
        metrics.time_in.add(book.state, metrics.in_state_for);
        metrics.retry_after = (book.state == CircuitState::Open).then(|| book.remaining());
        if book.state == CircuitState::Closed {
            metrics.consecutive_failures = lock(&book.trip).failures;
        }
        metrics
    }

    fn config(&self) -> Arc<CircuitBreakerConfig> {
        Arc::clone(&self.book().config)
    }

    fn deadline(&self, limit: Option<Duration>) -> Option<Deadline> {
        let limit = limit.or(lock(&self.book).config.call_timeout)?;
        Some(Deadline::new(limit, Box::pin(tokio::time::sleep(limit))))
    }

    fn complete(&self, token: PermitToken, record: CallRecord) {
        let mut book = self.book();
        book.totals.in_flight = book.totals.in_flight.saturating_sub(1);
        let outcome = record.outcome.unwrap_or(match book.config.on_cancel {
            _ if record.panicked => CallOutcome::Failure,
            CancelPolicy::Failure => CallOutcome::Failure,
            _ => CallOutcome::Ignored,
        });
        if token.generation() != book.generation {
            book.totals.stale += 1;
            return;
        }
        match outcome {
            CallOutcome::Success => book.totals.successes += 1,
            CallOutcome::Failure => book.totals.failures += 1,
            _ => book.totals.ignored += 1,
        }
        match outcome {
            CallOutcome::Success => {
                book.machine.on_success();
                // The machine closes at the first success.
                book.enter(CircuitState::Closed, TransitionReason::ProbesSucceeded);
            }
            CallOutcome::Failure => book.failed(record.retry_after),
            _ => {}
        }
    }
}

impl fmt::Debug for FailsafeCircuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailsafeCircuit")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The state is valid after every panic: each change is a whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
