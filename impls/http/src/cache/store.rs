//! The contract of stores.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use networking_spi::Result;

/// Stores records for a cache: opaque bytes under a key.
///
/// A store may remove any record at any time; the cache then treats it as a miss. A store must never return bytes other than
/// those that were stored under the key. The cache counts errors of the store, logs the first one, and continues as if the
/// record were absent.
///
/// Keys have up to 64 characters of `0-9a-f`. Calls run concurrently.
#[async_trait]
pub trait CacheStore: fmt::Debug + Send + Sync + 'static {
    /// Returns the record under `key`, or `None` if no record is stored.
    ///
    /// Cancel safety: a cancelled call must have no effect on later calls.
    async fn get(&self, key: &str) -> Result<Option<Bytes>>;

    /// Stores a record under `key` and replaces an existing one. If the record is too large for the store, it is not stored, and
    /// an existing one is removed.
    ///
    /// Cancel safety: after a cancelled call, the record is the old one, the new one, or absent.
    async fn put(&self, key: &str, record: Bytes) -> Result<()>;

    /// Removes the record under `key`. An absent record is not an error.
    async fn remove(&self, key: &str) -> Result<()>;

    /// Removes all records.
    async fn clear(&self) -> Result<()>;
}
