//! How long calls take: time limits at their edges, and error bodies that do not end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use networking_spi::http::{HttpBody, HttpClientExt, HttpResponse, RequestOptions, StatusCode};
use networking_spi::{ErrorKind, Phase, Retryability};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::body::gated;
use super::retry::policy;
use super::{BOUND, H};
use crate::http::harness::set_up;
use crate::http::origin::status_of;
use crate::kit::CaseResult;
use crate::{Failure, check, check_eq, check_error};

const SHORT: Duration = Duration::from_millis(200);

/// Long enough for three attempts on a busy machine.
const ATTEMPTS: Duration = Duration::from_secs(1);

/// A declared time limit: its name, the options with it, and the phase of its errors.
type Limit = (&'static str, fn(Duration) -> RequestOptions, Phase);

fn limits(harness: &H) -> impl Iterator<Item = Limit> + use<> {
    let declared = harness.capabilities();
    let all: [(bool, Limit); 3] = [
        (
            declared.timeout,
            (
                "timeout",
                |limit| RequestOptions::new().with_timeout(limit),
                Phase::Attempt,
            ),
        ),
        (
            declared.attempt_timeout,
            (
                "attempt_timeout",
                |limit| RequestOptions::new().with_attempt_timeout(limit),
                Phase::Attempt,
            ),
        ),
        (
            declared.total_timeout,
            (
                "total_timeout",
                |limit| RequestOptions::new().with_total_timeout(limit),
                Phase::Total,
            ),
        ),
    ];
    all.into_iter()
        .filter_map(|(declared, limit)| declared.then_some(limit))
}

pub(in crate::http) async fn a_limit_of_zero_is_refused(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    for (name, options, _) in limits(&harness) {
        let call = setup
            .client
            .get(setup.origin.url("/zero"))
            .options(options(Duration::ZERO));
        let error = check_error!(call.await, ErrorKind::InvalidInput, "{name} of zero");
        check_eq!(error.field(), Some(name), "the field that the error names");
    }
    check_eq!(setup.origin.total_hits(), 0, "requests that arrived");
    Ok(())
}

pub(in crate::http) async fn a_tiny_limit_ends_the_call(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.origin.hang("/tiny");
    for (name, options, _) in limits(&harness) {
        for limit in [
            Duration::from_nanos(1),
            Duration::from_micros(1),
            Duration::from_millis(1),
        ] {
            let call = setup.client.get(setup.origin.url("/tiny")).options(options(limit));
            let result = tokio::time::timeout(BOUND, async { call.await }).await;
            let result = result.map_err(|_| Failure::new(format!("{name} of {limit:?} does not end the call")))?;
            let error = check_error!(result, ErrorKind::Timeout, "{name} of {limit:?}");
            check!(error.phase().is_some(), "{name} of {limit:?} has no phase");
        }
    }
    let fine = setup.client.get(setup.origin.url("/fine")).await?;
    check_eq!(
        fine.status,
        StatusCode::OK,
        "the status of a later call without a limit"
    );
    Ok(())
}

pub(in crate::http) async fn a_limit_ends_the_call_in_time(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.origin.hang("/late");
    for (name, options, phase) in limits(&harness) {
        let start = Instant::now();
        let call = setup.client.get(setup.origin.url("/late")).options(options(SHORT));
        let result = tokio::time::timeout(BOUND, async { call.await }).await;
        let result =
            result.map_err(|_| Failure::new(format!("{name} of {SHORT:?} did not end the call in {BOUND:?}")))?;
        let error = check_error!(result, ErrorKind::Timeout, "{name} of {SHORT:?}");
        // Some clocks of the system are coarse.
        let elapsed = start.elapsed() + Duration::from_millis(20);
        check!(elapsed >= SHORT, "{name} of {SHORT:?} ended the call after {elapsed:?}");
        check_eq!(error.phase(), Some(phase), "the phase of {name}");
    }
    Ok(())
}

pub(in crate::http) async fn a_total_timeout_after_retries_is_exhausted(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let next = std::sync::atomic::AtomicUsize::new(0);
    setup.origin.on("/exhausted", move |_| {
        let hangs = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst) >= 2;
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            status_of(503)
        }
    });
    let options = RequestOptions::new().with_retry(policy(5)).with_total_timeout(ATTEMPTS);
    let result = setup.client.get(setup.origin.url("/exhausted")).options(options).await;
    let error = check_error!(result, ErrorKind::Timeout, "a total timeout in the third attempt");
    check_eq!(error.phase(), Some(Phase::Total), "the phase");
    check_eq!(error.attempts(), 3, "the attempts in the error");
    check!(
        matches!(error.retryability(), Retryability::Exhausted(_)),
        "a caller may retry again: {:?}",
        error.retryability()
    );
    check_eq!(setup.origin.hits("/exhausted"), 3, "requests that arrived");
    Ok(())
}

