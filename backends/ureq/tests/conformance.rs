//! The HTTP suite against a backend outside of the reference implementations.

use std::process::ExitCode;
use std::sync::Arc;

use networking_conformance::http::{HttpHarness, HttpSubject, Origin};
use networking_conformance::{Harness, KnownFailure, http, runner};
use networking_spi::http::{HttpCapabilities, HttpClient};
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
    fn capabilities(&self) -> HttpCapabilities {
        UreqClient::default().capabilities()
    }

    fn tls(&self) -> bool {
        false
    }

    fn subject(&self, _origin: &Origin) -> HttpSubject {
        HttpSubject::new(Arc::new(UreqClient::default()))
    }
}

fn main() -> ExitCode {
    runner::main(http::suite(), || Arc::new(UreqHarness) as Arc<dyn HttpHarness>)
}
