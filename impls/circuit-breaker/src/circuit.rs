//! One circuit of the sliding-window breaker.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::time::Duration;

use arc_swap::ArcSwap;
use networking_spi::circuit_breaker::{
    CallOutcome, CallRecord, CancelPolicy, Circuit, CircuitBreakerConfig, CircuitEvent, CircuitEventKind,
    CircuitMetrics, CircuitMode, CircuitRejection, CircuitState, Deadline, Permit, PermitToken, TripPolicy,
};
use networking_spi::clock::Clock;

use super::counters::{Counter, Counters, Totals};
use super::events::EventHub;
use super::gate::Gate;
use super::machine::{Admission, Ending, Machine, Surroundings, remaining, start_mark};
use super::nanos;
use super::sync::Mutex;

/// A circuit: a gate that healthy calls pass without a lock, and the state machine behind it.
pub(super) struct SlidingWindowCircuit {
    gate: Gate,
    counters: Counters,
    /// The configured call timeout in nanoseconds, 0 for none: a load instead of a look at the configuration per call.
    call_timeout: AtomicU64,
    name: Arc<str>,
    /// Tells apart the circuits that have had the same name, one after the other.
    serial: u64,
    config: ArcSwap<CircuitBreakerConfig>,
    clock: Arc<dyn Clock>,
    hub: Arc<EventHub>,
    locked: Mutex<Locked>,
    /// Held by the thread that publishes, so that events come out in the order in which they happened.
    publishing: Mutex<()>,
    evicted: AtomicBool,
    /// Set once the circuit has a configuration that only it knows: it is then never evicted.
    configured: AtomicBool,
}

#[derive(Debug)]
struct Locked {
    machine: Machine,
    /// The configuration in force, here as well, so that calls need not ask twice.
    config: Arc<CircuitBreakerConfig>,
    /// What the counters showed when the circuit was last reset.
    baseline: Totals,
}

impl SlidingWindowCircuit {
    pub(super) fn new(
        name: Arc<str>,
        serial: u64,
        config: Arc<CircuitBreakerConfig>,
        clock: Arc<dyn Clock>,
        hub: Arc<EventHub>,
        rng: fastrand::Rng,
    ) -> Self {
        let (machine, gate) = Machine::new(&config, &*clock, rng);
        Self {
            gate,
            counters: Counters::new(),
            call_timeout: AtomicU64::new(timeout_nanos(&config)),
            name,
            serial,
            config: ArcSwap::new(Arc::clone(&config)),
            clock,
            hub,
            locked: Mutex::new(Locked {
                machine,
                config,
                baseline: Totals::default(),
            }),
            publishing: Mutex::new(()),
            evicted: AtomicBool::new(false),
            configured: AtomicBool::new(false),
        }
    }

    /// The token of a permit, for callers that do not borrow the circuit while they hold it.
    #[inline]
    pub(super) fn acquire(&self) -> Result<PermitToken, CircuitRejection> {
        let word = self.gate.load();
        if word.admits_untimed() {
            self.counters.add(Counter::Admitted);
            Ok(PermitToken::new(word.generation()))
        } else {
            self.acquire_with_care()
        }
    }

    #[inline]
    pub(super) fn settle(&self, token: PermitToken, record: CallRecord) {
        let word = self.gate.load();
        if record.outcome == Some(CallOutcome::Success)
            && word.counts_successes_only()
            && word.generation() == token.generation()
            && token.probe() == 0
        {
            self.gate.end_streak();
            self.counters.add(Counter::Successes);
        } else {
            self.settle_with_care(token, record);
        }
    }

