//! One circuit of the model: which calls are admitted, and the effects of their results.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use networking_spi::circuit_breaker::{
    CallOutcome, CallRecord, CancelPolicy, Circuit, CircuitBreakerConfig, CircuitEvent, CircuitEventKind,
    CircuitMetrics, CircuitMode, CircuitRejection, CircuitState, Deadline, Permit, PermitToken, TransitionReason,
};

use super::state::{Sample, State, nanos, rates};
use super::{Hub, Saboteur};

/// The probe number of a call that is admitted only because of metrics-only mode.
const BEYOND: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct ModelCircuit {
    name: Arc<str>,
    hub: Hub,
    /// Callers that have found a free slot, for `TakesSlotsLater`.
    racing: AtomicUsize,
    state: Mutex<State>,
}

impl ModelCircuit {
    pub(super) fn new(name: &str, config: CircuitBreakerConfig, hub: Hub) -> Self {
        let name: Arc<str> = name.into();
        let state = State::new(Arc::clone(&name), config, hub.origin.elapsed(), hub.saboteur);
        Self {
            name,
            hub,
            racing: AtomicUsize::new(0),
            state: Mutex::new(state),
        }
    }

    pub(super) fn last_state(&self) -> CircuitState {
        self.lock().current
    }

    pub(super) fn is_evictable(&self) -> bool {
        let state = self.lock();
        let healthy = state.consecutive_failures == 0 && !state.window.iter().any(|sample| sample.failed);
        state.current == CircuitState::Closed
            && state.mode == CircuitMode::Automatic
            && !state.configured
            && state.admitted == state.ended
            && (healthy || self.is(Saboteur::EvictsFailingCircuits))
    }

    pub(super) fn force(&self, mode: CircuitMode) {
        self.with(|state, now| {
            if self.is(Saboteur::FirstOverrideStays) && state.overridden {
                return;
            }
            state.overridden = true;
            state.enter_mode(mode, TransitionReason::Forced, now);
        });
    }

    pub(super) fn reset(&self) {
        self.with(|state, now| {
            state.outbox.push(CircuitEventKind::Reset);
            state.overridden = false;
            let mode = match state.config.mode {
                CircuitMode::MetricsOnly => CircuitMode::MetricsOnly,
                _ => CircuitMode::Automatic,
            };
            state.change_mode(mode);
            let generation = state.generation;
            state.close(TransitionReason::Reset, now);
            if self.is(Saboteur::ResetKeepsTheGeneration) {
                state.generation = generation;
            }
            if !self.is(Saboteur::ResetKeepsTotals) {
                state.totals = CircuitMetrics::default();
                state.accounted_until = now;
            }
        });
    }

    pub(super) fn configure(&self, config: CircuitBreakerConfig) {
        self.with(|state, now| {
            state.outbox.push(CircuitEventKind::Configured);
            state.configured = true;
            let before = std::mem::discriminant(&state.config.trip);
            state.config = Arc::new(config);
            let same_kind = before == std::mem::discriminant(&state.config.trip);
            if self.is(Saboteur::ResizingEmptiesTheWindow) || !same_kind {
                state.window.clear();
            }
            state.forget();
            if self.is(Saboteur::ConfigurationStartsOver) {
                state.close(TransitionReason::Configured, now);
                state.totals = CircuitMetrics::default();
            }
            if self.is(Saboteur::ConfigurationEndsOverrides) {
                state.overridden = false;
            }
            if !state.overridden {
                let mode = state.config.mode;
                state.enter_mode(mode, TransitionReason::Configured, now);
            }
        });
    }

