//! Circuits by name.

use std::sync::Arc;

use futures_util::FutureExt;
use networking_spi::ErrorKind;
use networking_spi::circuit_breaker::{
    BoxedOperation, CircuitBreaker, CircuitBreakerExt, CircuitState, MAX_CIRCUIT_NAME,
};

use super::Dyn;
use super::scenario::{NAME, Scene, config, output};
use crate::kit::{CaseResult, Failure};
use crate::{check, check_eq, check_error};

pub(super) async fn one_name_one_circuit(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let other = Scene {
        breaker: Arc::clone(&scene.breaker),
        circuit: scene.breaker.circuit(NAME)?,
    };
    scene.fail(1)?;
    other.fail(1)?;
    let failed: Result<(), _> = scene
        .breaker
        .call(NAME, || async { Err(super::scenario::failure()) })
        .await;
    check!(failed.is_err(), "the operation's error was not returned");
    scene.expect(
        CircuitState::Open,
        "after one failure through each of three operations with the same name",
    )?;
    other.expect(CircuitState::Open, "through another handle")
}

pub(super) async fn names_are_isolated(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let other = Scene {
        breaker: Arc::clone(&scene.breaker),
        circuit: scene.breaker.circuit("search")?,
    };
    scene.trip()?;
    other.expect(CircuitState::Closed, "of another circuit")?;
    check_eq!(other.circuit.metrics().failures, 0, "failures of another circuit");
    other.succeed(1)
}

pub(super) async fn executing_creates_the_circuit(harness: Arc<Dyn>) -> CaseResult {
    let breaker = harness.breaker(config());
    let operation: BoxedOperation = Box::new(|| Box::pin(async { Ok(output(1)) }));
    breaker.execute_with_circuit_breaker(operation, NAME, None).await?;
    check_eq!(
        breaker.circuit_metrics(NAME)?.successes,
        1,
        "successes of a circuit that its first call created"
    );
    Ok(())
}

pub(super) async fn lists_all_states(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.breaker.circuit("search")?;
    scene.trip()?;
    let states: Vec<_> = scene.breaker.all_circuit_states().into_iter().collect();
    let expected = [
        (NAME.to_owned(), CircuitState::Open),
        ("search".to_owned(), CircuitState::Closed),
    ];
    check_eq!(states, expected, "all states");
    Ok(())
}

pub(super) async fn bad_names_are_refused(harness: Arc<Dyn>) -> CaseResult {
    let breaker = harness.breaker(config());
    for name in ["", "  ", "line\nbreak", &"x".repeat(MAX_CIRCUIT_NAME + 1)] {
        check_error!(
            breaker.circuit(name),
            ErrorKind::InvalidInput,
            "a circuit named {name:?}"
        );
        let configured = breaker.configure_circuit_breaker(name, config());
        check_error!(
            configured,
            ErrorKind::InvalidInput,
            "configuring a circuit named {name:?}"
        );
        let operation: BoxedOperation = Box::new(|| Box::pin(async { Ok(output(1)) }));
        let executed = breaker.execute_with_circuit_breaker(operation, name, None).await;
        check_error!(
            executed,
            ErrorKind::InvalidInput,
            "executing under a circuit named {name:?}"
        );
    }
    breaker.circuit(&"x".repeat(MAX_CIRCUIT_NAME))?;
    breaker.circuit("orders/eu-west-1 \u{e9}")?;
    Ok(())
}

pub(super) async fn a_full_registry_evicts_an_unused_circuit(harness: Arc<Dyn>) -> CaseResult {
    let breaker = bounded(&harness, 8)?;
    for index in 0..1_000 {
        let operation: BoxedOperation = Box::new(|| Box::pin(async { Ok(output(1)) }));
        breaker
            .execute_with_circuit_breaker(operation, &format!("tenant-{index}"), None)
            .await?;
    }
    check_eq!(breaker.all_circuit_states().len(), 8, "circuits");
    Ok(())
}

pub(super) async fn circuits_in_use_are_not_evicted(harness: Arc<Dyn>) -> CaseResult {
    let breaker = bounded(&harness, 7)?;
    let scene = |name: &str| -> Result<Scene, Failure> {
        Ok(Scene {
            breaker: Arc::clone(&breaker),
            circuit: breaker.circuit(name)?,
        })
    };
    let held = scene("held")?;
    scene("open")?.trip()?;
    scene("failing")?.fail(1)?;
    breaker.configure_circuit_breaker("configured", config())?;
    scene("forced")?.breaker.force_circuit_closed("forced")?;
    let operation: BoxedOperation = Box::new(|| Box::pin(std::future::pending()));
    let mut busy = breaker.execute_with_circuit_breaker(operation, "busy", None);
    check!(
        (&mut busy).now_or_never().is_none(),
        "an operation that hangs has ended"
    );
    scene("idle")?.succeed(1)?;

    breaker.circuit("new")?;
    let names: Vec<_> = breaker.all_circuit_states().into_keys().collect();
    let expected = ["busy", "configured", "failing", "forced", "held", "new", "open"];
    check_eq!(names, expected, "circuits after an eviction");
    held.succeed(1)?;
    check_eq!(
        breaker.circuit_metrics("held")?.successes,
        1,
        "successes of a circuit whose handle was kept"
    );
    drop(busy);
    Ok(())
}

pub(super) async fn a_full_registry_is_exhausted(harness: Arc<Dyn>) -> CaseResult {
    let breaker = bounded(&harness, 2)?;
    let _handles = [breaker.circuit("first")?, breaker.circuit("second")?];
    check_error!(
        breaker.circuit("third"),
        ErrorKind::Exhausted,
        "a third circuit in a registry of two that are in use"
    );
    breaker.circuit("first")?;
    check_eq!(breaker.all_circuit_states().len(), 2, "circuits");
    Ok(())
}

fn bounded(harness: &Arc<Dyn>, circuits: usize) -> Result<Arc<dyn CircuitBreaker>, Failure> {
    harness
        .bounded_breaker(config(), circuits)
        .ok_or_else(|| Failure::new("the harness returned a bounded breaker before, but now `None`"))
}