    /// The time limit of a call that asks for `limit`.
    #[inline]
    pub(super) fn time_limit(&self, limit: Option<Duration>) -> Option<Duration> {
        limit.or_else(|| match self.call_timeout.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        })
    }

    /// The state, where an open time that has passed counts as passed; changes nothing, and causes no event.
    pub(super) fn apparent_state(&self) -> CircuitState {
        let state = self.gate.load().state();
        if state == CircuitState::Open && self.now() >= self.gate.open_until() {
            return CircuitState::HalfOpen;
        }
        state
    }

    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn force(&self, mode: CircuitMode) {
        self.with_machine(|machine, cx| machine.force(mode, cx));
    }

    pub(super) fn reset(&self) {
        self.with_lock(|locked| {
            let cx = self.surroundings(&locked.config);
            locked.machine.reset(cx);
            locked.baseline = self.counters.totals();
        });
    }

    pub(super) fn configure(&self, config: CircuitBreakerConfig) {
        self.configured.store(true, Ordering::Relaxed);
        self.with_lock(|locked| {
            locked.config = Arc::new(config);
            self.config.store(Arc::clone(&locked.config));
            self.call_timeout
                .store(timeout_nanos(&locked.config), Ordering::Relaxed);
            locked.machine.configure(self.surroundings(&locked.config));
        });
    }

    /// Calls admitted so far: two equal readings mean that nobody used the circuit in between.
    pub(super) fn admitted(&self) -> u64 {
        self.counters.totals().admitted
    }

    /// Marks the circuit as evicted if nobody would miss it: closed in automatic mode, without failures, calls in flight
    /// or a handle outside of the registry.
    pub(super) fn try_evict(self: &Arc<Self>) -> bool {
        if self.configured.load(Ordering::Relaxed) {
            return false;
        }
        self.evicted.store(true, Ordering::SeqCst);
        // Either this thread sees the count of a handle that is just being made, or the thread that makes it sees the
        // mark: see `is_evicted`.
        fence(Ordering::SeqCst);
        let unused = Arc::strong_count(self) == 1 && self.counters.totals().in_flight() == 0 && self.is_pristine();
        if !unused {
            self.evicted.store(false, Ordering::SeqCst);
        }
        unused
    }

    /// Publishes nothing, whatever is in the outbox: the registry is locked meanwhile, and subscribers may call it.
    fn is_pristine(&self) -> bool {
        let mut locked = self.locked.lock();
        let Locked { machine, config, .. } = &mut *locked;
        machine.is_pristine(self.surroundings(config))
    }

    /// Whether the registry has given the circuit up, or is just about to. Asked after a handle was cloned.
    pub(super) fn is_evicted(&self) -> bool {
        fence(Ordering::SeqCst);
        self.evicted.load(Ordering::SeqCst)
    }

    #[cold]
    fn acquire_with_care(&self) -> Result<PermitToken, CircuitRejection> {
        let word = self.gate.load();
        match word.state() {
            CircuitState::Closed => {
                let started_nanos = start_mark(self.now());
                self.counters.add(Counter::Admitted);
                return Ok(PermitToken::new(word.generation()).with_started_nanos(started_nanos));
            }
            CircuitState::Open if !word.dry_run() => {
                // A flood of calls must not queue up for a lock only to be rejected.
                let (until, now) = (self.gate.open_until(), self.now());
                if now < until {
                    return Err(self.reject(CircuitState::Open, remaining(until, now)));
                }
            }
            CircuitState::Open | CircuitState::HalfOpen => {}
        }
        match self.with_machine(Machine::admit) {
            Admission::Admitted(token) => {
                self.counters.add(Counter::Admitted);
                Ok(token)
            }
            Admission::Rejected {
                retry_after,
                dry_run: Some(token),
                ..
            } => {
                self.counters.add(Counter::Admitted);
                self.count_rejection(retry_after);
                Ok(token)
            }
            Admission::Rejected { state, retry_after, .. } => Err(self.reject(state, retry_after)),
        }
    }

    fn reject(&self, state: CircuitState, retry_after: Option<Duration>) -> CircuitRejection {
        self.count_rejection(retry_after);
        CircuitRejection::new(Arc::clone(&self.name), state, retry_after)
    }

    fn count_rejection(&self, retry_after: Option<Duration>) {
        self.counters.add(Counter::Rejected);
        if self.hub.observed() {
            let kind = CircuitEventKind::Rejected { retry_after };
            self.hub
                .publish(CircuitEvent::new(Arc::clone(&self.name), self.clock.now(), kind));
        }
    }

    #[cold]
    fn settle_with_care(&self, token: PermitToken, record: CallRecord) {
        let outcome = match record.outcome {
            _ if record.panicked => CallOutcome::Failure,
            Some(outcome) => outcome,
            None => match self.config.load().on_cancel {
                CancelPolicy::Ignore => CallOutcome::Ignored,
                CancelPolicy::Failure => CallOutcome::Failure,
            },
        };
        let slow = outcome != CallOutcome::Ignored && self.is_slow(token);
        let ending = Ending {
            outcome,
            slow,
            retry_after: record.retry_after,
        };
        if !self.with_machine(|machine, cx| machine.settle(token, ending, cx)) {
            self.counters.add(Counter::Stale);
            return;
        }
        self.counters.add(match outcome {
            CallOutcome::Success => Counter::Successes,
            CallOutcome::Failure => Counter::Failures,
            CallOutcome::Ignored => Counter::Ignored,
        });
        if slow {
            self.counters.add(Counter::Slow);
        }
    }

    fn is_slow(&self, token: PermitToken) -> bool {
        if token.started_nanos() == 0 {
            // Not timed when it began.
            return false;
        }
        match &self.config.load().trip {
            TripPolicy::CountWindow { rates, .. } | TripPolicy::TimeWindow { rates, .. } => rates
                .slow_call_duration
                .is_some_and(|limit| start_mark(self.now()).saturating_sub(token.started_nanos()) >= nanos(limit)),
            _ => false,
        }
    }

    fn now(&self) -> u64 {
        nanos(self.clock.elapsed())
    }

    fn surroundings<'a>(&'a self, config: &'a CircuitBreakerConfig) -> Surroundings<'a> {
        Surroundings {
            gate: &self.gate,
            config,
            clock: &*self.clock,
        }
    }

    fn with_machine<T>(&self, act: impl FnOnce(&mut Machine, Surroundings<'_>) -> T) -> T {
        self.with_lock(|locked| act(&mut locked.machine, self.surroundings(&locked.config)))
    }

    /// Runs `act` under the lock, and publishes the events it caused after it.
    fn with_lock<T>(&self, act: impl FnOnce(&mut Locked) -> T) -> T {
        let mut locked = self.locked.lock();
        let result = act(&mut locked);
        let mail = locked.machine.has_mail();
        drop(locked);
        if mail {
            self.publish();
        }
        result
    }

    /// Empties the outbox. Never waits: where another thread publishes, that thread takes the new events along. A
    /// subscriber that calls back into the circuit while it is woken is served the same way.
    fn publish(&self) {
        loop {
            let Some(publishing) = self.publishing.try_lock() else {
                return;
            };
            loop {
                let mail = self.locked.lock().machine.take_outbox();
                if mail.is_empty() {
                    break;
                }
                for (at, kind) in mail {
                    self.log(&kind);
                    if self.hub.observed() {
                        self.hub.publish(CircuitEvent::new(Arc::clone(&self.name), at, kind));
                    }
                }
            }
            drop(publishing);
            // Mail that arrived between the last look and the unlocking found the door closed.
            if !self.locked.lock().machine.has_mail() {
                return;
            }
        }
    }

    fn log(&self, kind: &CircuitEventKind) {
        match kind {
            CircuitEventKind::StateChanged {
                from,
                to: CircuitState::Open,
                reason,
            } => {
                tracing::warn!(circuit = %self.name, %from, %reason, "circuit opened");
            }
            CircuitEventKind::StateChanged { from, to, reason } => {
                tracing::info!(circuit = %self.name, %from, %to, %reason, "circuit changed its state");
            }
            CircuitEventKind::ModeChanged { from, to } => {
                tracing::info!(circuit = %self.name, %from, %to, "circuit changed its mode");
            }
            _ => {}
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Circuit for SlidingWindowCircuit {
    fn name(&self) -> &str {
        &self.name
    }

    #[inline]
    fn try_acquire(&self) -> Result<Permit<'_>, CircuitRejection> {
        self.acquire().map(|token| Permit::new(self, token))
    }

    fn state(&self) -> CircuitState {
        let state = self.apparent_state();
        if state != self.gate.load().state() {
            self.with_machine(Machine::refresh);
        }
        state
    }

    fn metrics(&self) -> CircuitMetrics {
        let (snapshot, baseline) = self.with_lock(|locked| {
            let cx = self.surroundings(&locked.config);
            (locked.machine.snapshot(cx), locked.baseline)
        });
        let totals = self.counters.totals();
        let mut metrics = CircuitMetrics::default();
        metrics.state = snapshot.state;
        metrics.mode = snapshot.mode;
        metrics.successes = totals.successes.saturating_sub(baseline.successes);
        metrics.failures = totals.failures.saturating_sub(baseline.failures);
        metrics.ignored = totals.ignored.saturating_sub(baseline.ignored);
        metrics.rejected = totals.rejected.saturating_sub(baseline.rejected);
        metrics.stale = totals.stale.saturating_sub(baseline.stale);
        metrics.slow = totals.slow.saturating_sub(baseline.slow);
        metrics.in_flight = totals.in_flight();
        metrics.consecutive_failures = if snapshot.state == CircuitState::Closed {
            self.gate.streak()
        } else {
            0
        };
        metrics.window = snapshot.window;
        metrics.times_opened = snapshot.times_opened;
        metrics.in_state_for = snapshot.in_state_for;
        metrics.time_in = snapshot.time_in;
        metrics.retry_after = snapshot.retry_after;
        metrics.transition_count = snapshot.transition_count;
        metrics.transitions = snapshot.transitions;
        metrics
    }

    fn config(&self) -> Arc<CircuitBreakerConfig> {
        self.config.load_full()
    }

    #[inline]
    fn deadline(&self, limit: Option<Duration>) -> Option<Deadline> {
        self.time_limit(limit)
            .map(|limit| Deadline::new(limit, Box::pin(tokio::time::sleep(limit))))
    }

    #[inline]
    fn complete(&self, token: PermitToken, record: CallRecord) {
        self.settle(token, record);
    }
}

impl fmt::Debug for SlidingWindowCircuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlidingWindowCircuit")
            .field("name", &self.name)
            .field("state", &self.gate.load().state())
            .finish_non_exhaustive()
    }
}

fn timeout_nanos(config: &CircuitBreakerConfig) -> u64 {
    config.call_timeout.map_or(0, nanos)
}
