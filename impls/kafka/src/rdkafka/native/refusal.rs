//! What a broker or librdkafka refuses.

use std::borrow::Cow;
use std::ffi::c_char;

use networking_spi::NetworkError;
use networking_spi::error::context;
use networking_spi::kafka::NewTopic;
use rdkafka::bindings as c;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::types::RDKafkaRespErr;

use super::object::text;
use crate::rdkafka::error;

pub(super) type Result<T> = std::result::Result<T, Refusal>;

/// An error of a broker or of librdkafka, with its reason.
#[derive(Debug)]
pub(in crate::rdkafka) struct Refusal {
    pub(in crate::rdkafka) code: Code,
    pub(in crate::rdkafka) reason: Option<String>,
}

impl Refusal {
    /// Nothing is refused without an error.
    pub(super) fn new(code: RDKafkaRespErr, reason: Option<String>) -> Result<()> {
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(Self {
                code: code.into(),
                reason,
            }),
        }
    }

    /// librdkafka could not make what a request needs.
    pub(super) fn failed() -> Self {
        Self {
            code: Code::Fail,
            reason: None,
        }
    }

    /// What was asked for is not valid.
    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self {
            code: Code::InvalidArgument,
            reason: Some(reason.into()),
        }
    }

    pub(super) fn timed_out() -> Self {
        Self {
            code: Code::OperationTimedOut,
            reason: None,
        }
    }
}

/// An error with its reason, which is null or a string of C that lives during the call.
///
/// # Safety
/// `reason` must be null or a string of C.
pub(super) unsafe fn check(code: RDKafkaRespErr, reason: *const c_char) -> Result<()> {
    // SAFETY: of the caller.
    let reason = unsafe { text(reason) }.map(Cow::into_owned);
    Refusal::new(code, reason)
}

/// # Safety
/// `error` must be null or point to an error.
pub(super) unsafe fn refusal(error: *const c::rd_kafka_error_t) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: of the caller. The reason lives as long as the error.
    unsafe {
        let reason = text(c::rd_kafka_error_string(error)).map(Cow::into_owned);
        Refusal::new(c::rd_kafka_error_code(error), reason)
    }
}

/// Converts a refusal, with its reason.
pub(in crate::rdkafka) fn from_refusal(operation: &'static str, refusal: Refusal) -> NetworkError {
    let error = error::from_code(operation, refusal.code);
    match refusal.reason.filter(|reason| !reason.is_empty()) {
        Some(reason) => error.with_context(context::REASON, reason),
        None => error,
    }
}

/// Converts the refusal of a new topic: names the field, and the setting that the reason is about.
pub(in crate::rdkafka) fn from_refused_topic(
    operation: &'static str,
    topic: &NewTopic,
    refusal: Refusal,
) -> NetworkError {
    let field = match refusal.code {
        Code::InvalidTopic => "name".to_owned(),
        Code::InvalidConfig => {
            let reason = refusal.reason.as_deref().unwrap_or_default();
            // The longest name, because some names are part of others.
            let named = topic
                .config
                .keys()
                .filter(|name| mentions(reason, name))
                .max_by_key(|name| name.len());
            named.map_or_else(|| "config".to_owned(), |name| format!("config.{name}"))
        }
        _ => return from_refusal(operation, refusal),
    };
    let message = refusal.reason.unwrap_or_else(|| refusal.code.to_string());
    NetworkError::invalid_input(field, message).with_operation(operation)
}

/// Whether a reason has the name as a whole word.
pub(in crate::rdkafka) fn mentions(reason: &str, name: &str) -> bool {
    let inside = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
    !name.is_empty()
        && reason.match_indices(name).any(|(start, _)| {
            let after = &reason[start + name.len()..];
            // A full stop may end the sentence.
            let continues = after.strip_prefix('.').unwrap_or(after).starts_with(inside);
            !reason[..start].ends_with(inside) && !continues
        })
}

#[cfg(test)]
mod tests {
    use networking_spi::ErrorKind;

    use super::*;

    #[test]
    fn a_refused_setting_is_named_with_the_reason() {
        let topic = NewTopic::new("t", 1)
            .with_config("retention.ms", "-2")
            .with_config("local.retention.ms", "1")
            .with_config("no.such", "1");
        for (reason, field) in [
            (
                "Invalid value -2 for configuration retention.ms: Value must be at least -1",
                "config.retention.ms",
            ),
            (
                "Invalid value 1 for configuration local.retention.ms: too small",
                "config.local.retention.ms",
            ),
            ("Unknown topic config name: no.such", "config.no.such"),
            ("Something else", "config"),
        ] {
            let refusal = Refusal {
                code: Code::InvalidConfig,
                reason: Some(reason.to_owned()),
            };
            let error = from_refused_topic("kafka.create_topic", &topic, refusal);
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
            assert_eq!(error.message(), reason);
        }
    }
}
