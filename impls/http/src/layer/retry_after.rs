//! `Retry-After` (RFC 9110, section 10.2.3).

use std::time::Duration;

use http::{HeaderMap, header};
use networking_spi::clock::Clock;

/// The wait in `Retry-After`, given as seconds or as a date. A date in the past is zero.
pub(crate) fn retry_after(headers: &HeaderMap, clock: &dyn Clock) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that does not fit exceeds every limit.
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(clock.now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use http::HeaderValue;

    use super::*;

    /// 1994-11-06 08:49:37 GMT, the date of RFC 9110's examples.
    #[derive(Debug)]
    struct At1994;

    impl Clock for At1994 {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH + Duration::from_secs(784_111_777)
        }

        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn both_forms_are_parsed_and_other_text_is_not() {
        let parse = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_str(value).unwrap());
            retry_after(&headers, &At1994)
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(parse("120"), seconds(120));
        assert_eq!(parse(" 0 "), seconds(0));
        assert_eq!(parse("99999999999999999999999"), Some(Duration::MAX));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:47 GMT"), seconds(10));
        assert_eq!(parse("Sunday, 06-Nov-94 08:49:47 GMT"), seconds(10));
        assert_eq!(parse("Sun Nov  6 08:49:47 1994"), seconds(10));
        assert_eq!(parse("Sun, 06 Nov 1994 08:00:00 GMT"), seconds(0), "a date in the past");
        for value in ["", "-1", "1.5", "+3", "soon"] {
            assert_eq!(parse(value), None, "{value:?}");
        }
    }
}
