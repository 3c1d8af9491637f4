//! The state of a circuit: when it changes, and how long it stays open.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::backoff::Jitter;
use networking_spi::circuit_breaker::{
    CircuitBreakerConfig, CircuitEventKind, CircuitMetrics, CircuitMode, CircuitState, CircuitTransition,
    RateThresholds, TransitionReason, TripPolicy, WindowMetrics,
};

use super::{Hub, Saboteur};

const REMEMBERED_TRANSITIONS: usize = 16;

/// The state of a circuit, guarded by its lock.
#[derive(Debug)]
pub(super) struct State {
    name: Arc<str>,
    hub: Hub,
    pub(super) first_config: Arc<CircuitBreakerConfig>,
    pub(super) config: Arc<CircuitBreakerConfig>,
    pub(super) configured: bool,
    pub(super) current: CircuitState,
    pub(super) mode: CircuitMode,
    /// The mode was set by an override.
    pub(super) overridden: bool,
    pub(super) generation: u64,
    pub(super) entered_at: Duration,
    /// The time until which the times in states have been added to the totals.
    pub(super) accounted_until: Duration,
    /// `None` if the circuit stays open until an override ends.
    pub(super) open_until: Option<Duration>,
    pub(super) consecutive_failures: u32,
    pub(super) window: Vec<Sample>,
    /// The number of each probe, and when its lease ends.
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

/// A call in the window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) at: Duration,
    pub(super) failed: bool,
    pub(super) slow: bool,
}

impl State {
    pub(super) fn new(name: Arc<str>, config: CircuitBreakerConfig, hub: Hub) -> Self {
        let config = Arc::new(config);
        let now = hub.origin.elapsed();
        let mode = if hub.is(Saboteur::StartsAutomatic) {
            CircuitMode::Automatic
        } else {
            config.mode
        };
        Self {
            name,
            hub,
            first_config: Arc::clone(&config),
            config,
            configured: false,
            current: if mode == CircuitMode::ForcedOpen {
                CircuitState::Open
            } else {
                CircuitState::Closed
            },
            mode,
            overridden: false,
            generation: 0,
            entered_at: now,
            accounted_until: now,
            open_until: None,
            consecutive_failures: 0,
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
        }
    }

    fn is(&self, saboteur: Saboteur) -> bool {
        self.hub.is(saboteur)
    }

    pub(super) fn catch_up(&mut self, now: Duration) {
        let early = if self.is(Saboteur::OpensTooShort) {
            Duration::from_millis(150)
        } else {
            Duration::ZERO
        };
        if self.current == CircuitState::Open
            && let Some(until) = self.open_until
            && now.saturating_add(early) >= until
        {
            self.enter(CircuitState::HalfOpen, TransitionReason::OpenTimeElapsed, now);
        }
    }

    pub(super) fn open(&mut self, reason: TransitionReason, now: Duration) {
        let time = self.open_time(now);
        self.hold_until = Duration::ZERO;
        self.reopenings += 1;
        self.open_until = Some(now.saturating_add(time));
        self.totals.times_opened += 1;
        self.enter(CircuitState::Open, reason, now);
    }

    pub(super) fn close(&mut self, reason: TransitionReason, now: Duration) {
        if !self.is(Saboteur::RecoveryKeepsTheWindow) {
            self.window.clear();
        }
        if !self.is(Saboteur::RecoveryKeepsTheBackoff) {
            self.reopenings = 0;
        }
        self.consecutive_failures = 0;
        self.hold_until = Duration::ZERO;
        self.enter(CircuitState::Closed, reason, now);
    }

    pub(super) fn enter(&mut self, state: CircuitState, reason: TransitionReason, now: Duration) {
        let from = std::mem::replace(&mut self.current, state);
        self.generation += 1;
        self.probes.clear();
        if state == CircuitState::Closed || !self.is(Saboteur::RoundsShareSuccesses) {
            self.probe_successes = 0;
        }
        if from != state {
            self.entered_at = now;
            self.totals.time_in.add(from, now.saturating_sub(self.accounted_until));
            self.accounted_until = now;
            self.totals.transition_count += 1;
            let at = if self.is(Saboteur::TimesOfTransitionsStandStill) {
                self.hub.started_at
            } else {
                self.hub.wall_clock(now)
            };
            self.transitions.push(CircuitTransition::new(from, state, reason, at));
            if self.transitions.len() > REMEMBERED_TRANSITIONS && !self.is(Saboteur::UnboundedTransitions) {
                let dropped = if self.is(Saboteur::KeepsTheFirstTransitions) {
                    REMEMBERED_TRANSITIONS - 1
                } else {
                    0
                };
                self.transitions.remove(dropped);
            }
            self.outbox.push(CircuitEventKind::StateChanged {
                from,
                to: state,
                reason,
            });
        }
    }

    pub(super) fn enter_mode(&mut self, mode: CircuitMode, reason: TransitionReason, now: Duration) {
        let before = self.mode;
        if before == mode {
            return;
        }
        self.change_mode(mode);
        match mode {
            CircuitMode::ForcedOpen => {
                self.open_until = self
                    .is(Saboteur::ForcedOpenTimesOut)
                    .then(|| now.saturating_add(self.config.open.backoff.initial));
                if self.current != CircuitState::Open {
                    self.totals.times_opened += 1;
                }
                self.enter(CircuitState::Open, reason, now);
            }
            CircuitMode::ForcedClosed => self.close(reason, now),
            _ if before == CircuitMode::ForcedOpen && !self.is(Saboteur::ConfigurationLeavesForcedOpen) => {
                self.close(reason, now);
            }
            _ => {}
        }
    }

