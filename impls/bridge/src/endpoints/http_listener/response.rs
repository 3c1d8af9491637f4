//! The responses of the listener.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use networking_spi::bridge::BridgeReceipt;
use networking_spi::{ErrorKind, NetworkError, Retryability};

pub(super) type ListenerResponse = Response<Full<Bytes>>;

/// The `Retry-After` of a 503 whose error has no delay.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The bridge has acknowledged the message.
pub(super) fn accepted(receipt: &BridgeReceipt) -> ListenerResponse {
    let body = serde_json::json!({
        "id": receipt.message_id,
        "disposition": receipt.disposition,
        "target": receipt.target,
        "position": receipt.position,
    });
    json(StatusCode::ACCEPTED, &body)
}

/// The bridge has rejected the message. The body has only the kind of the error, because its text may name internal servers.
pub(super) fn rejected(error: &NetworkError) -> ListenerResponse {
    let (status, reason) = (status_of(error), error.kind().as_str());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return unavailable(reason, error.retryability().delay().unwrap_or(RETRY_AFTER));
    }
    refused(status, reason)
}

fn status_of(error: &NetworkError) -> StatusCode {
    if error.retryability() != Retryability::Never {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    match error.kind() {
        ErrorKind::Cancelled | ErrorKind::Closed => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorKind::Rejected | ErrorKind::Decode | ErrorKind::Encode | ErrorKind::Incompatible => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        ErrorKind::Internal | ErrorKind::Unsupported => StatusCode::INTERNAL_SERVER_ERROR,
        // The sink's peer failed.
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// The message cannot be processed now; the peer may retry.
pub(super) fn try_later(reason: &str) -> ListenerResponse {
    unavailable(reason, RETRY_AFTER)
}

fn unavailable(reason: &str, wait: Duration) -> ListenerResponse {
    let mut response = refused(StatusCode::SERVICE_UNAVAILABLE, reason);
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

/// The request is refused.
pub(super) fn refused(status: StatusCode, reason: &str) -> ListenerResponse {
    json(status, &serde_json::json!({ "error": reason }))
}

/// Like [`refused`], for a request whose body was not read: also closes the connection.
pub(super) fn refused_unread(status: StatusCode, reason: &str) -> ListenerResponse {
    let mut response = refused(status, reason);
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn json(status: StatusCode, body: &serde_json::Value) -> ListenerResponse {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejections_become_statuses() {
        let error = |kind| NetworkError::new(kind, "test", "http://internal:9092 failed");
        for (error, status, wait) in [
            (error(ErrorKind::ConnectionRefused), 503, Some("1")),
            (
                error(ErrorKind::Timeout).with_retryability(Retryability::After(Duration::from_millis(1500))),
                503,
                Some("2"),
            ),
            (
                error(ErrorKind::Authentication).with_retryability(Retryability::Now),
                503,
                Some("1"),
            ),
            (
                error(ErrorKind::RateLimited).with_retryability(Retryability::After(Duration::MAX)),
                503,
                Some("18446744073709551615"),
            ),
            (error(ErrorKind::Cancelled), 503, Some("1")),
            (error(ErrorKind::TooLarge), 413, None),
            (NetworkError::invalid_input("id", "is too long"), 400, None),
            (error(ErrorKind::Rejected), 422, None),
            (error(ErrorKind::Remote), 502, None),
            (error(ErrorKind::Internal), 500, None),
        ] {
            let response = rejected(&error);
            assert_eq!(response.status(), status, "{error}");
            let found = response
                .headers()
                .get(header::RETRY_AFTER)
                .map(|value| value.to_str().unwrap());
            assert_eq!(found, wait, "{error}");
            assert!(!format!("{:?}", response.body()).contains("internal:9092"));
        }
    }
}
