//! One circuit of the model: which calls are admitted; overrides, resets and configurations.

mod results;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use networking_spi::circuit_breaker::{
    CallRecord, Circuit, CircuitBreakerConfig, CircuitEvent, CircuitEventKind, CircuitMetrics, CircuitMode,
    CircuitRejection, CircuitState, Deadline, Permit, PermitToken, TransitionReason, TripPolicy,
};

use super::state::{State, nanos, rates};
use super::{Hub, Saboteur};

/// The probe number of a call that is admitted only because of metrics-only mode.
const BEYOND: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct ModelCircuit {
    name: Arc<str>,
    hub: Hub,
    /// Callers that have found a free slot, for `TakesSlotsLater`.
    racing: AtomicUsize,
    /// The breaker is about to record a call that it has run.
    pub(super) executed: AtomicBool,
    state: Mutex<State>,
}

impl ModelCircuit {
    pub(super) fn new(name: &str, config: CircuitBreakerConfig, hub: Hub) -> Self {
        let name: Arc<str> = name.into();
        let state = State::new(Arc::clone(&name), config, hub.clone());
        Self {
            name,
            hub,
            racing: AtomicUsize::new(0),
            executed: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    pub(super) fn last_state(&self) -> CircuitState {
        self.lock().current
    }

    pub(super) fn is_busy(&self) -> bool {
        let state = self.lock();
        state.admitted != state.ended
    }

    pub(super) fn is_evictable(&self) -> bool {
        let state = self.lock();
        let healthy = state.consecutive_failures == 0 && state.window(self.hub.origin.elapsed()).failures == 0;
        let unless = |saboteur, condition: bool| condition || self.is(saboteur);
        let default_mode = if self.is(Saboteur::NeverEvictsMetricsOnly) {
            CircuitMode::Automatic
        } else {
            state.first_config.mode
        };
        let closed = match state.current {
            CircuitState::Closed => true,
            CircuitState::HalfOpen => self.is(Saboteur::EvictsHalfOpenCircuits),
            CircuitState::Open => false,
        };
        unless(Saboteur::EvictsOpenCircuits, closed)
            && unless(
                Saboteur::EvictsForcedCircuits,
                state.mode == default_mode && !state.overridden,
            )
            && unless(Saboteur::EvictsConfiguredCircuits, !state.configured)
            && unless(Saboteur::EvictsBusyCircuits, state.admitted == state.ended)
            && unless(
                Saboteur::EvictsFailingCircuits,
                healthy || state.current != CircuitState::Closed,
            )
    }

    pub(super) fn force(&self, mode: CircuitMode) {
        self.with(|state, now| {
            if self.is(Saboteur::FirstOverrideStays) && state.overridden {
                return;
            }
            state.overridden = true;
            let generation = state.generation;
            state.enter_mode(mode, TransitionReason::Forced, now);
            if self.is(Saboteur::OverridesKeepTheGeneration) && state.current == CircuitState::Closed {
                state.generation = generation;
            }
        });
    }

    pub(super) fn reset(&self) {
        self.with(|state, now| {
            state.outbox.push(CircuitEventKind::Reset);
            if self.is(Saboteur::ResetRestoresTheFirstConfiguration) {
                state.config = Arc::clone(&state.first_config);
            }
            let mode = match state.config.mode {
                CircuitMode::MetricsOnly if self.is(Saboteur::ResetEndsMetricsOnly) => CircuitMode::Automatic,
                CircuitMode::MetricsOnly => CircuitMode::MetricsOnly,
                mode if self.is(Saboteur::ResetReturnsToAForcedMode) => mode,
                _ => CircuitMode::Automatic,
            };
            if !self.is(Saboteur::ResetKeepsOverrides) || !state.overridden {
                state.overridden = false;
                state.change_mode(mode);
            }
            let generation = state.generation;
            let (window, reopenings, hold_until) = (state.window.clone(), state.reopenings, state.hold_until);
            state.close(TransitionReason::Reset, now);
            if self.is(Saboteur::ResetKeepsTheWindow) {
                state.window = window;
            }
            if self.is(Saboteur::ResetKeepsTheBackoff) {
                state.reopenings = reopenings;
            }
            if self.is(Saboteur::ResetKeepsRequestedDelays) {
                state.hold_until = hold_until;
            }
            if self.is(Saboteur::ResetForgetsTransitions) {
                state.transitions.clear();
            }
            if self.is(Saboteur::ResetKeepsTheGeneration) {
                state.generation = generation;
            }
            if self.is(Saboteur::ResetForgetsCallsInFlight) {
                state.ended = state.admitted;
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
            let grows = matches!(
                (&state.config.trip, &config.trip),
                (TripPolicy::CountWindow { size: old, .. }, TripPolicy::CountWindow { size: new, .. }) if old < new
            );
            let longer = matches!(
                (&state.config.trip, &config.trip),
                (TripPolicy::TimeWindow { length: old, .. }, TripPolicy::TimeWindow { length: new, .. }) if old < new
            );
            state.config = Arc::new(config);
            let same_kind =
                before == std::mem::discriminant(&state.config.trip) || self.is(Saboteur::KeepsAnotherKindOfWindow);
            if self.is(Saboteur::ResizingEmptiesTheWindow)
                || self.is(Saboteur::GrowingEmptiesTheWindow) && grows
                || self.is(Saboteur::LongerTimeWindowsAreEmpty) && longer
                || !same_kind
            {
                state.window.clear();
            }
            if self.is(Saboteur::ConfigurationRestartsTheOpenTime) && state.open_until.is_some() {
                state.open_until = Some(now.saturating_add(state.config.open.backoff.initial));
            }
            if self.is(Saboteur::ConfigurationForgetsProbes) {
                state.probes.clear();
                state.probe_successes = 0;
            }
            if self.is(Saboteur::ConfigurationMakesCallsStale) {
                state.generation += 1;
            }
            state.forget();
            if self.is(Saboteur::ConfigurationStartsOver) {
                state.close(TransitionReason::Configured, now);
                state.totals = CircuitMetrics::default();
            }
            if self.is(Saboteur::ConfigurationEndsOverrides) {
                state.overridden = false;
            }
            let automatic = self.is(Saboteur::OpenCircuitsStayAutomatic)
                && state.current == CircuitState::Open
                && state.config.mode == CircuitMode::MetricsOnly;
            if !state.overridden && !automatic {
                let mode = state.config.mode;
                state.enter_mode(mode, TransitionReason::Configured, now);
            }
        });
    }

    /// The configuration whose timeout and cancellation policy apply.
    fn call_config(&self, state: &State) -> Arc<CircuitBreakerConfig> {
        if self.is(Saboteur::CallSettingsAreFixed) {
            Arc::clone(&state.first_config)
        } else {
            Arc::clone(&state.config)
        }
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
                CircuitEventKind::ModeChanged { .. } if self.is(Saboteur::ModeChangesAreNotReported) => continue,
                CircuitEventKind::Rejected { retry_after } if self.is(Saboteur::EventsHaveNoDelays) => {
                    *retry_after = None;
                }
                CircuitEventKind::StateChanged { reason, .. } if self.is(Saboteur::WrongReasons) => {
                    *reason = TransitionReason::Configured;
                }
                _ => {}
            }
            let at = if self.is(Saboteur::TimesOfEventsStandStill) {
                self.hub.started_at
            } else {
                self.hub.wall_clock(now)
            };
            let event = CircuitEvent::new(Arc::clone(&self.name), at, kind);
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
            let slots = state.config.half_open.concurrent_probes() as usize;
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
        let timed = timed && !(now.is_zero() && self.is(Saboteur::TimesNothingAtFirst));
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
                state.probes.retain(|(_, lease_ends)| {
                    *lease_ends > now || self.is(Saboteur::NoLease) || !self.hub.declared.probe_leases
                });
                let extra = usize::from(self.is(Saboteur::OneProbeTooMany));
                let slots = match state.config.half_open.max_concurrent_probes {
                    None if self.is(Saboteur::TwoProbesByDefault) => 2,
                    _ => state.config.half_open.concurrent_probes() as usize + extra,
                };
                let unlimited = self.is(Saboteur::UnlimitedProbes) || !self.hub.declared.probe_limits;
                if state.probes.len() < slots || sure_of_a_slot || unlimited {
                    let number = state.next_probe;
                    state.next_probe += 1;
                    state.probes.push((number, now.saturating_add(state.lease())));
                    return Ok(token.with_probe(number));
                }
                None
            }
        };
        let only_metrics = state.mode == CircuitMode::MetricsOnly;
        if !only_metrics || !self.is(Saboteur::DryRunRejectionsAreNotCounted) {
            state.totals.rejected += 1;
        }
        if !only_metrics || !self.is(Saboteur::DryRunRejectionsAreNotReported) {
            state.outbox.push(CircuitEventKind::Rejected { retry_after });
        }
        if only_metrics && !self.is(Saboteur::DryRunRejects) {
            Ok(token.with_probe(BEYOND))
        } else {
            Err(CircuitRejection::new(
                Arc::clone(&self.name),
                state.current,
                retry_after,
            ))
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
            metrics.in_flight = state.admitted.saturating_sub(state.ended);
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
            .call_config(&self.lock())
            .call_timeout
            .filter(|_| !self.is(Saboteur::NoConfiguredTimeout));
        let limit = match (limit, configured) {
            (Some(given), Some(configured)) if self.is(Saboteur::ShorterTimeoutWins) => Some(given.min(configured)),
            (given, configured) => given.or(configured),
        };
        let lasts = |limit: Duration| match self.hub.saboteur {
            Some(Saboteur::TimeoutsComeEarly) => limit / 2,
            Some(Saboteur::TimeoutsComeLate) => limit * 10,
            _ => limit,
        };
        limit.map(|limit| Deadline::new(limit, Box::pin(tokio::time::sleep(lasts(limit)))))
    }

    fn complete(&self, token: PermitToken, record: CallRecord) {
        if self.is(Saboteur::LosesConcurrentCounts) {
            let before = self.lock().totals.successes;
            std::thread::yield_now();
            self.with(|state, now| {
                self.settle(state, token, record, now);
                state.totals.successes = state.totals.successes.min(before + 1);
            });
            return;
        }
        if self.is(Saboteur::LateResultsNeedAQuery) {
            let now = self.hub.origin.elapsed();
            self.settle(&mut self.lock(), token, record, now);
            // Publishes the events.
            self.with(|_, _| ());
            return;
        }
        self.with(|state, now| self.settle(state, token, record, now));
        if record.panicked && self.is(Saboteur::PanicsAfterPanics) {
            // Unlike `panic!`, without a message on the standard error stream.
            std::panic::resume_unwind(Box::new("two panics"));
        }
    }
}
