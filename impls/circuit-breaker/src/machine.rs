//! The state machine of a circuit. It runs under the circuit's lock.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use networking_spi::circuit_breaker::{
    CallOutcome, CircuitBreakerConfig, CircuitEventKind, CircuitMode, CircuitState, CircuitTransition, PermitToken,
    StateDurations, TransitionReason, TripPolicy, WindowMetrics,
};
use networking_spi::clock::Clock;

use super::backoff::open_time;
use super::gate::{FOREVER, Flags, Gate, Word};
use super::half_open::HalfOpen;
use super::nanos;
use super::window::{Sample, Window, tripped};

/// The maximum number of transitions in the metrics of a circuit.
const MAX_TRANSITIONS: usize = 32;

/// The probe number of a call that was admitted only because of dry run.
const DRY_RUN_PROBE: u64 = u64::MAX;

/// State, mode, window and history of one circuit. Every method is called with the lock held. It updates the gate for the
/// lock-free path and adds its events to `pending_events`.
#[derive(Debug)]
pub(super) struct Machine {
    phase: Phase,
    generation: u64,
    mode: CircuitMode,
    /// Whether an operator forced the mode, which then overrides the configured one.
    forced: bool,
    window: Window,
    /// Openings since the last recovery.
    reopenings: u32,
    /// The end of the wait that the dependency requested, in nanoseconds of the clock; 0 without a request.
    hold_until: u64,
    next_probe: u64,
    entered_at: u64,
    times_opened: u64,
    transition_count: u64,
    /// Time in each state up to `accounted_until`.
    time_in: StateDurations,
    accounted_until: u64,
    transitions: VecDeque<CircuitTransition>,
    pending_events: Vec<(SystemTime, CircuitEventKind)>,
    rng: fastrand::Rng,
}

#[derive(Debug)]
enum Phase {
    Closed,
    Open,
    HalfOpen(HalfOpen),
}

/// What the machine uses and does not own.
#[derive(Clone, Copy)]
pub(super) struct MachineContext<'a> {
    pub(super) gate: &'a Gate,
    pub(super) config: &'a CircuitBreakerConfig,
    pub(super) clock: &'a dyn Clock,
}

/// Whether a call is admitted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Admitted(PermitToken),
    Rejected {
        state: CircuitState,
        retry_after: Option<Duration>,
        /// Set in dry run: the call is admitted anyway, with this token.
        dry_run: Option<PermitToken>,
    },
}

/// How a call ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallEnd {
    pub(super) outcome: CallOutcome,
    pub(super) slow: bool,
    pub(super) retry_after: Option<Duration>,
}

/// The metrics of the machine. The other metrics are in the counters.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) state: CircuitState,
    pub(super) mode: CircuitMode,
    pub(super) window: WindowMetrics,
    pub(super) times_opened: u64,
    pub(super) in_state_for: Duration,
    pub(super) time_in: StateDurations,
    pub(super) retry_after: Option<Duration>,
    pub(super) transition_count: u64,
    pub(super) transitions: Vec<CircuitTransition>,
}

impl Machine {
    /// A closed circuit, or an open one if the configured mode is `ForcedOpen`.
    pub(super) fn new(config: &CircuitBreakerConfig, clock: &dyn Clock, rng: fastrand::Rng) -> (Self, Gate) {
        let now = nanos(clock.elapsed());
        let machine = Self {
            phase: if config.mode == CircuitMode::ForcedOpen {
                Phase::Open
            } else {
                Phase::Closed
            },
            generation: 1,
            mode: config.mode,
            forced: false,
            window: Window::new(&config.trip),
            reopenings: 0,
            hold_until: 0,
            next_probe: 1,
            entered_at: now,
            times_opened: 0,
            transition_count: 0,
            time_in: StateDurations::default(),
            accounted_until: now,
            transitions: VecDeque::new(),
            pending_events: Vec::new(),
            rng,
        };
        let gate = Gate::new(machine.word(config));
        (machine, gate)
    }

