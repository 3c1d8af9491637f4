//! What requests are answered with.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use networking_spi::bridge::BridgeReceipt;
use networking_spi::{ErrorKind, NetworkError, Retryability};

pub(super) type Answer = Response<Full<Bytes>>;

/// What peers are asked to wait where nobody said how long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The message was dealt with.
pub(super) fn accepted(receipt: &BridgeReceipt) -> Answer {
    let body = serde_json::json!({
        "id": receipt.message_id,
        "disposition": receipt.disposition,
        "target": receipt.target,
        "position": receipt.position,
    });
    json(StatusCode::ACCEPTED, &body)
}

/// The message was rejected. The answer says the kind of the error only: its text may name servers.
pub(super) fn rejected(error: &NetworkError) -> Answer {
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
        // What is behind the bridge failed.
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// Nobody can deal with the message now; the peer may try again.
pub(super) fn try_later(reason: &str) -> Answer {
    unavailable(reason, RETRY_AFTER)
}

fn unavailable(reason: &str, wait: Duration) -> Answer {
    let mut answer = refused(StatusCode::SERVICE_UNAVAILABLE, reason);
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    answer
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    answer
}

/// The request is not taken.
pub(super) fn refused(status: StatusCode, reason: &str) -> Answer {
    json(status, &serde_json::json!({ "error": reason }))
}

/// As [`refused`], for a request whose body was not read: the connection cannot be used again.
pub(super) fn refused_unread(status: StatusCode, reason: &str) -> Answer {
    let mut answer = refused(status, reason);
    answer
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
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
            (error(ErrorKind::Cancelled), 503, Some("1")),
            (error(ErrorKind::TooLarge), 413, None),
            (NetworkError::invalid_input("id", "is too long"), 400, None),
            (error(ErrorKind::Rejected), 422, None),
            (error(ErrorKind::Remote), 502, None),
            (error(ErrorKind::Internal), 500, None),
        ] {
            let answer = rejected(&error);
            assert_eq!(answer.status(), status, "{error}");
            let found = answer
                .headers()
                .get(header::RETRY_AFTER)
                .map(|value| value.to_str().unwrap());
            assert_eq!(found, wait, "{error}");
            assert!(!format!("{:?}", answer.body()).contains("internal:9092"));
        }
    }
}
