//! The callbacks of librdkafka: logs, errors and bearer tokens.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use networking_spi::clock::{Clock, SystemClock};
use networking_spi::error::context;
use networking_spi::kafka::{KafkaSecurity, SaslMechanism};
use networking_spi::secret::Secret;
use networking_spi::{ErrorKind, NetworkError};
use parking_lot::Mutex;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::watch;

use super::error;

/// The callbacks that producers, consumers and the control connection share.
#[derive(Clone)]
pub(super) struct Callbacks {
    token: Option<Arc<BearerToken>>,
    cause: Arc<Mutex<Option<Cause>>>,
    reach: Arc<watch::Sender<Reach>>,
}

/// Whether a handle of librdkafka has reached a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Reach {
    /// It has not tried all of its bootstrap servers yet.
    #[default]
    Unknown,
    /// It could not connect to any of them.
    Never,
    /// It has received a response. From then on an outage may be transient.
    Once,
}

struct BearerToken {
    principal: String,
    token: Secret,
}

/// The last connection error that librdkafka reported.
struct Cause {
    code: RDKafkaErrorCode,
    reason: String,
}

/// The token lifetime that is reported to librdkafka, which then requests the token again. Brokers check the expiry in the
/// token.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

impl Callbacks {
    pub(super) fn new(security: &KafkaSecurity) -> Self {
        let token = security
            .sasl
            .as_ref()
            .filter(|sasl| sasl.mechanism == SaslMechanism::OAuthBearer)
            .map(|sasl| {
                Arc::new(BearerToken {
                    principal: sasl.username.clone(),
                    token: sasl.password.clone(),
                })
            });
        Self {
            token,
            cause: Arc::new(Mutex::new(None)),
            reach: Arc::default(),
        }
    }

    /// Callbacks with the same credentials and no connection error.
    pub(super) fn for_new_handle(&self) -> Self {
        Self {
            token: self.token.clone(),
            cause: Arc::new(Mutex::new(None)),
            reach: Arc::default(),
        }
    }

    pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::error!(facility, "{message}");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(facility, "{message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(facility, "{message}"),
            RDKafkaLogLevel::Debug => tracing::debug!(facility, "{message}"),
        }
    }

    /// Stores a connection error, to explain later timeouts.
    pub(super) fn note_error(&self, error: &KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "connection error");
        let Some(code) = error.rdkafka_error_code() else { return };
        if code == RDKafkaErrorCode::AllBrokersDown {
            self.reach.send_if_modified(|reach| {
                let first = *reach == Reach::Unknown;
                if first {
                    *reach = Reach::Never;
                }
                first
            });
        }
        let mut cause = self.cause.lock();
        // "All brokers are down" follows each more specific error and must not replace it.
        let keep_previous = code == RDKafkaErrorCode::AllBrokersDown && cause.is_some();
        if !keep_previous {
            *cause = Some(Cause {
                code,
                reason: reason.to_owned(),
            });
        }
    }

    /// Waits until all bootstrap servers have been tried without success. Never completes once a broker has responded.
    pub(super) async fn unreachable(&self) {
        let mut reach = self.reach.subscribe();
        // Fails only if the sender is dropped, but this has it.
        let _ = reach.wait_for(|reach| *reach == Reach::Never).await;
    }

    /// Clears the connection error after a successful request.
    pub(super) fn clear(&self) {
        if *self.reach.borrow() != Reach::Once {
            self.reach.send_replace(Reach::Once);
        }
        if let Some(mut cause) = self.cause.try_lock() {
            *cause = None;
        }
    }

    /// Adds the connection error to a timeout or connection error, or replaces the error if the connection error is more
    /// specific.
    pub(super) fn explain(&self, error: NetworkError) -> NetworkError {
        if !error.is_a(ErrorKind::Timeout) && !error.is_a(ErrorKind::Connection) {
            return error;
        }
        let cause = self.cause.lock();
        let Some(Cause { code, reason }) = cause.as_ref() else {
            return error;
        };
        let refused = reason.contains("Connection refused");
        match code {
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL | RDKafkaErrorCode::Resolve => {
                error::from_code("", *code)
                    .with_operation(error.operation().to_owned())
                    .with_context(context::REASON, reason.clone())
                    .with_source(error)
            }
            _ if refused && error.kind() == ErrorKind::Connection => {
                let operation = error.operation().to_owned();
                NetworkError::new(
                    ErrorKind::ConnectionRefused,
                    operation,
                    "every broker refused the connection",
                )
                .with_context(context::REASON, reason.clone())
                .with_source(error)
            }
            _ => error.with_context(context::REASON, reason.clone()),
        }
    }

    pub(super) fn bearer_token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let bearer = self.token.as_deref().ok_or("no bearer token is configured")?;
        let now = SystemClock::new().now().duration_since(UNIX_EPOCH)?;
        Ok(OAuthToken {
            token: bearer.token.expose().to_owned(),
            principal_name: bearer.principal.clone(),
            lifetime_ms: i64::try_from((now + TOKEN_LIFETIME).as_millis())?,
        })
    }
}

