//! Where cached responses are kept.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use networking_spi::Result;

/// Keeps records for a cache: bytes under a key. What is in them is the cache's business.
///
/// A store may forget any record at any time; that is a miss. It must never return other bytes than those that were put
/// under that very key. Errors are for trouble that somebody should know about: the cache counts and logs them, and goes
/// on as if the record was not there.
///
/// Keys are up to 64 characters of `0-9a-f`. Clones of an `Arc` share the records; calls run concurrently.
#[async_trait]
pub trait CacheStore: fmt::Debug + Send + Sync + 'static {
    /// The record under `key`, or `None`.
    async fn get(&self, key: &str) -> Result<Option<Bytes>>;

    /// Puts a record, in place of the one that was there. A record that is larger than the store takes is dropped, together
    /// with the one that was there.
    ///
    /// Cancel safety: afterwards the record is the old one, the new one, or none.
    async fn put(&self, key: &str, record: Bytes) -> Result<()>;

    /// Removes a record. It is no error if there is none.
    async fn remove(&self, key: &str) -> Result<()>;

    /// Removes all records.
    async fn clear(&self) -> Result<()>;
}
