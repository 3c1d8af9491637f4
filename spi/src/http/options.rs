//! Options of requests and clients.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use super::{HttpCapabilities, RetryPolicy};
use crate::backoff::Backoff;
use crate::error::{NetworkError, Result};
use crate::redact;
use crate::secret::Secret;
use crate::validate::{self, Validate};

/// Options of one request, which override the configuration of the client. For `None`, the configuration of the client
/// applies.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RequestOptions {
    /// Time limit of each attempt, from its start until its body has been read. Waits between attempts and for a rate limit do
    /// not count. [`Duration::MAX`]: no limit. Requires the capability `timeout`.
    pub timeout: Option<Duration>,
    /// Time limit of each attempt, until the response head. [`Duration::MAX`]: no limit. Requires the capability
    /// `attempt_timeout`.
    pub attempt_timeout: Option<Duration>,
    /// Time limit of the whole call: waits, all attempts, and reading the body. [`Duration::MAX`]: no limit. Requires the
    /// capability `total_timeout`.
    pub total_timeout: Option<Duration>,
    /// The retry policy of this request, in place of the client's. Requires the capability `retry`.
    pub retry: Option<Box<RetryPolicy>>,
    /// The number of retries of this request, at most 99. The rest of the policy is kept. Requires the capability `retry`.
    pub retries: Option<u32>,
    /// The delays before the retries of this request. The rest of the policy is kept. Requires the capability `retry`.
    pub retry_backoff: Option<Box<Backoff>>,
    /// Whether the request is idempotent. Overrides [`HttpRequest::is_idempotent`](super::HttpRequest::is_idempotent).
    pub idempotent: Option<bool>,
    /// A proxy for this request only. Requires the capability `per_request_proxy`.
    pub proxy: Option<Box<ProxyConfig>>,
    /// Whether certificates are verified. `false` accepts any certificate, and requires the capability `per_request_tls`.
    pub verify_tls: Option<bool>,
    /// Whether redirects are followed. `true` requires the capability `redirect_control`.
    pub follow_redirects: Option<bool>,
    /// The largest response body, in bytes after decoding. Requires the capability `response_size_limit`.
    pub max_response_size: Option<u64>,
    /// Whether a 4xx or 5xx status is an error. `true` requires the capability `raise_for_status`.
    pub raise_for_status: Option<bool>,
    /// The name of the circuit, in place of the one that the client's [`CircuitScope`] selects. Requires the capability
    /// `circuit_breaker`.
    pub circuit: Option<String>,
}

impl RequestOptions {
    /// No options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time limit of each attempt, with its body.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the time limit of each attempt, until the response head.
    pub fn with_attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// Sets the time limit of the whole call.
    pub fn with_total_timeout(mut self, timeout: Duration) -> Self {
        self.total_timeout = Some(timeout);
        self
    }

    /// Removes all three time limits, also those of the client. The limits of its transport still apply.
    pub fn without_timeout(mut self) -> Self {
        self.timeout = Some(Duration::MAX);
        self.attempt_timeout = Some(Duration::MAX);
        self.total_timeout = Some(Duration::MAX);
        self
    }

