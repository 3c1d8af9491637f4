//! Each capability of an HTTP client has a case that needs it.

use std::sync::Arc;

use networking_conformance::http::{HttpHarness, HttpSubject, Origin, suite};
use networking_conformance::{Applies, Harness};
use networking_spi::compression::CompressionType;
use networking_spi::http::{HttpCapabilities, HttpExtendedCapabilities};

/// Declares these capabilities, and makes no client.
struct Declares(&'static HttpCapabilities, &'static HttpExtendedCapabilities);

impl Harness for Declares {
    fn backend(&self) -> &'static str {
        "declares"
    }
}

impl HttpHarness for Declares {
    fn capabilities(&self) -> &'static HttpCapabilities {
        self.0
    }

    fn extended_capabilities(&self) -> Option<&'static HttpExtendedCapabilities> {
        Some(self.1)
    }

    fn subject(&self, _origin: &Origin) -> HttpSubject {
        unreachable!("no case is run")
    }
}

/// All capabilities without one, for each one, with its name.
macro_rules! all_but {
    ($all:expr, $($name:ident),+) => {
        [$((stringify!($name), {
            let mut declared = $all;
            declared.$name = Default::default();
            declared
        })),+]
    };
}

fn extended() -> HttpExtendedCapabilities {
    let mut all = HttpExtendedCapabilities::default();
    all.streaming = true;
    all.websocket = true;
    all.websocket_compression = true;
    all.oauth2 = true;
    all.jwt = true;
    all.compression = CompressionType::ALL.to_vec();
    all.pool_stats = true;
    all
}

fn unsupported(declared: HttpCapabilities, extended: HttpExtendedCapabilities) -> Vec<&'static str> {
    let harness: Arc<dyn HttpHarness> =
        Arc::new(Declares(Box::leak(Box::new(declared)), Box::leak(Box::new(extended))));
    let applies = suite().cases.into_iter().map(|case| (case.applies)(&*harness));
    applies
        .filter_map(|applies| match applies {
            Applies::Unsupported(capability) => Some(capability),
            _ => None,
        })
        .collect()
}

#[test]
fn every_case_applies_to_a_client_with_every_capability() {
    assert_eq!(unsupported(HttpCapabilities::all(), extended()), Vec::<&str>::new());
}

#[test]
fn each_capability_has_a_case() {
    let without = all_but!(
        HttpCapabilities::all(),
        base_url,
        timeout,
        attempt_timeout,
        total_timeout,
        retry,
        circuit_breaker,
        metrics,
        streaming_upload,
        streaming_download,
        redirect_control,
        response_size_limit,
        raise_for_status,
        decompression,
        per_request_proxy,
        per_request_tls,
        http2,
        trailers
    );
    assert_eq!(without.map(|(name, _)| name), HttpCapabilities::NAMES);
    for (name, declared) in without {
        let cases = unsupported(declared, extended());
        assert!(
            !cases.is_empty() && cases.iter().all(|case| *case == name),
            "{name}: {cases:?}"
        );
    }
}

#[test]
fn each_extended_capability_has_a_case() {
    let without = all_but!(
        extended(),
        streaming,
        websocket,
        websocket_compression,
        oauth2,
        jwt,
        compression,
        pool_stats
    );
    assert_eq!(
        without.each_ref().map(|(name, _)| *name),
        HttpExtendedCapabilities::NAMES
    );
    for (name, declared) in without {
        let cases = unsupported(HttpCapabilities::all(), declared);
        assert!(
            !cases.is_empty() && cases.iter().all(|case| *case == name),
            "{name}: {cases:?}"
        );
    }
}