pub(in crate::http) async fn an_error_body_does_not_delay_its_status(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let gate = Arc::new(Notify::new());
    let at_origin = Arc::clone(&gate);
    setup.origin.on("/failing", move |_| {
        let body = gated("first", "second", Arc::clone(&at_origin));
        async move { HttpResponse::new(StatusCode::SERVICE_UNAVAILABLE).with_body(body) }
    });
    setup.origin.on("/failing/large", |_| async {
        // More than any client reads ahead, then silence.
        let parts = stream::iter(std::iter::repeat_n(Bytes::from_static(&[b'x'; 16 << 10]), 16).map(Ok));
        let body = HttpBody::stream(parts.chain(stream::pending()).boxed(), None);
        HttpResponse::new(StatusCode::NOT_FOUND).with_body(body)
    });
    let call = async |path: &str, options: RequestOptions| {
        let call = setup.client.get(setup.origin.url(path)).options(options);
        let result = tokio::time::timeout(BOUND, async { call.await }).await;
        result.map_err(|_| Failure::new(format!("the body of {path} delays its status")))
    };
    let response = call("/failing", RequestOptions::new()).await??;
    check_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE, "status");
    gate.notify_one();
    check_eq!(response.bytes().await?, "firstsecond", "the body");
    let response = call("/failing/large", RequestOptions::new()).await??;
    check_eq!(response.status, StatusCode::NOT_FOUND, "status");
    drop(response);
    if harness.capabilities().raise_for_status {
        for (path, status) in [("/failing", 503), ("/failing/large", 404)] {
            let raised = call(path, RequestOptions::new().with_raise_for_status(true)).await?;
            let error = check_error!(raised, ErrorKind::Status, "{path}, with raise_for_status");
            check_eq!(error.status(), Some(status), "the status in the error");
        }
    }
    Ok(())
}

pub(in crate::http) async fn a_large_body_does_not_hide_its_status(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    for status in [302, 404, 500] {
        for announced in [true, false] {
            let path = format!("/missing/{status}/{announced}");
            setup.origin.on(&path, move |_| async move {
                let parts = stream::iter([Ok("01234".into()), Ok("56789".into())]);
                let body = if announced {
                    HttpBody::from("0123456789")
                } else {
                    HttpBody::stream(parts.boxed(), None)
                };
                status_of(status).with_body(body)
            });
            let options = || RequestOptions::new().with_max_response_size(9);
            let response = setup.client.get(setup.origin.url(&path)).options(options()).await?;
            check_eq!(response.status.as_u16(), status, "the status of a body above the limit");
            check_error!(
                response.bytes().await,
                ErrorKind::TooLarge,
                "reading the body of {status}"
            );
            if harness.capabilities().raise_for_status && status >= 400 {
                let options = options().with_raise_for_status(true);
                let raised = setup.client.get(setup.origin.url(&path)).options(options).await;
                let error = check_error!(raised, ErrorKind::Status, "{status}, with raise_for_status");
                check_eq!(error.status(), Some(status), "the status in the error");
            }
        }
    }
    Ok(())
}
