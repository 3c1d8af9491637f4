//! Header fields that every bridge adds to a message that it writes to the dead-letter target.
//!
//! All names start with `dead-letter-`. Fields of an earlier dead-lettering are replaced.

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
/// Attempts to deliver it to its target.
pub const ATTEMPTS: &str = "dead-letter-attempts";
/// When the bridge dead-lettered it, in milliseconds since 1970.
pub const TIME: &str = "dead-letter-time";
/// The bridge's name.
pub const BRIDGE: &str = "dead-letter-bridge";

/// The delivery to the target failed.
pub const REASON_DELIVERY_FAILED: &str = "delivery_failed";
/// A rule dead-letters such messages.
pub const REASON_RULE: &str = "rule";
/// No rule matched, and there is no default target.
pub const REASON_NO_ROUTE: &str = "no_route";
/// A condition could not be evaluated.
pub const REASON_CONDITION_ERROR: &str = "condition_error";
/// The payload is larger than the limit of the bridge.
pub const REASON_TOO_LARGE: &str = "too_large";
