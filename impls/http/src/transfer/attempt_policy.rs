//! How a [`RetryPolicy`] applies to downloads and event streams, which make their own attempts.

use http::StatusCode;
use networking_spi::clock::Clock;
use networking_spi::http::{HttpCapabilities, HttpRequest, HttpResponse, RetryPolicy};
use networking_spi::{NetworkError, Retryability};

use crate::layer::retry_after;
use crate::marks::LongBody;

/// Prepares a request that its sender retries itself, and whose body may take long: it handles statuses, the client does not
/// retry in addition, and neither the client's size limit nor its time limits apply to the body.
pub(super) fn prepare(request: &mut HttpRequest, capabilities: HttpCapabilities) {
    let options = &mut request.options;
    options.raise_for_status = Some(false);
    if capabilities.response_size_limit {
        options.max_response_size.get_or_insert(u64::MAX);
    }
    if options.retry.is_none() {
        options.retries.get_or_insert(0);
    }
    request.extensions.insert(LongBody);
}

/// The error of a 4xx or 5xx status. If the status is transient, the error carries the wait of `Retry-After`. A date in it is
/// compared with `clock`.
pub(super) fn status_error(response: &HttpResponse, policy: &RetryPolicy, clock: &dyn Clock) -> Option<NetworkError> {
    let error = response.status_error()?;
    let transient = error.retryability().is_transient() || policy.statuses.contains(&response.status.as_u16());
    match retry_after(&response.headers, clock) {
        Some(wait) if transient => Some(error.with_retryability(Retryability::After(wait))),
        _ => Some(error),
    }
}

/// What the predicate of the policy says about another attempt after this error, if it decides.
pub(super) fn decided(error: &NetworkError, policy: &RetryPolicy) -> Option<bool> {
    let predicate = policy.predicate.as_ref()?;
    let status = error.status().and_then(|status| StatusCode::from_u16(status).ok());
    status
        .and_then(|status| predicate.on_status(status))
        .or_else(|| predicate.on_error(error))
}

/// Whether the policy allows another attempt after this error.
pub(super) fn may_retry(error: &NetworkError, policy: &RetryPolicy) -> bool {
    decided(error, policy).unwrap_or_else(|| match error.status() {
        Some(status) => policy.statuses.contains(&status),
        None => error.retryability().is_transient(),
    })
}
