//! `MemorySource` and `MemorySink`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::FutureExt;
use networking_bridge::{MemorySink, MemorySource};
use networking_conformance::endpoint::sink::{Received, SinkHarness, SinkPeer, SinkProfile, SinkSubject};
use networking_conformance::endpoint::source::{
    PeerOutcome, PeerOutcomes, SourceHarness, SourcePeer, SourceProfile, SourceSubject,
};
use networking_conformance::endpoint::{Content, Sent};
use networking_conformance::{CaseRuntime, Harness};
use networking_spi::bridge::{BridgeMessage, BridgeProtocol, BridgeSink, BridgeSource};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability};

const CAPACITY: usize = 4;

/// The source, directly or through the implementations of the contract for `Arc` and `Box`.
pub(crate) struct MemorySourceHarness {
    pub(crate) wrapped: bool,
}

impl Harness for MemorySourceHarness {
    fn backend(&self) -> &'static str {
        if self.wrapped {
            "memory_source_wrapped"
        } else {
            "memory_source"
        }
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

#[async_trait]
impl SourceHarness for MemorySourceHarness {
    fn profile(&self) -> SourceProfile {
        SourceProfile::new(BridgeProtocol::Memory, Content::all(), PeerOutcomes::Reported, CAPACITY)
    }

    async fn source(&self) -> Result<SourceSubject> {
        let source = Arc::new(MemorySource::new(CAPACITY));
        let peer = Application {
            source: Arc::clone(&source),
            outcomes: Arc::default(),
            sent: AtomicUsize::new(0),
        };
        let source: Arc<dyn BridgeSource> = if self.wrapped {
            let boxed: Box<dyn BridgeSource> = Box::new(source);
            Arc::new(boxed)
        } else {
            source
        };
        Ok(SourceSubject::new(source, Arc::new(peer)))
    }
}

/// The application, which sends messages through the source.
struct Application {
    source: Arc<MemorySource>,
    outcomes: Arc<Mutex<HashMap<Sent, PeerOutcome>>>,
    sent: AtomicUsize,
}

#[async_trait]
impl SourcePeer for Application {
    async fn send(&self, message: BridgeMessage) -> Result<Sent> {
        let sent = Sent(self.sent.fetch_add(1, Ordering::SeqCst) as u64);
        let (source, outcomes) = (Arc::clone(&self.source), Arc::clone(&self.outcomes));
        let mut sending = Box::pin(async move {
            let outcome = match source.send_message(message).await {
                Ok(_) => PeerOutcome::Acknowledged,
                Err(error) => PeerOutcome::Refused(error.to_string()),
            };
            outcomes.lock().unwrap().insert(sent, outcome);
        });
        // After the first poll the message is in the queue, if there is room.
        if (&mut sending).now_or_never().is_none() {
            tokio::spawn(sending);
        }
        Ok(sent)
    }

    async fn outcome(&self, sent: Sent) -> PeerOutcome {
        let outcomes = self.outcomes.lock().unwrap();
        outcomes.get(&sent).cloned().unwrap_or(PeerOutcome::Pending)
    }

    fn arrived(&self) -> Option<usize> {
        Some(self.sent.load(Ordering::SeqCst))
    }
}

/// The sink, directly or through the implementations of the contract for `Arc` and `Box`.
pub(crate) struct MemorySinkHarness {
    pub(crate) wrapped: bool,
}

impl Harness for MemorySinkHarness {
    fn backend(&self) -> &'static str {
        if self.wrapped {
            "memory_sink_wrapped"
        } else {
            "memory_sink"
        }
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

#[async_trait]
impl SinkHarness for MemorySinkHarness {
    fn profile(&self) -> SinkProfile {
        SinkProfile::new(BridgeProtocol::Memory, Content::all(), "events")
            .with_other_target("others")
            .with_positions()
            .with_refusals()
    }

    async fn sink(&self) -> Result<SinkSubject> {
        let memory = Arc::new(MemorySink::new());
        let peer = Arc::new(Store(Arc::clone(&memory)));
        let sink: Arc<dyn BridgeSink> = if self.wrapped {
            let boxed: Box<dyn BridgeSink> = Box::new(memory);
            Arc::new(boxed)
        } else {
            memory
        };
        Ok(SinkSubject::new(sink, peer))
    }
}

struct Store(Arc<MemorySink>);

#[async_trait]
impl SinkPeer for Store {
    async fn received(&self, target: &str) -> Vec<Received> {
        let messages = self.0.messages().into_iter().enumerate();
        messages
            .filter(|(_, sent)| sent.target == target)
            .map(|(index, sent)| Received::new(sent.message).with_position(index.to_string()))
            .collect()
    }

    async fn refuse_next(&self) -> Result<()> {
        let refused = NetworkError::new(ErrorKind::Remote, "test", "refused");
        self.0.fail_next(refused.with_retryability(Retryability::Never));
        Ok(())
    }
}
