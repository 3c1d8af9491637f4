//! Endpoints in memory: for tests, examples, and applications that feed a bridge themselves.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use networking_spi::bridge::{
    Acknowledge, BridgeMessage, BridgeProtocol, BridgeReceipt, BridgeSink, BridgeSource, Delivery, EndpointHealth,
    HealthState,
};
use networking_spi::clock::Clock;
use networking_spi::error::context;
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use networking_runtime::clock::TokioClock;

/// Both ends of a bridge, in memory: what a test needs to send messages through a bridge and to see what is delivered.
///
/// ```
/// use networking_bridge::{InProcessBridge, MemoryEnds};
/// use networking_spi::bridge::{BridgeConfig, RoutingConfig};
/// use networking_spi::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), NetworkError> {
/// let ends = MemoryEnds::new(16);
/// let bridge = InProcessBridge::new();
/// let config = BridgeConfig::new().with_routing(RoutingConfig::new().with_default_target("events"));
/// bridge.create_bridge("orders", ends.source.clone(), ends.sink.clone(), config).await?;
///
/// let receipt = ends.source.send("order 7").await?;
/// assert_eq!(receipt.position.as_deref(), Some("0"));
/// assert_eq!(ends.sink.messages_for("events")[0].payload, "order 7");
///
/// // The next delivery fails, and the bridge retries it.
/// ends.sink.fail_next(NetworkError::new(ErrorKind::ConnectionClosed, "test", "the connection was lost"));
/// assert_eq!(ends.source.send("order 8").await?.attempts, 2);
/// # Ok(()) }
/// ```
///
/// Exhaustive on purpose: a bridge has two ends.
#[derive(Debug, Clone)]
pub struct MemoryEnds {
    /// Sends messages, and returns the receipt of each.
    pub source: Arc<MemorySource>,
    /// Stores what the bridge delivers, and fails on request.
    pub sink: Arc<MemorySink>,
}

impl MemoryEnds {
    /// A source that queues up to `capacity` messages, at least 1, and a sink that stores up to 100 000.
    pub fn new(capacity: usize) -> Self {
        Self {
            source: Arc::new(MemorySource::new(capacity)),
            sink: Arc::new(MemorySink::new()),
        }
    }
}

/// A source whose messages the application sends. Each send returns the receipt of its message.
///
/// It queues a fixed number of messages. While the queue is full, sending waits.
pub struct MemorySource {
    sender: mpsc::Sender<Event>,
    events: tokio::sync::Mutex<mpsc::Receiver<Event>>,
    started: AtomicBool,
    stopped: CancellationToken,
    clock: Arc<dyn Clock>,
    next_id: AtomicU64,
}

enum Event {
    Message(Delivery),
    Failure(NetworkError),
}

impl MemorySource {
    /// A source that queues up to `capacity` messages, at least 1.
    pub fn new(capacity: usize) -> Self {
        let (sender, events) = mpsc::channel(capacity.max(1));
        Self {
            sender,
            events: tokio::sync::Mutex::new(events),
            started: AtomicBool::new(false),
            stopped: CancellationToken::new(),
            clock: Arc::new(TokioClock::new()),
            next_id: AtomicU64::new(1),
        }
    }

    /// Sends a payload, and waits until the bridge acknowledges or rejects it.
    ///
    /// Cancel safety: not cancel safe. The message may have been delivered.
    ///
    /// # Errors
    /// The error with which the bridge rejects the message, and [`Closed`](ErrorKind::Closed) after `stop`.
    pub async fn send(&self, payload: impl Into<Bytes> + Send) -> Result<BridgeReceipt> {
        let id = format!("memory-{}", self.next_id.fetch_add(1, Ordering::Relaxed));
        self.send_message(BridgeMessage::new(id, payload, self.clock.now()).with_origin("memory"))
            .await
    }

    /// Sends a message, and waits until the bridge acknowledges or rejects it. The names of its header fields are converted to
    /// lower case.
    ///
    /// Cancel safety: not cancel safe. The message may have been delivered.
    ///
    /// # Errors
    /// Like [`send`](Self::send).
    pub async fn send_message(&self, mut message: BridgeMessage) -> Result<BridgeReceipt> {
        for (name, _) in &mut message.headers {
            name.make_ascii_lowercase();
        }
        let (sender, completed) = oneshot::channel();
        let delivery = Delivery::new(message, Box::new(Completion(sender)));
        self.queue(Event::Message(delivery)).await?;
        completed.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Makes a call of the bridge to `receive` fail with this error, after the messages that were sent before.
    ///
    /// Cancel safety: cancel safe. A cancelled call has no effect.
    ///
    /// # Errors
    /// [`Closed`](ErrorKind::Closed) after `stop`.
    pub async fn fail(&self, error: NetworkError) -> Result<()> {
        self.queue(Event::Failure(error)).await
    }

    /// Queues an event as soon as there is room.
    async fn queue(&self, event: Event) -> Result<()> {
        tokio::select! {
            biased;
            () = self.stopped.cancelled() => Err(closed()),
            sent = self.sender.send(event) => sent.map_err(|_| closed()),
        }
    }
}

fn closed() -> NetworkError {
    NetworkError::closed("bridge.memory", "the source")
}

#[async_trait]
impl BridgeSource for MemorySource {
    fn protocol(&self) -> BridgeProtocol {
        BridgeProtocol::Memory
    }

