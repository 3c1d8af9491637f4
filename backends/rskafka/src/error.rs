//! Maps errors of `rskafka` to the contract's kinds.

use networking_spi::error::context;
use networking_spi::{ErrorKind, NetworkError, Retryability};
use rskafka::client::error::{Error, ProtocolError, RequestError};

/// The error of an operation, by its kind.
pub(crate) fn classify(operation: &'static str, error: Error) -> NetworkError {
    let (kind, message) = match &error {
        Error::ServerError { protocol_error, .. } => (of_broker(*protocol_error), "the broker refused the request"),
        Error::Timeout => (ErrorKind::Timeout, "no response in time"),
        Error::InvalidResponse(_) => (ErrorKind::Protocol, "the response is invalid"),
        Error::Request(error) => of_request(error),
        _ => (ErrorKind::Connection, "the brokers cannot be reached"),
    };
    let mut classified = NetworkError::new(kind, operation, message);
    if let Error::ServerError { protocol_error, .. } = &error
        && let Some(field) = field(*protocol_error)
    {
        classified = classified.with_context(context::FIELD, field);
    }
    if is_transient(&error) {
        classified.with_retryability(Retryability::Now).with_source(error)
    } else {
        classified.with_source(error)
    }
}

/// Whether the offset is not in the partition.
pub(crate) fn is_out_of_range(error: &Error) -> bool {
    matches!(
        error,
        Error::ServerError {
            protocol_error: ProtocolError::OffsetOutOfRange,
            ..
        }
    )
}

fn of_request(error: &RequestError) -> (ErrorKind, &'static str) {
    match error {
        RequestError::NoVersionMatch { .. } => (ErrorKind::Unsupported, "the broker has no version of this request"),
        RequestError::WriteError(_) | RequestError::WriteMessageError(_) => {
            (ErrorKind::Encode, "the request cannot be encoded")
        }
        RequestError::ReadError(_) | RequestError::ReadVersionedError(_) | RequestError::TooMuchData { .. } => {
            (ErrorKind::Protocol, "the response is invalid")
        }
        _ => (ErrorKind::Connection, "the connection ended"),
    }
}

fn of_broker(error: ProtocolError) -> ErrorKind {
    use ProtocolError as Code;
    match error {
        Code::UnknownTopicOrPartition | Code::OffsetOutOfRange => ErrorKind::NotFound,
        Code::TopicAlreadyExists => ErrorKind::AlreadyExists,
        Code::MessageTooLarge | Code::RecordListTooLarge => ErrorKind::TooLarge,
        Code::InvalidTopicException
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidTimestamp => ErrorKind::InvalidInput,
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => ErrorKind::PermissionDenied,
        Code::SaslAuthenticationFailed | Code::UnsupportedSaslMechanism => ErrorKind::Authentication,
        Code::PolicyViolation | Code::InvalidRecord => ErrorKind::Rejected,
        Code::UnsupportedVersion | Code::UnsupportedCompressionType | Code::TopicDeletionDisabled => {
            ErrorKind::Unsupported
        }
        Code::RequestTimedOut => ErrorKind::Timeout,
        Code::NetworkException | Code::BrokerNotAvailable => ErrorKind::Connection,
        Code::ThrottlingQuotaExceeded => ErrorKind::RateLimited,
        Code::CorruptMessage => ErrorKind::Protocol,
        _ => ErrorKind::Remote,
    }
}

/// The field that an answer of a broker is about.
fn field(error: ProtocolError) -> Option<&'static str> {
    match error {
        ProtocolError::InvalidTopicException => Some("name"),
        ProtocolError::InvalidPartitions => Some("partitions"),
        ProtocolError::InvalidReplicationFactor => Some("replication_factor"),
        ProtocolError::InvalidTimestamp => Some("timestamp"),
        _ => None,
    }
}

/// Whether the topic or the partition does not exist.
pub(crate) fn is_unknown(error: &Error) -> bool {
    matches!(
        error,
        Error::ServerError {
            protocol_error: ProtocolError::UnknownTopicOrPartition,
            ..
        }
    )
}

/// Answers of brokers that change without help. The kinds of the other errors say it.
fn is_transient(error: &Error) -> bool {
    use ProtocolError as Code;
    let Error::ServerError { protocol_error, .. } = error else {
        return false;
    };
    matches!(
        protocol_error,
        Code::LeaderNotAvailable
            | Code::NotLeaderOrFollower
            | Code::ReplicaNotAvailable
            | Code::BrokerNotAvailable
            | Code::NotController
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::KafkaStorageError
            | Code::ThrottlingQuotaExceeded
    )
}

#[cfg(test)]
mod tests {
    use rskafka::client::error::RequestContext;

    use super::*;

    #[test]
    fn the_answers_of_brokers_have_a_kind_and_say_whether_they_change() {
        use ProtocolError as Code;
        for (code, kind, transient) in [
            (Code::UnknownTopicOrPartition, ErrorKind::NotFound, false),
            (Code::TopicAlreadyExists, ErrorKind::AlreadyExists, false),
            (Code::MessageTooLarge, ErrorKind::TooLarge, false),
            (Code::TopicAuthorizationFailed, ErrorKind::PermissionDenied, false),
            (Code::NotEnoughReplicas, ErrorKind::Remote, true),
            (Code::NotLeaderOrFollower, ErrorKind::Remote, true),
            (Code::RequestTimedOut, ErrorKind::Timeout, true),
            (Code::InvalidTxnState, ErrorKind::Remote, false),
        ] {
            let error = classify(
                "kafka.test",
                Error::ServerError {
                    protocol_error: code,
                    error_message: None,
                    request: RequestContext::Topic("t".to_owned()),
                    response: None,
                    is_virtual: false,
                },
            );
            let found = (error.kind(), error.retryability().is_transient());
            assert_eq!(found, (kind, transient), "{code:?}");
        }
    }

    #[test]
    fn a_connection_that_ends_is_transient_and_a_bad_response_is_not() {
        let ended = RequestError::IO(std::io::ErrorKind::ConnectionReset.into());
        let error = classify("kafka.test", Error::Request(ended));
        assert_eq!(
            (error.kind(), error.retryability().is_transient()),
            (ErrorKind::Connection, true)
        );
        let error = classify("kafka.test", Error::InvalidResponse("x".to_owned()));
        assert_eq!(
            (error.kind(), error.retryability().is_transient()),
            (ErrorKind::Protocol, false)
        );
    }
}
