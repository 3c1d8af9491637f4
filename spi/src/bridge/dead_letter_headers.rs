//! Header fields of dead letters: what every bridge says of a message that it could not deliver.
//!
//! All names start with `dead-letter-`. Those of an earlier journey are replaced.

/// Why: one of the `REASON_` values.
pub const REASON: &str = "dead-letter-reason";
/// The target that the message was meant for; absent if there was none.
pub const TARGET: &str = "dead-letter-target";
/// The rule that decided; absent if none did.
pub const RULE: &str = "dead-letter-rule";
/// The error's [kind](crate::ErrorKind::as_str) (`timeout`); absent without an error.
pub const ERROR_KIND: &str = "dead-letter-error-kind";
/// The error as one line of text, shortened; absent without an error.
pub const ERROR: &str = "dead-letter-error";
/// Attempts to deliver it to its target.
pub const ATTEMPTS: &str = "dead-letter-attempts";
/// When the bridge gave up, in milliseconds since 1970.
pub const TIME: &str = "dead-letter-time";
/// The bridge's name.
pub const BRIDGE: &str = "dead-letter-bridge";

/// The target did not take it.
pub const REASON_DELIVERY_FAILED: &str = "delivery_failed";
/// A rule says so.
pub const REASON_RULE: &str = "rule";
/// No rule matched, and there is no default target.
pub const REASON_NO_ROUTE: &str = "no_route";
/// A condition could not be evaluated.
pub const REASON_CONDITION_ERROR: &str = "condition_error";
/// The payload is larger than the bridge takes.
pub const REASON_TOO_LARGE: &str = "too_large";