    /// Sets the retry policy, in place of the client's.
    pub fn with_retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(Box::new(policy));
        self
    }

    /// Sets the number of retries, and keeps the rest of the policy. 0: no retries.
    pub fn with_retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// Sets the delays before the retries, and keeps the rest of the policy.
    pub fn with_retry_backoff(mut self, backoff: Backoff) -> Self {
        self.retry_backoff = Some(Box::new(backoff));
        self
    }

    /// Waits exactly `delay` before each retry, and keeps the rest of the policy.
    pub fn with_retry_delay(self, delay: Duration) -> Self {
        self.with_retry_backoff(Backoff::fixed(delay))
    }

    /// Sets whether the request is idempotent.
    pub fn with_idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = Some(idempotent);
        self
    }

    /// Sets the proxy.
    pub fn with_proxy(mut self, proxy: ProxyConfig) -> Self {
        self.proxy = Some(Box::new(proxy));
        self
    }

    /// Sets whether certificates are verified.
    pub fn with_verify_tls(mut self, verify: bool) -> Self {
        self.verify_tls = Some(verify);
        self
    }

    /// Sets whether redirects are followed.
    pub fn with_follow_redirects(mut self, follow: bool) -> Self {
        self.follow_redirects = Some(follow);
        self
    }

    /// Sets the largest response body, in bytes.
    pub fn with_max_response_size(mut self, bytes: u64) -> Self {
        self.max_response_size = Some(bytes);
        self
    }

    /// Sets whether a 4xx or 5xx status is an error.
    pub fn with_raise_for_status(mut self, raise: bool) -> Self {
        self.raise_for_status = Some(raise);
        self
    }

    /// Sets the name of the circuit.
    pub fn with_circuit(mut self, name: impl Into<String>) -> Self {
        self.circuit = Some(name.into());
        self
    }

    /// Sets the options that `changes` sets, and keeps the others.
    ///
    /// ```
    /// use std::time::Duration;
    /// use networking_spi::http::RequestOptions;
    ///
    /// let second = Duration::from_secs(1);
    /// let options = RequestOptions::new().with_timeout(second).with_retries(5);
    /// let merged = options.merged(RequestOptions::new().with_retries(2));
    /// assert_eq!((merged.timeout, merged.retries), (Some(second), Some(2)));
    /// ```
    pub fn merged(self, changes: Self) -> Self {
        // Every field is named, so that a new one is not forgotten.
        let Self {
            timeout,
            attempt_timeout,
            total_timeout,
            retry,
            retries,
            retry_backoff,
            idempotent,
            proxy,
            verify_tls,
            follow_redirects,
            max_response_size,
            raise_for_status,
            circuit,
        } = changes;
        Self {
            timeout: timeout.or(self.timeout),
            attempt_timeout: attempt_timeout.or(self.attempt_timeout),
            total_timeout: total_timeout.or(self.total_timeout),
            retry: retry.or(self.retry),
            retries: retries.or(self.retries),
            retry_backoff: retry_backoff.or(self.retry_backoff),
            idempotent: idempotent.or(self.idempotent),
            proxy: proxy.or(self.proxy),
            verify_tls: verify_tls.or(self.verify_tls),
            follow_redirects: follow_redirects.or(self.follow_redirects),
            max_response_size: max_response_size.or(self.max_response_size),
            raise_for_status: raise_for_status.or(self.raise_for_status),
            circuit: circuit.or(self.circuit),
        }
    }

    /// For implementers of [`HttpClient`](super::HttpClient): fails if an option is set that a client with these
    /// capabilities does not support. An option that selects the behaviour without the capability (not to follow
    /// redirects, no time limit, no retries) is accepted.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) naming the capability.
    pub fn require(&self, capabilities: HttpCapabilities) -> Result<()> {
        let wanted = [
            (limits(self.timeout), "timeout"),
            (limits(self.attempt_timeout), "attempt_timeout"),
            (limits(self.total_timeout), "total_timeout"),
            (self.retry.is_some(), "retry"),
            (self.retries.is_some_and(|retries| retries > 0), "retry"),
            (self.retry_backoff.is_some(), "retry"),
            (self.proxy.is_some(), "per_request_proxy"),
            (self.verify_tls == Some(false), "per_request_tls"),
            (self.follow_redirects == Some(true), "redirect_control"),
            (self.max_response_size.is_some(), "response_size_limit"),
            (self.raise_for_status == Some(true), "raise_for_status"),
            (self.circuit.is_some(), "circuit_breaker"),
        ];
        for (wanted, capability) in wanted {
            if wanted {
                capabilities.require("http.request", capability)?;
            }
        }
        Ok(())
    }
}

