//! Bridges that run in this process.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use networking_spi::bridge::{
    Acknowledge, BridgeCapabilities, BridgeConfig, BridgeHealth, BridgeId, BridgeInfo, BridgeMessage, BridgeMetrics,
    BridgeReceipt, BridgeSink, BridgeSource, BridgeStatus, CommunicationBridge, Delivery, RoutingConfig,
};
use networking_spi::clock::Clock;
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Phase, Result};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::engine::Engine;
use super::routing::Router;
use networking_runtime::clock::TokioClock;

/// A [`CommunicationBridge`] whose bridges are tasks of this process.
///
/// * Messages with the same key are delivered in the order of their arrival, retries included; messages without a key, and
///   messages of different keys, side by side.
/// * A failed delivery is tried again with exponential waits and full jitter, and never sooner than the sink's error asks
///   ([`Retryability::After`](networking_spi::Retryability::After)). If it asks for more than
///   [`max_delay`](networking_spi::bridge::DeliveryRetry::max_delay), the bridge gives up at once.
/// * Dead letters say why in their header fields: see [`dead_letter_headers`](networking_spi::bridge::dead_letter_headers).
/// * A payload above [`max_payload_size`](BridgeConfig::max_payload_size) becomes a dead letter; without a dead-letter
///   target it is rejected as [`TooLarge`](ErrorKind::TooLarge).
/// * A panic in an endpoint is an [`Internal`](ErrorKind::Internal) error of that call. It does not end the bridge, unless it
///   happens while receiving.
/// * A bridge whose source ends stops, and one whose source fails for good is `failed`; both keep their name until they are
///   destroyed.
///
/// Dropping it ends its bridges: messages in work are rejected, endpoints are stopped. To finish messages in work call
/// [`shutdown`](networking_spi::bridge::CommunicationBridgeExt::shutdown) first.
///
/// Endpoints run in the tokio runtime that [`create_bridge`](CommunicationBridge::create_bridge) is called in.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use networking_bridge::{InProcessBridge, MemorySink, MemorySource};
/// use networking_spi::bridge::{BridgeConfig, RouteRule, RoutingConfig};
/// use networking_spi::prelude::*;
///
/// let bridge: Arc<dyn CommunicationBridge> = Arc::new(InProcessBridge::new());
/// let (source, sink) = (Arc::new(MemorySource::new(16)), Arc::new(MemorySink::new()));
/// let routing = RoutingConfig::new()
///     .with_rule(RouteRule::to("logins", "payload.event == 'user_login'", "user-logins"))
///     .with_default_target("events");
/// bridge.create_bridge("hooks", source.clone(), sink.clone(), BridgeConfig::new().with_routing(routing)).await?;
///
/// let receipt = source.send(r#"{"event": "user_login"}"#).await?;
/// assert_eq!(receipt.target, "user-logins");
/// bridge.shutdown().await?;
/// # Ok::<_, NetworkError>(()) }).unwrap();
/// ```
pub struct InProcessBridge {
    registry: Mutex<Registry>,
    max_bridges: usize,
    clock: Arc<dyn Clock>,
    jitter: Mutex<fastrand::Rng>,
}

#[derive(Default)]
struct Registry {
    /// Names in use, those of bridges that are being started included.
    names: HashSet<String>,
    bridges: HashMap<BridgeId, Arc<Engine>>,
}

impl InProcessBridge {
    /// With the defaults of the [builder](Self::builder).
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Starts from the defaults: at most 256 bridges, tokio's clock, random jitter.
    pub fn builder() -> InProcessBridgeBuilder {
        InProcessBridgeBuilder {
            max_bridges: 256,
            clock: None,
            jitter_seed: None,
        }
    }

    fn find(&self, operation: &'static str, bridge: &BridgeId) -> Result<Arc<Engine>> {
        let registry = self.registry.lock();
        let found = registry.bridges.get(bridge).map(Arc::clone);
        found.ok_or_else(|| NetworkError::not_found(operation, "bridge", bridge))
    }

    /// Takes a name, until the reservation is dropped or kept.
    fn reserve<'b>(&'b self, name: &str) -> Result<Reservation<'b>> {
        let mut registry = self.registry.lock();
        if registry.names.contains(name) {
            let message = "a bridge of this name exists";
            return Err(
                NetworkError::new(ErrorKind::AlreadyExists, "bridge.create_bridge", message).with_context("name", name),
            );
        }
        if registry.names.len() >= self.max_bridges {
            let error = NetworkError::new(
                ErrorKind::Exhausted,
                "bridge.create_bridge",
                "there are too many bridges",
            );
            return Err(error.with_context("limit", self.max_bridges.to_string()));
        }
        registry.names.insert(name.to_owned());
        Ok(Reservation {
            owner: self,
            name: Some(name.to_owned()),
        })
    }
}

/// Makes an [`InProcessBridge`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct InProcessBridgeBuilder {
    max_bridges: usize,
    clock: Option<Arc<dyn Clock>>,
    jitter_seed: Option<u64>,
}

impl InProcessBridgeBuilder {
    /// The most bridges at a time.
    pub fn max_bridges(mut self, bridges: usize) -> Self {
        self.max_bridges = bridges;
        self
    }

