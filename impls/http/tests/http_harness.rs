//! Harnesses of the HTTP implementations, shared by the tests that run the conformance suite.
#![allow(dead_code, reason = "each test binary uses some of it")]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use networking_conformance::http::{HttpHarness, HttpSubject, Origin};
use networking_conformance::{CaseRuntime, Harness, KnownFailure};
use networking_http::layer::{ConcurrencyLimit, HedgePolicy, RateLimit, TraceContext, TraceContextSource};
use networking_http::{
    HttpClientBuilder, HyperHttpClient, HyperTransport, MemoryHttpClient, ReqwestHttpClient, ReqwestTransport,
    StandardHttpClient, TransportConfig,
};
use networking_spi::compression::CompressionType;
use networking_spi::http::{HttpCapabilities, HttpExtendedCapabilities};

/// The standard stack over hyper.
pub(crate) struct Hyper;

/// The bare transport over hyper.
pub(crate) struct BareHyper;

/// The standard stack over hyper, in a runtime with one thread.
pub(crate) struct OneThread;

/// The standard stack over reqwest.
pub(crate) struct Reqwest;

/// The bare transport over reqwest.
pub(crate) struct BareReqwest;

/// The standard stack over the in-memory client.
pub(crate) struct Memory;

/// The standard stack over the in-memory client, with every wrapper that is off by default.
pub(crate) struct EveryLayer;

/// The bare in-memory client.
pub(crate) struct BareMemory;

/// The standard stack over reqwest, behind `Arc` and `Box`.
pub(crate) struct Pointers;

impl Harness for Hyper {
    fn backend(&self) -> &'static str {
        "hyper"
    }
}

impl HttpHarness for Hyper {
    fn capabilities(&self) -> &'static HttpCapabilities {
        Reqwest.capabilities()
    }

    fn extended_capabilities(&self) -> Option<&'static HttpExtendedCapabilities> {
        Reqwest.extended_capabilities()
    }

    fn subject(&self, origin: &Origin) -> HttpSubject {
        HttpSubject::extended(Arc::new(hyper(origin)))
    }
}

impl Harness for OneThread {
    fn backend(&self) -> &'static str {
        "hyper-one-thread"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::CurrentThread
    }
}

impl HttpHarness for OneThread {
    fn capabilities(&self) -> &'static HttpCapabilities {
        Hyper.capabilities()
    }

    fn extended_capabilities(&self) -> Option<&'static HttpExtendedCapabilities> {
        Hyper.extended_capabilities()
    }

    fn subject(&self, origin: &Origin) -> HttpSubject {
        Hyper.subject(origin)
    }
}

impl Harness for BareHyper {
    fn backend(&self) -> &'static str {
        "hyper-transport"
    }
}

impl HttpHarness for BareHyper {
    fn capabilities(&self) -> &'static HttpCapabilities {
        BareReqwest.capabilities()
    }

    fn subject(&self, origin: &Origin) -> HttpSubject {
        HttpSubject::new(Arc::new(
            HyperTransport::new(trusting(origin)).expect("the defaults are valid"),
        ))
    }
}

impl Harness for Reqwest {
    fn backend(&self) -> &'static str {
        "reqwest"
    }
}

impl HttpHarness for Reqwest {
    fn capabilities(&self) -> &'static HttpCapabilities {
        &STANDARD_NETWORK
    }

    fn extended_capabilities(&self) -> Option<&'static HttpExtendedCapabilities> {
        Some(&EXTENDED_NETWORK)
    }

    fn subject(&self, origin: &Origin) -> HttpSubject {
        HttpSubject::extended(Arc::new(reqwest(origin)))
    }
}

impl Harness for BareReqwest {
    fn backend(&self) -> &'static str {
        "reqwest-transport"
    }
}

impl HttpHarness for BareReqwest {
    fn capabilities(&self) -> &'static HttpCapabilities {
        &NETWORK
    }

    fn subject(&self, origin: &Origin) -> HttpSubject {
        HttpSubject::new(Arc::new(
            ReqwestTransport::new(trusting(origin)).expect("the defaults are valid"),
        ))
    }
}

impl Harness for Memory {
    fn backend(&self) -> &'static str {
        "memory"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

impl HttpHarness for Memory {
    fn capabilities(&self) -> &'static HttpCapabilities {
        &STANDARD
    }

    fn extended_capabilities(&self) -> Option<&'static HttpExtendedCapabilities> {
        Some(&EXTENDED)
    }

    fn network(&self) -> bool {
        false
    }

    fn subject(&self, origin: &Origin) -> HttpSubject {
        HttpSubject::extended(Arc::new(memory(origin)))
    }
}

impl Harness for EveryLayer {
    fn backend(&self) -> &'static str {
        "memory-every-wrapper"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }

    fn known_failures(&self) -> Vec<KnownFailure> {
        vec![KnownFailure::new(
            "http::fidelity::cookies_are_not_sent_back",
            "it has a cookie jar",
        )]
    }
}

impl HttpHarness for EveryLayer {
    fn capabilities(&self) -> &'static HttpCapabilities {
        &STANDARD
    }

    fn extended_capabilities(&self) -> Option<&'static HttpExtendedCapabilities> {
        Some(&EXTENDED)
    }

    fn network(&self) -> bool {
        false
    }

    fn subject(&self, origin: &Origin) -> HttpSubject {
        HttpSubject::extended(Arc::new(every_layer(origin)))
    }
}

impl Harness for BareMemory {
    fn backend(&self) -> &'static str {
        "memory-transport"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

impl HttpHarness for BareMemory {
    fn capabilities(&self) -> &'static HttpCapabilities {
        &IN_MEMORY
    }

