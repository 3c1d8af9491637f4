//! Certificates, and the protocols behind TLS.

use networking_spi::http::{HttpClientExt, RequestOptions, StatusCode, Version};
use networking_spi::{ErrorKind, SendState};

use super::H;
use crate::http::harness::{Setup, set_up};
use crate::http::origin::status_of;
use crate::http::server::Server;
use crate::http::tls::Certificate;
use crate::kit::CaseResult;
use crate::{Failure, check, check_eq, check_error};

const HTTP_1: &[&str] = &["http/1.1"];

pub(in crate::http) async fn a_trusted_certificate_is_accepted(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let server = setup.origin.behind_tls(Certificate::Trusted, HTTP_1).await?;
    for number in 1..=2 {
        let response = setup.client.post(server.tls_url("/trusted")).body("x").await;
        let response = response.map_err(|error| {
            let hint = "does the harness make the client trust `Origin::root_certificate`?";
            Failure::new(format!("a trusted certificate ({hint}): {}", Failure::from(error)))
        })?;
        check_eq!(response.status, StatusCode::OK, "status");
        check_eq!(response.bytes().await?, "ok", "body");
        check_eq!(setup.origin.hits("/trusted"), number, "requests that arrived");
    }
    check_eq!(setup.origin.requests("/trusted")[0].body, "x", "the body that arrived");
    Ok(())
}

pub(in crate::http) async fn an_untrusted_certificate_is_refused(harness: H) -> CaseResult {
    let certificates = [Certificate::Untrusted, Certificate::SelfSigned];
    are_refused(&harness, "/untrusted", &certificates).await
}

pub(in crate::http) async fn a_certificate_out_of_its_time_is_refused(harness: H) -> CaseResult {
    let certificates = [Certificate::Expired, Certificate::Early];
    are_refused(&harness, "/time", &certificates).await
}

pub(in crate::http) async fn a_certificate_of_another_name_is_refused(harness: H) -> CaseResult {
    are_refused(&harness, "/name", &[Certificate::OtherName]).await
}

async fn are_refused(harness: &H, path: &str, certificates: &[Certificate]) -> CaseResult {
    let setup = set_up(harness).await?;
    for certificate in certificates {
        let server = setup.origin.behind_tls(*certificate, HTTP_1).await?;
        is_refused(&setup, &server, path, &format!("a certificate that is {certificate:?}")).await?;
    }
    Ok(())
}

async fn is_refused(setup: &Setup, server: &Server, path: &str, what: &str) -> CaseResult {
    let before = setup.origin.total_hits();
    let result = setup.client.put(server.tls_url(path)).body("x").await;
    let error = check_error!(result, ErrorKind::Tls, "{what}");
    check_eq!(error.send_state(), SendState::NotSent, "the send state for {what}");
    check!(!error.retryability().is_retryable(), "the error is retryable: {what}");
    check_eq!(
        setup.origin.total_hits(),
        before,
        "requests that arrived in spite of {what}"
    );
    Ok(())
}

pub(in crate::http) async fn one_request_can_accept_any_certificate(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let server = setup.origin.behind_tls(Certificate::Untrusted, HTTP_1).await?;
    is_refused(&setup, &server, "/verified", "an untrusted certificate").await?;
    let unverified = RequestOptions::new().with_verify_tls(false);
    let call = setup.client.get(server.tls_url("/unverified")).options(unverified);
    check_eq!(
        call.await?.bytes().await?,
        "ok",
        "the body of a request that accepts any certificate"
    );
    // The connection of that request must not serve one that verifies the certificate.
    is_refused(
        &setup,
        &server,
        "/verified",
        "an untrusted certificate that another request has accepted",
    )
    .await
}

pub(in crate::http) async fn http2_is_negotiated(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.origin.reply(
        "/h2",
        vec![|| {
            let response = status_of(201).with_header("x-many", "a").expect("a header");
            response.with_body("done")
        }],
    );
    let server = setup
        .origin
        .behind_tls(Certificate::Trusted, &["h2", "http/1.1"])
        .await?;
    for number in 0..2 {
        let call = setup.client.post(server.tls_url("/h2?x=1")).header("x-kind", "two");
        let response = call.body("question").await?;
        check_eq!(
            response.version,
            Version::HTTP_2,
            "the version of a response of an HTTP/2 server"
        );
        check_eq!(response.status, StatusCode::CREATED, "status");
        check!(
            response.headers.contains_key("x-many"),
            "a header of the response is lost"
        );
        check_eq!(response.bytes().await?, "done", "body");
        let arrived = setup.origin.requests("/h2");
        let last = arrived.get(number).ok_or_else(|| Failure::new("no request arrived"))?;
        check_eq!(last.version, Version::HTTP_2, "the version of the request");
        check_eq!(last.target(), "/h2?x=1", "the target");
        check_eq!(last.header("x-kind"), Some("two"), "a header of the request");
        check_eq!(last.body, "question", "the body of the request");
    }
    let old = setup.origin.behind_tls(Certificate::Trusted, HTTP_1).await?;
    let response = setup.client.get(old.tls_url("/h1")).await?;
    check_eq!(
        response.version,
        Version::HTTP_11,
        "the version of a response of an HTTP/1.1 server"
    );
    Ok(())
}
