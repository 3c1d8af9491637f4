//! Converts timestamps of records.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use networking_spi::{NetworkError, Result};

/// Milliseconds since 1970-01-01T00:00:00Z. Zero is rejected, because librdkafka reads it as the current time.
pub(super) fn to_millis(timestamp: SystemTime) -> Result<i64> {
    let millis = timestamp
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok());
    millis
        .filter(|millis| *millis > 0)
        .ok_or_else(|| NetworkError::invalid_input("timestamp", "must be after 1970-01-01T00:00:00Z and fit 64 bits"))
}

/// Milliseconds since 1970-01-01T00:00:00Z, to look for records by their time. 0 for earlier times.
pub(super) fn to_query_millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The time after this number of milliseconds since 1970-01-01T00:00:00Z. `None` for negative numbers.
pub(super) fn from_millis(millis: Option<i64>) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(millis?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_kept_to_the_millisecond_or_rejected() {
        let moment = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        assert_eq!(from_millis(Some(to_millis(moment).expect("in range"))), Some(moment));
        assert_eq!(
            to_millis(UNIX_EPOCH).expect_err("means the current time").field(),
            Some("timestamp")
        );
        assert_eq!(
            to_millis(UNIX_EPOCH - Duration::from_secs(1))
                .expect_err("negative")
                .field(),
            Some("timestamp")
        );
        assert_eq!(from_millis(Some(-1)), None);
    }
}
