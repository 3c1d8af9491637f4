//! One circuit of the model: a lock, and the contract clause by clause.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use networking_spi::circuit_breaker::{
    CallOutcome, CallRecord, CancelPolicy, Circuit, CircuitBreakerConfig, CircuitEvent, CircuitEventKind,
    CircuitMetrics, CircuitMode, CircuitRejection, CircuitState, CircuitTransition, Deadline, Permit, PermitToken,
    TransitionReason,
};

use super::state::{nanos, rates};
use super::{Defect, Hub};

/// The probe number of a call that only metrics-only mode let through.
const BEYOND: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct ModelCircuit {
    pub(super) name: Arc<str>,
    pub(super) first_config: Arc<CircuitBreakerConfig>,
    hub: Hub,
    /// Callers that have found a free slot; only for the defect of taking it later.
    racing: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) config: Arc<CircuitBreakerConfig>,
    pub(super) configured: bool,
    pub(super) state: CircuitState,
    pub(super) mode: CircuitMode,
    /// The mode is an operator's order.
    pub(super) ordered: bool,
    pub(super) generation: u64,
    pub(super) entered_at: Duration,
    /// Until when the times in states are summed up.
    pub(super) accounted_until: Duration,
    /// `None`: for ever.
    pub(super) open_until: Option<Duration>,
    pub(super) row: u32,
    pub(super) window: Vec<Sample>,
    /// Number and end of lease.
    pub(super) probes: Vec<(u64, Duration)>,
    pub(super) next_probe: u64,
    pub(super) probe_successes: u32,
    pub(super) reopenings: u32,
    pub(super) hold_until: Duration,
    pub(super) admitted: u64,
    pub(super) ended: u64,
    pub(super) totals: CircuitMetrics,
    pub(super) transitions: Vec<CircuitTransition>,
    pub(super) outbox: Vec<CircuitEventKind>,
    pub(super) last_task: Option<tokio::task::Id>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) at: Duration,
    pub(super) failed: bool,
    pub(super) slow: bool,
}

impl ModelCircuit {
    pub(super) fn new(name: &str, config: CircuitBreakerConfig, hub: Hub) -> Self {
        let config = Arc::new(config);
        let mode = if hub.has(Defect::StartsAutomatic) {
            CircuitMode::Automatic
        } else {
            config.mode
        };
        let inner = Inner {
            config: Arc::clone(&config),
            configured: false,
            state: if mode == CircuitMode::ForcedOpen {
                CircuitState::Open
            } else {
                CircuitState::Closed
            },
            mode,
            ordered: false,
            generation: 0,
            entered_at: hub.origin.elapsed(),
            accounted_until: hub.origin.elapsed(),
            open_until: None,
            row: 0,
            window: Vec::new(),
            probes: Vec::new(),
            next_probe: 1,
            probe_successes: 0,
            reopenings: 0,
            hold_until: Duration::ZERO,
            admitted: 0,
            ended: 0,
            totals: CircuitMetrics::default(),
            transitions: Vec::new(),
            outbox: Vec::new(),
            last_task: None,
        };
        Self {
            name: name.into(),
            first_config: config,
            hub,
            racing: AtomicUsize::new(0),
            inner: Mutex::new(inner),
        }
    }

    pub(super) fn last_state(&self) -> CircuitState {
        self.lock().state
    }

    pub(super) fn is_evictable(&self) -> bool {
        let inner = self.lock();
        let healthy = inner.row == 0 && !inner.window.iter().any(|sample| sample.failed);
        inner.state == CircuitState::Closed
            && inner.mode == CircuitMode::Automatic
            && !inner.configured
            && inner.admitted == inner.ended
            && (healthy || self.has(Defect::EvictsFailingCircuits))
    }

    pub(super) fn force(&self, mode: CircuitMode) {
        self.with(|inner, now| {
            if self.has(Defect::FirstOrderStands) && inner.ordered {
                return;
            }
            inner.ordered = true;
            self.enter_mode(inner, mode, TransitionReason::Forced, now);
        });
    }

    pub(super) fn reset(&self) {
        self.with(|inner, now| {
            inner.outbox.push(CircuitEventKind::Reset);
            inner.ordered = false;
            let mode = match inner.config.mode {
                CircuitMode::MetricsOnly => CircuitMode::MetricsOnly,
                _ => CircuitMode::Automatic,
            };
            Self::change_mode(inner, mode);
            let generation = inner.generation;
            self.close(inner, TransitionReason::Reset, now);
            if self.has(Defect::ResetKeepsTheGeneration) {
                inner.generation = generation;
            }
            if !self.has(Defect::ResetKeepsTotals) {
                inner.totals = CircuitMetrics::default();
                inner.accounted_until = now;
            }
        });
    }

