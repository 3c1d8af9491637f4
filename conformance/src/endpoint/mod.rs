//! The endpoint suites, for [`BridgeSource`](networking_spi::bridge::BridgeSource) and
//! [`BridgeSink`](networking_spi::bridge::BridgeSink).
//!
//! The clauses are in `docs/contract/endpoint.md`. A source and a sink have a suite each: [`source`] and [`sink`]. The harness
//! makes an endpoint together with its *peer*, the other side of the protocol: what sends messages to a source, and what receives
//! those of a sink. It declares what the protocol can do; cases that need more are reported as skipped.
//!
//! A sink with its own protocol, and its peer:
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! use async_trait::async_trait;
//! use networking_conformance::Harness;
//! use networking_conformance::endpoint::Content;
//! use networking_conformance::endpoint::sink::{self, Received, SinkHarness, SinkPeer, SinkProfile, SinkSubject};
//! use networking_spi::bridge::{
//!     BridgeMessage, BridgeProtocol, BridgeSink, EndpointHealth, HealthState, ProtocolName,
//! };
//! use networking_spi::{NetworkError, Result};
//!
//! const AUDIT: BridgeProtocol = BridgeProtocol::Other(ProtocolName::from_static("audit"));
//!
//! /// Messages with their targets.
//! type Log = Arc<Mutex<Vec<(String, BridgeMessage)>>>;
//!
//! /// Your sink. This one appends to a log.
//! #[derive(Debug, Default)]
//! struct AuditSink {
//!     log: Log,
//!     health: Mutex<HealthState>,
//! }
//!
//! impl AuditSink {
//!     fn ensure_not_stopped(&self) -> Result<()> {
//!         match *self.health.lock().unwrap() {
//!             HealthState::Down => Err(NetworkError::closed("audit", "the sink")),
//!             _ => Ok(()),
//!         }
//!     }
//! }
//!
//! #[async_trait]
//! impl BridgeSink for AuditSink {
//!     fn protocol(&self) -> BridgeProtocol {
//!         AUDIT
//!     }
//!
//!     fn delivery_limit(&self) -> Option<Duration> {
//!         None
//!     }
//!
//!     async fn start(&self) -> Result<()> {
//!         self.ensure_not_stopped()?;
//!         *self.health.lock().unwrap() = HealthState::Up;
//!         Ok(())
//!     }
//!
//!     async fn deliver(&self, target: &str, message: BridgeMessage) -> Result<Option<String>> {
//!         self.ensure_not_stopped()?;
//!         let mut log = self.log.lock().unwrap();
//!         log.push((target.to_owned(), message));
//!         Ok(Some((log.len() - 1).to_string()))
//!     }
//!
//!     async fn stop(&self) -> Result<()> {
//!         *self.health.lock().unwrap() = HealthState::Down;
//!         Ok(())
//!     }
//!
//!     async fn health(&self) -> EndpointHealth {
//!         EndpointHealth::new(*self.health.lock().unwrap())
//!     }
//! }
//!
//! /// The reader of the log.
//! struct Auditor(Log);
//!
//! #[async_trait]
//! impl SinkPeer for Auditor {
//!     async fn received(&self, target: &str) -> Vec<Received> {
//!         let log = self.0.lock().unwrap();
//!         let entries = log.iter().enumerate().filter(|(_, (logged, _))| logged == target);
//!         entries
//!             .map(|(index, (_, message))| Received::new(message.clone()).with_position(index.to_string()))
//!             .collect()
//!     }
//! }
//!
//! struct AuditHarness;
//!
//! impl Harness for AuditHarness {
//!     fn backend(&self) -> &'static str {
//!         "audit-sink" // the name in reports
//!     }
//! }
//!
//! #[async_trait]
//! impl SinkHarness for AuditHarness {
//!     fn profile(&self) -> SinkProfile {
//!         SinkProfile::new(AUDIT, Content::all(), "events")
//!             .with_other_target("others")
//!             .with_positions()
//!     }
//!
//!     async fn sink(&self) -> Result<SinkSubject> {
//!         let sink = AuditSink::default();
//!         let auditor = Auditor(Arc::clone(&sink.log));
//!         Ok(SinkSubject::new(Arc::new(sink), Arc::new(auditor)))
//!     }
//! }
//!
//! let suite = sink::suite();
//! let report = suite.run(&suite.factory(|| Arc::new(AuditHarness)));
//! report.assert_conformant();
//! ```
//!
//! In a test file, `networking_conformance::sink_conformance!(|| Arc::new(AuditHarness));` makes one `#[test]` per case instead.

mod content;
mod sample;
pub mod sink;
pub mod source;

use std::task::Poll;
use std::time::Duration;

pub(crate) use sample::JSON;

/// How long a case waits for an event that must not happen.
const SETTLE: Duration = Duration::from_millis(50);

/// Identifies a message that a [`SourcePeer`](source::SourcePeer) has sent. The peer chooses the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sent(pub u64);

/// The bytes that a protocol can carry in one place, such as a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Carries {
    /// The protocol has no such place.
    Nothing,
    /// Visible ASCII characters, with spaces between them.
    Text,
    /// The values of HTTP fields (RFC 9110, section 5.5): like `Text`, with tabs between them, and the bytes 0x80 to 0xFF; may be
    /// empty.
    FieldValues,
    /// All bytes.
    Bytes,
}

/// What the messages of an endpoint's protocol can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Content {
    /// The bytes of payloads.
    pub payload: Carries,
    /// Whether payloads can be empty.
    pub empty_payload: bool,
    /// A payload size that the endpoint carries, in bytes. The cases send one payload of this size.
    pub large_payload: usize,
    /// The bytes of keys.
    pub key: Carries,
    /// The bytes of the values of header fields.
    pub headers: Carries,
    /// Whether header fields with different names keep their order. Fields with the same name always do.
    pub header_order: bool,
    /// Whether messages have a content type.
    pub content_type: bool,
    /// Whether the id of the sender arrives. If not, the receiver makes its own ids.
    pub id: bool,
}

impl Content {
    /// All that a message has, with payloads up to 512 KiB.
    pub const fn all() -> Self {
        Self {
            payload: Carries::Bytes,
            empty_payload: true,
            large_payload: 512 << 10,
            key: Carries::Bytes,
            headers: Carries::Bytes,
            header_order: true,
            content_type: true,
            id: true,
        }
    }

    /// Payloads of up to `large_payload` bytes, and nothing else.
    pub const fn payload_only(large_payload: usize) -> Self {
        Self {
            payload: Carries::Bytes,
            empty_payload: true,
            large_payload,
            key: Carries::Nothing,
            headers: Carries::Nothing,
            header_order: false,
            content_type: false,
            id: false,
        }
    }
}

/// Waits long enough for an event that must not happen.
async fn settle() {
    tokio::time::sleep(SETTLE).await;
}

/// Polls a future up to `polls` times, then drops it.
async fn poll_times<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    for _ in 0..polls {
        let polled = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if let Poll::Ready(value) = polled {
            return Some(value);
        }
        tokio::task::yield_now().await;
    }
    None
}
