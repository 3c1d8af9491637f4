//! The bridge suite against `InProcessBridge`, and the endpoint suites against our sources and sinks: directly and through the
//! implementations of the contracts for `Arc` and `Box`.

mod endpoints;

use std::process::ExitCode;
use std::sync::Arc;

use networking_bridge::InProcessBridge;
use networking_conformance::bridge::{BridgeHarness, suite};
use networking_conformance::endpoint::{sink, source};
use networking_conformance::runner::Runner;
use networking_conformance::{CaseRuntime, Harness};
use networking_spi::bridge::{BridgeCapabilities, CommunicationBridge};

use self::endpoints::{Http, Listener, MemorySinkHarness, MemorySourceHarness};

fn main() -> ExitCode {
    Runner::new()
        .add(suite(), || Arc::new(InProcess { wrapped: false }))
        .add(suite(), || Arc::new(InProcess { wrapped: true }))
        .add(source::suite(), || Arc::new(Listener))
        .add(source::suite(), || Arc::new(MemorySourceHarness { wrapped: false }))
        .add(source::suite(), || Arc::new(MemorySourceHarness { wrapped: true }))
        .add(sink::suite(), || Arc::new(Http))
        .add(sink::suite(), || Arc::new(MemorySinkHarness { wrapped: false }))
        .add(sink::suite(), || Arc::new(MemorySinkHarness { wrapped: true }))
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

const CAPABILITIES: BridgeCapabilities = {
    let mut capabilities = BridgeCapabilities::all();
    capabilities.routing = cfg!(feature = "cel");
    capabilities
};

impl BridgeHarness for InProcess {
    fn capabilities(&self) -> &'static BridgeCapabilities {
        &CAPABILITIES
    }

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
