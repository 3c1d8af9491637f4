//! Header fields that every bridge adds to messages for the dead-letter target.
//!
//! All names start with `dead-letter-`. If the message already has such fields, they are replaced.

/// The reason: one of the `REASON_` values.
pub const REASON: &str = "dead-letter-reason";
/// The target that the routing selected; absent if there was none.
pub const TARGET: &str = "dead-letter-target";
/// The rule that matched; absent if none did.
pub const RULE: &str = "dead-letter-rule";
/// The error's [kind](crate::ErrorKind::as_str) (`timeout`); absent without an error.
pub const ERROR_KIND: &str = "dead-letter-error-kind";
/// The error as one line of text, shortened; absent without an error.
pub const ERROR: &str = "dead-letter-error";
/// The number of attempts to deliver the message to its target.
pub const ATTEMPTS: &str = "dead-letter-attempts";
/// When the bridge dead-lettered the message, in milliseconds since the Unix epoch.
pub const TIME: &str = "dead-letter-time";
/// The name of the bridge.
pub const BRIDGE: &str = "dead-letter-bridge";

/// The delivery to the target failed.
pub const REASON_DELIVERY_FAILED: &str = "delivery_failed";
/// A rule with the action [`DeadLetter`](super::RouteAction::DeadLetter) matched.
pub const REASON_RULE: &str = "rule";
/// No rule matched, and there is no default target.
pub const REASON_NO_ROUTE: &str = "no_route";
/// A condition could not be evaluated.
pub const REASON_CONDITION_ERROR: &str = "condition_error";
/// The payload is larger than the limit of the bridge.
pub const REASON_TOO_LARGE: &str = "too_large";