    pub(super) fn is(&self, saboteur: Saboteur) -> bool {
        self.hub.is(saboteur)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Half-opens the circuit if its open time has passed, runs `act` under the lock, and publishes the events
    /// afterwards.
    fn with<T>(&self, act: impl FnOnce(&mut State, Duration) -> T) -> T {
        let mut state = self.lock();
        let now = self.hub.origin.elapsed();
        state.catch_up(now);
        let result = act(&mut state, now);
        let outbox = std::mem::take(&mut state.outbox);
        if self.is(Saboteur::WakesUnderTheLock) {
            self.publish(outbox, now);
        } else {
            drop(state);
            self.publish(outbox, now);
        }
        result
    }

    fn publish(&self, outbox: Vec<CircuitEventKind>, now: Duration) {
        for mut kind in outbox {
            match &mut kind {
                CircuitEventKind::Rejected { .. } if self.is(Saboteur::RejectionsAreNotReported) => continue,
                CircuitEventKind::StateChanged { reason, .. } if self.is(Saboteur::WrongReasons) => {
                    *reason = TransitionReason::Configured;
                }
                _ => {}
            }
            let event = CircuitEvent::new(Arc::clone(&self.name), SystemTime::UNIX_EPOCH + now, kind);
            if self.is(Saboteur::EventsComeTwice) {
                let _ = self.hub.events.send(event.clone());
            }
            let _ = self.hub.events.send(event);
        }
    }

    /// Looks for a free probe slot, and lets other threads find the same one.
    fn finds_a_slot(&self) -> bool {
        let free = self.with(|state, now| {
            state.probes.retain(|(_, lease_ends)| *lease_ends > now);
            let slots = state.config.half_open.max_concurrent_probes as usize;
            state.current == CircuitState::HalfOpen && state.probes.len() < slots
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

    fn admit(&self, state: &mut State, now: Duration, sure_of_a_slot: bool) -> Result<PermitToken, CircuitRejection> {
        let timed = rates(&state.trip()).is_some_and(|rates| rates.slow_call_duration.is_some());
        // One more than the clock, because zero means that the call is not timed.
        let started_nanos = if timed { nanos(now) + 1 } else { 0 };
        let token = PermitToken::new(state.generation).with_started_nanos(started_nanos);
        let retry_after = match state.current {
            CircuitState::Closed => return Ok(token),
            CircuitState::Open => state.open_until.map(|until| {
                let from = if self.is(Saboteur::RetryAfterIsTheWholeTime) {
                    state.entered_at
                } else {
                    now
                };
                until.saturating_sub(from)
            }),
            CircuitState::HalfOpen => {
                state
                    .probes
                    .retain(|(_, lease_ends)| *lease_ends > now || self.is(Saboteur::NoLease));
                let extra = usize::from(self.is(Saboteur::OneProbeTooMany));
                let slots = state.config.half_open.max_concurrent_probes as usize + extra;
                if state.probes.len() < slots || sure_of_a_slot || self.is(Saboteur::UnlimitedProbes) {
                    let number = state.next_probe;
                    state.next_probe += 1;
                    state.probes.push((number, now.saturating_add(state.lease())));
                    return Ok(token.with_probe(number));
                }
                None
            }
        };
        state.totals.rejected += 1;
        state.outbox.push(CircuitEventKind::Rejected { retry_after });
        if state.mode == CircuitMode::MetricsOnly && !self.is(Saboteur::DryRunRejects) {
            Ok(token.with_probe(BEYOND))
        } else {
            Err(CircuitRejection::new(
                Arc::clone(&self.name),
                state.current,
                retry_after,
            ))
        }
    }

    fn settle(&self, state: &mut State, token: PermitToken, record: CallRecord, now: Duration) {
        let outcome = match record.outcome {
            None if self.is(Saboteur::DroppedPermitsAreLost) => return,
            _ if record.panicked && !self.is(Saboteur::PanicsAreCancellations) => CallOutcome::Failure,
            Some(outcome) => outcome,
            None if self.is(Saboteur::CancellationsAreFailures) => CallOutcome::Failure,
            None if self.is(Saboteur::CancellationsAreIgnored) => CallOutcome::Ignored,
            None => match state.config.on_cancel {
                CancelPolicy::Ignore => CallOutcome::Ignored,
                CancelPolicy::Failure => CallOutcome::Failure,
            },
        };
        let outcome = match outcome {
            CallOutcome::Ignored if self.is(Saboteur::IgnoredIsSuccess) => CallOutcome::Success,
            outcome => outcome,
        };
        if self.is(Saboteur::PermitsBelongToTasks) && state.last_task != tokio::task::try_id() {
            return;
        }
        state.ended += 1;
        let took = Duration::from_nanos((nanos(now) + 1).saturating_sub(token.started_nanos()));
        let slow = token.started_nanos() != 0
            && outcome != CallOutcome::Ignored
            && rates(&state.trip())
                .and_then(|rates| rates.slow_call_duration)
                .is_some_and(|limit| took >= limit)
            && !self.is(Saboteur::NothingIsSlow);
        let sample = Sample {
            at: now,
            failed: outcome == CallOutcome::Failure,
            slow,
        };

        let current = token.generation() == state.generation;
        let counts = if token.probe() == BEYOND && !self.is(Saboteur::DryRunCallsDecide) {
            current
        } else {
            match state.current {
                CircuitState::Closed if current => {
                    self.settle_call(state, outcome, sample, record.retry_after);
                    true
                }
                CircuitState::HalfOpen if current => {
                    let position = state.probes.iter().position(|(number, _)| *number == token.probe());
                    let in_time = position.is_some_and(|position| state.probes[position].1 > now);
                    if let Some(position) = position
                        && (outcome != CallOutcome::Ignored || !self.is(Saboteur::IgnoredKeepsItsSlot))
                    {
                        state.probes.remove(position);
                    }
                    let counts = in_time
                        || self.is(Saboteur::ExpiredProbesCount)
                        || self.is(Saboteur::NoLease)
                        || token.probe() == BEYOND;
                    if counts {
                        self.settle_probe(state, outcome, sample, record.retry_after);
                    }
                    counts
                }
                _ => self.settle_late(state, token, outcome, sample, record.retry_after),
            }
        };
        self.count(state, outcome, slow, counts);
    }

    /// Handles a result of an earlier generation; `true` where a saboteur counts it.
    fn settle_late(
        &self,
        state: &mut State,
        token: PermitToken,
        outcome: CallOutcome,
        sample: Sample,
        retry_after: Option<Duration>,
    ) -> bool {
        let now = sample.at;
        match (state.current, outcome) {
            (CircuitState::HalfOpen, CallOutcome::Success)
                if self.is(Saboteur::LateSuccessesClose)
                    || token.probe() != 0 && self.is(Saboteur::OldProbesDecide) =>
            {
                self.settle_probe(state, outcome, sample, None);
                return true;
            }
            (CircuitState::HalfOpen, CallOutcome::Failure) if self.is(Saboteur::LateFailuresReopen) => {
                state.open(TransitionReason::ProbeFailed, now);
            }
            (CircuitState::HalfOpen, CallOutcome::Ignored) if self.is(Saboteur::LateIgnoredFreesASlot) => {
                state.probes.pop();
            }
            (CircuitState::Closed, CallOutcome::Failure) if self.is(Saboteur::LateFailuresCount) => {
                self.settle_call(state, outcome, sample, retry_after);
            }
            (CircuitState::Open, CallOutcome::Failure) if self.is(Saboteur::LateRetryAfterCounts) => {
                let asked = retry_after.map(|delay| now.saturating_add(delay));
                state.open_until = state.open_until.map(|until| until.max(asked.unwrap_or_default()));
            }
            _ => {}
        }
        false
    }

    fn count(&self, state: &mut State, outcome: CallOutcome, slow: bool, counts: bool) {
        let totals = &mut state.totals;
        if !counts {
            totals.stale += 1;
        }
        if counts || self.is(Saboteur::StaleCountsTwice) {
            match outcome {
                CallOutcome::Success => totals.successes += 1,
                CallOutcome::Failure => totals.failures += 1,
                CallOutcome::Ignored => totals.ignored += 1,
            }
            totals.slow += u64::from(slow);
        }
    }

    fn settle_call(&self, state: &mut State, outcome: CallOutcome, sample: Sample, retry_after: Option<Duration>) {
        match outcome {
            CallOutcome::Ignored => return,
            CallOutcome::Failure => {
                state.consecutive_failures += 1;
                let asked = retry_after.map_or(Duration::ZERO, |delay| sample.at.saturating_add(delay));
                let before = if self.is(Saboteur::OnlyTheLastRetryAfter) {
                    Duration::ZERO
                } else {
                    state.hold_until
                };
                state.hold_until = before.max(asked);
            }
            CallOutcome::Success if self.is(Saboteur::SuccessKeepsConsecutiveFailures) => {}
            CallOutcome::Success => state.consecutive_failures = 0,
        }
        state.window.push(sample);
        state.forget();
        if let Some(reason) = state.tripped(sample)
            && (state.mode != CircuitMode::ForcedClosed || self.is(Saboteur::ForcedClosedTrips))
        {
            state.open(reason, sample.at);
        }
    }

    fn settle_probe(&self, state: &mut State, outcome: CallOutcome, sample: Sample, retry_after: Option<Duration>) {
        match outcome {
            CallOutcome::Ignored => {}
            CallOutcome::Success if sample.slow && !self.is(Saboteur::SlowProbesClose) => {
                state.open(TransitionReason::SlowCallRate, sample.at);
            }
            CallOutcome::Success => {
                state.probe_successes += 1;
                if state.probe_successes >= state.config.half_open.success_threshold
                    || self.is(Saboteur::OneSuccessCloses)
                {
                    state.close(TransitionReason::ProbesSucceeded, sample.at);
                }
            }
            CallOutcome::Failure => {
                state.hold_until = retry_after.map_or(Duration::ZERO, |delay| sample.at.saturating_add(delay));
                state.open(TransitionReason::ProbeFailed, sample.at);
            }
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Circuit for ModelCircuit {
    fn name(&self) -> &str {
        if self.is(Saboteur::ForgetsItsName) {
            ""
        } else {
            &self.name
        }
    }

    fn try_acquire(&self) -> Result<Permit<'_>, CircuitRejection> {
        let sure_of_a_slot = self.is(Saboteur::TakesSlotsLater) && self.finds_a_slot();
        let token = self.with(|state, now| {
            let token = self.admit(state, now, sure_of_a_slot)?;
            state.admitted += 1;
            state.last_task = tokio::task::try_id();
            Ok(token)
        })?;
        Ok(Permit::new(self, token))
    }

    fn state(&self) -> CircuitState {
        if self.is(Saboteur::HalfOpensOnlyWhenCalled) {
            return self.last_state();
        }
        self.with(|state, _| state.current)
    }

    fn metrics(&self) -> CircuitMetrics {
        self.with(|state, now| {
            let mut metrics = state.totals.clone();
            metrics.state = state.current;
            metrics.mode = state.mode;
            metrics.in_flight = state.admitted - state.ended;
            let shown = state.current == CircuitState::Closed && !self.is(Saboteur::HidesConsecutiveFailures);
            metrics.consecutive_failures = if shown { state.consecutive_failures } else { 0 };
            metrics.window = state.window(now);
            let since = if self.is(Saboteur::TimeInStateSinceTheBeginning) {
                Duration::ZERO
            } else {
                state.entered_at
            };
            metrics.in_state_for = now.saturating_sub(since);
            if !self.is(Saboteur::TimesOfPastStatesOnly) {
                metrics
                    .time_in
                    .add(state.current, now.saturating_sub(state.accounted_until));
            }
            metrics.retry_after = match state.current {
                CircuitState::Open => state.open_until.map(|until| until.saturating_sub(now)),
                _ => None,
            };
            metrics.transitions.clone_from(&state.transitions);
            if self.is(Saboteur::CountsRememberedTransitions) {
                metrics.transition_count = metrics.transitions.len() as u64;
            }
            if self.is(Saboteur::NewestTransitionFirst) {
                metrics.transitions.reverse();
            }
            metrics
        })
    }

    fn config(&self) -> Arc<CircuitBreakerConfig> {
        if self.is(Saboteur::ShowsTheFirstConfiguration) {
            return Arc::clone(&self.lock().first_config);
        }
        Arc::clone(&self.lock().config)
    }

    fn deadline(&self, limit: Option<Duration>) -> Option<Deadline> {
        let configured = self
            .config()
            .call_timeout
            .filter(|_| !self.is(Saboteur::NoConfiguredTimeout));
        let limit = match (limit, configured) {
            (Some(given), Some(configured)) if self.is(Saboteur::ShorterTimeoutWins) => Some(given.min(configured)),
            (given, configured) => given.or(configured),
        };
        limit.map(|limit| Deadline::new(limit, Box::pin(tokio::time::sleep(limit))))
    }

    fn complete(&self, token: PermitToken, record: CallRecord) {
        self.with(|state, now| self.settle(state, token, record, now));
        if record.panicked && self.is(Saboteur::PanicsAfterPanics) {
            // Unlike `panic!`, without a message on the standard error stream.
            std::panic::resume_unwind(Box::new("two panics"));
        }
    }
}
