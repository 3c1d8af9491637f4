//! Converts errors of librdkafka.

use networking_spi::error::context;
use networking_spi::{ErrorKind, NetworkError, Phase, Retryability, SendState};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// Converts an error of librdkafka.
pub(super) fn from_kafka(operation: &'static str, error: KafkaError) -> NetworkError {
    match error {
        // These two are not kept as sources: they contain the value of the setting, which may be a secret.
        KafkaError::ClientConfig(_, description, key, _) => from_setting(operation, &description, &key),
        KafkaError::ClientCreation(description) => from_creation(operation, &description),
        KafkaError::Canceled => NetworkError::closed(operation, "the client"),
        KafkaError::AdminOp(code) => from_code(operation, code),
        other => match other.rdkafka_error_code() {
            Some(code) => from_code(operation, code).with_source(other),
            None => {
                NetworkError::new(ErrorKind::Internal, operation, "librdkafka rejected the call").with_source(other)
            }
        },
    }
}

/// Converts an error code of librdkafka.
pub(super) fn from_code(operation: &'static str, code: Code) -> NetworkError {
    let kind = kind(code);
    let mut error = NetworkError::new(kind, operation, code.to_string()).with_retryability(retryability(code, kind));
    if let Some(state) = send_state(code) {
        error = error.with_send_state(state);
    }
    if let Some(phase) = phase(code) {
        error = error.with_phase(phase);
    }
    if let Some(field) = field(code) {
        error = error.with_context(context::FIELD, field);
    }
    error
}

fn from_setting(operation: &'static str, description: &str, key: &str) -> NetworkError {
    if description.contains("not available at build time") || description.contains("not built") {
        return NetworkError::unsupported(operation, "rdkafka-tls").with_context(context::SETTING, key);
    }
    NetworkError::new(
        ErrorKind::InvalidInput,
        operation,
        "librdkafka does not accept this setting",
    )
    .with_context(context::FIELD, key)
}

fn from_creation(operation: &'static str, description: &str) -> NetworkError {
    if description.contains("No provider for SASL mechanism") || description.contains("not available at build time") {
        return NetworkError::unsupported(operation, "rdkafka-tls");
    }
    NetworkError::new(
        ErrorKind::InvalidInput,
        operation,
        format!("librdkafka does not accept the settings: {description}"),
    )
    .with_context(context::FIELD, "backend")
}

fn kind(code: Code) -> ErrorKind {
    match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::NetworkException
        | Code::BrokerNotAvailable
        | Code::UnknownBroker => ErrorKind::Connection,
        Code::Resolve => ErrorKind::Dns,
        Code::SSL => ErrorKind::Tls,
        Code::MessageTimedOut | Code::OperationTimedOut | Code::RequestTimedOut | Code::TimedOutQueue => {
            ErrorKind::Timeout
        }
        Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownGroup
        | Code::GroupIdNotFound
        | Code::AutoOffsetReset
        | Code::NoOffset
        | Code::OffsetOutOfRange => ErrorKind::NotFound,
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidMessageSize
        | Code::OffsetMetadataTooLarge => ErrorKind::TooLarge,
        Code::QueueFull => ErrorKind::Exhausted,
        Code::Fenced
        | Code::FencedInstanceId
        | Code::InvalidProducerEpoch
        | Code::ProducerFenced
        | Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::RebalanceInProgress
        | Code::AssignmentLost
        | Code::Conflict
        | Code::PollExceeded
        | Code::InconsistentGroupProtocol
        | Code::OutOfOrderSequenceNumber
        | Code::UnknownProducerId
        | Code::StaleMemberEpoch
        | Code::FencedMemberEpoch
        | Code::UnreleasedInstanceId
        | Code::NonEmptyGroup => ErrorKind::Conflict,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState => ErrorKind::Authentication,
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::DelegationTokenAuthorizationFailed => ErrorKind::PermissionDenied,
        Code::TopicAlreadyExists => ErrorKind::AlreadyExists,
        Code::UnsupportedFeature
        | Code::NotImplemented
        | Code::UnsupportedVersion
        | Code::UnsupportedCompressionType
        | Code::TopicDeletionDisabled => ErrorKind::Unsupported,
        Code::InvalidArgument
        | Code::InvalidTopic
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidReplicaAssignment
        | Code::InvalidConfig
        | Code::InvalidGroupId
        | Code::InvalidSessionTimeout
        | Code::InvalidTimestamp
        | Code::InvalidTransactionTimeout
        | Code::InvalidRequiredAcks => ErrorKind::InvalidInput,
        Code::PolicyViolation | Code::InvalidRecord | Code::InvalidDifferentRecord => ErrorKind::Rejected,
        Code::PurgeQueue | Code::PurgeInflight | Code::DestroyBroker | Code::BrokerDestroy => ErrorKind::Closed,
        Code::ThrottlingQuotaExceeded => ErrorKind::RateLimited,
        Code::InvalidMessage | Code::BadMessage | Code::Underflow => ErrorKind::Protocol,
        Code::BadCompression => ErrorKind::Decode,
        // librdkafka waits for a broker to answer.
        Code::WaitingForCoordinator | Code::WaitCache | Code::Retry | Code::InProgress | Code::PreviousInProgress => {
            ErrorKind::Remote
        }
        // Codes from brokers are positive.
        _ if (code as i32) > 0 || code == Code::Unknown => ErrorKind::Remote,
        _ => ErrorKind::Internal,
    }
}

