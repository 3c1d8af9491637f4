//! A circuit breaker that guards every attempt.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::ErrorKind;
use networking_spi::circuit_breaker::CallOutcome;
use networking_spi::http::{CircuitScope, HttpCircuitOptions, HttpClientExt, RequestOptions};

use super::H;
use super::redirect::redirect;
use super::retry::policy;
use crate::closed_port::closed_port;
use crate::http::breaker::ScriptedBreaker;
use crate::http::harness::{Setup, set_up};
use crate::http::origin::status_of;
use crate::kit::CaseResult;
use crate::{check_eq, check_error};

async fn guarded(harness: &H, options: HttpCircuitOptions) -> Result<(Setup, ScriptedBreaker), crate::Failure> {
    let setup = set_up(harness).await?;
    let breaker = ScriptedBreaker::default();
    setup
        .client
        .configure_circuit_breaker(Arc::new(breaker.clone()), options)?;
    Ok((setup, breaker))
}

pub(in crate::http) async fn outcomes_are_reported_by_status(harness: H) -> CaseResult {
    let (setup, breaker) = guarded(&harness, HttpCircuitOptions::new()).await?;
    let expected = [
        (200, CallOutcome::Success),
        (404, CallOutcome::Success),
        (401, CallOutcome::Success),
        (408, CallOutcome::Failure),
        (429, CallOutcome::Failure),
        (500, CallOutcome::Failure),
        (503, CallOutcome::Failure),
    ];
    for (index, (status, outcome)) in expected.into_iter().enumerate() {
        let path = format!("/outcome/{status}");
        setup.origin.reply_statuses(&path, &[status]);
        setup.client.get(setup.origin.url(&path)).await?;
        let outcomes = breaker.outcomes();
        check_eq!(outcomes.len(), index + 1, "one outcome for each attempt");
        check_eq!(outcomes[index].1, Some(outcome), "outcome of status {status}");
    }
    if setup.origin.network() {
        let url = format!("http://127.0.0.1:{}/", closed_port()?);
        check_error!(
            setup.client.get(&url).await,
            ErrorKind::ConnectionRefused,
            "a closed port"
        );
        let last = breaker.outcomes().pop().and_then(|(_, outcome)| outcome);
        check_eq!(last, Some(CallOutcome::Failure), "outcome of a refused connection");
    }
    Ok(())
}

pub(in crate::http) async fn errors_of_the_caller_are_ignored(harness: H) -> CaseResult {
    let (setup, breaker) = guarded(&harness, HttpCircuitOptions::new()).await?;
    let declared = harness.capabilities();
    if declared.response_size_limit {
        setup
            .origin
            .reply("/large", vec![|| status_of(200).with_body("more than ten bytes")]);
        let limited = RequestOptions::new().with_max_response_size(10);
        let result = setup.client.get(setup.origin.url("/large")).options(limited).await;
        // A client that reads the body later returns a response, which is a success.
        if let Err(error) = result {
            check_eq!(error.kind(), ErrorKind::TooLarge, "a body above the limit");
            expect_last(&breaker, CallOutcome::Ignored, "a body above the limit of the caller")?;
        }
    }
    if declared.redirect_control {
        redirect(&setup.origin, "/loop", 302, "/loop");
        let follow = RequestOptions::new().with_follow_redirects(true);
        let result = setup.client.get(setup.origin.url("/loop")).options(follow).await;
        check_error!(result, ErrorKind::Redirect, "an endless chain of redirects");
        expect_last(&breaker, CallOutcome::Ignored, "an endless chain of redirects")?;
    }
    Ok(())
}

fn expect_last(breaker: &ScriptedBreaker, outcome: CallOutcome, what: &str) -> CaseResult {
    let last = breaker.outcomes().pop().and_then(|(_, outcome)| outcome);
    check_eq!(last, Some(outcome), "the outcome of {what}");
    Ok(())
}

pub(in crate::http) async fn a_rejected_call_is_not_sent(harness: H) -> CaseResult {
    let (setup, breaker) = guarded(&harness, HttpCircuitOptions::new()).await?;
    breaker.reject(1, Some(Duration::from_secs(3)));
    let result = setup.client.get(setup.origin.url("/rejected")).await;
    let error = check_error!(result, ErrorKind::CircuitOpen, "an open circuit");
    check_eq!(
        error.retryability().delay(),
        Some(Duration::from_secs(3)),
        "when to retry"
    );
    check_eq!(setup.origin.total_hits(), 0, "requests that arrived");
    check_eq!(
        setup.client.get(setup.origin.url("/rejected")).await?.status,
        200,
        "the next call"
    );
    Ok(())
}

pub(in crate::http) async fn circuits_are_per_host_or_named(harness: H) -> CaseResult {
    let (setup, breaker) = guarded(&harness, HttpCircuitOptions::new()).await?;
    let url = setup.origin.url("/scoped?x=1");
    setup.client.get(&url).await?;
    setup
        .client
        .get(&url)
        .options(RequestOptions::new().with_circuit("own"))
        .await?;
    let named = HttpCircuitOptions::new().with_scope(CircuitScope::Named("all".to_owned()));
    setup
        .client
        .configure_circuit_breaker(Arc::new(breaker.clone()), named)?;
    setup.client.get(&url).await?;
    let host = setup.origin.base_url().origin().ascii_serialization();
    let circuits: Vec<String> = breaker.outcomes().into_iter().map(|(circuit, _)| circuit).collect();
    check_eq!(
        circuits,
        [host, "own".to_owned(), "all".to_owned()],
        "circuits that permits were acquired from"
    );
    let bad = HttpCircuitOptions::new().with_scope(CircuitScope::Named(String::new()));
    let result = setup.client.configure_circuit_breaker(Arc::new(breaker), bad);
    check_error!(result, ErrorKind::InvalidInput, "a circuit without a name");
    Ok(())
}

pub(in crate::http) async fn retry_after_reaches_the_circuit(harness: H) -> CaseResult {
    let (setup, breaker) = guarded(&harness, HttpCircuitOptions::new()).await?;
    setup.origin.reply(
        "/busy",
        vec![|| status_of(503).with_header("retry-after", "9").expect("a header")],
    );
    setup.client.get(setup.origin.url("/busy")).await?;
    check_eq!(
        breaker.records()[0].1.retry_after,
        Some(Duration::from_secs(9)),
        "the delay recorded in the circuit"
    );
    Ok(())
}

pub(in crate::http) async fn each_attempt_acquires_a_permit(harness: H) -> CaseResult {
    let (setup, breaker) = guarded(&harness, HttpCircuitOptions::new()).await?;
    setup.client.configure_retry_policy(policy(3))?;
    setup.origin.reply_statuses("/recovers", &[503, 200]);
    check_eq!(
        setup.client.get(setup.origin.url("/recovers")).await?.status,
        200,
        "status"
    );
    check_eq!(breaker.outcomes().len(), 2, "outcomes of two attempts");
    // A rejection is an attempt that was not sent, so even a POST is retried.
    breaker.reject(1, Some(Duration::from_millis(1)));
    check_eq!(
        setup.client.post(setup.origin.url("/post")).body("x").await?.status,
        200,
        "status after a rejection"
    );
    check_eq!(setup.origin.hits("/post"), 1, "requests that arrived");
    // A rejection without a delay is not retried.
    breaker.reject(1, None);
    let error = check_error!(
        setup.client.get(setup.origin.url("/x")).await,
        ErrorKind::CircuitOpen,
        "an open circuit"
    );
    check_eq!(error.attempts(), 1, "attempts");
    Ok(())
}
