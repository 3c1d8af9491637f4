//! The settings of a client as one value.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use networking_spi::error::ResultExt;
use networking_spi::http::RetryPolicy;
use networking_spi::secret::Secret;
use networking_spi::validate::{self, Validate};
use networking_spi::{Result, redact};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use super::builder::{Configured, ConfiguredTransport, HttpClientBuilder};
use crate::connect::TransportConfig;
use crate::layer::{ConcurrencyLimit, Credentials, HedgePolicy, RateLimit, RedirectPolicy};

/// The settings of a client as one value, for files: [`http_client_from`](crate::http_client_from),
/// [`StandardHttpClient::from_config`](crate::StandardHttpClient::from_config), or
/// [`HttpClientBuilder::config`](crate::HttpClientBuilder::config).
///
/// What is absent keeps the default of [`HttpClientBuilder`](crate::HttpClientBuilder). Times are texts with a unit: `30s`,
/// `1m 30s`, `250ms`. Unknown keys are errors; [`config::read`](networking_spi::config::read) also names the key that was
/// probably meant. Code sets what no file can express: interceptors, circuit breakers, resolvers, caches, clocks, and tokens that
/// the client renews.
///
/// ```
/// use networking_http::{HttpClientConfig, http_client_from};
/// use networking_spi::config;
///
/// let config: HttpClientConfig = config::from_json(r#"{
///     "base_url": "https://api.example.com/v1",
///     "default_headers": {"x-team": "payments"},
///     "credentials": {"bearer": {"token": "secret"}},
///     "timeout": "30s",
///     "retry": {"max_attempts": 4},
///     "rate_limit": {"calls": 50, "period": "1s", "burst": 10, "max_wait": "5s"},
///     "transport": {"user_agent": "orders/1.0", "proxy_from_env": true}
/// }"#)?;
/// let http = http_client_from(config)?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// `Debug` shows no secrets. Serialized, the value contains them.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HttpClientConfig {
    /// The URL that relative targets are resolved against ([`base_url`](crate::HttpClientBuilder::base_url)).
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "url")]
    pub base_url: Option<Url>,
    /// Headers of requests that do not have them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub default_headers: BTreeMap<String, String>,
    /// Credentials of requests that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsConfig>,
    /// Whether 4xx and 5xx statuses are errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raise_for_status: Option<bool>,
    /// The time limit that [`timeout`](crate::HttpClientBuilder::timeout) sets.
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub timeout: Option<Duration>,
    /// The time limit of a whole call ([`total_timeout`](crate::HttpClientBuilder::total_timeout)).
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub total_timeout: Option<Duration>,
    /// Whether calls and attempts have no time limits, not even the default one
    /// ([`no_timeout`](crate::HttpClientBuilder::no_timeout)). The limits of the transport, and those that are set here, apply.
    pub no_timeout: bool,
    /// The time limit of one attempt, up to the response head.
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub attempt_timeout: Option<Duration>,
    /// The number of retries, at most 99; 0 switches them off ([`retries`](crate::HttpClientBuilder::retries)). It takes precedence over
    /// that of `retry`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// The retry policy. What it does not have is that of [`RetryPolicy::default`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// The rate of all calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// The rate of calls to each host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit_per_host: Option<RateLimit>,
    /// The requests in flight to each host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency_limit: Option<ConcurrencyLimit>,
    /// When a second attempt starts while a slow one is in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedging: Option<HedgePolicy>,
    /// The redirect policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirects: Option<RedirectPolicy>,
    /// Whether compressed responses are requested and decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decompression: Option<bool>,
    /// The largest decoded response body, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_response_size: Option<u64>,
    /// Whether cookies are stored in memory and sent. `true` requires the feature `cookies`.
    pub cookies: bool,
    /// Whether measurements are written to the recorder of the crate `metrics`. `true` requires the feature `metrics`.
    pub recorded: bool,
    /// The connections: proxies, TLS, timeouts, pool. What it does not have is that of [`TransportConfig::default`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<TransportConfig>,
}

