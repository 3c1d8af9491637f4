//! The defaults of [`HttpClientBuilder`](crate::HttpClientBuilder) that belong to no policy or configuration. The others are those of
//! [`RetryPolicy`](networking_spi::http::RetryPolicy), [`RedirectPolicy`](crate::layer::RedirectPolicy) and
//! [`TransportConfig`](crate::TransportConfig).

use std::time::Duration;

/// The time limit of each attempt, until the response head, where neither the client nor the request sets one.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest response body, in bytes after decoding.
pub const MAX_RESPONSE_SIZE: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use networking_spi::http::{Jitter, RetryPolicy, status};

    use crate::TransportConfig;
    use crate::client::settings::Settings;
    use crate::layer::RedirectPolicy;

    fn or_off<V>(setting: Option<&V>, shown: impl FnOnce(&V) -> String) -> String {
        setting.map_or_else(|| "off".to_owned(), shown)
    }

    /// The table of the documents, made from the values.
    fn table() -> Vec<String> {
        let Settings {
            defaults,
            timeout,
            attempt_timeout,
            total_timeout,
            fallback_timeout,
            retry,
            breaker,
            rate_limit,
            rate_limit_per_host,
            concurrency_limit,
            hedging,
            redirects,
            decompression,
            max_response_size,
            #[cfg(feature = "cookies")]
            cookies,
            ..
        } = Settings::default();
        let transport = TransportConfig::default();
        let budget = retry.budget.expect("a budget");
        assert_eq!(
            (timeout, attempt_timeout, retry.backoff.jitter),
            (None, None, Jitter::Full)
        );
        assert!(!retry.retry_non_idempotent && retry.statuses == status::TRANSIENT);
        assert!((retry.backoff.multiplier - 2.0).abs() < f64::EPSILON);
        assert_eq!(redirects, RedirectPolicy::default());
        #[cfg(feature = "cookies")]
        assert!(cookies.is_none());
        let row = |cells: [&str; 4]| format!("| {} |", cells.join(" | ")).replace("|  |", "| |");
        let head = [
            row(["setting", "default", "to change it", "to switch it off"]),
            "|---|---|---|---|".to_owned(),
        ];
        let attempt = or_off(fallback_timeout.as_ref(), |limit| format!("{limit:?}"));
        let total = or_off(total_timeout.as_ref(), |limit| format!("{limit:?}"));
        let retries = (retry.max_attempts - 1).to_string();
        let delays = format!(
            "{:?}, doubling up to {:?}, full jitter",
            retry.backoff.initial, retry.backoff.maximum
        );
        let statuses: Vec<String> = retry.statuses.iter().map(u16::to_string).collect();
        let budget = format!("{}, and {} per success", budget.capacity, budget.refill);
        let size = format!("{} MiB", max_response_size.expect("a limit") >> 20);
        let breaker = or_off(breaker.as_ref(), |_| "on".to_owned());
        let rates = or_off(rate_limit.or(rate_limit_per_host).as_ref(), |limit| {
            format!("{limit:?}")
        });
        let flights = or_off(concurrency_limit.as_ref(), |limit| format!("{limit:?}"));
        let hedges = or_off(hedging.as_ref(), |policy| format!("{policy:?}"));
        let raise = if defaults.raise_for_status { "on" } else { "off" };
        let decode = if decompression { "on" } else { "off" };
        let rows = [
            [
                "time limit of each attempt, until the response head",
                &attempt,
                "`attempt_timeout(d)`, or `timeout(d)`, which includes the body",
                "`no_timeout()`",
            ],
            [
                "time limit of the whole call",
                &total,
                "`total_timeout(d)`",
                "`no_timeout()`",
            ],
            [
                "time limit to connect",
                &format!("{:?}", transport.connect_timeout),
                "`connect_timeout(d)`",
                "",
            ],
            [
                "longest silence of the peer",
                &format!("{:?}", transport.read_timeout),
                "`transport(config)`",
                "",
            ],
            [
                "retries of idempotent requests",
                &retries,
                "`retries(n)`, `retry(policy)`",
                "`retries(0)`",
            ],
            ["delay before a retry", &delays, "`retry(policy)`", ""],
            ["statuses that are retried", &statuses.join(", "), "`retry(policy)`", ""],
            [
                "longest `Retry-After` that is waited for",
                &format!("{:?}", retry.max_retry_after),
                "`retry(policy)`",
                "",
            ],
            [
                "retry budget of each host",
                &budget,
                "`retry(policy)`",
                "`retry(policy)`",
            ],
            ["circuit breaker", &breaker, "`circuit_breaker(breaker, options)`", ""],
            [
                "rate limits",
                &rates,
                "`rate_limit(limit)`, `rate_limit_per_host(limit)`",
                "",
            ],
            [
                "limit of requests in flight per host",
                &flights,
                "`concurrency_limit(limit)`",
                "",
            ],
            ["hedging", &hedges, "`hedging(policy)`", ""],
            [
                "redirects that are followed",
                &redirects.limit.to_string(),
                "`redirects(policy)`",
                "`redirects(RedirectPolicy::none())`",
            ],
            ["cookies", "off", "`cookies(jar)`", ""],
            [
                "decoding of compressed responses",
                decode,
                "`decompression(on)`",
                "`decompression(false)`",
            ],
            [
                "largest response body; `stream_request` is not limited",
                &size,
                "`max_response_size(Some(bytes))`",
                "`max_response_size(None)`",
            ],
            [
                "errors for statuses 4xx and 5xx",
                raise,
                "`raise_for_status(true)`",
                "`raise_for_status(false)`",
            ],
        ];
        head.into_iter().chain(rows.map(row)).collect()
    }

    #[track_caller]
    fn assert_has(document: &str, text: &str, prefix: &str) {
        let table: Vec<String> = table().iter().map(|row| format!("{prefix}{row}")).collect();
        let table = table.join("\n");
        assert!(
            text.contains(&table),
            "{document} must have this table of defaults:\n{table}"
        );
    }

    #[test]
    fn the_documents_have_the_defaults_of_the_code() {
        assert_has("README.md", include_str!("../../README.md"), "");
        assert_has("builder.rs", include_str!("builder.rs"), "/// ");
    }

    #[test]
    fn the_defaults_are_those_of_the_specification() {
        let settings = Settings::default();
        assert_eq!(settings.fallback_timeout.map(|limit| limit.as_secs()), Some(30));
        assert_eq!(settings.retry.max_attempts, 1 + 3);
        assert_eq!(settings.retry.backoff, RetryPolicy::DEFAULT_BACKOFF);
        assert_eq!(settings.retry.backoff.initial.as_secs(), 1);
    }
}
