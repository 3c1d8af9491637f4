//! Putting a cache before a client.

use std::fmt;
use std::sync::Arc;

use networking_spi::Result;
use networking_spi::clock::Clock;
use networking_spi::http::{HttpClient, HttpRequest, HttpResponse, RequestTarget};

use crate::cache::{Call, HttpCache};
use crate::chain::{Next, Wrapper, inner_access, pass_on};
use networking_runtime::clock::TokioClock;

/// Answers requests from an [`HttpCache`] where RFC 9111 allows it to a private cache, and stores responses there.
///
/// What happened is in the response's extensions, as [`CacheStatus`](crate::cache::CacheStatus); responses from the
/// cache have an `Age` header.
///
/// * **Used**: for GET and HEAD, by the freshness of the response (`max-age`, `Expires`, or a share of its age) and the
///   request's `Cache-Control` (`no-cache`, `max-age`, `min-fresh`, `max-stale`, `only-if-cached`, which is answered with 504 if
///   there is nothing to use). A stale response is validated (`ETag`, `Last-Modified`) and used again after a 304.
/// * **Used though stale**: within `stale-while-revalidate`, while a new one is fetched in the background; within
///   `stale-if-error` (of the response, the request, or the
///   [configuration](crate::cache::CacheConfig::stale_if_error)), if the origin cannot be reached, does not answer in time, its circuit is open, or it answers 500, 502, 503 or 504. Never with
///   `must-revalidate` or `no-cache`.
/// * **Stored**: responses to GET whose headers allow it and that can be of use again, once their body was read to its end.
///   A body that is dropped, breaks off, or is larger than
///   [`max_entry_size`](crate::cache::CacheConfig::max_entry_size) is not.
///   By their `Vary`, several responses of one URL are kept. Not stored are redirects, responses that were redirected, partial
///   ones, and `Set-Cookie`.
/// * **Separated**: a response to a request with a header that holds a secret (`Authorization`, `Cookie`, an API key, a
///   sensitive value) is used only for requests with the same value, whatever its `Vary`. The store sees hashes of them only.
/// * **Invalidated**: the URL, and those in `Location` and `Content-Location` of the same origin, when a request of another
///   method succeeds, or fails or is dropped after it may have been processed.
/// * **Let through**: requests with `no-store`, `Range`, conditions of their own, a body, a proxy, or without verification of
///   certificates.
///
/// A failing store is counted ([`CacheStats`](crate::cache::CacheStats)), logged once, and a miss. Requests wait for
/// the store; one that never answers is not guarded against. Several misses for one URL at the same time are all sent on.
///
/// Cancel safety: as for the inner client; a request that is dropped stores nothing.
///
/// # Order
///
/// Right: outside of everything that takes time, can fail or adds credentials (rate limit, timeouts, retries, circuit
/// breaker, auth), inside of defaults and metrics. Decompression is further inside, so that what is stored is decoded, and
/// fits every reader. Cookies and credentials that are added inside are not seen here: give each user a client, and caches
/// with different [partitions](crate::cache::CacheConfig::partition) if they share a store.
///
/// ```
/// # use networking_http::{MemoryHttpClient, layer::{CacheClient, DecompressionClient, RetryClient}};
/// # use networking_http::cache::{HttpCache, MemoryCacheStore};
/// # use networking_spi::http::RetryPolicy;
/// # let transport = MemoryHttpClient::new();
/// let cache = HttpCache::new(MemoryCacheStore::default());
/// let retrying = RetryClient::new(DecompressionClient::new(transport, true, None), RetryPolicy::default())?;
/// let client = CacheClient::new(retrying, Some(cache));
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: inside of [`RetryClient`](super::RetryClient). A stale response that stands in for an error would end the
/// retries. Wrong as well: inside of [`RateLimitClient`](super::RateLimitClient) or
/// [`CircuitBreakerClient`](super::CircuitBreakerClient), where hits wait for permits and are refused.
pub struct CacheClient<C> {
    inner: Arc<C>,
    cache: Option<HttpCache>,
    clock: Arc<dyn Clock>,
}

inner_access!(
    shared CacheClient,
    "The client is in an `Arc`: a response that is being revalidated in the background may still use it. The cache itself keeps \
     its responses."
);

impl<C> CacheClient<C> {
    /// Puts `cache` before `inner`. Without one, requests are passed on as they are.
    pub fn new(inner: C, cache: Option<HttpCache>) -> Self {
        Self {
            inner: Arc::new(inner),
            cache,
            clock: Arc::new(TokioClock::new()),
        }
    }

    /// Reads ages by `clock`.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl<C: HttpClient> Wrapper for CacheClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        let (Some(cache), RequestTarget::Absolute(url)) = (&self.cache, &request.target) else {
            return next.send(request).await;
        };
        let call = Call::new(cache.clone(), url.clone(), Arc::clone(&self.clock));
        // A box of its own: clients without a cache do not carry the room for it.
        Box::pin(call.answer(request, next, &self.inner)).await
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for CacheClient<C> {
    pass_on!(
        request,
        capabilities,
        client_metrics,
        configure_retry_policy,
        configure_circuit_breaker
    );
}

impl<C: fmt::Debug> fmt::Debug for CacheClient<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheClient")
            .field("inner", &self.inner)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}
