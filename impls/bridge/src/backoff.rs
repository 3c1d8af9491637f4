//! Exponential waits between attempts.

use std::time::Duration;

/// The wait after `failures` failures in a row: `initial` after the first, doubled after each further one, at most
/// `maximum`.
pub(crate) fn exponential(initial: Duration, maximum: Duration, failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    initial.saturating_mul(factor).min(maximum)
}