    /// The clock for timestamps and latencies. Waits and time limits follow tokio's clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Makes the jitter of retries the same in every run.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.jitter_seed = Some(seed);
        self
    }

    /// The bridge.
    pub fn build(self) -> InProcessBridge {
        InProcessBridge {
            registry: Mutex::default(),
            max_bridges: self.max_bridges,
            clock: self.clock.unwrap_or_else(|| Arc::new(TokioClock::new())),
            jitter: Mutex::new(
                self.jitter_seed
                    .map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed),
            ),
        }
    }
}

#[async_trait]
impl CommunicationBridge for InProcessBridge {
    async fn create_bridge(
        &self,
        name: &str,
        source: Arc<dyn BridgeSource>,
        target: Arc<dyn BridgeSink>,
        config: BridgeConfig,
    ) -> Result<BridgeId> {
        validate::name(name, 128, "name")?;
        config.validate()?;
        let reservation = self.reserve(name)?;
        let router = Router::compile(&config.routing, config.dead_letter_target.is_some())
            .await
            .map_err(|error| error.in_field("routing"))?;
        let id = next_id();
        let jitter = self.jitter.lock().fork();
        let clock = Arc::clone(&self.clock);
        let engine = Engine::new(id.clone(), name, (source, target), (config, router), clock, jitter);
        engine
            .start()
            .await
            .map_err(|error| error.with_context("bridge", name))?;
        reservation.keep(engine);
        Ok(id)
    }

    async fn destroy_bridge(&self, bridge: &BridgeId) -> Result<()> {
        let engine = self.find("bridge.destroy_bridge", bridge)?;
        let given_up = engine.shut_down().await;
        let mut registry = self.registry.lock();
        if registry.bridges.remove(bridge).is_some() {
            registry.names.remove(&engine.name);
        }
        drop(registry);
        if given_up == 0 {
            return Ok(());
        }
        let limit = engine.config.drain_timeout;
        let error = NetworkError::timeout("bridge.destroy_bridge", Phase::Total, limit);
        Err(error.with_context("messages_given_up", given_up.to_string()))
    }

    async fn send_message_through_bridge(&self, bridge: &BridgeId, message: BridgeMessage) -> Result<BridgeReceipt> {
        let engine = self.find("bridge.send_message_through_bridge", bridge)?;
        message.validate()?;
        let (answer, answered) = oneshot::channel();
        engine.send(Delivery::new(message, Box::new(Answer(answer)))).await?;
        let gone = |_| Err(NetworkError::closed("bridge.send_message_through_bridge", "the bridge"));
        answered.await.unwrap_or_else(gone)
    }

    async fn bridge_status(&self, bridge: &BridgeId) -> Result<BridgeStatus> {
        Ok(self.find("bridge.bridge_status", bridge)?.status())
    }

    async fn bridge_metrics(&self, bridge: &BridgeId) -> Result<BridgeMetrics> {
        Ok(self.find("bridge.bridge_metrics", bridge)?.statistics.snapshot())
    }

    async fn configure_bridge_routing(&self, bridge: &BridgeId, routing: RoutingConfig) -> Result<()> {
        let engine = self.find("bridge.configure_bridge_routing", bridge)?;
        let router = Router::compile(&routing, engine.config.dead_letter_target.is_some()).await?;
        engine.router.store(Arc::new(router));
        Ok(())
    }

    async fn all_bridges(&self) -> Result<Vec<BridgeInfo>> {
        let engines: Vec<_> = self.registry.lock().bridges.values().map(Arc::clone).collect();
        let mut all: Vec<BridgeInfo> = engines.iter().map(|engine| engine.info()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    async fn monitor_bridge_health(&self, bridge: &BridgeId) -> Result<BridgeHealth> {
        Ok(self.find("bridge.monitor_bridge_health", bridge)?.health().await)
    }

    async fn pause_bridge(&self, bridge: &BridgeId) -> Result<()> {
        self.find("bridge.pause_bridge", bridge)?.pause().await
    }

    async fn resume_bridge(&self, bridge: &BridgeId) -> Result<()> {
        self.find("bridge.resume_bridge", bridge)?.resume()
    }

    fn capabilities(&self) -> BridgeCapabilities {
        BridgeCapabilities::all()
    }
}

impl Default for InProcessBridge {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for InProcessBridge {
    fn drop(&mut self) {
        for engine in self.registry.get_mut().bridges.values() {
            engine.abandon();
        }
    }
}

impl fmt::Debug for InProcessBridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registry = self.registry.lock();
        f.debug_struct("InProcessBridge")
            .field("bridges", &registry.names)
            .field("max_bridges", &self.max_bridges)
            .finish_non_exhaustive()
    }
}

/// A name that is taken while its bridge starts.
struct Reservation<'b> {
    owner: &'b InProcessBridge,
    name: Option<String>,
}

impl Reservation<'_> {
    fn keep(mut self, engine: Arc<Engine>) {
        self.name = None;
        self.owner.registry.lock().bridges.insert(engine.id.clone(), engine);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            self.owner.registry.lock().names.remove(&name);
        }
    }
}

/// Hands the result to the application that sent the message.
struct Answer(oneshot::Sender<Result<BridgeReceipt>>);

impl Acknowledge for Answer {
    fn acknowledge(self: Box<Self>, result: Result<BridgeReceipt>) {
        // The application may have gone; the message was dealt with all the same.
        let _ = self.0.send(result);
    }
}

/// Ids are unique in the process, so that one bridge's id is unknown to another.
fn next_id() -> BridgeId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    BridgeId::new(format!("bridge-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}
