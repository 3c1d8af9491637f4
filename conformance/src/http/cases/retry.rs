//! Retries.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use networking_spi::ErrorKind;
use networking_spi::http::{HttpBody, HttpClientExt, Jitter, Method, RequestOptions, RetryPolicy};

use super::H;
use crate::closed_port::closed_port;
use crate::http::closing::Closing;
use crate::http::harness::{Setup, set_up};
use crate::http::origin::status_of;
use crate::kit::CaseResult;
use crate::{check, check_eq, check_error};

/// Retries after 1 to 2 ms, without jitter.
pub(super) fn policy(max_attempts: u32) -> RetryPolicy {
    RetryPolicy::new(max_attempts)
        .with_delays(Duration::from_millis(1), Duration::from_millis(2))
        .with_jitter(Jitter::None)
        .with_budget(None)
}

pub(in crate::http) async fn transient_statuses_are_retried(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.client.configure_retry_policy(policy(3))?;
    setup.origin.reply_statuses("/recovers", &[503, 429, 200]);
    check_eq!(
        setup.client.get(setup.origin.url("/recovers")).await?.status,
        200,
        "status of the last attempt"
    );
    check_eq!(setup.origin.hits("/recovers"), 3, "attempts");
    setup.origin.reply_statuses("/fails", &[503]);
    check_eq!(
        setup.client.get(setup.origin.url("/fails")).await?.status,
        503,
        "status of the last attempt"
    );
    check_eq!(setup.origin.hits("/fails"), 3, "attempts if none succeeds");
    setup.origin.reply_statuses("/missing", &[404]);
    check_eq!(
        setup.client.get(setup.origin.url("/missing")).await?.status,
        404,
        "status"
    );
    check_eq!(
        setup.origin.hits("/missing"),
        1,
        "attempts for a status that is not transient"
    );
    Ok(())
}

pub(in crate::http) async fn only_idempotent_requests_are_repeated(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.client.configure_retry_policy(policy(2))?;
    setup.origin.reply_statuses("/post", &[503]);
    let post = || {
        setup
            .client
            .build(networking_spi::http::Method::POST, setup.origin.url("/post"))
            .body("x")
    };
    post().await?;
    check_eq!(setup.origin.hits("/post"), 1, "attempts of a POST");
    post().header("idempotency-key", "7").await?;
    check_eq!(
        setup.origin.hits("/post"),
        1 + 2,
        "attempts of a POST and of a POST with a key"
    );
    post().options(RequestOptions::new().with_idempotent(true)).await?;
    check_eq!(
        setup.origin.hits("/post"),
        3 + 2,
        "attempts of a POST, of one with a key, and of one declared idempotent"
    );
    setup.origin.reply_statuses("/put", &[503]);
    setup.client.put(setup.origin.url("/put")).body("x").await?;
    check_eq!(setup.origin.hits("/put"), 2, "attempts of a PUT");
    check_eq!(
        setup.origin.requests("/put")[1].body,
        "x",
        "the body of the second attempt"
    );
    if harness.network() {
        closed_connections_are_retried_like_statuses(&setup).await?;
    }
    Ok(())
}

/// A closed connection says nothing about whether the peer has processed the request, whichever policy applies.
async fn closed_connections_are_retried_like_statuses(setup: &Setup) -> CaseResult {
    let server = Closing::start(false).await?;
    let own = || RequestOptions::new().with_retry(policy(2));
    let idempotent = || RequestOptions::new().with_idempotent(true);
    let table = [
        ("POST with the client's policy", Method::POST, RequestOptions::new(), 1),
        (
            "PATCH with the client's policy",
            Method::PATCH,
            RequestOptions::new(),
            1,
        ),
        ("POST with its own policy", Method::POST, own(), 1),
        (
            "POST with its own number of retries",
            Method::POST,
            RequestOptions::new().with_retries(1),
            1,
        ),
        ("POST that is declared idempotent", Method::POST, idempotent(), 2),
        ("PUT", Method::PUT, RequestOptions::new(), 2),
    ];
    let mut arrived = 0;
    for (what, method, options, attempts) in table {
        let request = setup
            .client
            .build(method, server.url("/lost"))
            .body("x")
            .options(options);
        check_error!(
            request.await,
            ErrorKind::ConnectionClosed,
            "{what}, closed without an answer"
        );
        check_eq!(
            server.lost() - arrived,
            attempts,
            "attempts of a {what} whose connection is closed"
        );
        arrived = server.lost();
    }
    Ok(())
}