    /// Decides whether to admit a call that the gate could not decide on.
    pub(super) fn admit(&mut self, cx: MachineContext<'_>) -> Admission {
        let now = nanos(cx.clock.elapsed());
        self.catch_up(now, cx);
        let started_nanos = if self.flags(cx.config).timed {
            start_mark(now)
        } else {
            0
        };
        let token = PermitToken::new(self.generation).with_started_nanos(started_nanos);
        let retry_after = match &mut self.phase {
            Phase::Closed => return Admission::Admitted(token),
            Phase::Open => remaining(cx.gate.open_until(), now),
            Phase::HalfOpen(half_open) => {
                let id = self.next_probe;
                let lease_ends = now.saturating_add(nanos(lease(cx.config)));
                if half_open.admit(id, now, lease_ends, cx.config.half_open.concurrent_probes()) {
                    self.next_probe += 1;
                    return Admission::Admitted(token.with_probe(id));
                }
                None
            }
        };
        let dry_run_token = token.with_probe(DRY_RUN_PROBE);
        Admission::Rejected {
            state: self.state(),
            retry_after,
            dry_run: (self.mode == CircuitMode::MetricsOnly).then_some(dry_run_token),
        }
    }

    /// Records the end of a call. Returns `false` if the result is too late to count: the circuit has entered another state, or
    /// the lease of the probe has ended.
    pub(super) fn settle(&mut self, token: PermitToken, end: CallEnd, cx: MachineContext<'_>) -> bool {
        if matches!(self.phase, Phase::Open) {
            self.refresh(cx);
        }
        if token.generation() != self.generation {
            return false;
        }
        if token.probe() == DRY_RUN_PROBE {
            return true;
        }
        match &mut self.phase {
            Phase::Closed => {
                self.settle_call(end, cx);
                true
            }
            Phase::HalfOpen(half_open) => {
                let now = nanos(cx.clock.elapsed());
                half_open.release(token.probe(), now) && {
                    self.settle_probe(end, now, cx);
                    true
                }
            }
            // No call of an open generation counts.
            Phase::Open => false,
        }
    }

    /// Makes an open circuit half-open if its open time has passed.
    pub(super) fn refresh(&mut self, cx: MachineContext<'_>) {
        let now = nanos(cx.clock.elapsed());
        self.catch_up(now, cx);
    }

    /// Forces a mode on behalf of an operator: `ForcedOpen` or `ForcedClosed`.
    pub(super) fn force(&mut self, mode: CircuitMode, cx: MachineContext<'_>) {
        self.refresh(cx);
        self.forced = true;
        self.enter_mode(mode, TransitionReason::Forced, cx);
    }

    pub(super) fn reset(&mut self, cx: MachineContext<'_>) {
        let now = nanos(cx.clock.elapsed());
        self.catch_up(now, cx);
        self.forced = false;
        let mode = match cx.config.mode {
            CircuitMode::MetricsOnly => CircuitMode::MetricsOnly,
            _ => CircuitMode::Automatic,
        };
        self.pending_events.push((cx.clock.now(), CircuitEventKind::Reset));
        self.change_mode(mode, cx);
        self.close(TransitionReason::Reset, now, cx);
        self.times_opened = 0;
        self.transition_count = 0;
        self.time_in = StateDurations::default();
        self.accounted_until = now;
    }

    /// Applies the new configuration in `cx`. State and counters remain, and so do calls in the window if its kind remains.
    pub(super) fn configure(&mut self, cx: MachineContext<'_>) {
        let now = nanos(cx.clock.elapsed());
        self.catch_up(now, cx);
        self.pending_events.push((cx.clock.now(), CircuitEventKind::Configured));
        self.window.reshape(&cx.config.trip, now);
        if !self.forced {
            self.enter_mode(cx.config.mode, TransitionReason::Configured, cx);
        }
        // The flags may have changed even if state and mode have not.
        cx.gate.store(self.word(cx.config));
    }

    pub(super) fn snapshot(&mut self, cx: MachineContext<'_>) -> Snapshot {
        let now = nanos(cx.clock.elapsed());
        self.catch_up(now, cx);
        let state = self.state();
        self.account(state, now);
        Snapshot {
            state,
            mode: self.mode,
            window: self.window.metrics(now),
            times_opened: self.times_opened,
            in_state_for: Duration::from_nanos(now.saturating_sub(self.entered_at)),
            time_in: self.time_in,
            retry_after: if state == CircuitState::Open {
                remaining(cx.gate.open_until(), now)
            } else {
                None
            },
            transition_count: self.transition_count,
            transitions: self.transitions.iter().cloned().collect(),
        }
    }

