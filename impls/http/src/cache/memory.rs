//! A cache store in memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use networking_spi::{Result, validate};
use parking_lot::Mutex;

use super::CacheStore;

/// The approximate overhead of a record, in bytes.
const OVERHEAD: usize = 160;

/// Stores records in memory, up to a maximum number of bytes and of records. Evicts the least recently used records.
///
/// ```
/// use networking_http::cache::MemoryCacheStore;
///
/// let store = MemoryCacheStore::new(32 << 20, 1_000)?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
pub struct MemoryCacheStore {
    max_bytes: usize,
    max_records: usize,
    records: Mutex<Records>,
}

impl MemoryCacheStore {
    /// A store of at most `max_bytes` bytes, including overhead, and at most `max_records` records. Each cached response is one
    /// record, and each URL is another one.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) for a limit of zero.
    pub fn new(max_bytes: usize, max_records: usize) -> Result<Self> {
        validate::ensure(max_bytes > 0, "max_bytes", "must be at least 1")?;
        validate::ensure(max_records > 0, "max_records", "must be at least 1")?;
        Ok(Self {
            max_bytes,
            max_records,
            records: Mutex::default(),
        })
    }

    /// The current number of records, and their size in bytes, including overhead.
    pub fn size(&self) -> (usize, usize) {
        let records = self.records.lock();
        (records.by_key.len(), records.bytes)
    }
}

impl Default for MemoryCacheStore {
    /// At most 64 MiB and 10 000 records.
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_records: 10_000,
            records: Mutex::default(),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CacheStore for MemoryCacheStore {
    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.records.lock().get(key))
    }

    async fn put(&self, key: &str, record: Bytes) -> Result<()> {
        let mut records = self.records.lock();
        records.remove(key);
        if cost(key, &record) <= self.max_bytes {
            records.insert(key, record);
            while records.bytes > self.max_bytes || records.by_key.len() > self.max_records {
                records.remove_oldest();
            }
        }
        Ok(())
    }

    async fn remove(&self, key: &str) -> Result<()> {
        self.records.lock().remove(key);
        Ok(())
    }

    async fn clear(&self) -> Result<()> {
        *self.records.lock() = Records::default();
        Ok(())
    }
}

#[derive(Default)]
struct Records {
    by_key: HashMap<Arc<str>, Record>,
    /// Keys by the number of their last use, the least recent first.
    by_use: BTreeMap<u64, Arc<str>>,
    uses: u64,
    bytes: usize,
}

struct Record {
    bytes: Bytes,
    used: u64,
}

impl Records {
    fn get(&mut self, key: &str) -> Option<Bytes> {
        let record = self.by_key.get_mut(key)?;
        let key = self.by_use.remove(&record.used)?;
        self.uses += 1;
        record.used = self.uses;
        self.by_use.insert(self.uses, key);
        Some(record.bytes.clone())
    }

    fn insert(&mut self, key: &str, bytes: Bytes) {
        self.bytes += cost(key, &bytes);
        self.uses += 1;
        let (key, used) = (Arc::<str>::from(key), self.uses);
        self.by_use.insert(used, Arc::clone(&key));
        self.by_key.insert(key, Record { bytes, used });
    }

    fn remove(&mut self, key: &str) {
        if let Some(record) = self.by_key.remove(key) {
            self.bytes -= cost(key, &record.bytes);
            self.by_use.remove(&record.used);
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((_, key)) = self.by_use.pop_first()
            && let Some(record) = self.by_key.remove(&key)
        {
            self.bytes -= cost(&key, &record.bytes);
        }
    }
}

fn cost(key: &str, record: &Bytes) -> usize {
    key.len() + record.len() + OVERHEAD
}

impl fmt::Debug for MemoryCacheStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (records, bytes) = self.size();
        f.debug_struct("MemoryCacheStore")
            .field("records", &records)
            .field("bytes", &bytes)
            .field("max_records", &self.max_records)
            .field("max_bytes", &self.max_bytes)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn has(store: &MemoryCacheStore, key: &str) -> bool {
        store.get(key).await.unwrap().is_some()
    }

    #[tokio::test]
    async fn the_least_recently_used_record_is_evicted() {
        let store = MemoryCacheStore::new(1 << 20, 2).unwrap();
        for key in ["a", "b"] {
            store.put(key, Bytes::from_static(b"x")).await.unwrap();
        }
        assert!(has(&store, "a").await);
        store.put("c", Bytes::from_static(b"x")).await.unwrap();
        assert!(has(&store, "a").await && has(&store, "c").await && !has(&store, "b").await);
    }

    #[tokio::test]
    async fn bytes_are_bounded_and_accounted_for() {
        let store = MemoryCacheStore::new(1_000, 100).unwrap();
        for key in ["a", "b", "c", "a", "a"] {
            store.put(key, Bytes::from(vec![0; 200])).await.unwrap();
        }
        let (records, bytes) = store.size();
        assert_eq!((records, bytes), (2, 2 * (200 + 1 + OVERHEAD)));
        store.put("a", Bytes::from(vec![0; 1_000])).await.unwrap();
        assert!(
            !has(&store, "a").await,
            "neither the old record nor one that is too large"
        );
        store.clear().await.unwrap();
        assert_eq!(store.size(), (0, 0));
    }
}
