//! One circuit.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::time::Duration;

use arc_swap::ArcSwap;
use networking_spi::circuit_breaker::{
    CallOutcome, CallRecord, Circuit, CircuitBreakerConfig, CircuitEvent, CircuitEventKind, CircuitMetrics,
    CircuitMode, CircuitRejection, CircuitState, Deadline, Permit, PermitToken, TripPolicy,
};
use networking_spi::clock::Clock;

use super::counters::{Counter, Counters, Totals};
use super::events::EventHub;
use super::gate::Gate;
use super::machine::{Admission, CallEnd, Machine, MachineContext, remaining, start_mark};
use super::nanos;
use super::sync::Mutex;

/// A circuit: a gate that admits calls without a lock while the circuit is closed, and the state machine behind it.
pub(super) struct SlidingWindowCircuit {
    gate: Gate,
    counters: Counters,
    /// The configured call timeout in nanoseconds, 0 for none. A copy, so that calls need not load the configuration.
    call_timeout: AtomicU64,
    name: Arc<str>,
    /// Distinguishes this circuit from evicted ones of the same name.
    serial: u64,
    config: ArcSwap<CircuitBreakerConfig>,
    clock: Arc<dyn Clock>,
    hub: Arc<EventHub>,
    locked: Mutex<Locked>,
    /// Held by the thread that publishes, so that events are published in order.
    publishing: Mutex<()>,
    evicted: AtomicBool,
    /// Whether the circuit was configured individually. It is then never evicted, because a new one would have the default
    /// configuration.
    configured: AtomicBool,
}

#[derive(Debug)]
struct Locked {
    machine: Machine,
    /// The current configuration. A copy, so that the machine sees the one that belongs to its state.
    config: Arc<CircuitBreakerConfig>,
    /// The totals at the last reset.
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

    /// Admits a call. Returns a token instead of a permit, for callers that do not borrow the circuit during the call.
    #[inline]
    pub(super) fn acquire(&self) -> Result<PermitToken, CircuitRejection> {
        let word = self.gate.load();
        if word.admits_untimed() {
            self.counters.add(Counter::Admitted);
            Ok(PermitToken::new(word.generation()))
        } else {
            self.acquire_slow()
        }
    }

    /// Records the end of a call.
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
            self.settle_slow(token, record);
        }
    }

    /// The timeout of a call: `limit`, or else the configured call timeout.
    #[inline]
    pub(super) fn time_limit(&self, limit: Option<Duration>) -> Option<Duration> {
        limit.or_else(|| match self.call_timeout.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        })
    }

    /// The state at this moment. Unlike `state`, it changes nothing and publishes no event: a circuit whose open time has
    /// passed is reported as half-open and becomes it later.
    pub(super) fn effective_state(&self) -> CircuitState {
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
            let cx = self.context(&locked.config);
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
            locked.machine.configure(self.context(&locked.config));
        });
    }

    /// The number of admitted calls. Two equal values mean that the circuit was not used in between.
    pub(super) fn admitted(&self) -> u64 {
        self.counters.totals().admitted
    }

    /// Marks the circuit as evicted if a new circuit would behave the same: closed, in the configured mode, not configured
    /// individually, without failures, calls in flight and handles outside of the registry.
    pub(super) fn try_evict(self: &Arc<Self>) -> bool {
        if self.configured.load(Ordering::Relaxed) {
            return false;
        }
        self.evicted.store(true, Ordering::SeqCst);
        // Either this thread sees the reference of a handle that is being cloned, or the thread that clones it sees the mark
        // in `is_evicted`.
        fence(Ordering::SeqCst);
        let unused = Arc::strong_count(self) == 1 && self.counters.totals().in_flight() == 0 && self.is_pristine();
        if !unused {
            self.evicted.store(false, Ordering::SeqCst);
        }
        unused
    }

    /// Publishes no pending events: the registry is locked by the caller, and subscribers may call the registry.
    fn is_pristine(&self) -> bool {
        let mut locked = self.locked.lock();
        let Locked { machine, config, .. } = &mut *locked;
        machine.is_pristine(self.context(config))
    }

    /// Whether the circuit is evicted or about to be. Call this after cloning a handle.
    pub(super) fn is_evicted(&self) -> bool {
        fence(Ordering::SeqCst);
        self.evicted.load(Ordering::SeqCst)
    }

    #[cold]
    fn acquire_slow(&self) -> Result<PermitToken, CircuitRejection> {
        let word = self.gate.load();
        match word.state() {
            CircuitState::Closed => {
                let started_nanos = start_mark(self.now());
                self.counters.add(Counter::Admitted);
                return Ok(PermitToken::new(word.generation()).with_started_nanos(started_nanos));
            }
            CircuitState::Open if !word.dry_run() => {
                // Rejected without the lock, so that many calls of an open circuit do not contend for it.
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
        if self.hub.has_subscribers() {
            let kind = CircuitEventKind::Rejected { retry_after };
            self.hub
                .publish(CircuitEvent::new(Arc::clone(&self.name), self.clock.now(), kind));
        }
    }

    #[cold]
    fn settle_slow(&self, token: PermitToken, record: CallRecord) {
        let outcome = record.outcome_by(self.config.load().on_cancel);
        let slow = outcome != CallOutcome::Ignored && self.is_slow(token);
        let end = CallEnd {
            outcome,
            slow,
            retry_after: record.retry_after,
        };
        if !self.with_machine(|machine, cx| machine.settle(token, end, cx)) {
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
            // The call was not timed when it was admitted.
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

    fn context<'a>(&'a self, config: &'a CircuitBreakerConfig) -> MachineContext<'a> {
        MachineContext {
            gate: &self.gate,
            config,
            clock: &*self.clock,
        }
    }

    fn with_machine<T>(&self, act: impl FnOnce(&mut Machine, MachineContext<'_>) -> T) -> T {
        self.with_lock(|locked| act(&mut locked.machine, self.context(&locked.config)))
    }

    /// Runs `act` under the lock, and publishes its events after unlocking.
    fn with_lock<T>(&self, act: impl FnOnce(&mut Locked) -> T) -> T {
        let mut locked = self.locked.lock();
        let result = act(&mut locked);
        let has_events = locked.machine.has_pending_events();
        drop(locked);
        if has_events {
            self.publish();
        }
        result
    }

    /// Publishes the pending events. Never waits: if another thread publishes, that thread also publishes the new events. The
    /// same holds for a subscriber that calls the circuit while it is woken.
    fn publish(&self) {
        loop {
            let Some(publishing) = self.publishing.try_lock() else {
                return;
            };
            loop {
                let events = self.locked.lock().machine.take_pending_events();
                if events.is_empty() {
                    break;
                }
                for (at, kind) in events {
                    self.log(&kind);
                    if self.hub.has_subscribers() {
                        self.hub.publish(CircuitEvent::new(Arc::clone(&self.name), at, kind));
                    }
                }
            }
            drop(publishing);
            // Another thread may have added events before `publishing` was unlocked, and returned because it was locked.
            if !self.locked.lock().machine.has_pending_events() {
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
                tracing::info!(circuit = %self.name, %from, %to, %reason, "circuit state changed");
            }
            CircuitEventKind::ModeChanged { from, to } => {
                tracing::info!(circuit = %self.name, %from, %to, "circuit mode changed");
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
        let state = self.effective_state();
        if state != self.gate.load().state() {
            self.with_machine(Machine::refresh);
        }
        state
    }

    fn metrics(&self) -> CircuitMetrics {
        let (snapshot, baseline) = self.with_lock(|locked| {
            let cx = self.context(&locked.config);
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