    /// Whether a new circuit with the same configuration would behave the same.
    pub(super) fn is_pristine(&mut self, cx: MachineContext<'_>) -> bool {
        let now = if self.window.reads_clock() {
            nanos(cx.clock.elapsed())
        } else {
            0
        };
        matches!(self.phase, Phase::Closed)
            && !self.forced
            && self.mode == cx.config.mode
            && cx.gate.streak() == 0
            && self.window.metrics(now).failures == 0
    }

    /// Removes and returns the pending events, oldest first.
    pub(super) fn take_pending_events(&mut self) -> Vec<(SystemTime, CircuitEventKind)> {
        std::mem::take(&mut self.pending_events)
    }

    pub(super) fn has_pending_events(&self) -> bool {
        !self.pending_events.is_empty()
    }

    fn settle_call(&mut self, end: CallEnd, cx: MachineContext<'_>) {
        let failed = match end.outcome {
            CallOutcome::Ignored => return,
            CallOutcome::Failure => true,
            CallOutcome::Success => false,
        };
        let needs_clock = self.window.reads_clock() || end.retry_after.is_some();
        let now = if needs_clock { nanos(cx.clock.elapsed()) } else { 0 };
        let streak = if failed {
            cx.gate.extend_streak()
        } else {
            cx.gate.end_streak();
            0
        };
        if let (true, Some(delay)) = (failed, end.retry_after) {
            self.hold_until = self.hold_until.max(now.saturating_add(nanos(delay)));
        }
        self.window.push(Sample { failed, slow: end.slow }, now);
        let reason = match &cx.config.trip {
            TripPolicy::CountWindow { rates, .. } | TripPolicy::TimeWindow { rates, .. } => {
                tripped(rates, self.window.metrics(now))
            }
            TripPolicy::ConsecutiveFailures { failures } if streak >= *failures => {
                Some(TransitionReason::ConsecutiveFailures)
            }
            _ => None,
        };
        if let Some(reason) = reason
            && self.mode != CircuitMode::ForcedClosed
        {
            let now = if needs_clock { now } else { nanos(cx.clock.elapsed()) };
            self.open(reason, now, cx);
        }
    }

    fn settle_probe(&mut self, end: CallEnd, now: u64, cx: MachineContext<'_>) {
        match end.outcome {
            CallOutcome::Ignored => {}
            CallOutcome::Success if end.slow => self.open(TransitionReason::SlowCallRate, now, cx),
            CallOutcome::Success => {
                if let Phase::HalfOpen(half_open) = &mut self.phase
                    && half_open.succeed() >= cx.config.half_open.success_threshold
                {
                    self.close(TransitionReason::ProbesSucceeded, now, cx);
                }
            }
            CallOutcome::Failure => {
                self.hold_until = end.retry_after.map_or(0, |delay| now.saturating_add(nanos(delay)));
                self.open(TransitionReason::ProbeFailed, now, cx);
            }
        }
    }

    fn catch_up(&mut self, now: u64, cx: MachineContext<'_>) {
        let until = cx.gate.open_until();
        if matches!(self.phase, Phase::Open) && until != FOREVER && now >= until {
            self.enter(
                Phase::HalfOpen(HalfOpen::default()),
                TransitionReason::OpenTimeElapsed,
                now,
                cx,
            );
        }
    }

    fn open(&mut self, reason: TransitionReason, now: u64, cx: MachineContext<'_>) {
        let requested = Duration::from_nanos(self.hold_until.saturating_sub(now));
        let time = open_time(&cx.config.open, self.reopenings, Some(requested), &mut self.rng);
        self.hold_until = 0;
        self.reopenings = self.reopenings.saturating_add(1);
        self.times_opened += 1;
        // An open time beyond the range of the clock must not become FOREVER.
        cx.gate.set_open_until(now.saturating_add(nanos(time)).min(FOREVER - 1));
        self.enter(Phase::Open, reason, now, cx);
    }

