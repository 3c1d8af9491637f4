//! The effects of the results of calls.

use std::sync::atomic::Ordering;
use std::time::Duration;

use networking_spi::circuit_breaker::{
    CallOutcome, CallRecord, CancelPolicy, CircuitMode, CircuitState, PermitToken, TransitionReason, TripPolicy,
};

use super::super::Saboteur;
use super::super::state::{Sample, State, nanos, rates};
use super::{BEYOND, ModelCircuit};

impl ModelCircuit {
    pub(super) fn settle(&self, state: &mut State, token: PermitToken, record: CallRecord, now: Duration) {
        let outcome = match record.outcome {
            None if self.is(Saboteur::DroppedPermitsAreLost) => return,
            _ if record.panicked && !self.is(Saboteur::PanicsAreCancellations) => CallOutcome::Failure,
            Some(outcome) => outcome,
            None if self.is(Saboteur::CancellationsAreFailures) => CallOutcome::Failure,
            None if self.is(Saboteur::CancellationsAreIgnored) => CallOutcome::Ignored,
            None => match self.call_config(state).on_cancel {
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
        if token.probe() == BEYOND && self.is(Saboteur::DryRunCallsAreNotCounted) {
            state.ended += 1;
            return;
        }
        state.ended += 1;
        let took = Duration::from_nanos((nanos(now) + 1).saturating_sub(token.started_nanos()));
        let slow = token.started_nanos() != 0
            && (outcome != CallOutcome::Ignored || self.is(Saboteur::IgnoredCallsAreSlow))
            && (outcome != CallOutcome::Failure || !self.is(Saboteur::FailuresAreNeverSlow))
            && (!matches!(state.trip(), TripPolicy::TimeWindow { .. }) || !self.is(Saboteur::TimesOnlyCountWindows))
            && !(self.executed.load(Ordering::SeqCst) && self.is(Saboteur::ExecutedCallsAreNotTimed))
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
            if self.is(Saboteur::DryRunFailuresLengthen)
                && let (Some(delay), Some(until)) = (record.retry_after, state.open_until)
            {
                state.open_until = Some(until.max(now.saturating_add(delay)));
            }
            current
        } else {
            match state.current {
                CircuitState::Closed if current => {
                    self.settle_call(state, outcome, sample, record.retry_after);
                    true
                }
                CircuitState::HalfOpen
                    if current && (token.probe() != BEYOND || self.is(Saboteur::DryRunCallsDecide)) =>
                {
                    let position = state.probes.iter().position(|(number, _)| *number == token.probe());
                    let in_time = position
                        .is_some_and(|position| state.probes[position].1 > now || !self.hub.declared.probe_leases);
                    if let Some(position) = position
                        && (outcome != CallOutcome::Ignored || !self.is(Saboteur::IgnoredKeepsItsSlot))
                    {
                        state.probes.remove(position);
                    }
                    let counts = in_time
                        || self.is(Saboteur::ExpiredProbesCount)
                        || self.is(Saboteur::NoLease)
                        || self.is(Saboteur::ExpiredProbesCountInFreeSlots) && position.is_some()
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
                    || self.executed.load(Ordering::SeqCst) && self.is(Saboteur::ExecutedLateSuccessesClose)
                    || token.probe() != 0 && self.is(Saboteur::OldProbesDecide) =>
            {
                self.settle_probe(state, outcome, sample, None);
                return true;
            }
            (CircuitState::HalfOpen, CallOutcome::Failure)
                if self.is(Saboteur::LateFailuresReopen)
                    || token.probe() != 0 && self.is(Saboteur::OldProbeFailuresReopen) =>
            {
                state.open(TransitionReason::ProbeFailed, now);
            }
            (CircuitState::HalfOpen, CallOutcome::Ignored) if self.is(Saboteur::LateIgnoredFreesASlot) => {
                state.probes.pop();
            }
            (CircuitState::Closed, CallOutcome::Success) if self.is(Saboteur::LateSuccessesCount) => {
                self.settle_call(state, outcome, sample, None);
            }
            (CircuitState::Closed, CallOutcome::Failure) if self.is(Saboteur::LateFailuresCount) => {
                self.settle_call(state, outcome, sample, retry_after);
            }
            (CircuitState::Open, CallOutcome::Success)
                if self.is(Saboteur::LateSuccessesCloseOpenCircuits)
                    || self.executed.load(Ordering::SeqCst)
                        && self.is(Saboteur::ExecutedLateSuccessesCloseOpenCircuits) =>
            {
                state.close(TransitionReason::ProbesSucceeded, now);
            }
            (CircuitState::Open, CallOutcome::Failure)
                if self.is(Saboteur::LateFailuresRestartTheOpenTime)
                    || self.executed.load(Ordering::SeqCst)
                        && self.is(Saboteur::ExecutedLateFailuresRestartTheOpenTime) =>
            {
                state.open_until = Some(now.saturating_add(state.open_time(now)));
            }
            (CircuitState::Open, CallOutcome::Failure) if self.is(Saboteur::LateFailuresOpenAgain) => {
                state.totals.times_opened += 1;
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
                let forgets = self.is(Saboteur::OnlyTheLastRetryAfter)
                    || self.is(Saboteur::ANewerRetryAfterWins) && !asked.is_zero();
                let before = if forgets { Duration::ZERO } else { state.hold_until };
                state.hold_until = before.max(asked);
            }
            CallOutcome::Success if self.is(Saboteur::SuccessKeepsConsecutiveFailures) => {}
            CallOutcome::Success => {
                state.consecutive_failures = 0;
                if let (Some(delay), true) = (retry_after, self.is(Saboteur::SuccessesAskForDelays)) {
                    state.hold_until = state.hold_until.max(sample.at.saturating_add(delay));
                }
                if self.is(Saboteur::SuccessEndsRetryAfter) {
                    state.hold_until = Duration::ZERO;
                }
            }
        }
        if self.is(Saboteur::TumblingTimeWindow)
            && let TripPolicy::TimeWindow { length, .. } = state.trip()
            && state.window.first().is_some_and(|first| sample.at >= first.at + length)
        {
            state.window.clear();
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
            CallOutcome::Ignored if self.is(Saboteur::IgnoredProbesRestart) => state.probe_successes = 0,
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
            CallOutcome::Failure
                if match state.trip() {
                    TripPolicy::CountWindow { rates, .. } => {
                        self.is(Saboteur::ProbesNeedTheMinimumOfCalls) && rates.minimum_calls > 1
                    }
                    TripPolicy::TimeWindow { rates, .. } => {
                        self.is(Saboteur::ProbesNeedTheMinimumOfATimeWindow) && rates.minimum_calls > 1
                    }
                    _ => false,
                } => {}
            CallOutcome::Failure => {
                state.hold_until = retry_after.map_or(Duration::ZERO, |delay| sample.at.saturating_add(delay));
                state.open(TransitionReason::ProbeFailed, sample.at);
            }
        }
    }
}
