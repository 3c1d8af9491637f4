//! Harnesses of the standard stack with a cache, which must not change the results of the suite.

use std::sync::Arc;

use networking_conformance::http::{HttpHarness, HttpSubject, Origin};
use networking_conformance::{CaseRuntime, Harness};
use networking_http::HttpClientBuilder;
use networking_http::cache::{HttpCache, MemoryCacheStore};
use networking_spi::http::{HttpCapabilities, HttpExtendedCapabilities};

use crate::http_harness::{Hyper, Memory, in_process, standard, trusting};

pub(crate) struct CachedHyper;

impl Harness for CachedHyper {
    fn backend(&self) -> &'static str {
        "hyper-cached"
    }
}

impl HttpHarness for CachedHyper {
    fn capabilities(&self) -> &'static HttpCapabilities {
        Hyper.capabilities()
    }

    fn extended_capabilities(&self) -> Option<&'static HttpExtendedCapabilities> {
        Hyper.extended_capabilities()
    }

    fn subject(&self, origin: &Origin) -> HttpSubject {
        let client = standard(HttpClientBuilder::hyper().transport(trusting(origin)), origin)
            .cache(HttpCache::new(MemoryCacheStore::default()))
            .build();
        HttpSubject::extended(Arc::new(client.expect("the settings are valid")))
    }
}

pub(crate) struct CachedMemory;

impl Harness for CachedMemory {
    fn backend(&self) -> &'static str {
        "memory-cached"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

impl HttpHarness for CachedMemory {
    fn capabilities(&self) -> &'static HttpCapabilities {
        Memory.capabilities()
    }

    fn extended_capabilities(&self) -> Option<&'static HttpExtendedCapabilities> {
        Memory.extended_capabilities()
    }

    fn network(&self) -> bool {
        false
    }

    fn subject(&self, origin: &Origin) -> HttpSubject {
        let client = standard(HttpClientBuilder::over(in_process(origin)), origin)
            .cache(HttpCache::new(MemoryCacheStore::default()))
            .build();
        HttpSubject::extended(Arc::new(client.expect("the settings are valid")))
    }
}