    pub(super) fn configure(&self, config: CircuitBreakerConfig) {
        self.with(|inner, now| {
            inner.outbox.push(CircuitEventKind::Configured);
            inner.configured = true;
            let before = std::mem::discriminant(&inner.config.trip);
            inner.config = Arc::new(config);
            let same_kind = before == std::mem::discriminant(&inner.config.trip);
            if self.has(Defect::ResizingEmptiesTheWindow) || !same_kind {
                inner.window.clear();
            }
            self.forget(inner);
            if self.has(Defect::ConfigurationStartsOver) {
                self.close(inner, TransitionReason::Configured, now);
                inner.totals = CircuitMetrics::default();
            }
            if self.has(Defect::ConfigurationLiftsOrders) {
                inner.ordered = false;
            }
            if !inner.ordered {
                let mode = inner.config.mode;
                self.enter_mode(inner, mode, TransitionReason::Configured, now);
            }
        });
    }

    pub(super) fn has(&self, defect: Defect) -> bool {
        self.hub.has(defect)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` under the lock at a moment when no open time is overdue, and publishes what it caused afterwards.
    fn with<T>(&self, act: impl FnOnce(&mut Inner, Duration) -> T) -> T {
        let mut inner = self.lock();
        let now = self.hub.origin.elapsed();
        self.catch_up(&mut inner, now);
        let result = act(&mut inner, now);
        let outbox = std::mem::take(&mut inner.outbox);
        if self.has(Defect::WakesUnderTheLock) {
            self.publish(outbox, now);
        } else {
            drop(inner);
            self.publish(outbox, now);
        }
        result
    }

    fn publish(&self, outbox: Vec<CircuitEventKind>, now: Duration) {
        for mut kind in outbox {
            match &mut kind {
                CircuitEventKind::Rejected { .. } if self.has(Defect::RejectionsAreNotReported) => continue,
                CircuitEventKind::StateChanged { reason, .. } if self.has(Defect::WrongReasons) => {
                    *reason = TransitionReason::Configured;
                }
                _ => {}
            }
            let event = CircuitEvent::new(Arc::clone(&self.name), SystemTime::UNIX_EPOCH + now, kind);
            if self.has(Defect::EventsComeTwice) {
                let _ = self.hub.events.send(event.clone());
            }
            let _ = self.hub.events.send(event);
        }
    }

    /// Looks for a free probe slot, and gives other threads the time to find the same one.
    fn finds_a_slot(&self) -> bool {
        let free = self.with(|inner, now| {
            inner.probes.retain(|(_, lease_ends)| *lease_ends > now);
            let slots = inner.config.half_open.max_concurrent_probes as usize;
            inner.state == CircuitState::HalfOpen && inner.probes.len() < slots
        });
        if free {
            self.racing.fetch_add(1, Ordering::SeqCst);
            for _ in 0..2_000 {
                if self.racing.load(Ordering::SeqCst) > 4 {
                    break;
                }
                std::thread::yield_now();
            }
        }
        free
    }

    fn admit(&self, inner: &mut Inner, now: Duration, sure_of_a_slot: bool) -> Result<PermitToken, CircuitRejection> {
        let timed = rates(&self.trip(inner)).is_some_and(|rates| rates.slow_call_duration.is_some());
        // One more than the clock says: zero stands for calls that are not timed.
        let started_nanos = if timed { nanos(now) + 1 } else { 0 };
        let token = PermitToken {
            generation: inner.generation,
            probe: 0,
            started_nanos,
        };
        let retry_after = match inner.state {
            CircuitState::Closed => return Ok(token),
            CircuitState::Open => inner.open_until.map(|until| {
                let from = if self.has(Defect::RetryAfterIsTheWholeTime) {
                    inner.entered_at
                } else {
                    now
                };
                until.saturating_sub(from)
            }),
            CircuitState::HalfOpen => {
                inner
                    .probes
                    .retain(|(_, lease_ends)| *lease_ends > now || self.has(Defect::NoLease));
                let extra = usize::from(self.has(Defect::OneProbeTooMany));
                let slots = inner.config.half_open.max_concurrent_probes as usize + extra;
                if inner.probes.len() < slots || sure_of_a_slot || self.has(Defect::UnlimitedProbes) {
                    let number = inner.next_probe;
                    inner.next_probe += 1;
                    inner.probes.push((number, now + self.lease(inner)));
                    return Ok(PermitToken { probe: number, ..token });
                }
                None
            }
        };
        inner.totals.rejected += 1;
        inner.outbox.push(CircuitEventKind::Rejected { retry_after });
        if inner.mode == CircuitMode::MetricsOnly && !self.has(Defect::DryRunRejects) {
            Ok(PermitToken { probe: BEYOND, ..token })
        } else {
            Err(CircuitRejection::new(Arc::clone(&self.name), inner.state, retry_after))
        }
    }

    fn settle(&self, inner: &mut Inner, token: PermitToken, record: CallRecord, now: Duration) {
        let outcome = match record.outcome {
            None if self.has(Defect::DroppedPermitsAreLost) => return,
            _ if record.panicked && !self.has(Defect::PanicsAreCancellations) => CallOutcome::Failure,
            Some(outcome) => outcome,
            None if self.has(Defect::CancellationsAreFailures) => CallOutcome::Failure,
            None if self.has(Defect::CancellationsAreIgnored) => CallOutcome::Ignored,
            None => match inner.config.on_cancel {
                CancelPolicy::Ignore => CallOutcome::Ignored,
                CancelPolicy::Failure => CallOutcome::Failure,
            },
        };
        let outcome = match outcome {
            CallOutcome::Ignored if self.has(Defect::IgnoredIsSuccess) => CallOutcome::Success,
            outcome => outcome,
        };
        if self.has(Defect::PermitsBelongToTasks) && inner.last_task != tokio::task::try_id() {
            return;
        }
        inner.ended += 1;
        let took = Duration::from_nanos((nanos(now) + 1).saturating_sub(token.started_nanos));
        let slow = token.started_nanos != 0
            && outcome != CallOutcome::Ignored
            && rates(&self.trip(inner))
                .and_then(|rates| rates.slow_call_duration)
                .is_some_and(|limit| took >= limit)
            && !self.has(Defect::NothingIsSlow);
        let sample = Sample {
            at: now,
            failed: outcome == CallOutcome::Failure,
            slow,
        };

        let current = token.generation == inner.generation;
        let counts = if token.probe == BEYOND && !self.has(Defect::DryRunCallsDecide) {
            current
        } else {
            match inner.state {
                CircuitState::Closed if current => {
                    self.settle_call(inner, outcome, sample, record.retry_after);
                    true
                }
                CircuitState::HalfOpen if current => {
                    let position = inner.probes.iter().position(|(number, _)| *number == token.probe);
                    let in_time = position.is_some_and(|position| inner.probes[position].1 > now);
                    if let Some(position) = position
                        && (outcome != CallOutcome::Ignored || !self.has(Defect::IgnoredKeepsItsSlot))
                    {
                        inner.probes.remove(position);
                    }
                    let counts = in_time
                        || self.has(Defect::ExpiredProbesCount)
                        || self.has(Defect::NoLease)
                        || token.probe == BEYOND;
                    if counts {
                        self.settle_probe(inner, outcome, sample, record.retry_after);
                    }
                    counts
                }
                _ => self.settle_late(inner, token, outcome, sample, record.retry_after),
            }
        };
        self.count(inner, outcome, slow, counts);
    }

    /// `true` where a defect makes a late result count.
    fn settle_late(
        &self,
        inner: &mut Inner,
        token: PermitToken,
        outcome: CallOutcome,
        sample: Sample,
        retry_after: Option<Duration>,
    ) -> bool {
        let now = sample.at;
        match (inner.state, outcome) {
            (CircuitState::HalfOpen, CallOutcome::Success)
                if self.has(Defect::LateSuccessesClose) || token.probe != 0 && self.has(Defect::OldProbesDecide) =>
            {
                self.settle_probe(inner, outcome, sample, None);
                return true;
            }
            (CircuitState::HalfOpen, CallOutcome::Failure) if self.has(Defect::LateFailuresReopen) => {
                self.open(inner, TransitionReason::ProbeFailed, now);
            }
            (CircuitState::HalfOpen, CallOutcome::Ignored) if self.has(Defect::LateIgnoredFreesASlot) => {
                inner.probes.pop();
            }
            (CircuitState::Closed, CallOutcome::Failure) if self.has(Defect::LateFailuresCount) => {
                self.settle_call(inner, outcome, sample, retry_after);
            }
            (CircuitState::Open, CallOutcome::Failure) if self.has(Defect::LateRetryAfterCounts) => {
                let asked = retry_after.map(|delay| now + delay);
                inner.open_until = inner.open_until.map(|until| until.max(asked.unwrap_or_default()));
            }
            _ => {}
        }
        false
    }

    fn count(&self, inner: &mut Inner, outcome: CallOutcome, slow: bool, counts: bool) {
        let totals = &mut inner.totals;
        if !counts {
            totals.stale += 1;
        }
        if counts || self.has(Defect::StaleCountsTwice) {
            match outcome {
                CallOutcome::Success => totals.successes += 1,
                CallOutcome::Failure => totals.failures += 1,
                CallOutcome::Ignored => totals.ignored += 1,
            }
            totals.slow += u64::from(slow);
        }
    }

    fn settle_call(&self, inner: &mut Inner, outcome: CallOutcome, sample: Sample, retry_after: Option<Duration>) {
        match outcome {
            CallOutcome::Ignored => return,
            CallOutcome::Failure => {
                inner.row += 1;
                let asked = retry_after.map_or(Duration::ZERO, |delay| sample.at + delay);
                let before = if self.has(Defect::OnlyTheLastRetryAfter) {
                    Duration::ZERO
                } else {
                    inner.hold_until
                };
                inner.hold_until = before.max(asked);
            }
            CallOutcome::Success if self.has(Defect::SuccessKeepsTheRow) => {}
            CallOutcome::Success => inner.row = 0,
        }
        inner.window.push(sample);
        self.forget(inner);
        if let Some(reason) = self.tripped(inner, sample)
            && (inner.mode != CircuitMode::ForcedClosed || self.has(Defect::ForcedClosedTrips))
        {
            self.open(inner, reason, sample.at);
        }
    }

    fn settle_probe(&self, inner: &mut Inner, outcome: CallOutcome, sample: Sample, retry_after: Option<Duration>) {
        match outcome {
            CallOutcome::Ignored => {}
            CallOutcome::Success if sample.slow && !self.has(Defect::SlowProbesClose) => {
                self.open(inner, TransitionReason::SlowCallRate, sample.at);
            }
            CallOutcome::Success => {
                inner.probe_successes += 1;
                if inner.probe_successes >= inner.config.half_open.success_threshold
                    || self.has(Defect::OneSuccessCloses)
                {
                    self.close(inner, TransitionReason::ProbesSucceeded, sample.at);
                }
            }
            CallOutcome::Failure => {
                inner.hold_until = retry_after.map_or(Duration::ZERO, |delay| sample.at + delay);
                self.open(inner, TransitionReason::ProbeFailed, sample.at);
            }
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Circuit for ModelCircuit {
    fn name(&self) -> &str {
        if self.has(Defect::ForgetsItsName) {
            ""
        } else {
            &self.name
        }
    }

    fn try_acquire(&self) -> Result<Permit<'_>, CircuitRejection> {
        let sure_of_a_slot = self.has(Defect::TakesSlotsLater) && self.finds_a_slot();
        let token = self.with(|inner, now| {
            let token = self.admit(inner, now, sure_of_a_slot)?;
            inner.admitted += 1;
            inner.last_task = tokio::task::try_id();
            Ok(token)
        })?;
        Ok(Permit::new(self, token))
    }

    fn state(&self) -> CircuitState {
        if self.has(Defect::HalfOpensOnlyWhenCalled) {
            return self.last_state();
        }
        self.with(|inner, _| inner.state)
    }

    fn metrics(&self) -> CircuitMetrics {
        self.with(|inner, now| {
            let mut metrics = inner.totals.clone();
            metrics.state = inner.state;
            metrics.mode = inner.mode;
            metrics.in_flight = inner.admitted - inner.ended;
            let shows_row = inner.state == CircuitState::Closed && !self.has(Defect::HidesTheRow);
            metrics.consecutive_failures = if shows_row { inner.row } else { 0 };
            metrics.window = self.window(inner, now);
            let since = if self.has(Defect::TimeInStateSinceTheBeginning) {
                Duration::ZERO
            } else {
                inner.entered_at
            };
            metrics.in_state_for = now.saturating_sub(since);
            if !self.has(Defect::TimesOfPastStatesOnly) {
                metrics
                    .time_in
                    .add(inner.state, now.saturating_sub(inner.accounted_until));
            }
            metrics.retry_after = match inner.state {
                CircuitState::Open => inner.open_until.map(|until| until.saturating_sub(now)),
                _ => None,
            };
            metrics.transitions.clone_from(&inner.transitions);
            if self.has(Defect::CountsRememberedTransitions) {
                metrics.transition_count = metrics.transitions.len() as u64;
            }
            if self.has(Defect::NewestTransitionFirst) {
                metrics.transitions.reverse();
            }
            metrics
        })
    }

    fn config(&self) -> Arc<CircuitBreakerConfig> {
        if self.has(Defect::ShowsTheFirstConfiguration) {
            return Arc::clone(&self.first_config);
        }
        Arc::clone(&self.lock().config)
    }

    fn deadline(&self, limit: Option<Duration>) -> Option<Deadline> {
        let configured = self
            .config()
            .call_timeout
            .filter(|_| !self.has(Defect::NoConfiguredTimeout));
        let limit = match (limit, configured) {
            (Some(given), Some(configured)) if self.has(Defect::ShorterTimeoutWins) => Some(given.min(configured)),
            (given, configured) => given.or(configured),
        };
        limit.map(|limit| Deadline::new(limit, Box::pin(tokio::time::sleep(limit))))
    }

    fn complete(&self, token: PermitToken, record: CallRecord) {
        self.with(|inner, now| self.settle(inner, token, record, now));
    }
}
