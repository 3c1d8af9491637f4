//! A cache store on disk.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::{ErrorKind, NetworkError, Result, validate};

use self::files::Files;
use super::CacheStore;

mod files;

/// Stores records in files below a directory, up to a limit of disk space. Evicts the least recently used records. Records
/// survive a restart.
///
/// * A record is written to a temporary file, which is then renamed, so that readers never see a partial record. A damaged file
///   (after a crash, on a full disk, in another format) is removed when it is read, which is a miss.
/// * Several stores, in one process or in several, may share the directory. Each measures the directory after it has written a
///   sixteenth of `max_bytes`. Until then it does not count the writes of others, so each store can exceed the limit by that
///   amount.
/// * On Unix only the owner can read the files. They contain responses as they were received, and no request headers.
/// * Files are read and written on tokio's blocking threads. A cancelled call runs to its end there.
///
/// Use the directory only for caches. The store reads and writes only its subdirectory `responses-v1`. Clones use the same store.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), networking_spi::NetworkError> {
/// use networking_http::cache::DiskCacheStore;
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let directory = dir.path().join("http-cache");
/// let store = DiskCacheStore::open(directory, 256 << 20).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct DiskCacheStore(Arc<Files>);

impl DiskCacheStore {
    /// Opens a store of at most `max_bytes` bytes. Creates the directory if it does not exist.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a limit of less than 64 KiB, or a directory that cannot be created or read.
    pub async fn open(directory: impl Into<PathBuf>, max_bytes: u64) -> Result<Self> {
        Self::open_with_clock(directory, max_bytes, Arc::new(SystemClock::new())).await
    }

    /// Opens a store that takes the times of use from `clock`. The clocks of stores that share a directory should agree.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with_clock(directory: impl Into<PathBuf>, max_bytes: u64, clock: Arc<dyn Clock>) -> Result<Self> {
        validate::ensure(max_bytes >= 64 << 10, "max_bytes", "must be at least 64 KiB")?;
        let files = Arc::new(Files::new(&directory.into(), max_bytes, clock));
        let store = Self(files);
        store.run(Files::prepare).await.map_err(|error| {
            NetworkError::invalid_input("directory", "cannot be used for a cache").with_source(error)
        })?;
        Ok(store)
    }

    /// The disk space of the records in bytes, as far as this store knows.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    async fn run<V: Send + 'static>(
        &self,
        work: impl FnOnce(&Files) -> io::Result<V> + Send + 'static,
    ) -> io::Result<V> {
        let files = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&files)).await;
        done.unwrap_or_else(|failure| match failure.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(io::Error::other("the runtime is shutting down")),
        })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CacheStore for DiskCacheStore {
    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let key = key.to_owned();
        self.run(move |files| files.read(&key)).await.map_err(failed)
    }

    async fn put(&self, key: &str, record: Bytes) -> Result<()> {
        let key = key.to_owned();
        self.run(move |files| files.write(&key, &record)).await.map_err(failed)
    }

    async fn remove(&self, key: &str) -> Result<()> {
        let key = key.to_owned();
        self.run(move |files| files.remove(&key)).await.map_err(failed)
    }

    async fn clear(&self) -> Result<()> {
        self.run(Files::clear).await.map_err(failed)
    }
}

fn failed(error: io::Error) -> NetworkError {
    NetworkError::new(
        ErrorKind::Internal,
        "http.cache",
        "the cache's directory cannot be read or written",
    )
    .with_source(error)
}

impl fmt::Debug for DiskCacheStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DiskCacheStore").field(&self.0).finish()
    }
}
