//! The setup of most cases: configurations, and calls with known outcomes.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::circuit_breaker::{
    CallOutcome, CallRecord, Circuit, CircuitBreaker, CircuitBreakerConfig, CircuitRejection, CircuitState, OpenPolicy,
    OperationOutput, OwnedPermit, RateThresholds, TransitionReason, TripPolicy,
};
use networking_spi::{ErrorKind, NetworkError};

use super::Dyn;
use crate::kit::{CaseResult, Failure, clock_is_paused, within};
use crate::{check, check_eq};

/// The open time of [`config`]. It is longer than the steps of a case take in real time.
pub(super) const OPEN_TIME: Duration = Duration::from_millis(500);

/// More than the inaccuracy of a timer with a resolution of 1 ms.
pub(super) const MARGIN: Duration = Duration::from_millis(20);

/// How long a call of a policy with slow calls takes at least to be slow.
pub(super) const SLOW: Duration = Duration::from_millis(200);

/// The name of the circuit in cases that need only one.
pub(super) const NAME: &str = "payments";

/// Opens after three consecutive failures, for [`OPEN_TIME`]. One successful probe closes it.
pub(super) fn config() -> CircuitBreakerConfig {
    CircuitBreakerConfig::new()
        .with_trip(TripPolicy::consecutive(3))
        .with_open(OpenPolicy::fixed(OPEN_TIME))
}

/// [`config`] with a window of the last `size` calls.
pub(super) fn count_window(size: u32, rates: RateThresholds) -> CircuitBreakerConfig {
    config().with_trip(TripPolicy::count_window(size, rates))
}

/// A breaker with one circuit.
pub(super) struct Scene {
    pub(super) breaker: Arc<dyn CircuitBreaker>,
    pub(super) circuit: Arc<dyn Circuit>,
}

impl Scene {
    pub(super) fn new(harness: &Arc<Dyn>, config: CircuitBreakerConfig) -> Result<Self, Failure> {
        let breaker = harness.breaker(config);
        let circuit = breaker.circuit(NAME)?;
        Ok(Self { breaker, circuit })
    }

    /// Acquires a permit. Fails if the call is rejected.
    pub(super) fn permit(&self, when: &str) -> Result<OwnedPermit, Failure> {
        OwnedPermit::acquire(&self.circuit).map_err(|rejection| Failure::new(format!("{when}: rejected: {rejection}")))
    }

    /// Makes a call, and returns its rejection. Fails if the call is admitted.
    pub(super) fn rejection(&self, when: &str) -> Result<CircuitRejection, Failure> {
        match OwnedPermit::acquire(&self.circuit) {
            Err(rejection) => Ok(rejection),
            Ok(_) => Err(Failure::new(format!("{when}: the call was admitted"))),
        }
    }

    /// Makes `times` calls sequentially. Fails if one is rejected.
    pub(super) fn calls(&self, times: usize, outcome: CallOutcome) -> Result<(), Failure> {
        for index in 0..times {
            let permit = self.permit(&format!("call {index} of {times} that end as {outcome:?}"))?;
            permit.record(outcome);
        }
        Ok(())
    }

    /// Makes a call that takes `time`.
    pub(super) async fn slow_call(&self, harness: &Arc<Dyn>, time: Duration, outcome: CallOutcome) -> CaseResult {
        let permit = self.permit("a call that takes some time")?;
        harness.advance(time).await;
        permit.record(outcome);
        Ok(())
    }

    /// The reason of the newest transition.
    pub(super) fn last_reason(&self) -> Option<TransitionReason> {
        let transitions = self.circuit.metrics().transitions;
        transitions.last().map(|transition| transition.reason)
    }

    pub(super) fn fail(&self, times: usize) -> Result<(), Failure> {
        self.calls(times, CallOutcome::Failure)
    }

    pub(super) fn succeed(&self, times: usize) -> Result<(), Failure> {
        self.calls(times, CallOutcome::Success)
    }

    /// Makes one call that fails and asks for a delay.
    pub(super) fn fail_asking_for(&self, delay: Duration) -> Result<(), Failure> {
        let permit = self.permit("a call that fails and asks for a delay")?;
        permit.record(CallRecord::new(CallOutcome::Failure).with_retry_after(delay));
        Ok(())
    }

    /// Opens a closed circuit of [`config`].
    pub(super) fn trip(&self) -> Result<(), Failure> {
        self.fail(3)?;
        self.expect(CircuitState::Open, "after three consecutive failures")
    }

    /// Opens a closed circuit of [`config`], and waits until it is half-open.
    pub(super) async fn half_open(&self, harness: &Arc<Dyn>) -> Result<(), Failure> {
        self.trip()?;
        harness.advance(OPEN_TIME + MARGIN).await;
        self.expect(CircuitState::HalfOpen, "after the open time")
    }

    pub(super) fn expect(&self, state: CircuitState, when: &str) -> Result<(), Failure> {
        check_eq!(self.circuit.state(), state, "the state {when}");
        Ok(())
    }

    /// The remaining open time of an open circuit.
    pub(super) fn open_for(&self) -> Result<Duration, Failure> {
        let rejection = self.rejection("while open")?;
        rejection
            .retry_after
            .ok_or_else(|| Failure::new("the rejection of an open circuit does not say when to retry"))
    }
}

/// Awaits a call that its time limit must end. If it does not end, the failure names the time limit.
pub(super) async fn ended<F: Future>(harness: &Arc<Dyn>, call: F) -> Result<F::Output, Failure> {
    within(harness.patience(), "the time limit of a call", call).await
}

/// The inaccuracy of sleeps in real time on a busy machine.
const LATENESS: Duration = Duration::from_millis(120);

/// Fails unless a duration is the expected one, up to the inaccuracy of timers.
pub(super) fn check_close(got: Duration, expected: Duration, what: &str) -> Result<(), Failure> {
    let margin = if clock_is_paused() { MARGIN } else { LATENESS };
    check!(
        got.abs_diff(expected) <= margin,
        "{what}: got {got:?}, expected {expected:?}"
    );
    Ok(())
}

/// An error that the default classifier counts as a failure.
pub(super) fn failure() -> NetworkError {
    NetworkError::new(
        ErrorKind::ConnectionRefused,
        "conformance.call",
        "no route to the dependency",
    )
}

/// An operation's output, boxed.
pub(super) fn output(value: u32) -> OperationOutput {
    Box::new(value)
}
