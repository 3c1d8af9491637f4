//! A private HTTP cache (RFC 9111), in memory or on disk.
//!
//! An [`HttpCache`] has a [`CacheStore`] and a configuration. Use it in the standard client with
//! [`HttpClientBuilder::cache`](crate::client::HttpClientBuilder::cache), or around any client with
//! [`CacheClient`](crate::layer::CacheClient), whose docs say which responses are stored and when they are used.
//!
//! ```
//! use networking_http::cache::{CacheStatus, HttpCache, MemoryCacheStore};
//! use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply};
//! use networking_spi::http::Method;
//! use networking_spi::prelude::*;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), NetworkError> {
//! let transport = MemoryHttpClient::new();
//! transport.route(Method::GET, "/users", Reply::ok().with_header("cache-control", "max-age=60")?.with_body("Ada"))?;
//!
//! let cache = HttpCache::new(MemoryCacheStore::default());
//! let http = HttpClientBuilder::over(transport.clone()).cache(cache.clone()).build()?;
//! assert_eq!(http.get("http://api.test/users").await?.text().await?, "Ada");
//!
//! let again = http.get("http://api.test/users").await?;
//! assert_eq!(again.extensions.get(), Some(&CacheStatus::Hit));
//! assert_eq!(again.text().await?, "Ada");
//! assert_eq!((transport.received().len(), cache.stats().hits), (1, 1));
//! # Ok(()) }
//! ```

mod call;
mod control;
mod disk;
mod freshness;
mod keys;
mod memory;
mod record;
mod saving;
mod stats;
mod store;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use networking_spi::validate::{self, Validate};
use networking_spi::{NetworkError, Result};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use url::Url;

pub use self::disk::DiskCacheStore;
pub use self::memory::MemoryCacheStore;
pub use self::stats::{CacheStats, CacheStatus};
pub use self::store::CacheStore;

pub(super) use self::call::Call;
use self::record::Index;
use self::stats::Counters;

/// The maximum number of stale responses that are revalidated in the background at the same time.
const MAX_REVALIDATIONS: usize = 64;

/// The configuration of an [`HttpCache`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheConfig {
    /// The largest response body that is stored, in bytes. Larger bodies are returned without being stored. While the caller
    /// reads a body that is to be stored, a copy of up to this size is kept in memory.
    pub max_entry_size: u64,
    /// How long a response without `max-age` and `Expires` is fresh, as a share of the time since it was last modified (RFC
    /// 9111, section 4.2.2). 0: such responses are always validated.
    pub heuristic_fraction: f32,
    /// How long after it has become stale a response may be used instead of an error, if neither the response nor the request
    /// has `stale-if-error`. `None`: never.
    #[serde(with = "humantime_serde")]
    pub stale_if_error: Option<Duration>,
    /// Caches with different partitions do not see each other's responses, even in one store. Use partitions if responses
    /// depend on something that the cache does not see, such as the client's credentials.
    pub partition: String,
}

impl Default for CacheConfig {
    /// Stores bodies of up to 8 MiB, uses a heuristic freshness of 10 % of the time since the last modification, and uses stale
    /// responses only if a header allows it.
    fn default() -> Self {
        Self {
            max_entry_size: 8 << 20,
            heuristic_fraction: 0.1,
            stale_if_error: None,
            partition: String::new(),
        }
    }
}

impl CacheConfig {
    /// The default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the largest body that is stored, in bytes.
    pub fn with_max_entry_size(mut self, bytes: u64) -> Self {
        self.max_entry_size = bytes;
        self
    }

    /// Sets how long a response without `max-age` and `Expires` is fresh, as a share of the time since its last modification.
    pub fn with_heuristic_fraction(mut self, fraction: f32) -> Self {
        self.heuristic_fraction = fraction;
        self
    }

