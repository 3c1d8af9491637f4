//! Access to the inner clients of wrappers.

use std::sync::Arc;

use networking_http::MemoryHttpClient;
use networking_http::layer::{
    AttemptTimeoutClient, AuthClient, CacheClient, CircuitBreakerClient, ClientDefaults, ConcurrencyClient,
    CookieClient, DecompressionClient, DefaultsClient, HedgeClient, InterceptorClient, MetricsClient, RateLimitClient,
    RedirectClient, RedirectPolicy, RetryClient, TotalTimeoutClient, TraceClient,
};
use networking_spi::http::RetryPolicy;
use networking_spi::prelude::*;

/// Sends a request through `client`, and returns whether the transport has received it.
async fn is_over(client: &impl HttpClient, transport: &MemoryHttpClient) -> bool {
    let before = transport.received().len();
    client.get("http://a.test/").await.unwrap();
    transport.received().len() == before + 1
}

#[tokio::test]
async fn every_wrapper_gives_access_to_its_inner_client() {
    let transport = MemoryHttpClient::new();
    macro_rules! check {
        ($($wrapper:expr),+ $(,)?) => {$({
            let wrapper = $wrapper;
            let name = stringify!($wrapper);
            assert!(is_over(wrapper.get_ref(), &transport).await, "{name}");
            assert!(is_over(&wrapper.into_inner(), &transport).await, "{name}");
        })+};
    }
    let inner = || transport.clone();
    check!(
        AttemptTimeoutClient::new(inner(), None),
        AuthClient::new(inner(), None),
        CacheClient::new(inner(), None),
        CircuitBreakerClient::new(inner()),
        ConcurrencyClient::new(inner(), None).unwrap(),
        CookieClient::new(inner(), None),
        DecompressionClient::new(inner(), true, None),
        DefaultsClient::new(inner(), ClientDefaults::default()).unwrap(),
        HedgeClient::new(inner(), None).unwrap(),
        InterceptorClient::new(inner(), Vec::new()),
        MetricsClient::new(inner()),
        RateLimitClient::new(inner(), None).unwrap(),
        RedirectClient::new(inner(), RedirectPolicy::default()),
        RetryClient::new(inner(), RetryPolicy::default()).unwrap(),
        TotalTimeoutClient::new(inner(), None),
        TraceClient::new(inner(), None),
    );
    assert_eq!(transport.received().len(), 32);
}

#[tokio::test]
async fn the_shared_inner_client_of_an_idle_wrapper_is_the_only_reference() {
    let inner: Arc<MemoryHttpClient> = AuthClient::new(MemoryHttpClient::new(), None).into_inner();
    assert!(Arc::into_inner(inner).is_some());
}