    async fn start(&self) -> Result<()> {
        if self.stopped.is_cancelled() {
            return Err(closed());
        }
        self.started.store(true, Ordering::Release);
        Ok(())
    }

    async fn receive(&self) -> Result<Option<Delivery>> {
        let mut events = self.events.lock().await;
        let event = tokio::select! {
            biased;
            event = events.recv() => event,
            () = self.stopped.cancelled() => {
                // Further sends fail. Queued messages are still received.
                events.close();
                events.recv().await
            }
        };
        match event {
            Some(Event::Message(delivery)) => Ok(Some(delivery)),
            Some(Event::Failure(error)) => Err(error),
            None => Ok(None),
        }
    }

    async fn stop(&self) -> Result<()> {
        self.stopped.cancel();
        Ok(())
    }

    async fn health(&self) -> EndpointHealth {
        EndpointHealth::new(if self.stopped.is_cancelled() {
            HealthState::Down
        } else if self.started.load(Ordering::Acquire) {
            HealthState::Up
        } else {
            HealthState::Unknown
        })
    }
}

impl fmt::Debug for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySource")
            .field("stopped", &self.stopped.is_cancelled())
            .finish_non_exhaustive()
    }
}

struct Completion(oneshot::Sender<Result<BridgeReceipt>>);

impl Acknowledge for Completion {
    fn acknowledge(self: Box<Self>, result: Result<BridgeReceipt>) {
        // Fails if the sender no longer waits.
        let _ = self.0.send(result);
    }
}

/// A message that a [`MemorySink`] received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentMessage {
    /// The target that it was delivered to.
    pub target: String,
    /// The message.
    pub message: BridgeMessage,
}

/// A sink that stores messages, up to a limit, and fails on request.
///
/// The positions in its receipts are `0`, `1` and so on, over all targets.
#[derive(Debug)]
pub struct MemorySink {
    state: Mutex<SinkState>,
    limit: usize,
}

#[derive(Debug, Default)]
struct SinkState {
    messages: Vec<SentMessage>,
    failures: VecDeque<NetworkError>,
    started: bool,
    stopped: bool,
}

impl MemorySink {
    /// A sink that stores up to 100 000 messages.
    pub fn new() -> Self {
        Self::with_limit(100_000)
    }

    /// A sink that stores up to `messages` messages. Further deliveries fail with [`Exhausted`](ErrorKind::Exhausted).
    pub fn with_limit(messages: usize) -> Self {
        Self {
            state: Mutex::default(),
            limit: messages,
        }
    }

    /// Makes the next delivery fail with this error. After several calls, that number of deliveries fails, each with its error,
    /// in the order of the calls.
    pub fn fail_next(&self, error: NetworkError) {
        self.state.lock().failures.push_back(error);
    }

    /// The messages received until now, in order.
    pub fn messages(&self) -> Vec<SentMessage> {
        self.state.lock().messages.clone()
    }

    /// The messages received until now for one target, in order.
    pub fn messages_for(&self, target: &str) -> Vec<BridgeMessage> {
        let state = self.state.lock();
        let of_target = state.messages.iter().filter(|sent| sent.target == target);
        of_target.map(|sent| sent.message.clone()).collect()
    }
}

impl Default for MemorySink {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl BridgeSink for MemorySink {
    fn protocol(&self) -> BridgeProtocol {
        BridgeProtocol::Memory
    }

    fn delivery_limit(&self) -> Option<Duration> {
        None
    }

    async fn start(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.stopped {
            return Err(NetworkError::closed("bridge.memory", "the sink"));
        }
        state.started = true;
        Ok(())
    }

    async fn deliver(&self, target: &str, message: BridgeMessage) -> Result<Option<String>> {
        let mut state = self.state.lock();
        if state.stopped {
            return Err(NetworkError::closed("bridge.memory", "the sink"));
        }
        if let Some(error) = state.failures.pop_front() {
            return Err(error);
        }
        if state.messages.len() >= self.limit {
            let error = NetworkError::new(ErrorKind::Exhausted, "bridge.memory", "the sink is full");
            return Err(error.with_context(context::LIMIT, self.limit.to_string()));
        }
        let position = state.messages.len().to_string();
        state.messages.push(SentMessage {
            target: target.to_owned(),
            message,
        });
        Ok(Some(position))
    }

    async fn stop(&self) -> Result<()> {
        self.state.lock().stopped = true;
        Ok(())
    }

    async fn health(&self) -> EndpointHealth {
        let state = self.state.lock();
        EndpointHealth::new(match (state.started, state.stopped) {
            (_, true) => HealthState::Down,
            (true, false) => HealthState::Up,
            (false, false) => HealthState::Unknown,
        })
    }
}
