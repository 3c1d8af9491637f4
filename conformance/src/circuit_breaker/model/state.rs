//! The model's states: when one is left for another, and for how long.

use std::time::{Duration, SystemTime};

use networking_spi::circuit_breaker::{
    CircuitEventKind, CircuitMode, CircuitState, CircuitTransition, RateThresholds, TransitionReason, TripPolicy,
    WindowMetrics,
};

use super::Defect;
use super::circuit::{Inner, ModelCircuit, Sample};

const REMEMBERED_TRANSITIONS: usize = 16;

impl ModelCircuit {
    pub(super) fn catch_up(&self, inner: &mut Inner, now: Duration) {
        let early = if self.has(Defect::OpensTooShort) {
            Duration::from_millis(150)
        } else {
            Duration::ZERO
        };
        if inner.state == CircuitState::Open
            && let Some(until) = inner.open_until
            && now + early >= until
        {
            self.enter(inner, CircuitState::HalfOpen, TransitionReason::OpenTimeElapsed, now);
        }
    }

    pub(super) fn open(&self, inner: &mut Inner, reason: TransitionReason, now: Duration) {
        let time = self.open_time(inner, now);
        inner.hold_until = Duration::ZERO;
        inner.reopenings += 1;
        inner.open_until = Some(now + time);
        inner.totals.times_opened += 1;
        self.enter(inner, CircuitState::Open, reason, now);
    }

    pub(super) fn close(&self, inner: &mut Inner, reason: TransitionReason, now: Duration) {
        if !self.has(Defect::RecoveryKeepsTheWindow) {
            inner.window.clear();
        }
        if !self.has(Defect::RecoveryKeepsTheBackoff) {
            inner.reopenings = 0;
        }
        inner.row = 0;
        inner.hold_until = Duration::ZERO;
        self.enter(inner, CircuitState::Closed, reason, now);
    }

    pub(super) fn enter(&self, inner: &mut Inner, state: CircuitState, reason: TransitionReason, now: Duration) {
        let from = std::mem::replace(&mut inner.state, state);
        inner.generation += 1;
        inner.probes.clear();
        if state == CircuitState::Closed || !self.has(Defect::RoundsShareSuccesses) {
            inner.probe_successes = 0;
        }
        if from != state {
            inner.entered_at = now;
            inner
                .totals
                .time_in
                .add(from, now.saturating_sub(inner.accounted_until));
            inner.accounted_until = now;
            inner.totals.transition_count += 1;
            inner.transitions.push(CircuitTransition::new(
                from,
                state,
                reason,
                SystemTime::UNIX_EPOCH + now,
            ));
            if inner.transitions.len() > REMEMBERED_TRANSITIONS && !self.has(Defect::UnboundedTransitions) {
                inner.transitions.remove(0);
            }
            inner.outbox.push(CircuitEventKind::StateChanged {
                from,
                to: state,
                reason,
            });
        }
    }

    pub(super) fn enter_mode(&self, inner: &mut Inner, mode: CircuitMode, reason: TransitionReason, now: Duration) {
        let before = inner.mode;
        if before == mode {
            return;
        }
        Self::change_mode(inner, mode);
        match mode {
            CircuitMode::ForcedOpen => {
                inner.open_until = self
                    .has(Defect::ForcedOpenTimesOut)
                    .then(|| now + inner.config.open.duration);
                if inner.state != CircuitState::Open {
                    inner.totals.times_opened += 1;
                }
                self.enter(inner, CircuitState::Open, reason, now);
            }
            CircuitMode::ForcedClosed => self.close(inner, reason, now),
            _ if before == CircuitMode::ForcedOpen => self.close(inner, reason, now),
            _ => {}
        }
    }

    pub(super) fn change_mode(inner: &mut Inner, mode: CircuitMode) {
        let from = std::mem::replace(&mut inner.mode, mode);
        if from != mode {
            inner.outbox.push(CircuitEventKind::ModeChanged { from, to: mode });
        }
    }

    pub(super) fn lease(&self, inner: &Inner) -> Duration {
        let timeout = inner
            .config
            .call_timeout
            .filter(|_| !self.has(Defect::LeaseIgnoresTheTimeout));
        inner
            .config
            .half_open
            .probe_lease
            .unwrap_or_else(|| inner.config.open.duration.max(timeout.unwrap_or_default()))
    }

