//! Circuits by name.

use std::sync::Arc;

use futures_util::FutureExt;
use networking_spi::ErrorKind;
use networking_spi::circuit_breaker::{
    BoxedOperation, CircuitBreaker, CircuitBreakerConfig, CircuitBreakerExt, CircuitEventKind, CircuitMode,
    CircuitState, MAX_CIRCUIT_NAME, RateThresholds,
};

use super::Dyn;
use super::events::waiting;
use super::scenario::{NAME, Scene, config, count_window, output};
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
    let breaker = bounded(&harness, config(), 8)?;
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
    // One breaker for each reason, with no room for a second circuit: nothing else can be evicted.
    let declared = harness.capabilities();
    in_use(&harness, "an open circuit", Scene::trip)?;
    in_use(&harness, "a circuit with a failure", |scene| scene.fail(1))?;
    in_use(&harness, "a circuit with its own configuration", |scene| {
        Ok(scene.breaker.configure_circuit_breaker(NAME, config())?)
    })?;
    if declared.overrides {
        in_use(&harness, "a circuit that is forced closed", |scene| {
            Ok(scene.breaker.force_circuit_closed(NAME)?)
        })?;
        in_use(&harness, "a circuit that is forced open", |scene| {
            Ok(scene.breaker.force_circuit_open(NAME)?)
        })?;
        let forced = config().with_mode(CircuitMode::ForcedClosed);
        let breaker = bounded(&harness, forced, 1)?;
        breaker.circuit(NAME)?;
        breaker.reset_circuit_breaker(NAME)?;
        expect_in_use(
            &breaker,
            "a circuit in automatic mode, while new ones are forced closed",
        )?;
    }
    if declared.count_window {
        let windowed = count_window(10, RateThresholds::new(1.0, 10));
        let breaker = bounded(&harness, windowed, 1)?;
        let scene = scene(&breaker, NAME)?;
        scene.fail(1)?;
        scene.succeed(1)?;
        drop(scene);
        expect_in_use(&breaker, "a circuit with a failure in its window")?;
    }

    let breaker = bounded(&harness, config(), 1)?;
    scene(&breaker, NAME)?.half_open(&harness).await?;
    expect_in_use(&breaker, "a half-open circuit")?;

    let breaker = bounded(&harness, config(), 1)?;
    let handle = breaker.circuit(NAME)?;
    expect_in_use(&breaker, "a circuit with a handle")?;
    drop(handle);
    breaker.circuit("new")?;

    let breaker = bounded(&harness, config(), 1)?;
    let operation: BoxedOperation = Box::new(|| Box::pin(std::future::pending()));
    let mut busy = breaker.execute_with_circuit_breaker(operation, NAME, None);
    check!(
        (&mut busy).now_or_never().is_none(),
        "an operation that hangs has ended"
    );
    expect_in_use(&breaker, "a circuit with a call in flight")?;
    drop(busy);
    breaker.circuit("new")?;
    Ok(())
}

/// Fails if the circuit is evicted after `act`.
fn in_use(harness: &Arc<Dyn>, what: &str, act: impl FnOnce(&Scene) -> CaseResult) -> CaseResult {
    let breaker = bounded(harness, config(), 1)?;
    act(&scene(&breaker, NAME)?)?;
    expect_in_use(&breaker, what)
}

fn expect_in_use(breaker: &Arc<dyn CircuitBreaker>, what: &str) -> CaseResult {
    let before = breaker.circuit_metrics(NAME)?;
    let error = check_error!(
        breaker.circuit("new"),
        ErrorKind::Exhausted,
        "a second circuit in a registry for one, which has {what}"
    );
    let names: Vec<_> = breaker.all_circuit_states().into_keys().collect();
    check_eq!(names, [NAME], "circuits after {what} was to be evicted ({error})");
    let after = breaker.circuit_metrics(NAME)?;
    check_eq!(
        (after.state, after.mode, after.completed(), after.in_flight),
        (before.state, before.mode, before.completed(), before.in_flight),
        "state, mode and counts of {what}, after another circuit was refused"
    );
    Ok(())
}

pub(super) async fn circuits_out_of_use_are_evicted(harness: Arc<Dyn>) -> CaseResult {
    let breaker = bounded(&harness, config(), 1)?;
    let used = scene(&breaker, NAME)?;
    used.half_open(&harness).await?;
    used.succeed(1)?;
    drop(used);
    breaker.circuit("recovered").map_err(|error| {
        Failure::new(format!(
            "a circuit that has recovered and has no handle was not evicted: {error}"
        ))
    })?;
    let names: Vec<_> = breaker.all_circuit_states().into_keys().collect();
    check_eq!(names, ["recovered"], "circuits");
    scene(&breaker, "recovered")?.fail(1)?;
    breaker.reset_circuit_breaker("recovered")?;
    breaker.circuit("reset").map_err(|error| {
        Failure::new(format!(
            "a circuit that was reset and has no handle was not evicted: {error}"
        ))
    })?;
    check_error!(
        breaker.circuit_state("recovered"),
        ErrorKind::NotFound,
        "the state of an evicted circuit"
    );
    Ok(())
}

pub(super) async fn metrics_only_circuits_are_evicted(harness: Arc<Dyn>) -> CaseResult {
    let breaker = bounded(&harness, config().with_mode(CircuitMode::MetricsOnly), 1)?;
    scene(&breaker, "first")?.succeed(1)?;
    breaker.circuit("second").map_err(|error| {
        Failure::new(format!(
            "an unused circuit of a breaker in metrics-only mode was not evicted: {error}"
        ))
    })?;
    Ok(())
}

pub(super) async fn evictions_are_reported(harness: Arc<Dyn>) -> CaseResult {
    let breaker = bounded(&harness, config(), 1)?;
    breaker.circuit("first")?;
    let mut events = breaker.subscribe()?;
    breaker.circuit("second")?;
    let seen: Vec<_> = waiting(&mut events)
        .into_iter()
        .filter(|event| event.kind == CircuitEventKind::Evicted)
        .map(|event| event.circuit.to_string())
        .collect();
    check_eq!(seen, ["first"], "circuits that events report as evicted");
    Ok(())
}

fn scene(breaker: &Arc<dyn CircuitBreaker>, name: &str) -> Result<Scene, Failure> {
    Ok(Scene {
        breaker: Arc::clone(breaker),
        circuit: breaker.circuit(name)?,
    })
}

pub(super) async fn a_full_registry_is_exhausted(harness: Arc<Dyn>) -> CaseResult {
    let breaker = bounded(&harness, config(), 2)?;
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

fn bounded(
    harness: &Arc<Dyn>,
    config: CircuitBreakerConfig,
    circuits: usize,
) -> Result<Arc<dyn CircuitBreaker>, Failure> {
    harness
        .bounded_breaker(config, circuits)
        .ok_or_else(|| Failure::new("the harness returned a bounded breaker before, but now `None`"))
}
