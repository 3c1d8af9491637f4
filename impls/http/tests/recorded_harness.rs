//! The harness of a recording client, inside the standard stack: recording must not change the results of the suite beyond what it
//! documents.

use std::sync::Arc;

use futures_util::FutureExt;
use networking_conformance::http::{HttpHarness, HttpSubject, Origin};
use networking_conformance::{CaseRuntime, Harness, KnownFailure};
use networking_http::HttpClientBuilder;
use networking_http::recording::{Cassette, CassetteConfig, CassetteMode, RecordingClient};
use networking_spi::http::{HttpCapabilities, HttpExtendedCapabilities};
use tempfile::TempDir;

use crate::http_harness::{Memory, STANDARD, in_process, standard};

pub(crate) struct RecordedMemory {
    /// Of the cassettes.
    directory: TempDir,
}

impl RecordedMemory {
    pub(crate) fn new() -> Self {
        Self {
            directory: TempDir::new().expect("a directory for cassettes"),
        }
    }
}

impl Harness for RecordedMemory {
    fn backend(&self) -> &'static str {
        "memory-recorded"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }

    fn known_failures(&self) -> Vec<KnownFailure> {
        let without_codings = "it removes Accept-Encoding, so that recorded bodies are readable";
        vec![
            KnownFailure::new("http::fidelity::headers_of_the_caller_are_kept", without_codings),
            KnownFailure::new("http::body::codings_are_decoded_where_declared", without_codings),
            KnownFailure::new(
                "http::response::trailers_are_known_at_the_end_of_the_body",
                "it reads the body before it returns the response, and so the trailers are known then",
            ),
        ]
    }
}

impl HttpHarness for RecordedMemory {
    fn capabilities(&self) -> &'static HttpCapabilities {
        const CAPABILITIES: HttpCapabilities = {
            let mut capabilities = STANDARD;
            // Bodies are recorded as a whole.
            capabilities.streaming_download = false;
            capabilities
        };
        &CAPABILITIES
    }

    fn extended_capabilities(&self) -> Option<&'static HttpExtendedCapabilities> {
        Memory.extended_capabilities()
    }

    fn network(&self) -> bool {
        false
    }

    fn subject(&self, origin: &Origin) -> HttpSubject {
        let path = self.directory.path().join("cassette.json");
        let cassette = Cassette::open(path, CassetteMode::Record, CassetteConfig::new())
            .now_or_never()
            .expect("a cassette that is recorded is not read")
            .expect("the configuration is valid");
        let recorder = RecordingClient::new(in_process(origin), cassette);
        let client = standard(HttpClientBuilder::over(recorder), origin).build();
        HttpSubject::extended(Arc::new(client.expect("the settings are valid")))
    }
}