    pub(super) fn change_mode(&mut self, mode: CircuitMode) {
        let from = std::mem::replace(&mut self.mode, mode);
        if from != mode {
            self.outbox.push(CircuitEventKind::ModeChanged { from, to: mode });
        }
    }

    pub(super) fn lease(&self) -> Duration {
        let timeout = self
            .config
            .call_timeout
            .filter(|_| !self.is(Saboteur::LeaseIgnoresTheTimeout));
        self.config.half_open.probe_lease.unwrap_or_else(|| {
            if let Some(timeout) = timeout
                && self.is(Saboteur::LeaseIsTheTimeout)
            {
                return timeout;
            }
            let backoff = &self.config.open.backoff;
            let open_time = if self.is(Saboteur::LeaseGrowsWithTheBackoff) {
                backoff.initial * self.reopenings
            } else {
                backoff.initial
            };
            open_time.max(timeout.unwrap_or_default())
        })
    }

    pub(super) fn open_time(&self, now: Duration) -> Duration {
        let policy = &self.config.open.backoff;
        let cap = if self.is(Saboteur::NoMaximum) {
            Duration::MAX
        } else {
            policy.maximum
        };
        let multiplier = if self.is(Saboteur::AlwaysDoubles) && policy.multiplier > 1.0 {
            2.0
        } else {
            policy.multiplier
        };
        let growth = multiplier.powf(f64::from(if self.is(Saboteur::NoBackoff) {
            0
        } else {
            self.reopenings
        }));
        let mut time = Duration::try_from_secs_f64(policy.initial.as_secs_f64() * growth)
            .unwrap_or(Duration::MAX)
            .min(cap);
        if policy.jitter != Jitter::None && !self.is(Saboteur::NoJitter) {
            // A hash of the name, because the contract only requires that circuits differ.
            let hash = self
                .name
                .bytes()
                .fold(17_u64, |hash, byte| (hash * 31 + u64::from(byte)) * 7_919 % 10_007);
            let share = hash as f64 / 10_007.0;
            let (lowest, highest) = match policy.jitter {
                Jitter::Full => (0.0, 1.0),
                Jitter::Equal => (0.5, 1.0),
                Jitter::Proportional(part) => (1.0 - part, 1.0 + part),
                Jitter::None => (1.0, 1.0),
            };
            let excess = if self.is(Saboteur::TooMuchJitter) {
                (highest - lowest) / 2.0
            } else {
                0.0
            };
            let (lowest, highest) = (lowest - excess, highest + excess);
            time = time.mul_f64((lowest + (highest - lowest) * share).max(0.0));
            if self.is(Saboteur::JitterExceedsTheMaximum) {
                return time;
            }
        }
        let mut asked = self.hold_until.saturating_sub(now);
        if self.is(Saboteur::JitterShortensRetryAfter) && policy.jitter != Jitter::None {
            asked /= 2;
        }
        if self.is(Saboteur::RetryAfterIsIgnored) || asked.is_zero() {
            time.min(cap)
        } else if self.is(Saboteur::RetryAfterShortens) {
            asked.min(cap)
        } else if self.is(Saboteur::RetryAfterIsNotCapped) {
            time.min(cap).max(asked)
        } else {
            time.max(asked).min(cap)
        }
    }

    pub(super) fn trip(&self) -> TripPolicy {
        if self.is(Saboteur::ThresholdsAreFixed) {
            self.first_config.trip.clone()
        } else {
            self.config.trip.clone()
        }
    }

    pub(super) fn tripped(&self, newest: Sample) -> Option<TransitionReason> {
        let trip = self.trip();
        if let TripPolicy::ConsecutiveFailures { failures } = trip {
            let needed = if self.is(Saboteur::TripsLate) {
                failures + 1
            } else {
                failures
            };
            return (self.consecutive_failures >= needed).then_some(TransitionReason::ConsecutiveFailures);
        }
        let rates = rates(&trip)?;
        let window = self.window(newest.at);
        if window.calls < rates.minimum_calls && !self.is(Saboteur::NoMinimumOfCalls)
            || self.is(Saboteur::OnlyFailuresAreEvaluated) && !newest.failed && !newest.slow
        {
            return None;
        }
        let reached = |rate: f64, threshold: f64| {
            if self.is(Saboteur::RateMustBeExceeded) {
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

    /// Drops calls that have left the count window.
    pub(super) fn forget(&mut self) {
        if let TripPolicy::CountWindow { size, .. } = self.trip()
            && !self.is(Saboteur::WindowNeverSlides)
        {
            let surplus = self.window.len().saturating_sub(size as usize);
            self.window.drain(..surplus);
        }
    }

    pub(super) fn window(&self, now: Duration) -> WindowMetrics {
        let recorded = &self.window;
        let kept: Vec<_> = match self.trip() {
            TripPolicy::TimeWindow { length, .. } if !self.is(Saboteur::TimeWindowNeverExpires) => {
                let length = if self.is(Saboteur::TimeWindowTooShort) {
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
