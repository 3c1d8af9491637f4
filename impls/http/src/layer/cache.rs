//! A cache in front of a client.

use std::fmt;
use std::sync::Arc;

use networking_spi::Result;
use networking_spi::clock::Clock;
use networking_spi::http::{HttpClient, HttpRequest, HttpResponse, RequestTarget};

use crate::cache::{Call, HttpCache};
use crate::chain::{Next, Wrapper, inner_access, pass_on};
use crate::marks::is_handshake;
use networking_runtime::clock::TokioClock;

/// Answers requests from an [`HttpCache`] as far as RFC 9111 allows it for a private cache, and stores responses there.
///
/// The extensions of each response contain a [`CacheStatus`](crate::cache::CacheStatus). Responses from the cache have an `Age`
/// header.
///
/// * **Used**: for GET and HEAD, depending on the freshness of the stored response (`max-age`, `Expires`, or a share of the time
///   since its last modification) and on the request's `Cache-Control` (`no-cache`, `max-age`, `min-fresh`, `max-stale`,
///   `only-if-cached`). Without a usable response, a request with `only-if-cached` gets a 504. A stale response is validated
///   (`ETag`, `Last-Modified`) and used again after a 304.
/// * **Used although stale**: within `stale-while-revalidate`, while it is revalidated in the background; within
///   `stale-if-error` (of the response, the request, or the [configuration](crate::cache::CacheConfig::stale_if_error)) if the
///   origin cannot be reached, times out, has an open circuit, or responds with 500, 502, 503 or 504. Never with
///   `must-revalidate` or `no-cache`.
/// * **Stored**: responses to GET whose headers allow it and that can be used again. A response is stored when its body has been
///   read to its end; a body that is dropped, fails, or is larger than
///   [`max_entry_size`](crate::cache::CacheConfig::max_entry_size) is not stored. Responses of one URL with different values of
///   the headers in `Vary` are stored separately. Redirects, responses after a redirect, partial responses, and `Set-Cookie`
///   headers are not stored.
/// * **Separated**: a response to a request with a secret header (`Authorization`, `Cookie`, an API key, a sensitive value) is
///   used only for requests with the same value, regardless of `Vary`. The store sees only hashes of these values.
/// * **Invalidated**: the URL, and the URLs in `Location` and `Content-Location` of the same origin, when a request with an
///   unsafe method succeeds, or fails or is dropped after the origin may have processed it.
/// * **Bypassed**: requests with `no-store`, `Range`, conditional headers, a body, a proxy, or without verification of
///   certificates.
///
/// A failure of the store counts as a miss, is counted in [`CacheStats`](crate::cache::CacheStats), and is logged once. Requests
/// wait for the store without a time limit. Concurrent misses for one URL are not coalesced: each is sent.
///
/// Cancel safety: as for the inner client; a request that is dropped stores nothing.
///
/// # Order
///
/// Right: outside rate limit, timeouts, retries, circuit breaker and auth; inside defaults and metrics. Decompression is further
/// inside, so that decoded bodies are stored. The cache does not see cookies and credentials that are added further inside: give
/// each user a client, and use different [partitions](crate::cache::CacheConfig::partition) if clients share a store.
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
/// Wrong: inside [`RetryClient`](super::RetryClient). A stale response that replaces an error would end the retries. Also wrong:
/// inside [`RateLimitClient`](super::RateLimitClient) or
/// [`CircuitBreakerClient`](super::CircuitBreakerClient), where hits would wait for permits or be rejected.
pub struct CacheClient<C> {
    inner: Arc<C>,
    cache: Option<HttpCache>,
    clock: Arc<dyn Clock>,
}

inner_access!(
    shared CacheClient,
    "The client is in an `Arc`, because a background revalidation may still use it. The cache keeps its responses."
);

impl<C> CacheClient<C> {
    /// Uses `cache` for requests to `inner`; `None` passes every request on unchanged.
    pub fn new(inner: C, cache: Option<HttpCache>) -> Self {
        Self {
            inner: Arc::new(inner),
            cache,
            clock: Arc::new(TokioClock::new()),
        }
    }

    /// Sets the clock by which ages are computed.
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
        if is_handshake(&request) {
            return next.send(request).await;
        }
        let call = Call::new(cache.clone(), url.clone(), Arc::clone(&self.clock));
        // Boxed, so that the futures of clients without a cache stay small.
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
