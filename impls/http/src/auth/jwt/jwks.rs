//! Key sets that are fetched from a URL.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::clock::Clock;
use networking_spi::error::ResultExt;
use networking_spi::http::{HttpClient, HttpRequest, JwtAlgorithm, Method, header};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability, redact};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::{JwtKey, KeyResolver, OPERATION};
use crate::marks::{WithoutCredentials, host};
use networking_runtime::clock::TokioClock;
use networking_runtime::single_flight::SingleFlight;

/// How a key set is fetched and cached.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JwksConfig {
    /// The URL of the key set: `https`, or `http` to a loopback host.
    pub url: Url,
    /// How long a key set is used before it is fetched again.
    pub ttl: Duration,
    /// The minimum time between two fetches, even if tokens name unknown keys.
    pub refresh_cooldown: Duration,
    /// How long after its `ttl` a key set is still used if it cannot be fetched.
    pub stale_if_error: Duration,
    /// Time limit of a fetch.
    pub timeout: Duration,
    /// The largest accepted document, in bytes.
    pub max_body: usize,
    /// The largest accepted number of keys.
    pub max_keys: usize,
}

impl JwksConfig {
    /// A `ttl` of 10 min, a `refresh_cooldown` of 30 s, a `stale_if_error` of 1 h, a `timeout` of 10 s, and at most 256 KiB and
    /// 100 keys.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            ttl: Duration::from_secs(600),
            refresh_cooldown: Duration::from_secs(30),
            stale_if_error: Duration::from_secs(3600),
            timeout: Duration::from_secs(10),
            max_body: 256 << 10,
            max_keys: 100,
        }
    }

    /// Sets how long a key set is used before it is fetched again.
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets the minimum time between two fetches.
    pub fn with_refresh_cooldown(mut self, cooldown: Duration) -> Self {
        self.refresh_cooldown = cooldown;
        self
    }

    /// Sets how long after its `ttl` a key set is still used if it cannot be fetched.
    pub fn with_stale_if_error(mut self, stale: Duration) -> Self {
        self.stale_if_error = stale;
        self
    }

    /// Sets the time limit of a fetch.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the largest accepted document, in bytes, and the largest number of keys.
    pub fn with_limits(mut self, max_body: usize, max_keys: usize) -> Self {
        self.max_body = max_body;
        self.max_keys = max_keys;
        self
    }
}

impl Validate for JwksConfig {
    fn validate(&self) -> Result<()> {
        let safe = match self.url.scheme() {
            "https" => self.url.has_host(),
            "http" => host::is_loopback(&self.url),
            _ => false,
        };
        validate::ensure(
            safe,
            "jwks.url",
            "must be an https URL, or an http URL with a loopback host",
        )?;
        validate::positive(self.ttl, "jwks.ttl")?;
        validate::positive(self.refresh_cooldown, "jwks.refresh_cooldown")?;
        validate::positive(self.timeout, "jwks.timeout")?;
        validate::ensure(self.max_body > 0, "jwks.max_body", "must be at least 1")?;
        validate::ensure(self.max_keys > 0, "jwks.max_keys", "must be at least 1")
    }
}

impl fmt::Debug for JwksConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksConfig")
            .field("url", &format_args!("{}", redact::url(&self.url)))
            .field("ttl", &self.ttl)
            .field("refresh_cooldown", &self.refresh_cooldown)
            .field("stale_if_error", &self.stale_if_error)
            .field("timeout", &self.timeout)
            .field("max_body", &self.max_body)
            .field("max_keys", &self.max_keys)
            .finish()
    }
}

/// Fetches and caches a JSON Web Key Set. The set is fetched again when its `ttl` has passed, or when a token names a key that
/// the set does not contain. Clones share the cache.
///
/// At most one fetch runs at a time, and the next one starts at the earliest `refresh_cooldown` after the last one ended. A fetch
/// continues when its callers are dropped. Only public signature keys are used; entries that [`JwtKey::jwk`]
/// refuses are skipped.
#[derive(Debug, Clone)]
pub struct JwksResolver(Arc<Inner>);

struct Inner {
    http: Arc<dyn HttpClient>,
    config: JwksConfig,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    flight: SingleFlight<Keys>,
}

type Keys = Arc<[JwtKey]>;

#[derive(Default)]
struct State {
    keys: Option<Keys>,
    /// When `keys` were fetched.
    fetched: Duration,
    /// When the latest fetch ended, with success or failure.
    attempted: Option<Duration>,
}

impl JwksResolver {
    /// A resolver that fetches through `http`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field.
    pub fn new(http: Arc<dyn HttpClient>, config: JwksConfig) -> Result<Self> {
        Self::with_clock(http, config, Arc::new(TokioClock::new()))
    }

    /// A resolver that fetches through `http`; ages are measured by `clock`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_clock(http: Arc<dyn HttpClient>, config: JwksConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        config.validate()?;
        Ok(Self(Arc::new(Inner {
            http,
            config,
            clock,
            state: Mutex::default(),
            flight: SingleFlight::new(OPERATION),
        })))
    }
}