    /// Sets how long after it has become stale a response may be used instead of an error.
    pub fn with_stale_if_error(mut self, staleness: Duration) -> Self {
        self.stale_if_error = Some(staleness);
        self
    }

    /// Sets the partition.
    pub fn with_partition(mut self, name: impl Into<String>) -> Self {
        self.partition = name.into();
        self
    }
}

impl Validate for CacheConfig {
    fn validate(&self) -> Result<()> {
        validate::share(f64::from(self.heuristic_fraction), "heuristic_fraction")?;
        validate::ensure(self.max_entry_size > 0, "max_entry_size", "must be at least 1")
    }
}

/// A private cache: a store and its configuration. Clones share both, so that several clients can use one cache.
#[derive(Debug, Clone)]
pub struct HttpCache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Arc<dyn CacheStore>,
    config: CacheConfig,
    counters: Counters,
    /// Whether a failure of the store was logged. Only the first one is logged.
    warned: AtomicBool,
    /// Counters of invalidations, by hash of the URL. A response that was requested before an invalidation must not be stored
    /// after it.
    invalidations: [AtomicU64; 64],
    /// The keys of responses that are being revalidated in the background.
    revalidating: Mutex<HashSet<String>>,
}

impl HttpCache {
    /// A cache with the default configuration.
    pub fn new(store: impl CacheStore) -> Self {
        Self::from_parts(Arc::new(store), CacheConfig::default())
    }

    /// A cache with this configuration.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) naming the field.
    pub fn with_config(store: Arc<dyn CacheStore>, config: CacheConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self::from_parts(store, config))
    }

    fn from_parts(store: Arc<dyn CacheStore>, config: CacheConfig) -> Self {
        Self(Arc::new(Shared {
            store,
            config,
            counters: Counters::default(),
            warned: AtomicBool::new(false),
            invalidations: std::array::from_fn(|_| AtomicU64::new(0)),
            revalidating: Mutex::default(),
        }))
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> CacheStats {
        self.0.counters.snapshot()
    }

    /// Removes all responses of a URL.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn invalidate(&self, url: &Url) -> Result<()> {
        let key = keys::url_key(&self.0.config.partition, url);
        self.invalidation_counter(&key).fetch_add(1, Ordering::AcqRel);
        Counters::count(&self.0.counters.invalidated);
        self.0.store.remove(&key).await
    }

    /// Removes all records from the store, including those of other caches.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn clear(&self) -> Result<()> {
        for counter in &self.0.invalidations {
            counter.fetch_add(1, Ordering::AcqRel);
        }
        self.0.store.clear().await
    }

    fn invalidation_counter(&self, url_key: &str) -> &AtomicU64 {
        let shard = url_key
            .bytes()
            .take(4)
            .fold(0, |sum, byte| sum * 16 + usize::from(byte));
        &self.0.invalidations[shard % self.0.invalidations.len()]
    }

    async fn load(&self, key: &str) -> Option<Bytes> {
        match self.0.store.get(key).await {
            Ok(record) => record,
            Err(error) => {
                self.store_failed(&error);
                None
            }
        }
    }

    /// Loads the index of a URL. An invalid index is removed.
    async fn load_index(&self, url_key: &str) -> Option<Index> {
        let record = self.load(url_key).await?;
        let index = Index::decode(record);
        if index.is_none() {
            self.remove(url_key).await;
        }
        index
    }

    async fn save(&self, key: &str, record: Bytes) -> bool {
        let result = self.0.store.put(key, record).await;
        if let Err(error) = &result {
            self.store_failed(error);
        }
        result.is_ok()
    }

    async fn remove(&self, key: &str) {
        if let Err(error) = self.0.store.remove(key).await {
            self.store_failed(&error);
        }
    }

    fn store_failed(&self, error: &NetworkError) {
        Counters::count(&self.0.counters.store_errors);
        if !self.0.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, store = ?self.0.store, "the store of the HTTP cache failed; requests are sent without it");
        }
    }
}
