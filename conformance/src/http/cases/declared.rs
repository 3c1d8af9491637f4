//! Capabilities match what the client does; secrets are not shown.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::ErrorKind;
use networking_spi::http::{
    HttpCircuitOptions, HttpClientExt, HttpRequest, Method, ProxyConfig, RequestOptions, RetryPolicy,
};

use super::H;
use crate::http::breaker::ScriptedBreaker;
use crate::http::harness::set_up;
use crate::kit::CaseResult;
use crate::{check, check_eq, check_error};

pub(in crate::http) async fn client_and_harness_agree(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    check_eq!(
        setup.client.capabilities(),
        *harness.capabilities(),
        "capabilities of the client, against the harness's"
    );
    Ok(())
}

pub(in crate::http) async fn undeclared_options_are_refused(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let declared = harness.capabilities();
    let options = RequestOptions::new;
    let proxy = || ProxyConfig::new("http://127.0.0.1:9".parse().expect("a URL"));
    let second = Duration::from_secs(1);
    let table = [
        ("timeout", declared.timeout, options().with_timeout(second)),
        (
            "attempt_timeout",
            declared.attempt_timeout,
            options().with_attempt_timeout(second),
        ),
        (
            "total_timeout",
            declared.total_timeout,
            options().with_total_timeout(second),
        ),
        ("retry", declared.retry, options().with_retry(RetryPolicy::new(2))),
        ("retry", declared.retry, options().with_retries(2)),
        ("retry", declared.retry, options().with_retry_delay(second)),
        (
            "per_request_proxy",
            declared.per_request_proxy,
            options().with_proxy(proxy()),
        ),
        (
            "per_request_tls",
            declared.per_request_tls,
            options().with_verify_tls(false),
        ),
        (
            "redirect_control",
            declared.redirect_control,
            options().with_follow_redirects(true),
        ),
        (
            "response_size_limit",
            declared.response_size_limit,
            options().with_max_response_size(1 << 20),
        ),
        (
            "raise_for_status",
            declared.raise_for_status,
            options().with_raise_for_status(true),
        ),
        (
            "circuit_breaker",
            declared.circuit_breaker,
            options().with_circuit("named"),
        ),
    ];
    for (name, declared, options) in table {
        if declared {
            continue;
        }
        let result = setup.client.get(setup.origin.url("/refused")).options(options).await;
        check_error!(
            result,
            ErrorKind::Unsupported,
            "the option of {name}, which is not declared"
        );
    }
    if !declared.base_url {
        let error = check_error!(
            setup.client.get("/relative").await,
            ErrorKind::InvalidInput,
            "no base URL"
        );
        check_eq!(error.field(), Some("url"), "the field that the error names");
    }
    check_eq!(setup.origin.total_hits(), 0, "refused requests that were sent");
    Ok(())
}

pub(in crate::http) async fn undeclared_operations_are_refused(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let declared = harness.capabilities();
    if !declared.metrics {
        check_error!(setup.client.client_metrics(), ErrorKind::Unsupported, "client_metrics");
    }
    if !declared.retry {
        let result = setup.client.configure_retry_policy(RetryPolicy::default());
        check_error!(result, ErrorKind::Unsupported, "configure_retry_policy");
    }
    if !declared.circuit_breaker {
        let breaker = Arc::new(ScriptedBreaker::default());
        let result = setup
            .client
            .configure_circuit_breaker(breaker, HttpCircuitOptions::new());
        check_error!(result, ErrorKind::Unsupported, "configure_circuit_breaker");
    }
    Ok(())
}

/// Planted in every part of a request that can hold a credential.
const SECRET: &str = "s3cr3t-0f-th3-c4s3";

pub(in crate::http) async fn secrets_are_never_shown(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let mut shown = vec![format!("{:?}", setup.client)];
    let targets = [
        setup.origin.url(&format!("/secret?api_key={SECRET}")),
        format!("ftp://user:{SECRET}@127.0.0.1/?token={SECRET}"),
        format!("/relative?access_token={SECRET}"),
        format!("http://user:{SECRET}@127.0.0.1:70000/"),
        // Nothing listens on the port: the connection is refused, or the client uses no network.
        format!("http://127.0.0.1:1/?password={SECRET}"),
    ];
    for target in targets {
        let request = HttpRequest::new(Method::GET, target.as_str())
            .with_bearer(SECRET)?
            .with_header("x-api-key", SECRET)?
            .with_header("cookie", format!("id={SECRET}"))?;
        shown.push(format!("{request:?}"));
        match setup.client.request(request).await {
            Ok(response) => shown.push(format!("{response:?}")),
            Err(error) => {
                shown.push(format!("{error} {error:?}"));
                let mut source = std::error::Error::source(&error);
                while let Some(cause) = source {
                    shown.push(format!("{cause} {cause:?}"));
                    source = cause.source();
                }
            }
        }
    }
    shown.push(format!("{:?}", setup.client));
    for text in shown {
        check!(!text.contains(SECRET), "a secret is shown: {text}");
    }
    Ok(())
}