/// Credentials in a configuration.
///
/// Serialized as `{"basic": {"username": "bob", "password": "secret"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum CredentialsConfig {
    /// User name and password (RFC 7617): [`Credentials::basic`].
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A bearer token (RFC 6750): [`Credentials::bearer`].
    Bearer {
        /// The token.
        token: Secret,
    },
    /// An API key in a header: [`Credentials::api_key`].
    ApiKey {
        /// The name of the header.
        header: String,
        /// The key.
        key: Secret,
    },
    /// An API key in the query: [`Credentials::api_key_in_query`].
    ApiKeyInQuery {
        /// The name of the parameter.
        parameter: String,
        /// The key.
        key: Secret,
    },
    /// User name and password for digests (RFC 7616). Requires the feature `digest-auth`.
    Digest {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
}

impl CredentialsConfig {
    fn credentials(&self) -> Result<Credentials> {
        match self {
            Self::Basic { username, password } => Credentials::basic(username, password.expose()).in_field("basic"),
            Self::Bearer { token } => Credentials::bearer(token.expose()).in_field("bearer"),
            Self::ApiKey { header, key } => Credentials::api_key(header, key.expose()).in_field("api_key"),
            Self::ApiKeyInQuery { parameter, key } => {
                Credentials::api_key_in_query(parameter, key.clone()).in_field("api_key_in_query")
            }
            #[cfg(feature = "digest-auth")]
            Self::Digest { username, password } => Credentials::digest(username, password.clone()).in_field("digest"),
            #[cfg(not(feature = "digest-auth"))]
            Self::Digest { .. } => Err(networking_spi::NetworkError::not_built(
                "http.build",
                "digest_auth",
                "digest-auth",
            )),
        }
    }
}

impl HttpClientConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what is present in a builder.
    pub(super) fn apply<T: ConfiguredTransport>(
        self,
        mut builder: HttpClientBuilder<Configured<T>>,
    ) -> HttpClientBuilder<Configured<T>> {
        // First, because its errors name the whole path.
        let valid = self.validate();
        if builder.note(valid).is_none() {
            return builder;
        }
        // Each field by its name, so that a setting that is not passed on does not compile without a warning.
        let Self {
            base_url,
            default_headers,
            credentials,
            raise_for_status,
            timeout,
            total_timeout,
            no_timeout,
            attempt_timeout,
            retry,
            retries,
            rate_limit,
            rate_limit_per_host,
            concurrency_limit,
            hedging,
            redirects,
            decompression,
            max_response_size,
            cookies,
            recorded,
            transport,
        } = self;
        macro_rules! set {
            ($($setting:ident),+) => {
                $(if let Some(value) = $setting {
                    builder = builder.$setting(value);
                })+
            };
        }

        let credentials = credentials.map(|credentials| credentials.credentials());
        if let Some(Some(credentials)) = credentials.map(|made| builder.note(made)) {
            builder = builder.credentials(credentials);
        }
        for (name, value) in default_headers {
            builder = builder.default_header(name, value);
        }
        if no_timeout {
            builder = builder.no_timeout();
        }
        if cookies {
            builder = with_cookies(builder);
        }
        if recorded {
            builder = with_metrics(builder);
        }
        set!(
            base_url,
            raise_for_status,
            timeout,
            total_timeout,
            attempt_timeout,
            retry,
            retries,
            rate_limit,
            rate_limit_per_host
        );
        set!(concurrency_limit, hedging, redirects, decompression, transport);
        if let Some(bytes) = max_response_size {
            builder = builder.max_response_size(Some(bytes));
        }
        builder
    }
}

#[cfg(feature = "cookies")]
fn with_cookies<S>(builder: HttpClientBuilder<S>) -> HttpClientBuilder<S> {
    builder.cookies(crate::cookies::CookieJar::new())
}

