//! The contract of stores.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use networking_spi::Result;

/// Keeps records for a cache: opaque bytes under a key.
///
/// A store may remove any record at any time, which is a miss. It must never return bytes other than those that were stored under
/// the key. The cache counts an error, logs the first one, and continues as if the record were absent.
///
/// Keys have up to 64 characters of `0-9a-f`. Calls run concurrently.
#[async_trait]
pub trait CacheStore: fmt::Debug + Send + Sync + 'static {
    /// The record under `key`, or `None`.
    ///
    /// Cancel safety: must have no effect on later calls.
    async fn get(&self, key: &str) -> Result<Option<Bytes>>;

    /// Stores a record and replaces an existing one. A record that is too large for the store is dropped, and an existing one is
    /// removed.
    ///
    /// Cancel safety: afterwards the record is the old one, the new one, or absent.
    async fn put(&self, key: &str, record: Bytes) -> Result<()>;

    /// Removes a record. An absent record is not an error.
    async fn remove(&self, key: &str) -> Result<()>;

    /// Removes all records.
    async fn clear(&self) -> Result<()>;
}