    fn network(&self) -> bool {
        false
    }

    fn subject(&self, origin: &Origin) -> HttpSubject {
        HttpSubject::new(Arc::new(in_process(origin)))
    }
}

impl Harness for Pointers {
    fn backend(&self) -> &'static str {
        "reqwest-in-pointers"
    }
}

impl HttpHarness for Pointers {
    fn capabilities(&self) -> &'static HttpCapabilities {
        Reqwest.capabilities()
    }

    fn extended_capabilities(&self) -> Option<&'static HttpExtendedCapabilities> {
        Reqwest.extended_capabilities()
    }

    fn subject(&self, origin: &Origin) -> HttpSubject {
        HttpSubject::extended(Arc::new(Box::new(Arc::new(reqwest(origin)))))
    }
}

/// The bare in-memory client.
const IN_MEMORY: HttpCapabilities = {
    let mut capabilities = HttpCapabilities::none();
    capabilities.streaming_download = true;
    capabilities.response_size_limit = true;
    capabilities.trailers = true;
    capabilities
};

/// The bare network transports.
const NETWORK: HttpCapabilities = on_the_network(IN_MEMORY);

/// The wrappers over the in-memory client.
pub(crate) const STANDARD: HttpCapabilities = {
    let mut capabilities = IN_MEMORY;
    capabilities.base_url = true;
    capabilities.timeout = true;
    capabilities.attempt_timeout = true;
    capabilities.total_timeout = true;
    capabilities.retry = true;
    capabilities.circuit_breaker = true;
    capabilities.metrics = true;
    capabilities.redirect_control = true;
    capabilities.raise_for_status = true;
    capabilities.decompression = true;
    capabilities
};

/// The wrappers over a network transport.
const STANDARD_NETWORK: HttpCapabilities = on_the_network(STANDARD);

const fn on_the_network(mut capabilities: HttpCapabilities) -> HttpCapabilities {
    capabilities.streaming_upload = true;
    capabilities.per_request_proxy = true;
    capabilities.per_request_tls = true;
    capabilities.http2 = true;
    capabilities
}

static EXTENDED: LazyLock<HttpExtendedCapabilities> = LazyLock::new(|| {
    let mut capabilities = HttpExtendedCapabilities::default();
    capabilities.streaming = true;
    capabilities.oauth2 = cfg!(feature = "oauth2");
    capabilities.jwt = cfg!(feature = "jwt");
    capabilities.compression = CompressionType::ALL.to_vec();
    capabilities
});

static EXTENDED_NETWORK: LazyLock<HttpExtendedCapabilities> = LazyLock::new(|| {
    let mut capabilities = EXTENDED.clone();
    capabilities.pool_stats = true;
    capabilities.websocket = cfg!(feature = "websocket");
    capabilities.websocket_compression = cfg!(feature = "websocket-compression");
    capabilities
});

/// Trusts the origin alone. Reading the CA certificates of the machine for each client takes a quarter of the time.
pub(crate) fn trusting(origin: &Origin) -> TransportConfig {
    let config = TransportConfig::new().with_system_roots(false);
    config.with_root_certificate(origin.root_certificate())
}

/// The settings that the suite asks for.
pub(crate) fn standard<S>(builder: HttpClientBuilder<S>, origin: &Origin) -> HttpClientBuilder<S> {
    let builder = builder.base_url(origin.base_url()).retries(0);
    #[cfg(feature = "jwt")]
    let builder = {
        use networking_http::jwt::{JwtKey, JwtPolicy, KeySource};
        use networking_spi::http::JwtAlgorithm;

        let key = JwtKey::hmac(JwtAlgorithm::Hs256, origin.token_secret()).expect("the secret is long enough");
        builder.jwt(KeySource::Static(vec![key]), JwtPolicy::new([JwtAlgorithm::Hs256]))
    };
    builder
}

fn hyper(origin: &Origin) -> HyperHttpClient {
    standard(HttpClientBuilder::hyper().transport(trusting(origin)), origin)
        .build()
        .expect("the settings are valid")
}

fn reqwest(origin: &Origin) -> ReqwestHttpClient {
    standard(HttpClientBuilder::reqwest().transport(trusting(origin)), origin)
        .build()
        .expect("the settings are valid")
}

fn memory(origin: &Origin) -> StandardHttpClient<MemoryHttpClient> {
    standard(HttpClientBuilder::over(in_process(origin)), origin)
        .build()
        .expect("the settings are valid")
}

/// All wrappers, with settings that must not change the results of the suite.
fn every_layer(origin: &Origin) -> StandardHttpClient<MemoryHttpClient> {
    let high_rate = RateLimit::per_second(1_000_000).with_burst(1_000_000);
    let builder = standard(HttpClientBuilder::over(in_process(origin)), origin)
        .rate_limit(high_rate)
        .rate_limit_per_host(high_rate)
        .concurrency_limit(ConcurrencyLimit::per_host(1_000))
        .hedging(HedgePolicy::after(Duration::from_secs(86_400)))
        .trace_contexts(Arc::new(NewTraces));
    let builder = builder.cookies(networking_http::CookieJar::new());
    builder.build().expect("the settings are valid")
}

#[derive(Debug)]
struct NewTraces;

impl TraceContextSource for NewTraces {
    fn current(&self) -> Option<TraceContext> {
        Some(TraceContext::root(true))
    }
}

pub(crate) fn in_process(origin: &Origin) -> MemoryHttpClient {
    let origin = origin.clone();
    MemoryHttpClient::serving(move |request| {
        let origin = origin.clone();
        async move { Ok(origin.answer(request.into()).await) }
    })
}
