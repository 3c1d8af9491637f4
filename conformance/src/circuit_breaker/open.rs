//! Open times.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::Retryability;
use networking_spi::backoff::{Backoff, Jitter};
use networking_spi::circuit_breaker::{
    BoxedOperation, CallOutcome, CallRecord, CircuitExt, CircuitState, OpenPolicy, RateThresholds,
};

use super::Dyn;
use super::scenario::{MARGIN, NAME, OPEN_TIME, Scene, check_close, config, count_window, failure};
use crate::kit::CaseResult;
use crate::{check, check_eq};

pub(super) async fn stays_open_for_its_time(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.trip()?;
    harness.advance(OPEN_TIME.saturating_sub(MARGIN * 5)).await;
    scene.expect(CircuitState::Open, "shortly before the end of the open time")?;
    scene.rejection("shortly before the end of the open time")?;
    harness.advance(MARGIN * 6).await;
    scene.permit("after the open time")?.record(CallOutcome::Ignored);
    Ok(())
}

pub(super) async fn half_opens_without_a_call(harness: Arc<Dyn>) -> CaseResult {
    // One circuit per query, because a query may change the state.
    let breaker = harness.breaker(config());
    let mut circuits = Vec::new();
    for name in ["handle", "by name", "listed", "metrics"] {
        let circuit = breaker.circuit(name)?;
        let scene = Scene {
            breaker: Arc::clone(&breaker),
            circuit,
        };
        scene.trip()?;
        circuits.push(scene.circuit);
    }
    harness.advance(OPEN_TIME + MARGIN).await;
    check_eq!(circuits[0].state(), CircuitState::HalfOpen, "the state of a handle");
    check_eq!(
        breaker.circuit_state("by name")?,
        CircuitState::HalfOpen,
        "the state by name"
    );
    let listed = breaker.all_circuit_states().get("listed").copied();
    check_eq!(listed, Some(CircuitState::HalfOpen), "the state in the list of all");
    let metrics = breaker.circuit_metrics("metrics")?;
    check_eq!(metrics.state, CircuitState::HalfOpen, "the state in the metrics");
    check_eq!(
        metrics.retry_after,
        None,
        "the delay in the metrics of a half-open circuit"
    );
    Ok(())
}

pub(super) async fn backs_off_up_to_the_cap(harness: Arc<Dyn>) -> CaseResult {
    for (multiplier, factors) in [(2.0, [1, 2, 4, 5, 5]), (3.0, [1, 3, 5, 5, 5]), (1.0, [1, 1, 1, 1, 1])] {
        let policy = OpenPolicy::exponential(OPEN_TIME, OPEN_TIME * 5).with_multiplier(multiplier);
        let scene = Scene::new(&harness, config().with_open(policy))?;
        scene.trip()?;
        for factor in factors {
            let expected = OPEN_TIME * factor;
            let what = format!("the open time with the multiplier {multiplier}");
            check_close(scene.open_for()?, expected, &what)?;
            harness.advance(expected + MARGIN).await;
            scene.fail(1)?;
        }
    }
    Ok(())
}

pub(super) async fn recovery_restarts_the_backoff(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(
        &harness,
        config().with_open(OpenPolicy::exponential(OPEN_TIME, OPEN_TIME * 8)),
    )?;
    scene.half_open(&harness).await?;
    scene.fail(1)?;
    check_close(scene.open_for()?, OPEN_TIME * 2, "the second open time")?;
    harness.advance(OPEN_TIME * 2 + MARGIN).await;
    scene.succeed(1)?;
    scene.trip()?;
    check_close(scene.open_for()?, OPEN_TIME, "the open time after a recovery")
}

pub(super) async fn jitter_stays_in_its_band(harness: Arc<Dyn>) -> CaseResult {
    let around = OpenPolicy::exponential(OPEN_TIME, OPEN_TIME * 2).with_jitter(0.5);
    spread(&harness, around, OPEN_TIME / 2, OPEN_TIME + OPEN_TIME / 2)?;
    let below = OpenPolicy::new(Backoff::new(OPEN_TIME, OPEN_TIME * 2).with_jitter(Jitter::Equal));
    spread(&harness, below, OPEN_TIME / 2, OPEN_TIME)
}

pub(super) async fn jitter_never_exceeds_the_maximum(harness: Arc<Dyn>) -> CaseResult {
    let policy = OpenPolicy::fixed(OPEN_TIME).with_jitter(0.5);
    spread(&harness, policy, OPEN_TIME / 2, OPEN_TIME)
}

pub(super) async fn jitter_does_not_shorten_a_requested_delay(harness: Arc<Dyn>) -> CaseResult {
    let policy = OpenPolicy::fixed(OPEN_TIME)
        .with_max_duration(OPEN_TIME * 10)
        .with_jitter(0.9);
    let breaker = harness.breaker(config().with_open(policy));
    for index in 0..8 {
        let scene = Scene {
            breaker: Arc::clone(&breaker),
            circuit: breaker.circuit(&format!("{NAME}-{index}"))?,
        };
        scene.fail(2)?;
        scene.fail_asking_for(OPEN_TIME * 3)?;
        check_close(
            scene.open_for()?,
            OPEN_TIME * 3,
            "the open time that a failure asked for, with jitter",
        )?;
    }
    Ok(())
}