pub(in crate::http) async fn unsent_requests_are_always_retried(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.client.configure_retry_policy(policy(3))?;
    let url = format!("http://127.0.0.1:{}/", closed_port()?);
    let error = check_error!(
        setup.client.post(&url).body("x").await,
        ErrorKind::ConnectionRefused,
        "a closed port"
    );
    check_eq!(error.attempts(), 3, "attempts in the final error");
    check!(
        !error.retryability().is_retryable() && error.retryability().is_transient(),
        "the error after all retries invites another retry: {error:?}"
    );
    Ok(())
}

pub(in crate::http) async fn a_long_retry_after_ends_the_call(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup
        .client
        .configure_retry_policy(policy(3).with_max_retry_after(Duration::from_secs(5)))?;
    // The latest date that the format allows.
    for (path, value) in [("/seconds", "6"), ("/date", "Fri, 31 Dec 9999 23:59:59 GMT")] {
        setup.origin.reply(
            path,
            vec![move || status_of(503).with_header("retry-after", value).expect("a header")],
        );
        check_eq!(setup.client.get(setup.origin.url(path)).await?.status, 503, "status");
        check_eq!(setup.origin.hits(path), 1, "attempts if Retry-After is {value:?}");
    }
    setup.origin.reply(
        "/now",
        vec![|| status_of(503).with_header("retry-after", "0").expect("a header")],
    );
    setup.client.get(setup.origin.url("/now")).await?;
    check_eq!(setup.origin.hits("/now"), 3, "attempts if Retry-After is 0");
    Ok(())
}

pub(in crate::http) async fn a_stream_is_sent_once(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.client.configure_retry_policy(policy(3))?;
    setup.origin.reply_statuses("/stream", &[503]);
    let body = HttpBody::stream(stream::iter([Ok(Bytes::from_static(b"once"))]).boxed(), None);
    let response = setup.client.put(setup.origin.url("/stream")).body(body).await?;
    check_eq!(response.status, 503, "the status of the response");
    check_eq!(
        setup.origin.hits("/stream"),
        1,
        "attempts with a body that can be sent only once"
    );
    Ok(())
}

pub(in crate::http) async fn a_request_can_have_its_own_policy(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.client.configure_retry_policy(policy(2))?;
    setup.origin.reply_statuses("/own", &[503]);
    let own = |policy| RequestOptions::new().with_retry(policy);
    setup
        .client
        .get(setup.origin.url("/own"))
        .options(own(policy(4)))
        .await?;
    check_eq!(setup.origin.hits("/own"), 4, "attempts by the request's policy");
    setup
        .client
        .get(setup.origin.url("/own"))
        .options(own(RetryPolicy::disabled()))
        .await?;
    check_eq!(
        setup.origin.hits("/own"),
        4 + 1,
        "attempts, after one more call whose policy has no retries"
    );
    setup.client.get(setup.origin.url("/own")).await?;
    check_eq!(
        setup.origin.hits("/own"),
        5 + 2,
        "attempts, after one more call with the client's policy"
    );
    Ok(())
}

pub(in crate::http) async fn a_request_can_change_its_number_of_retries(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    // 404 is retried only by this policy.
    setup.client.configure_retry_policy(policy(2).with_statuses([404]))?;
    setup.origin.reply_statuses("/changed", &[404]);
    let url = setup.origin.url("/changed");
    setup.client.get(&url).retries(3).await?;
    check_eq!(setup.origin.hits("/changed"), 4, "attempts with three retries");
    setup.client.get(&url).retries(0).await?;
    check_eq!(
        setup.origin.hits("/changed"),
        4 + 1,
        "attempts, after one more call without retries"
    );
    setup.client.get(&url).retry_delay(Duration::from_millis(1)).await?;
    check_eq!(
        setup.origin.hits("/changed"),
        5 + 2,
        "attempts, after one more call with other delays"
    );
    setup.client.get(&url).await?;
    check_eq!(
        setup.origin.hits("/changed"),
        7 + 2,
        "attempts, after one more call with the client's policy"
    );
    let error = check_error!(
        setup.client.get(&url).retries(100).await,
        ErrorKind::InvalidInput,
        "100 retries"
    );
    check_eq!(error.field(), Some("retries"), "the field that the error names");
    Ok(())
}

pub(in crate::http) async fn a_bad_policy_is_refused(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let error = check_error!(
        setup.client.configure_retry_policy(policy(0)),
        ErrorKind::InvalidInput,
        "a policy with 0 attempts"
    );
    check_eq!(error.field(), Some("max_attempts"), "the field that the error names");
    setup.origin.reply_statuses("/after", &[503]);
    setup.client.get(setup.origin.url("/after")).await?;
    check_eq!(setup.origin.hits("/after"), 1, "attempts by the previous policy");
    Ok(())
}