/// Whether a time limit has been set that is not "no limit".
fn limits(timeout: Option<Duration>) -> bool {
    timeout.is_some_and(|timeout| timeout != Duration::MAX)
}

/// A proxy: `http://`, `https://`, `socks5://`, or `socks5h://` (the proxy resolves names).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ProxyConfig {
    /// The URL of the proxy. Put credentials into the fields below, not into the URL.
    #[serde(deserialize_with = "unquoted_url")]
    pub url: Url,
    /// The user name.
    #[serde(default)]
    pub username: Option<String>,
    /// The password.
    #[serde(default)]
    pub password: Option<Secret>,
}

impl ProxyConfig {
    /// A proxy without credentials.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            username: None,
            password: None,
        }
    }

    /// Sets the credentials.
    pub fn with_credentials(mut self, username: impl Into<String>, password: impl Into<Secret>) -> Self {
        self.username = Some(username.into());
        self.password = Some(password.into());
        self
    }
}

/// `Url`'s own implementation quotes the text in its errors, with the credentials that it may have.
fn unquoted_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    Url::parse(&text).map_err(|error| D::Error::custom(format_args!("is not the URL of a proxy: {error}")))
}

impl Validate for ProxyConfig {
    fn validate(&self) -> Result<()> {
        validate::ensure(
            matches!(self.url.scheme(), "http" | "https" | "socks5" | "socks5h"),
            "url",
            "must be an http, https, socks5 or socks5h URL",
        )?;
        validate::ensure(self.url.has_host(), "url", "must have a host")?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(Cow::into_owned);
        let (username, password, fields) = match &self.username {
            Some(username) => {
                let password = self.password.as_ref().map_or("", Secret::expose);
                (username.clone(), password.to_owned(), ("username", "password"))
            }
            None => match (
                decoded(self.url.username()),
                decoded(self.url.password().unwrap_or_default()),
            ) {
                (Ok(username), Ok(password)) => (username, password, ("url", "url")),
                _ => {
                    return Err(NetworkError::invalid_input(
                        "url",
                        "must have user information in UTF-8",
                    ));
                }
            },
        };
        if self.url.scheme().starts_with("socks") {
            // RFC 1929, section 2.
            for (text, field) in [(&username, fields.0), (&password, fields.1)] {
                validate::ensure(text.len() <= 255, field, "must have at most 255 bytes in a part")?;
            }
            return Ok(());
        }
        // RFC 7617, section 2.
        validate::ensure(
            !username.contains(':'),
            fields.0,
            "must not have a user name with a colon",
        )?;
        for (text, field) in [(&username, fields.0), (&password, fields.1)] {
            let allowed = !text.chars().any(|char| char.is_ascii_control());
            validate::ensure(allowed, field, "must not have control characters in its credentials")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ProxyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyConfig")
            .field("url", &redact::url(&self.url))
            // Some proxies take a token as the user name.
            .field("username", &self.username.as_ref().map(|_| redact::REDACTED))
            .field("password", &self.password)
            .finish()
    }
}

/// Which requests share a circuit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CircuitScope {
    /// One circuit per scheme, host and port: `https://api.example.com`, `http://10.0.0.1:8080`.
    #[default]
    Host,
    /// One circuit with this name for all requests.
    Named(String),
}

/// How a client uses its circuit breaker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HttpCircuitOptions {
    /// Which requests share a circuit.
    pub scope: CircuitScope,
}

impl HttpCircuitOptions {
    /// One circuit per host.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets which requests share a circuit.
    pub fn with_scope(mut self, scope: CircuitScope) -> Self {
        self.scope = scope;
        self
    }
}

impl Validate for HttpCircuitOptions {
    fn validate(&self) -> Result<()> {
        match &self.scope {
            CircuitScope::Named(name) => validate::name(name, 256, "scope.named"),
            CircuitScope::Host => Ok(()),
        }
    }
}
