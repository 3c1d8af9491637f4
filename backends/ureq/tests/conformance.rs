//! The HTTP suite against a backend outside of the reference implementations.

use std::process::ExitCode;
use std::sync::Arc;

use networking_conformance::http::{HttpHarness, HttpSubject, Origin, Tls};
use networking_conformance::{Harness, KnownFailure, http, runner};
use networking_spi::http::HttpCapabilities;
use ureq_backend::UreqClient;

#[derive(Debug)]
struct UreqHarness;

impl Harness for UreqHarness {
    fn backend(&self) -> &'static str {
        "ureq"
    }

    fn known_failures(&self) -> Vec<KnownFailure> {
        vec![KnownFailure::new(
            "http::connection::dropping_a_call_aborts_it",
            "a blocking call cannot be aborted: it continues on its thread until it ends",
        )]
    }
}

impl HttpHarness for UreqHarness {
    fn capabilities(&self) -> &'static HttpCapabilities {
        const SUPPORTED: HttpCapabilities = {
            let mut supported = HttpCapabilities::none();
            supported.timeout = true;
            supported.response_size_limit = true;
            supported
        };
        &SUPPORTED
    }

    fn tls(&self) -> Tls {
        Tls::Unsupported
    }

    fn subject(&self, _origin: &Origin) -> HttpSubject {
        HttpSubject::new(Arc::new(UreqClient::default()))
    }
}

fn main() -> ExitCode {
    runner::main(http::suite(), || Arc::new(UreqHarness) as Arc<dyn HttpHarness>)
}
