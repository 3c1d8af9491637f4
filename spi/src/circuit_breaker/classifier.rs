//! Classifiers of errors.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use super::CallOutcome;
use crate::error::{ErrorKind, NetworkError, Phase, SendState};
use crate::http::status;

/// Decides which errors count as failures of the dependency.
pub trait ErrorClassifier: fmt::Debug + Send + Sync + 'static {
    /// Returns what a call with this error counts as.
    fn classify(&self, error: &NetworkError) -> CallOutcome;
}

/// The default classifier, also for HTTP.
///
/// | error | counts as |
/// |---|---|
/// | status 5xx, 408, 429 | failure |
/// | any other status | success: the dependency responded |
/// | a rate limit of the peer | failure |
/// | a local rate limit (nothing was sent) | ignored |
/// | not found, already exists, authentication, permission denied, conflict, incompatible schema | success |
/// | invalid input, unsupported, encoding, cancellation, open circuit, rejection by the application | ignored |
/// | exhausted local resource, closed handle | ignored |
/// | a destination that the client's configuration denies | ignored |
/// | a size limit or a redirect limit of the client | ignored: the peer responded, and the limit is the caller's |
/// | a timeout while waiting for a local resource (phase queue) | ignored |
/// | connection, TLS, proxy, protocol, any other timeout, truncated or undecodable body, failure of the peer | failure |
/// | any other error | failure |
///
/// An error that only the caller or the client's policy caused does not show whether the dependency works, so it is ignored.
pub fn default_classifier() -> Arc<dyn ErrorClassifier> {
    Arc::new(DefaultClassifier)
}

#[derive(Debug)]
struct DefaultClassifier;

impl ErrorClassifier for DefaultClassifier {
    fn classify(&self, error: &NetworkError) -> CallOutcome {
        if let Some(status) = error.status() {
            return if StatusCode::from_u16(status).is_ok_and(status::is_failure) {
                CallOutcome::Failure
            } else {
                CallOutcome::Success
            };
        }
        match error.kind() {
            // The limiter is local: the request did not reach the dependency.
            ErrorKind::RateLimited if error.send_state() == SendState::NotSent => CallOutcome::Ignored,
            // Waiting for a permit, a place in a queue or a connection of the pool.
            ErrorKind::Timeout if error.phase() == Some(Phase::Queue) => CallOutcome::Ignored,
            ErrorKind::InvalidInput
            | ErrorKind::Unsupported
            | ErrorKind::Encode
            | ErrorKind::Cancelled
            | ErrorKind::Rejected
            | ErrorKind::DestinationDenied
            | ErrorKind::TooLarge
            | ErrorKind::Redirect
            | ErrorKind::CircuitOpen
            | ErrorKind::Exhausted
            | ErrorKind::Closed => CallOutcome::Ignored,
            ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::PermissionDenied
            | ErrorKind::Authentication
            | ErrorKind::Conflict
            | ErrorKind::Incompatible => CallOutcome::Success,
            _ => CallOutcome::Failure,
        }
    }
}

/// The classifier for Kafka: [`default_classifier`], except for kinds that have another meaning in Kafka.
///
/// | error | counts as |
/// |---|---|
/// | no broker, no leader, no coordinator, too few replicas, storage errors, throttling, timeouts | failure |
/// | unknown topic, partition or group, no permission, fenced or rebalancing member | success: the broker responded |
/// | a record or batch that is too large, or that cannot be decoded | ignored: the record is the cause |
/// | invalid input, full local queue, closed handle, cancellation, policy violation | ignored |
///
/// ```
/// use networking_spi::circuit_breaker::{CallOutcome, CircuitBreakerConfig, kafka_classifier};
/// use networking_spi::{ErrorKind, NetworkError};
///
/// let config = CircuitBreakerConfig::new().with_classifier(kafka_classifier());
/// let too_large = NetworkError::new(ErrorKind::TooLarge, "kafka.produce_message", "the record has 2 MiB");
/// assert_eq!(config.classifier.classify(&too_large), CallOutcome::Ignored);
/// ```
pub fn kafka_classifier() -> Arc<dyn ErrorClassifier> {
    Arc::new(KafkaClassifier)
}

#[derive(Debug)]
struct KafkaClassifier;

impl ErrorClassifier for KafkaClassifier {
    fn classify(&self, error: &NetworkError) -> CallOutcome {
        match error.kind() {
            ErrorKind::Decode => CallOutcome::Ignored,
            _ => DefaultClassifier.classify(error),
        }
    }
}
