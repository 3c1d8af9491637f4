//! Redirects.

use networking_spi::ErrorKind;
use networking_spi::http::{HeaderValue, HttpClientExt, HttpResponse, Method, RequestOptions};

use super::H;
use crate::http::Origin;
use crate::http::harness::set_up;
use crate::http::origin::status_of;
use crate::kit::CaseResult;
use crate::{check, check_eq, check_error};

pub(super) fn redirect(origin: &Origin, path: &str, status: u16, location: &str) {
    let location = location.to_owned();
    origin.reply(
        path,
        vec![move || -> HttpResponse {
            status_of(status)
                .with_header("location", location.as_str())
                .expect("a header")
        }],
    );
}

pub(in crate::http) async fn unfollowed_redirects_are_responses(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    redirect(&setup.origin, "/from", 302, "/to");
    let options = RequestOptions::new().with_follow_redirects(false);
    let response = setup.client.get(setup.origin.url("/from")).options(options).await?;
    check_eq!(response.status, 302, "status of a redirect that is not followed");
    check_eq!(
        response.headers.get("location").map(HeaderValue::as_bytes),
        Some(b"/to".as_slice()),
        "location"
    );
    check_eq!(setup.origin.hits("/to"), 0, "requests to the target");
    if !harness.capabilities().redirect_control {
        let response = setup.client.get(setup.origin.url("/from")).await?;
        check_eq!(response.status, 302, "status for a client without redirect_control");
    }
    Ok(())
}

pub(in crate::http) async fn redirects_are_followed(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    for status in [301, 302, 303, 307, 308] {
        let (from, to) = (format!("/from/{status}"), format!("/to/{status}"));
        redirect(&setup.origin, &from, status, &to);
        let response = setup.client.get(setup.origin.url(&from)).await?;
        check_eq!(response.status, 200, "{status}: status of the target");
        check_eq!(setup.origin.hits(&to), 1, "{status}: requests to the target");
        if let Some(url) = &response.url {
            check_eq!(url.path(), to, "{status}: the URL that answered");
        }
    }
    Ok(())
}

pub(in crate::http) async fn method_and_body_depend_on_the_status(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let expected = [
        (301, Method::GET, ""),
        (302, Method::GET, ""),
        (303, Method::GET, ""),
        (307, Method::POST, "payload"),
        (308, Method::POST, "payload"),
    ];
    for (status, method, body) in expected {
        let (from, to) = (format!("/from/{status}"), format!("/to/{status}"));
        redirect(&setup.origin, &from, status, &to);
        setup
            .client
            .post(setup.origin.url(&from))
            .body("payload")
            .await?
            .bytes()
            .await?;
        let arrived = setup.origin.requests(&to);
        check_eq!(arrived.len(), 1, "{status}: requests to the target");
        check_eq!(arrived[0].method, method, "{status}: method of a redirected POST");
        check_eq!(arrived[0].body, body, "{status}: body of a redirected POST");
    }
    Ok(())
}

pub(in crate::http) async fn endless_redirects_are_an_error(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    redirect(&setup.origin, "/loop", 302, "/loop");
    check_error!(
        setup.client.get(setup.origin.url("/loop")).await,
        ErrorKind::Redirect,
        "a redirect to itself"
    );
    check!(
        setup.origin.hits("/loop") <= 51,
        "{} requests for one call",
        setup.origin.hits("/loop")
    );
    Ok(())
}

pub(in crate::http) async fn credentials_are_not_sent_to_another_origin(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let other = Origin::start(true).await?;
    redirect(&setup.origin, "/away", 302, &other.url("/landed"));
    redirect(&setup.origin, "/near", 302, "/stayed");
    for path in ["/away", "/near"] {
        setup
            .client
            .get(setup.origin.url(path))
            .bearer("t0ken")
            .header("x-api-key", "k3y")
            .header("cookie", "id=1")
            .header("x-plain", "shown")
            .await?
            .bytes()
            .await?;
    }
    let landed = other.requests("/landed");
    check_eq!(landed.len(), 1, "requests at the other origin");
    check_eq!(
        landed[0].header("x-plain"),
        Some("shown"),
        "a header without a credential"
    );
    for name in ["authorization", "x-api-key", "cookie"] {
        check_eq!(landed[0].header(name), None, "{name} at another origin");
        check!(
            setup.origin.requests("/stayed")[0].header(name).is_some(),
            "{name} at the same origin is missing"
        );
    }
    Ok(())
}