/// Fails unless the open times of 32 circuits are spread between `lowest` and `highest`.
fn spread(harness: &Arc<Dyn>, policy: OpenPolicy, lowest: Duration, highest: Duration) -> CaseResult {
    let breaker = harness.breaker(config().with_open(policy));
    let mut times = Vec::new();
    for index in 0..32 {
        let circuit = breaker.circuit(&format!("{NAME}-{index}"))?;
        let scene = Scene {
            breaker: Arc::clone(&breaker),
            circuit,
        };
        scene.trip()?;
        times.push(scene.open_for()?);
    }
    let (shortest, longest) = (times.iter().min().copied(), times.iter().max().copied());
    let (shortest, longest) = (shortest.unwrap_or_default(), longest.unwrap_or_default());
    check!(
        shortest + MARGIN >= lowest,
        "an open time of {shortest:?} is below {lowest:?}"
    );
    check!(longest <= highest, "an open time of {longest:?} is above {highest:?}");
    check!(
        longest.saturating_sub(shortest) > OPEN_TIME / 10,
        "32 open times are all close to {shortest:?}"
    );
    Ok(())
}

pub(super) async fn retry_after_lengthens(harness: Arc<Dyn>) -> CaseResult {
    let policy = OpenPolicy::fixed(OPEN_TIME).with_max_duration(OPEN_TIME * 10);
    let scene = Scene::new(&harness, config().with_open(policy))?;
    scene.fail(2)?;
    scene.fail_asking_for(OPEN_TIME * 3)?;
    check_close(
        scene.open_for()?,
        OPEN_TIME * 3,
        "the open time that the last failure asked for",
    )?;

    harness.advance(OPEN_TIME * 3 + MARGIN).await;
    scene.fail_asking_for(OPEN_TIME * 2)?;
    check_close(
        scene.open_for()?,
        OPEN_TIME * 2,
        "the open time that the failed probe asked for",
    )?;

    harness.advance(OPEN_TIME * 2 + MARGIN).await;
    scene.fail_asking_for(Duration::from_millis(1))?;
    check_close(
        scene.open_for()?,
        OPEN_TIME,
        "the open time when the dependency asked for less",
    )
}

pub(super) async fn retry_after_of_an_earlier_failure_holds(harness: Arc<Dyn>) -> CaseResult {
    let policy = OpenPolicy::fixed(OPEN_TIME).with_max_duration(OPEN_TIME * 10);
    let scene = Scene::new(&harness, config().with_open(policy))?;
    scene.fail_asking_for(OPEN_TIME * 4)?;
    harness.advance(OPEN_TIME).await;
    // A shorter delay and a success do not end the longer one, and only failures ask for a delay.
    scene.fail_asking_for(OPEN_TIME * 2)?;
    for outcome in [CallOutcome::Success, CallOutcome::Ignored] {
        let permit = scene.permit("a call that does not fail, and asks for a delay")?;
        permit.record(CallRecord::new(outcome).with_retry_after(OPEN_TIME * 8));
    }
    scene.trip()?;
    check_close(
        scene.open_for()?,
        OPEN_TIME * 3,
        "the rest of the delay that the first failure asked for",
    )?;

    harness.advance(OPEN_TIME * 3 + MARGIN).await;
    scene.succeed(1)?;
    scene.fail_asking_for(OPEN_TIME)?;
    harness.advance(OPEN_TIME + MARGIN).await;
    scene.fail(2)?;
    check_close(
        scene.open_for()?,
        OPEN_TIME,
        "the open time, when the requested delay has passed",
    )?;

    if harness.capabilities().count_window {
        let policy = OpenPolicy::fixed(OPEN_TIME).with_max_duration(OPEN_TIME * 10);
        let windowed = count_window(4, RateThresholds::new(0.5, 4)).with_open(policy);
        let scene = Scene::new(&harness, windowed)?;
        for _ in 0..2 {
            let permit = scene.permit("a call that succeeds, and asks for a delay")?;
            permit.record(CallRecord::new(CallOutcome::Success).with_retry_after(OPEN_TIME * 8));
        }
        scene.fail(2)?;
        check_close(
            scene.open_for()?,
            OPEN_TIME,
            "the open time of a circuit with a window, for which successes asked for more",
        )?;
    }
    Ok(())
}

pub(super) async fn retry_after_is_capped(harness: Arc<Dyn>) -> CaseResult {
    let policy = OpenPolicy::fixed(OPEN_TIME).with_max_duration(OPEN_TIME * 2);
    let scene = Scene::new(&harness, config().with_open(policy))?;
    scene.fail(2)?;
    scene.fail_asking_for(Duration::from_secs(86_400))?;
    check_close(
        scene.open_for()?,
        OPEN_TIME * 2,
        "the open time when the dependency asks for a day",
    )
}

pub(super) async fn retry_after_of_an_error_counts(harness: Arc<Dyn>) -> CaseResult {
    let policy = OpenPolicy::fixed(OPEN_TIME).with_max_duration(OPEN_TIME * 10);
    let asks = || failure().with_retryability(Retryability::After(OPEN_TIME * 3));
    for boxed in [true, false] {
        let scene = Scene::new(&harness, config().with_open(policy.clone()))?;
        scene.fail(2)?;
        let failed = if boxed {
            let operation: BoxedOperation = Box::new(move || Box::pin(async move { Err(asks()) }));
            let executed = scene.breaker.execute_with_circuit_breaker(operation, NAME, None);
            executed.await.is_err()
        } else {
            let called = scene.circuit.call(|| async { Err::<(), _>(asks()) });
            called.await.is_err()
        };
        check!(failed, "the operation's error was not returned");
        check_close(
            scene.open_for()?,
            OPEN_TIME * 3,
            "the open time that the error asked for",
        )?;
    }
    Ok(())
}