/// Implements `ClientContext` for a type with a field `callbacks`.
macro_rules! client_context {
    ($context:ty) => {
        impl rdkafka::ClientContext for $context {
            const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

            fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
                $crate::rdkafka::context::Callbacks::log(level, facility, message);
            }

            fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
                self.callbacks.note_error(&error, reason);
            }

            fn generate_oauth_token(
                &self,
                _config: Option<&str>,
            ) -> Result<rdkafka::client::OAuthToken, Box<dyn std::error::Error>> {
                self.callbacks.bearer_token()
            }
        }
    };
}

pub(super) use client_context;

/// The context of control and admin connections.
pub(super) struct ControlContext {
    pub(super) callbacks: Callbacks,
}

client_context!(ControlContext);

impl ConsumerContext for ControlContext {}

#[cfg(test)]
mod tests {
    use networking_spi::kafka::SaslConfig;

    use super::*;

    #[test]
    fn a_timeout_is_explained_by_the_connection_error() {
        let callbacks = Callbacks::new(&KafkaSecurity::new());
        let timeout = || error::from_code("kafka.produce_message", RDKafkaErrorCode::MessageTimedOut);
        assert_eq!(callbacks.explain(timeout()).kind(), ErrorKind::Timeout);

        callbacks.note_error(
            &KafkaError::Global(RDKafkaErrorCode::Authentication),
            "SASL authentication error",
        );
        callbacks.note_error(
            &KafkaError::Global(RDKafkaErrorCode::AllBrokersDown),
            "1/1 brokers are down",
        );
        let explained = callbacks.explain(timeout());
        assert_eq!(
            (explained.kind(), explained.operation()),
            (ErrorKind::Authentication, "kafka.produce_message")
        );

        let other = error::from_code("kafka.produce_message", RDKafkaErrorCode::MessageSizeTooLarge);
        assert_eq!(callbacks.explain(other).kind(), ErrorKind::TooLarge);
        callbacks.clear();
        assert_eq!(callbacks.explain(timeout()).kind(), ErrorKind::Timeout);
    }

    #[test]
    fn the_token_is_returned_only_for_oauthbearer() {
        let plain = KafkaSecurity::new().with_sasl(SaslConfig::new(SaslMechanism::ScramSha512, "alice", "secret"));
        assert!(Callbacks::new(&plain).bearer_token().is_err());
        let bearer = KafkaSecurity::new().with_sasl(SaslConfig::new(SaslMechanism::OAuthBearer, "alice", "token"));
        let token = Callbacks::new(&bearer).bearer_token().expect("configured");
        assert_eq!(
            (token.token.as_str(), token.principal_name.as_str()),
            ("token", "alice")
        );
    }
}
