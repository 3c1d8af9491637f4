//! The test doubles of circuits behave like circuits in every way that a test of their users can see.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::circuit_breaker::{
    CallRecord, CancelPolicy, CircuitBreakerConfig, CircuitDecision, CircuitMode, OwnedPermit, ScriptedCircuit,
    ScriptedCircuitBreaker, TripPolicy, always_closed,
};
use networking_spi::prelude::*;

fn failing() -> NetworkError {
    NetworkError::new(ErrorKind::ConnectionRefused, "test", "no route")
}

#[tokio::test]
async fn a_circuit_that_is_always_closed_admits_every_call_and_keeps_the_outcomes() {
    let double = always_closed();
    let circuit: Arc<dyn Circuit> = double.clone();
    for _ in 0..50 {
        circuit.call(|| async { Err::<(), _>(failing()) }).await.unwrap_err();
    }
    circuit.call(|| async { Ok(()) }).await.unwrap();
    assert_eq!(circuit.state(), CircuitState::Closed);
    let permit = OwnedPermit::acquire(&circuit).unwrap();
    assert_eq!((double.in_flight(), double.outcomes().len()), (1, 51));
    permit.record(CallRecord::new(CallOutcome::Failure).with_retry_after(Duration::from_secs(3)));
    drop(circuit.try_acquire().unwrap());
    let outcomes = double.outcomes();
    assert_eq!(outcomes[..50], [CallOutcome::Failure; 50]);
    assert_eq!(
        outcomes[50..],
        [CallOutcome::Success, CallOutcome::Failure, CallOutcome::Ignored]
    );
    assert_eq!(double.records()[51].retry_after, Some(Duration::from_secs(3)));
    let metrics = circuit.metrics();
    assert_eq!(
        (metrics.successes, metrics.failures, metrics.ignored, metrics.in_flight),
        (1, 51, 1, 0)
    );
}

#[tokio::test]
async fn a_script_decides_one_call_after_the_other() {
    let wait = Duration::from_secs(5);
    let circuit = ScriptedCircuit::new(
        "payments",
        [
            CircuitDecision::open_for(wait),
            CircuitDecision::Probe,
            CircuitDecision::ProbesTaken,
        ],
    )
    .then(CircuitDecision::forced_open());
    circuit.push(CircuitDecision::Admit);

    assert_eq!(circuit.metrics().retry_after, Some(wait));
    let rejection = circuit.try_acquire().unwrap_err();
    assert_eq!(
        (&*rejection.circuit, rejection.state, rejection.retry_after),
        ("payments", CircuitState::Open, Some(wait))
    );
    assert_eq!(circuit.state(), CircuitState::HalfOpen);
    circuit.try_acquire().unwrap().record(CallOutcome::Success);
    let rejection = circuit.try_acquire().unwrap_err();
    assert_eq!((rejection.state, rejection.retry_after), (CircuitState::HalfOpen, None));
    assert_eq!(circuit.state(), CircuitState::Closed);
    circuit.call(|| async { Ok(()) }).await.unwrap();
    for _ in 0..3 {
        let error = circuit.call(|| async { Ok(()) }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CircuitOpen);
        assert!(!error.retryability().is_retryable());
    }
    assert_eq!((circuit.rejections(), circuit.metrics().rejected), (5, 5));
}

#[tokio::test]
async fn the_configuration_of_a_double_decides_about_errors_and_cancellations() {
    let config = CircuitBreakerConfig::new().with_on_cancel(CancelPolicy::Failure);
    let circuit = ScriptedCircuit::new("payments", []).with_config(config);
    drop(circuit.try_acquire().unwrap());
    let not_found = || NetworkError::not_found("test", "price", "7");
    circuit.call(|| async { Err::<(), _>(not_found()) }).await.unwrap_err();
    assert_eq!(circuit.outcomes(), [CallOutcome::Failure, CallOutcome::Success]);
}

#[tokio::test]
async fn a_scripted_breaker_has_one_circuit_per_name() {
    let search = ScriptedCircuit::new("search", [CircuitDecision::forced_open()]);
    let double = Arc::new(ScriptedCircuitBreaker::new([search]));
    let breaker: Arc<dyn CircuitBreaker> = double.clone();
    let state = breaker.circuit_state("search").unwrap();
    assert_eq!(state, CircuitState::Open);
    assert_eq!(breaker.circuit_state("other").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(breaker.circuit("\n").unwrap_err().kind(), ErrorKind::InvalidInput);

    let rejected = breaker.execute("search", None, || async { Ok(1) }).await;
    assert_eq!(rejected.unwrap_err().kind(), ErrorKind::CircuitOpen);
    assert_eq!(breaker.execute("search", None, || async { Ok(2) }).await.unwrap(), 2);
    breaker.call("payments", || async { Ok(()) }).await.unwrap();
    assert_eq!(double.scripted("payments").outcomes(), [CallOutcome::Success]);
    assert_eq!(breaker.all_circuit_states().len(), 2);

    breaker.force_circuit_open("payments").unwrap();
    let rejected = breaker.call("payments", || async { Ok(()) }).await;
    assert_eq!(rejected.unwrap_err().kind(), ErrorKind::CircuitOpen);
    assert_eq!(
        breaker.circuit_metrics("payments").unwrap().mode,
        CircuitMode::ForcedOpen
    );
    breaker.reset_circuit_breaker("payments").unwrap();
    breaker.call("payments", || async { Ok(()) }).await.unwrap();

    let config = CircuitBreakerConfig::new().with_trip(TripPolicy::consecutive(7));
    breaker.configure_circuit_breaker("payments", config).unwrap();
    let shown = double.scripted("payments").config();
    assert_eq!(shown.trip, TripPolicy::consecutive(7));
}