    pub(super) fn open_time(&self, inner: &Inner, now: Duration) -> Duration {
        let policy = &inner.config.open;
        let cap = if self.has(Defect::NoCap) {
            Duration::MAX
        } else {
            policy.max_duration
        };
        let growth = policy.multiplier.powf(f64::from(if self.has(Defect::NoBackoff) {
            0
        } else {
            inner.reopenings
        }));
        let mut time = Duration::try_from_secs_f64(policy.duration.as_secs_f64() * growth)
            .unwrap_or(Duration::MAX)
            .min(cap);
        if policy.jitter > 0.0 && !self.has(Defect::NoJitter) {
            let jitter = policy.jitter * if self.has(Defect::TooMuchJitter) { 2.0 } else { 1.0 };
            // Different for each name, which is as random as the contract asks.
            let hash = self
                .name
                .bytes()
                .fold(17_u64, |hash, byte| (hash * 31 + u64::from(byte)) * 7_919 % 10_007);
            let share = hash as f64 / 10_007.0;
            time = time.mul_f64((1.0 + jitter * (share * 2.0 - 1.0)).max(0.0));
        }
        let asked = inner.hold_until.saturating_sub(now);
        if self.has(Defect::RetryAfterIsIgnored) || asked.is_zero() {
            time.min(cap)
        } else if self.has(Defect::RetryAfterShortens) {
            asked.min(cap)
        } else if self.has(Defect::RetryAfterIsNotCapped) {
            time.min(cap).max(asked)
        } else {
            time.max(asked).min(cap)
        }
    }

    pub(super) fn trip(&self, inner: &Inner) -> TripPolicy {
        if self.has(Defect::ThresholdsAreFixed) {
            self.first_config.trip.clone()
        } else {
            inner.config.trip.clone()
        }
    }

    pub(super) fn tripped(&self, inner: &Inner, newest: Sample) -> Option<TransitionReason> {
        let trip = self.trip(inner);
        if let TripPolicy::ConsecutiveFailures { failures } = trip {
            let needed = if self.has(Defect::TripsLate) {
                failures + 1
            } else {
                failures
            };
            return (inner.row >= needed).then_some(TransitionReason::ConsecutiveFailures);
        }
        let rates = rates(&trip)?;
        let window = self.window(inner, newest.at);
        if window.calls < rates.minimum_calls && !self.has(Defect::NoMinimumOfCalls)
            || self.has(Defect::OnlyFailuresAreEvaluated) && !newest.failed && !newest.slow
        {
            return None;
        }
        let reached = |rate: f64, threshold: f64| {
            if self.has(Defect::RateMustBeExceeded) {
                rate > threshold
            } else {
                rate >= threshold
            }
        };
        if reached(window.failure_rate(), rates.failure_rate) {
            Some(TransitionReason::FailureRate)
        } else if rates.slow_call_duration.is_some() && reached(window.slow_call_rate(), rates.slow_call_rate) {
            Some(TransitionReason::SlowCallRate)
        } else {
            None
        }
    }

    /// Drops what a count window can never see again.
    pub(super) fn forget(&self, inner: &mut Inner) {
        if let TripPolicy::CountWindow { size, .. } = self.trip(inner)
            && !self.has(Defect::WindowNeverSlides)
        {
            let surplus = inner.window.len().saturating_sub(size as usize);
            inner.window.drain(..surplus);
        }
    }

    pub(super) fn window(&self, inner: &Inner, now: Duration) -> WindowMetrics {
        let recorded = &inner.window;
        let kept: Vec<_> = match self.trip(inner) {
            TripPolicy::TimeWindow { length, .. } if !self.has(Defect::TimeWindowNeverForgets) => {
                let length = if self.has(Defect::TimeWindowTooShort) {
                    length / 10
                } else {
                    length
                };
                let tenth = nanos(length) / 10;
                let bucket = |at| nanos(at) / tenth;
                let in_window = |sample: &&Sample| bucket(sample.at) + 10 > bucket(now);
                recorded.iter().filter(in_window).copied().collect()
            }
            TripPolicy::CountWindow { .. } | TripPolicy::TimeWindow { .. } => recorded.clone(),
            _ => Vec::new(),
        };
        let number = |of: fn(&Sample) -> bool| {
            u32::try_from(kept.iter().filter(|sample| of(sample)).count()).unwrap_or(u32::MAX)
        };
        let mut metrics = WindowMetrics::default();
        metrics.calls = number(|_| true);
        metrics.failures = number(|sample| sample.failed);
        metrics.slow = number(|sample| sample.slow);
        metrics
    }
}

pub(super) fn rates(trip: &TripPolicy) -> Option<&RateThresholds> {
    match trip {
        TripPolicy::CountWindow { rates, .. } | TripPolicy::TimeWindow { rates, .. } => Some(rates),
        _ => None,
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