fn retryability(code: Code, kind: ErrorKind) -> Retryability {
    let transient = match code {
        Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::ReplicaNotAvailable
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotController
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::KafkaStorageError
        | Code::ConcurrentTransactions
        | Code::WaitingForCoordinator
        | Code::WaitCache
        | Code::InProgress
        | Code::PreviousInProgress
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::RebalanceInProgress
        | Code::InvalidMessage
        | Code::Retry => true,
        // A retry does not help if a certificate cannot be verified.
        Code::SSL => false,
        _ => matches!(
            kind,
            ErrorKind::Connection | ErrorKind::Dns | ErrorKind::Timeout | ErrorKind::Exhausted | ErrorKind::RateLimited
        ),
    };
    if transient {
        Retryability::Now
    } else {
        Retryability::Never
    }
}

fn send_state(code: Code) -> Option<SendState> {
    match code {
        Code::UnknownTopic
        | Code::UnknownPartition
        | Code::QueueFull
        | Code::PurgeQueue
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::SSL
        | Code::Authentication => Some(SendState::NotSent),
        // A broker gave up waiting for replicas: some of them may have the record.
        Code::RequestTimedOut | Code::NotEnoughReplicasAfterAppend => Some(SendState::MaybeSent),
        _ if (code as i32) > 0 => Some(SendState::Sent),
        _ => None,
    }
}

fn phase(code: Code) -> Option<Phase> {
    match code {
        Code::MessageTimedOut => Some(Phase::Total),
        Code::TimedOutQueue => Some(Phase::Queue),
        Code::OperationTimedOut | Code::RequestTimedOut => Some(Phase::Read),
        _ => None,
    }
}

fn field(code: Code) -> Option<&'static str> {
    match code {
        Code::InvalidTopic => Some("topic"),
        Code::InvalidPartitions => Some("partitions"),
        Code::InvalidReplicationFactor | Code::InvalidReplicaAssignment => Some("replication_factor"),
        Code::InvalidConfig => Some("config"),
        Code::InvalidGroupId => Some("group"),
        Code::InvalidSessionTimeout => Some("session_timeout"),
        Code::InvalidTimestamp => Some("timestamp"),
        Code::InvalidTransactionTimeout => Some("transaction_timeout"),
        Code::InvalidRequiredAcks => Some("acks"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_kinds_that_callers_act_on() {
        for (code, kind, retryable) in [
            (Code::UnknownTopicOrPartition, ErrorKind::NotFound, false),
            (Code::MessageSizeTooLarge, ErrorKind::TooLarge, false),
            (Code::MessageTimedOut, ErrorKind::Timeout, true),
            (Code::QueueFull, ErrorKind::Exhausted, true),
            (Code::Fenced, ErrorKind::Conflict, false),
            (Code::RebalanceInProgress, ErrorKind::Conflict, true),
            (Code::SaslAuthenticationFailed, ErrorKind::Authentication, false),
            (Code::TopicAuthorizationFailed, ErrorKind::PermissionDenied, false),
            (Code::BrokerTransportFailure, ErrorKind::Connection, true),
            (Code::Resolve, ErrorKind::Dns, true),
            (Code::SSL, ErrorKind::Tls, false),
            (Code::NotLeaderForPartition, ErrorKind::Remote, true),
            (Code::NotEnoughReplicas, ErrorKind::Remote, true),
            (Code::WaitingForCoordinator, ErrorKind::Remote, true),
            (Code::InvalidDifferentRecord, ErrorKind::Rejected, false),
            (Code::TopicAlreadyExists, ErrorKind::AlreadyExists, false),
            (Code::PurgeQueue, ErrorKind::Closed, false),
        ] {
            let error = from_code("kafka.test", code);
            assert_eq!(error.kind(), kind, "{code:?}");
            assert_eq!(error.retryability().is_retryable(), retryable, "{code:?}");
        }
    }

    #[test]
    fn codes_determine_whether_a_record_was_sent() {
        assert_eq!(
            from_code("kafka.test", Code::UnknownPartition).send_state(),
            SendState::NotSent
        );
        assert_eq!(
            from_code("kafka.test", Code::MessageTimedOut).send_state(),
            SendState::MaybeSent
        );
        assert_eq!(
            from_code("kafka.test", Code::NotEnoughReplicas).send_state(),
            SendState::Sent
        );
        assert_eq!(
            from_code("kafka.test", Code::NotEnoughReplicasAfterAppend).send_state(),
            SendState::MaybeSent
        );
    }

    #[test]
    fn a_rejected_setting_is_named_and_its_value_is_not_shown() {
        let mut config = rdkafka::ClientConfig::new();
        config.set("ssl.key.pasword", "hunter2");
        let error = from_kafka(
            "kafka.create_producer",
            config.create_native_config().err().expect("misspelt"),
        );
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidInput, Some("ssl.key.pasword"))
        );
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
