//! The HTTP suite against a backend outside of the reference implementations.

use std::process::ExitCode;
use std::sync::Arc;

use isahc_backend::IsahcClient;
use networking_conformance::http::{HttpHarness, HttpSubject, Origin, Tls};
use networking_conformance::{Harness, KnownFailure, http, runner};
use networking_spi::http::HttpCapabilities;

#[derive(Debug)]
struct IsahcHarness;

impl Harness for IsahcHarness {
    fn backend(&self) -> &'static str {
        "isahc"
    }

    fn known_failures(&self) -> Vec<KnownFailure> {
        vec![
            KnownFailure::new(
                "http::connection::closing_without_an_answer_is_a_connection_error",
                "libcurl sends a POST again if a kept connection is closed before a response",
            ),
            KnownFailure::new(
                "http::connection::dropping_a_call_aborts_it",
                "libcurl keeps the connection of a dropped call until the peer sends or closes",
            ),
            KnownFailure::new(
                "http::fidelity::targets_arrive_as_written",
                "libcurl writes percent-encoded bytes in upper case",
            ),
            KnownFailure::new(
                "http::fidelity::header_values_are_bytes",
                "isahc takes header values in UTF-8 only",
            ),
        ]
    }
}

impl HttpHarness for IsahcHarness {
    fn capabilities(&self) -> &'static HttpCapabilities {
        const {
            &{
                let mut supported = HttpCapabilities::none();
                supported.timeout = true;
                supported.streaming_upload = true;
                supported.streaming_download = true;
                supported.response_size_limit = true;
                supported
            }
        }
    }

    fn tls(&self) -> Tls {
        Tls::Unsupported
    }

    fn subject(&self, _origin: &Origin) -> HttpSubject {
        HttpSubject::new(Arc::new(IsahcClient::new().expect("libcurl starts")))
    }
}

fn main() -> ExitCode {
    runner::main(http::suite(), || Arc::new(IsahcHarness) as Arc<dyn HttpHarness>)
}
