//! Counters.

use std::sync::Arc;

use networking_spi::http::HttpClientExt;

use super::H;
use super::retry::policy;
use crate::closed_port::closed_port;
use crate::http::harness::set_up;
use crate::kit::CaseResult;
use crate::{check, check_eq};

pub(in crate::http) async fn calls_and_outcomes_are_counted(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.origin.reply_statuses("/missing", &[404]);
    setup
        .client
        .post(setup.origin.url("/fine"))
        .body("12345")
        .await?
        .bytes()
        .await?;
    setup.client.get(setup.origin.url("/missing")).await?.bytes().await?;
    let metrics = setup.client.client_metrics()?;
    check_eq!(metrics.requests, 2, "calls");
    check_eq!(metrics.responses, 2, "calls with a response");
    check_eq!(metrics.in_flight, 0, "calls in flight");
    check_eq!(metrics.by_status.get(&404), Some(&1), "responses of status 404");
    check_eq!(metrics.by_status.get(&200), Some(&1), "responses of status 200");
    check_eq!(metrics.failures, 0, "failures");
    check_eq!(metrics.bytes_sent, 5, "bytes sent");
    check_eq!(metrics.bytes_received, 2, "bytes received");
    check_eq!(metrics.latency.count, 2, "latencies");
    check!(
        metrics.latency.p99 <= metrics.latency.max,
        "the percentile is above the maximum"
    );
    Ok(())
}

pub(in crate::http) async fn failures_are_counted_by_kind(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let url = format!("http://127.0.0.1:{}/", closed_port()?);
    check!(
        setup.client.get(&url).await.is_err(),
        "a call to a closed port succeeded"
    );
    let metrics = setup.client.client_metrics()?;
    check_eq!(metrics.failures, 1, "failures");
    check_eq!(
        metrics.by_error.get("connection_refused"),
        Some(&1),
        "refused connections"
    );
    check_eq!(metrics.responses, 0, "responses");
    Ok(())
}

pub(in crate::http) async fn dropped_calls_are_counted(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.origin.hang("/hang");
    let (client, url) = (Arc::clone(&setup.client), setup.origin.url("/hang"));
    let call = tokio::spawn(async move { client.get(&url).await });
    setup.origin.arrival("/hang", 1).await;
    check_eq!(setup.client.client_metrics()?.in_flight, 1, "calls in flight");
    call.abort();
    check!(call.await.is_err(), "the call ended before it was dropped");
    let metrics = setup.client.client_metrics()?;
    check_eq!(
        (metrics.in_flight, metrics.cancelled),
        (0, 1),
        "calls in flight, and cancelled ones"
    );
    Ok(())
}

pub(in crate::http) async fn a_call_with_retries_counts_once(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.client.configure_retry_policy(policy(3))?;
    setup.origin.reply_statuses("/recovers", &[503, 503, 200]);
    setup.client.get(setup.origin.url("/recovers")).await?;
    let metrics = setup.client.client_metrics()?;
    check_eq!(
        (metrics.requests, metrics.responses, metrics.retries),
        (1, 1, 2),
        "calls, responses and retries"
    );
    check_eq!(
        metrics.by_status.get(&503),
        None,
        "statuses of attempts that were retried"
    );
    Ok(())
}