#[cfg(not(feature = "cookies"))]
fn with_cookies<S>(mut builder: HttpClientBuilder<S>) -> HttpClientBuilder<S> {
    builder.note::<()>(Err(networking_spi::NetworkError::not_built(
        "http.build",
        "cookies",
        "cookies",
    )));
    builder
}

#[cfg(feature = "metrics")]
fn with_metrics<S>(builder: HttpClientBuilder<S>) -> HttpClientBuilder<S> {
    builder.recorded()
}

#[cfg(not(feature = "metrics"))]
fn with_metrics<S>(mut builder: HttpClientBuilder<S>) -> HttpClientBuilder<S> {
    builder.note::<()>(Err(networking_spi::NetworkError::not_built(
        "http.build",
        "metrics",
        "metrics",
    )));
    builder
}

/// `Url`'s own implementation quotes the text in its errors, with the credentials that it may have.
fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let parsed = Url::parse(&text);
    parsed
        .map(Some)
        .map_err(|error| D::Error::custom(format_args!("is not a URL: {error}")))
}

impl Validate for HttpClientConfig {
    fn validate(&self) -> Result<()> {
        fn optional(value: Option<&(impl Validate + ?Sized)>, field: &str) -> Result<()> {
            value.map_or(Ok(()), |value| validate::nested(value, field))
        }

        for (name, value) in &self.default_headers {
            let field = format!("default_headers.{name}");
            validate::ensure(http::HeaderName::try_from(name).is_ok(), &field, "is not a header name")?;
            validate::ensure(
                http::HeaderValue::try_from(value).is_ok(),
                &field,
                "has characters that a header value cannot have",
            )?;
        }
        if let Some(credentials) = &self.credentials {
            credentials.credentials().in_field("credentials")?;
        }
        for (timeout, field) in [
            (self.timeout, "timeout"),
            (self.total_timeout, "total_timeout"),
            (self.attempt_timeout, "attempt_timeout"),
        ] {
            timeout.map_or(Ok(()), |timeout| validate::positive(timeout, field))?;
        }
        optional(self.retry.as_ref(), "retry")?;
        optional(self.rate_limit.as_ref(), "rate_limit")?;
        optional(self.rate_limit_per_host.as_ref(), "rate_limit_per_host")?;
        optional(self.concurrency_limit.as_ref(), "concurrency_limit")?;
        optional(self.hedging.as_ref(), "hedging")?;
        optional(self.redirects.as_ref(), "redirects")?;
        optional(self.transport.as_ref(), "transport")
    }
}

impl fmt::Debug for HttpClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClientConfig")
            .field("base_url", &self.base_url.as_ref().map(redact::url))
            .field("default_headers", &Headers(&self.default_headers))
            .field("credentials", &self.credentials)
            .field("raise_for_status", &self.raise_for_status)
            .field("timeout", &self.timeout)
            .field("total_timeout", &self.total_timeout)
            .field("no_timeout", &self.no_timeout)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("retry", &self.retry)
            .field("retries", &self.retries)
            .field("rate_limit", &self.rate_limit)
            .field("rate_limit_per_host", &self.rate_limit_per_host)
            .field("concurrency_limit", &self.concurrency_limit)
            .field("hedging", &self.hedging)
            .field("redirects", &self.redirects)
            .field("decompression", &self.decompression)
            .field("max_response_size", &self.max_response_size)
            .field("cookies", &self.cookies)
            .field("recorded", &self.recorded)
            .field("transport", &self.transport)
            .finish()
    }
}

/// Headers with the values of secret ones replaced.
struct Headers<'h>(&'h BTreeMap<String, String>);

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|(name, value)| {
            let secret = http::HeaderName::try_from(name).map_or(true, |name| redact::is_secret_header(&name));
            (name, if secret { redact::REDACTED } else { value })
        });
        f.debug_map().entries(shown).finish()
    }
}