    fn open_forever(&mut self, reason: TransitionReason, now: u64, cx: MachineContext<'_>) {
        cx.gate.set_open_until(FOREVER);
        if !matches!(self.phase, Phase::Open) {
            self.times_opened += 1;
        }
        self.enter(Phase::Open, reason, now, cx);
    }

    fn close(&mut self, reason: TransitionReason, now: u64, cx: MachineContext<'_>) {
        self.window.clear();
        self.reopenings = 0;
        self.hold_until = 0;
        cx.gate.end_streak();
        self.enter(Phase::Closed, reason, now, cx);
    }

    /// Enters a state. This starts a new generation even if the circuit is already in that state.
    fn enter(&mut self, phase: Phase, reason: TransitionReason, now: u64, cx: MachineContext<'_>) {
        let from = self.state();
        self.phase = phase;
        self.generation += 1;
        let to = self.state();
        cx.gate.store(self.word(cx.config));
        if from != to {
            self.account(from, now);
            self.entered_at = now;
            self.transition_count += 1;
            let at = cx.clock.now();
            if self.transitions.len() == MAX_TRANSITIONS {
                self.transitions.pop_front();
            }
            self.transitions.push_back(CircuitTransition::new(from, to, reason, at));
            self.pending_events
                .push((at, CircuitEventKind::StateChanged { from, to, reason }));
        }
    }

    /// Adds the time since the last call to the time in `state`, the state of the circuit since then.
    fn account(&mut self, state: CircuitState, now: u64) {
        let time = now.saturating_sub(self.accounted_until);
        self.time_in.add(state, Duration::from_nanos(time));
        self.accounted_until = self.accounted_until.max(now);
    }

    fn enter_mode(&mut self, mode: CircuitMode, reason: TransitionReason, cx: MachineContext<'_>) {
        let before = self.mode;
        if before == mode {
            return;
        }
        self.change_mode(mode, cx);
        let now = nanos(cx.clock.elapsed());
        match mode {
            CircuitMode::ForcedOpen => self.open_forever(reason, now, cx),
            CircuitMode::ForcedClosed => self.close(reason, now, cx),
            // A circuit that was forced open has no end of its open time, so nothing else would close it.
            _ if before == CircuitMode::ForcedOpen => self.close(reason, now, cx),
            _ => cx.gate.store(self.word(cx.config)),
        }
    }

    fn change_mode(&mut self, mode: CircuitMode, cx: MachineContext<'_>) {
        let from = std::mem::replace(&mut self.mode, mode);
        if from != mode {
            self.pending_events
                .push((cx.clock.now(), CircuitEventKind::ModeChanged { from, to: mode }));
        }
    }

    fn state(&self) -> CircuitState {
        match self.phase {
            Phase::Closed => CircuitState::Closed,
            Phase::Open => CircuitState::Open,
            Phase::HalfOpen(_) => CircuitState::HalfOpen,
        }
    }

    fn word(&self, config: &CircuitBreakerConfig) -> Word {
        Word::new(self.generation, self.state(), self.flags(config))
    }

    fn flags(&self, config: &CircuitBreakerConfig) -> Flags {
        let rates = match &config.trip {
            TripPolicy::CountWindow { rates, .. } | TripPolicy::TimeWindow { rates, .. } => Some(rates),
            _ => None,
        };
        Flags {
            timed: rates.is_some_and(|rates| rates.slow_call_duration.is_some()),
            windowed: rates.is_some(),
            dry_run: self.mode == CircuitMode::MetricsOnly,
        }
    }
}

/// The start time that the token of a call stores: the time of the clock plus one, because zero means that the call is not
/// timed.
pub(super) fn start_mark(now: u64) -> u64 {
    now.saturating_add(1)
}

/// The time until `until`. `None` for [`FOREVER`].
pub(super) fn remaining(until: u64, now: u64) -> Option<Duration> {
    (until != FOREVER).then(|| Duration::from_nanos(until.saturating_sub(now)))
}

fn lease(config: &CircuitBreakerConfig) -> Duration {
    let fallback = || config.open.backoff.initial.max(config.call_timeout.unwrap_or_default());
    config.half_open.probe_lease.unwrap_or_else(fallback)
}
