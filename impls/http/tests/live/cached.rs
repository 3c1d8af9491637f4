//! httpbin: responses from the cache.

use std::sync::Arc;

use networking_conformance::{CaseResult, check_eq};
use networking_http::cache::{HttpCache, MemoryCacheStore};
use networking_spi::http::HttpClientExt;

use super::backend::Live;
use super::clock::AheadClock;

pub(crate) async fn fresh_answers_are_not_fetched(live: Arc<Live>) -> CaseResult {
    let cache = HttpCache::new(MemoryCacheStore::new(1 << 20, 100)?);
    let clock = Arc::new(AheadClock::default());
    let client = live
        .builder()?
        .base_url(&live.servers().httpbin)
        .cache(cache.clone())
        .clock(Arc::clone(&clock) as _)
        .build()?;
    let first = client.get("/cache/60").await?.bytes().await?;
    check_eq!(
        client.get("/cache/60").await?.bytes().await?,
        first,
        "the stored response"
    );
    check_eq!((cache.stats().misses, cache.stats().hits), (1, 1), "misses and hits");
    clock.advance(61);
    client.get("/cache/60").await?.bytes().await?;
    check_eq!(
        (cache.stats().misses, cache.stats().hits),
        (2, 1),
        "a stale response is fetched again"
    );
    Ok(())
}

pub(crate) async fn old_answers_are_confirmed(live: Arc<Live>) -> CaseResult {
    let cache = HttpCache::new(MemoryCacheStore::new(1 << 20, 100)?);
    let client = live
        .builder()?
        .base_url(&live.servers().httpbin)
        .cache(cache.clone())
        .build()?;
    let first = client.get("/etag/v1").await?.bytes().await?;
    for _ in 0..2 {
        let again = client.get("/etag/v1").await?;
        check_eq!(again.status, 200, "the cache handles the 304 of the server");
        check_eq!(again.bytes().await?, first, "the stored response");
    }
    check_eq!(cache.stats().revalidated, 2, "responses that the server confirmed");
    Ok(())
}
