//! The guarantees of [`NetworkError`] that callers rely on.

use std::collections::HashSet;
use std::error::Error;
use std::time::Duration;

use networking_spi::{ErrorKind, NetworkError, Phase, Retryability, SendState};

#[test]
fn every_kind_has_a_distinct_name_and_the_list_is_complete() {
    let names: HashSet<&str> = ErrorKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(names.len(), ErrorKind::ALL.len());
    for kind in ErrorKind::ALL {
        assert!(kind.is_a(*kind), "{kind} is itself");
        assert!(
            kind.as_str()
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{kind}"
        );
    }
}

#[test]
fn kinds_follow_the_hierarchy() {
    for kind in [
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionClosed,
        ErrorKind::Dns,
        ErrorKind::Tls,
        ErrorKind::Proxy,
    ] {
        let error = NetworkError::new(kind, "op", "message");
        assert!(error.is_a(ErrorKind::Connection), "{kind}");
        assert!(error.is_a(kind), "{kind}");
        assert!(!error.is_a(ErrorKind::Timeout), "{kind}");
    }
    assert!(
        !NetworkError::new(ErrorKind::Connection, "op", "message").is_a(ErrorKind::Dns),
        "a general kind is not one of its special kinds"
    );
}

#[test]
fn a_connect_timeout_is_a_timeout_and_a_connection_error() {
    let connect = NetworkError::timeout("op", Phase::Connect, Duration::from_secs(1));
    assert!(connect.is_a(ErrorKind::Timeout));
    assert!(connect.is_a(ErrorKind::Connection));
    let read = NetworkError::timeout("op", Phase::Read, Duration::from_secs(1));
    assert!(read.is_a(ErrorKind::Timeout));
    assert!(!read.is_a(ErrorKind::Connection));
}

#[test]
fn an_error_with_a_status_is_a_status_error_whatever_its_kind() {
    let error = NetworkError::new(ErrorKind::RateLimited, "op", "slow down").with_status(429);
    assert!(error.is_a(ErrorKind::RateLimited));
    assert!(error.is_a(ErrorKind::Status));
}

#[test]
fn display_never_repeats_the_source() {
    let source = std::io::Error::other("the cable is unplugged");
    let error = NetworkError::new(ErrorKind::Connection, "http.request", "no connection").with_source(source);
    assert!(!error.to_string().contains("cable"));
    assert!(error.source().unwrap().to_string().contains("cable"));
}

#[test]
fn display_shows_attempts_and_context() {
    let error = NetworkError::new(ErrorKind::Status, "http.request", "Service Unavailable")
        .with_status(503)
        .with_attempts(3)
        .with_context("host", "a.example")
        .with_context("method", "GET");
    assert_eq!(
        error.to_string(),
        "http.request: status (503): Service Unavailable after 3 attempts {host: a.example, method: GET}",
    );
}

#[test]
fn retryability_and_send_state_start_as_the_kind_suggests() {
    let refused = NetworkError::new(ErrorKind::ConnectionRefused, "op", "");
    assert_eq!(
        (refused.retryability(), refused.send_state()),
        (Retryability::Now, SendState::NotSent)
    );
    let closed = NetworkError::new(ErrorKind::ConnectionClosed, "op", "");
    assert_eq!(
        (closed.retryability(), closed.send_state()),
        (Retryability::Now, SendState::MaybeSent)
    );
    let input = NetworkError::invalid_input("url", "is wrong");
    assert_eq!(
        (input.retryability(), input.send_state()),
        (Retryability::Never, SendState::NotSent)
    );
}

#[test]
fn nested_fields_show_their_whole_path() {
    let error = NetworkError::invalid_input("max_attempts", "must be at least 1")
        .in_field("retry")
        .in_field("client");
    assert_eq!(error.field(), Some("client.retry.max_attempts"));
}

#[test]
fn an_error_is_one_pointer_wide() {
    assert_eq!(size_of::<NetworkError>(), size_of::<usize>());
}
