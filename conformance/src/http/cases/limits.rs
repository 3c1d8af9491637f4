//! Timeouts and size limits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use networking_spi::http::{HttpBody, HttpClientExt, HttpResponse, RequestOptions, StatusCode};
use networking_spi::{ErrorKind, Phase};
use tokio::sync::Notify;

use super::H;
use super::body::gated;
use crate::http::harness::set_up;
use crate::kit::CaseResult;
use crate::{check, check_eq, check_error};

const SHORT: Duration = Duration::from_millis(400);

pub(in crate::http) async fn a_silent_peer_times_out(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.origin.hang("/silent");
    let result = setup.client.get(setup.origin.url("/silent")).timeout(SHORT).await;
    let error = check_error!(result, ErrorKind::Timeout, "a peer that never answers");
    check!(error.phase().is_some(), "the timeout has no phase: {error:?}");
    check_eq!(setup.origin.hits("/silent"), 1, "requests that arrived");
    let fine = setup
        .client
        .get(setup.origin.url("/fine"))
        .timeout(Duration::from_secs(30))
        .await?;
    check_eq!(fine.status, 200, "a peer that answers in time");
    Ok(())
}

pub(in crate::http) async fn the_timeout_covers_the_body(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.origin.on("/stall", |_| async {
        let body = gated("first", "never", Arc::new(Notify::new()));
        HttpResponse::new(StatusCode::OK).with_body(body)
    });
    let response = setup.client.get(setup.origin.url("/stall")).timeout(SHORT).await?;
    check_error!(response.bytes().await, ErrorKind::Timeout, "a body that does not end");
    Ok(())
}

pub(in crate::http) async fn the_attempt_timeout_ends_with_the_head(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let gate = Arc::new(Notify::new());
    let at_origin = Arc::clone(&gate);
    setup.origin.on("/slow-body", move |_| {
        let body = gated("first", "second", Arc::clone(&at_origin));
        async move { HttpResponse::new(StatusCode::OK).with_body(body) }
    });
    setup.origin.hang("/hang");
    let options = || RequestOptions::new().with_attempt_timeout(SHORT);
    let started = setup
        .client
        .get(setup.origin.url("/slow-body"))
        .options(options())
        .await?;
    // When this call has timed out, the attempt timeout of the first one has passed too.
    let hanging = setup.client.get(setup.origin.url("/hang")).options(options()).await;
    check_error!(hanging, ErrorKind::Timeout, "a peer that never answers");
    gate.notify_one();
    check_eq!(
        started.bytes().await?,
        "firstsecond",
        "a body that takes longer than the attempt timeout"
    );
    Ok(())
}

pub(in crate::http) async fn the_total_timeout_covers_the_call(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.origin.hang("/hang");
    setup.origin.on("/stall", |_| async {
        let body = gated("first", "never", Arc::new(Notify::new()));
        HttpResponse::new(StatusCode::OK).with_body(body)
    });
    // Without the total timeout, the other limit ends the call much later.
    let options = || RequestOptions::new().with_total_timeout(SHORT).with_timeout(SHORT * 10);
    let hanging = setup.client.get(setup.origin.url("/hang")).options(options()).await;
    let error = check_error!(hanging, ErrorKind::Timeout, "a peer that never answers");
    check_eq!(error.phase(), Some(Phase::Total), "the phase of the timeout");
    let started = setup.client.get(setup.origin.url("/stall")).options(options()).await?;
    let error = check_error!(started.bytes().await, ErrorKind::Timeout, "a body that does not end");
    check_eq!(
        error.phase(),
        Some(Phase::Total),
        "the phase of the timeout of the body"
    );
    Ok(())
}

pub(in crate::http) async fn the_size_limit_is_exact(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.origin.reply(
        "/known",
        vec![|| HttpResponse::new(StatusCode::OK).with_body("0123456789")],
    );
    setup.origin.on("/unknown", |_| async {
        let chunks = ["01234", "56789"].map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())));
        HttpResponse::new(StatusCode::OK).with_body(HttpBody::stream(stream::iter(chunks).boxed(), None))
    });
    for path in ["/known", "/unknown"] {
        for (limit, fits) in [(10, true), (9, false)] {
            let options = RequestOptions::new().with_max_response_size(limit);
            let result = match setup.client.get(setup.origin.url(path)).options(options).await {
                Ok(response) => response.bytes().await,
                Err(error) => Err(error),
            };
            if fits {
                check_eq!(result?, "0123456789", "{path} with exactly the limit");
            } else {
                check_error!(result, ErrorKind::TooLarge, "{path} one byte longer than the limit");
            }
        }
    }
    Ok(())
}
