//! The HTTP conformance suite against every HTTP implementation of this crate.

mod http_harness;

use std::process::ExitCode;
use std::sync::Arc;

use networking_conformance::http::suite;
use networking_conformance::runner::Runner;

fn main() -> ExitCode {
    Runner::new()
        .add(suite(), || Arc::new(http_harness::Hyper))
        .add(suite(), || Arc::new(http_harness::BareHyper))
        .add(suite(), || Arc::new(http_harness::Reqwest))
        .add(suite(), || Arc::new(http_harness::BareReqwest))
        .add(suite(), || Arc::new(http_harness::Memory))
        .add(suite(), || Arc::new(http_harness::EveryLayer))
        .add(suite(), || Arc::new(http_harness::BareMemory))
        .add(suite(), || Arc::new(http_harness::Pointers))
        .run()
}