#[async_trait]
impl KeyResolver for JwksResolver {
    async fn keys(&self, key_id: Option<String>, _algorithm: JwtAlgorithm) -> Result<Vec<JwtKey>> {
        let named = key_id.as_deref();
        let old = match self.0.look_up(named) {
            Lookup::Use(keys) => return Ok(pick(&keys, named)),
            Lookup::Wait(error) => return Err(error),
            Lookup::Fetch { old } => old,
        };
        let inner = &self.0;
        let fetched = inner
            .flight
            .join(
                // Another caller's fetch may have ended in the meantime.
                || match inner.look_up(named) {
                    Lookup::Use(keys) => Some(keys),
                    Lookup::Fetch { .. } | Lookup::Wait(_) => None,
                },
                || {
                    let inner = Arc::clone(inner);
                    Box::pin(async move { inner.fetch().await })
                },
            )
            .await;
        match (fetched, old) {
            (Ok(keys), _) | (Err(_), Some(keys)) => Ok(pick(&keys, named)),
            (Err(error), None) => Err(error),
        }
    }
}

/// The keys with this id. For a token without a key id, all keys.
fn pick(keys: &Keys, key_id: Option<&str>) -> Vec<JwtKey> {
    keys.iter()
        .filter(|key| key_id.is_none() || key.id() == key_id)
        .cloned()
        .collect()
}

/// What to do for a token.
enum Lookup {
    Use(Keys),
    Fetch {
        /// The keys to use if the fetch fails.
        old: Option<Keys>,
    },
    /// The latest fetch failed less than a cooldown ago.
    Wait(NetworkError),
}

impl Inner {
    fn look_up(&self, key_id: Option<&str>) -> Lookup {
        let now = self.clock.elapsed();
        let state = self.state.lock();
        let cooling = state
            .attempted
            .map(|attempted| {
                attempted
                    .saturating_add(self.config.refresh_cooldown)
                    .saturating_sub(now)
            })
            .filter(|left| !left.is_zero());
        let age = now.saturating_sub(state.fetched);
        let usable = state
            .keys
            .clone()
            .filter(|_| age < self.config.ttl.saturating_add(self.config.stale_if_error));
        let satisfied =
            |keys: &Keys| age < self.config.ttl && (key_id.is_none() || keys.iter().any(|key| key.id() == key_id));
        match (usable, cooling) {
            (Some(keys), _) if satisfied(&keys) => Lookup::Use(keys),
            (Some(keys), Some(_)) => Lookup::Use(keys),
            (None, Some(left)) => Lookup::Wait(
                NetworkError::new(ErrorKind::Connection, OPERATION, "the key set could not be fetched")
                    .with_retryability(Retryability::After(left)),
            ),
            (old, None) => Lookup::Fetch { old },
        }
    }

    async fn fetch(&self) -> Result<Keys> {
        let fetched = self.request().await;
        let mut state = self.state.lock();
        let now = self.clock.elapsed();
        state.attempted = Some(now);
        let keys = fetched.in_operation(OPERATION)?;
        state.keys = Some(Arc::clone(&keys));
        state.fetched = now;
        Ok(keys)
    }

    async fn request(&self) -> Result<Keys> {
        let mut request = HttpRequest::new(Method::GET, self.config.url.clone())
            .with_header(header::ACCEPT, "application/jwk-set+json, application/json")?;
        // The limit of all attempts, if the client makes more than one.
        request = if self.http.capabilities().total_timeout {
            request.with_total_timeout(self.config.timeout)
        } else {
            request.with_timeout(self.config.timeout)
        };
        request.options.follow_redirects = Some(false);
        request.options.raise_for_status = Some(false);
        request.options.max_response_size = Some(self.config.max_body as u64);
        request.extensions.insert(WithoutCredentials);
        let response = self.http.request(request).await?;
        if let Some(error) = response.status_error() {
            return Err(error);
        }
        let broken = |message| NetworkError::new(ErrorKind::Protocol, OPERATION, message);
        if !response.is_success() {
            return Err(broken("the URL of the key set did not respond with a success status")
                .with_status(response.status.as_u16()));
        }
        let body = response.body.collect(self.config.max_body).await?;
        let body = String::from_utf8_lossy(&body);
        let set: KeySet = serde_json::from_str(body.trim_start_matches('\u{feff}'))
            .map_err(|_| broken("the response is not a key set"))?;
        if set.keys.len() > self.config.max_keys {
            return Err(NetworkError::new(
                ErrorKind::TooLarge,
                OPERATION,
                "the key set has too many keys",
            ));
        }
        // A symmetric key in a public document is not a secret, so it is not used.
        let usable = set
            .keys
            .iter()
            .filter_map(|jwk| JwtKey::jwk(&serde_json::from_str(jwk.get()).ok()?).ok());
        Ok(usable.filter(|key| !key.is_symmetric()).collect())
    }
}

/// The keys are parsed one by one, so that one that is broken does not affect the others.
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Box<RawValue>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.state.lock().keys.as_ref().map_or(0, |keys| keys.len());
        f.debug_struct("Inner")
            .field("config", &self.config)
            .field("keys", &known)
            .finish_non_exhaustive()
    }
}
