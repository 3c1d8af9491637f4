//! Cache results of responses, and counters.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

/// How the cache handled a request, in the extensions of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CacheStatus {
    /// From the cache, fresh. No request was sent.
    Hit,
    /// From the origin; the response may have been stored. Also the status 504 for a request with `only-if-cached` that the cache
    /// cannot answer.
    Miss,
    /// From the cache, after the origin confirmed that the response has not changed.
    Revalidated,
    /// From the cache, although stale: because the request allows it, while the response is revalidated in the background, or
    /// instead of an error.
    Stale,
    /// From the origin; the cache did not handle the request.
    Bypass,
}

impl CacheStatus {
    /// The stable name (`revalidated`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Revalidated => "revalidated",
            Self::Stale => "stale",
            Self::Bypass => "bypass",
        }
    }
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A snapshot of a cache's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// Responses with [`CacheStatus::Hit`].
    pub hits: u64,
    /// Responses with [`CacheStatus::Miss`].
    pub misses: u64,
    /// Responses with [`CacheStatus::Revalidated`].
    pub revalidated: u64,
    /// Responses with [`CacheStatus::Stale`].
    pub stale: u64,
    /// Responses with [`CacheStatus::Bypass`].
    pub bypassed: u64,
    /// Responses stored, including updates.
    pub stored: u64,
    /// URLs whose responses were invalidated.
    pub invalidated: u64,
    /// Failed calls of the store.
    pub store_errors: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    revalidated: AtomicU64,
    stale: AtomicU64,
    bypassed: AtomicU64,
    pub(super) stored: AtomicU64,
    pub(super) invalidated: AtomicU64,
    pub(super) store_errors: AtomicU64,
}

impl Counters {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn count_status(&self, status: CacheStatus) {
        Self::count(match status {
            CacheStatus::Hit => &self.hits,
            CacheStatus::Miss => &self.misses,
            CacheStatus::Revalidated => &self.revalidated,
            CacheStatus::Stale => &self.stale,
            CacheStatus::Bypass => &self.bypassed,
        });
    }

    pub(super) fn snapshot(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            revalidated: self.revalidated.load(Relaxed),
            stale: self.stale.load(Relaxed),
            bypassed: self.bypassed.load(Relaxed),
            stored: self.stored.load(Relaxed),
            invalidated: self.invalidated.load(Relaxed),
            store_errors: self.store_errors.load(Relaxed),
        }
    }
}
