//! The header fields of dead letters.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use networking_spi::NetworkError;
use networking_spi::bridge::{BridgeMessage, dead_letter_headers as headers};

const PREFIX: &str = "dead-letter-";

/// The maximum length of an error text in a header field, in characters.
const MAX_ERROR: usize = 512;

/// Why a message is dead-lettered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    DeliveryFailed,
    Rule,
    NoRoute,
    ConditionError,
    TooLarge,
}

impl Reason {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::DeliveryFailed => headers::REASON_DELIVERY_FAILED,
            Self::Rule => headers::REASON_RULE,
            Self::NoRoute => headers::REASON_NO_ROUTE,
            Self::ConditionError => headers::REASON_CONDITION_ERROR,
            Self::TooLarge => headers::REASON_TOO_LARGE,
        }
    }
}

/// The reason and its details, for the header fields.
#[derive(Debug)]
pub(super) struct Cause<'c> {
    pub(super) reason: Reason,
    pub(super) target: Option<&'c str>,
    pub(super) rule: Option<&'c str>,
    pub(super) error: Option<&'c NetworkError>,
    pub(super) attempts: u32,
}

/// Adds the header fields. If the message was dead-lettered before, they replace the earlier ones.
pub(super) fn dead_letter(
    mut message: BridgeMessage,
    bridge: &str,
    cause: &Cause<'_>,
    now: SystemTime,
) -> BridgeMessage {
    message.headers.retain(|(name, _)| !name.starts_with(PREFIX));
    let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut add = |name: &str, value: String| message.headers.push((name.to_owned(), Bytes::from(value)));
    add(headers::REASON, cause.reason.as_str().to_owned());
    add(headers::BRIDGE, bridge.to_owned());
    if let Some(target) = cause.target {
        add(headers::TARGET, target.to_owned());
    }
    if let Some(rule) = cause.rule {
        add(headers::RULE, rule.to_owned());
    }
    if let Some(error) = cause.error {
        add(headers::ERROR_KIND, error.kind().to_string());
        add(headers::ERROR, shortened(error));
    }
    add(headers::ATTEMPTS, cause.attempts.to_string());
    add(headers::TIME, millis.to_string());
    message
}

/// One line of at most [`MAX_ERROR`] characters: some protocols allow no line breaks in header fields.
fn shortened(error: &NetworkError) -> String {
    let text = error.to_string();
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(MAX_ERROR).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use networking_spi::ErrorKind;

    use super::*;

    #[test]
    fn adds_the_reason_and_replaces_earlier_fields() {
        let error = NetworkError::new(ErrorKind::Timeout, "sink.deliver", "line one\nline two");
        let cause = Cause {
            reason: Reason::DeliveryFailed,
            target: Some("orders"),
            rule: Some("big"),
            error: Some(&error),
            attempts: 5,
        };
        let message = BridgeMessage::new("1", "body", UNIX_EPOCH)
            .with_header("trace", "a")
            .with_header("dead-letter-reason", "old");
        let letter = dead_letter(message, "hooks", &cause, UNIX_EPOCH + Duration::from_millis(1500));
        assert_eq!(letter.payload, "body");
        assert_eq!(letter.header("trace"), Some("a"));
        assert_eq!(letter.header(headers::REASON), Some("delivery_failed"));
        assert_eq!(letter.header(headers::TARGET), Some("orders"));
        assert_eq!(letter.header(headers::RULE), Some("big"));
        assert_eq!(letter.header(headers::ERROR_KIND), Some("timeout"));
        assert_eq!(letter.header(headers::ATTEMPTS), Some("5"));
        assert_eq!(letter.header(headers::TIME), Some("1500"));
        assert_eq!(letter.header(headers::BRIDGE), Some("hooks"));
        assert_eq!(
            letter.header(headers::ERROR),
            Some("sink.deliver: timeout: line one line two")
        );
    }

    #[test]
    fn an_error_text_is_bounded() {
        let error = NetworkError::new(ErrorKind::Remote, "sink.deliver", "é".repeat(5000));
        assert_eq!(shortened(&error).chars().count(), MAX_ERROR);
    }
}
