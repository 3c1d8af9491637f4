//! The bridge suite against `InProcessBridge`, directly and through the implementations of the contract for `Arc` and `Box`.

use std::process::ExitCode;
use std::sync::Arc;

use networking_bridge::InProcessBridge;
use networking_conformance::bridge::{BridgeHarness, suite};
use networking_conformance::runner::Runner;
use networking_conformance::{CaseRuntime, Harness};
use networking_spi::bridge::CommunicationBridge;

fn main() -> ExitCode {
    Runner::new()
        .add(suite(), || Arc::new(InProcess { wrapped: false }))
        .add(suite(), || Arc::new(InProcess { wrapped: true }))
        .run()
}

struct InProcess {
    /// Whether the bridge is called through the implementations for `Arc` and `Box`.
    wrapped: bool,
}

impl Harness for InProcess {
    fn backend(&self) -> &'static str {
        if self.wrapped {
            "in_process_wrapped"
        } else {
            "in_process"
        }
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

impl BridgeHarness for InProcess {
    fn bridge(&self) -> Arc<dyn CommunicationBridge> {
        let bridge = InProcessBridge::builder().jitter_seed(42).build();
        if self.wrapped {
            let boxed: Box<dyn CommunicationBridge> = Box::new(bridge);
            Arc::new(Arc::new(boxed))
        } else {
            Arc::new(bridge)
        }
    }
}
