//! Records in files.

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

/// Keeps records in files below a directory, bounded by the space they take; those that were not used for longest make
/// room. They survive a restart.
///
/// * A record is written to a file of its own and then moved to its name, so that readers never see half of one. A file that
///   is damaged all the same (a crash, a full disk, another format) is removed, and the record is missing.
/// * Several stores, in one process or many, may share the directory. Each measures it again after it wrote a sixteenth of
///   `max_bytes`; until then it does not see what the others wrote, and the limit can be exceeded by that much for each.
/// * On Unix only the user can read the files. They hold responses as they were received, and no request headers.
/// * All work on files is done on tokio's threads for blocking calls. A call that is cancelled finishes there.
///
/// The directory should be the store's own. Below it only `responses-v1` is touched. Clones share everything.
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
    /// Opens the store, and makes the directory if it is not there.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a limit of less than 64 KiB, or a directory that cannot be made or read.
    pub async fn open(directory: impl Into<PathBuf>, max_bytes: u64) -> Result<Self> {
        Self::open_with_clock(directory, max_bytes, Arc::new(SystemClock::new())).await
    }

    /// Opens the store. Which records were used last is told by `clock`; stores that share a directory should agree on
    /// the time.
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

    /// The space that the records take, as far as this store knows, in bytes.
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
