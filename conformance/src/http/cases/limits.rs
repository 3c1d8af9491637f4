//! Timeouts and size limits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use networking_spi::http::{HttpBody, HttpClientExt, HttpResponse, RequestOptions, StatusCode};
use networking_spi::{ErrorKind, Phase};
use tokio::sync::Notify;

use super::H;
use super::body::{GZIPPED, gated};
use crate::http::harness::{Setup, set_up};
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
    if harness.capabilities().decompression {
        the_limit_counts_decoded_bytes(&setup).await?;
    }
    Ok(())
}

/// `0`, 1000 times, in gzip.
const ZEROS: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x33\x30\x18\x05\xa3\x60\x14\x0c\x77\x00\x00\x83\x99\x5f\xa8\xe8\x03\x00\x00";

/// Bodies that are longer, and bodies that are shorter, when they have been decoded.
async fn the_limit_counts_decoded_bytes(setup: &Setup) -> CaseResult {
    let response = |body: HttpBody| {
        let response = HttpResponse::new(StatusCode::OK).with_body(body);
        response.with_header("content-encoding", "gzip").expect("a header")
    };
    for (name, encoded, decoded) in [("longer", ZEROS, 1_000), ("shorter", GZIPPED, 26)] {
        for announced in [true, false] {
            let path = format!("/encoded/{name}/{announced}");
            setup.origin.on(&path, move |_| async move {
                if announced {
                    response(HttpBody::from(encoded))
                } else {
                    let chunks =
                        [encoded.split_at(9).0, encoded.split_at(9).1].map(|chunk| Ok(Bytes::from_static(chunk)));
                    response(HttpBody::stream(stream::iter(chunks).boxed(), None))
                }
            });
            for (limit, fits) in [(decoded, true), (decoded - 1, false)] {
                let options = RequestOptions::new().with_max_response_size(limit);
                let result = match setup.client.get(setup.origin.url(&path)).options(options).await {
                    Ok(response) => response.bytes().await,
                    Err(error) => Err(error),
                };
                let what = format!(
                    "a body of {} bytes, {decoded} when decoded, with the limit {limit}",
                    encoded.len()
                );
                if fits {
                    check_eq!(result?.len() as u64, decoded, "the decoded length of {what}");
                } else {
                    check_error!(result, ErrorKind::TooLarge, "{what}");
                }
            }
        }
    }
    Ok(())
}
