//! The bridge that runs in this process.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use networking_spi::bridge::{
    Acknowledge, BridgeCapabilities, BridgeConfig, BridgeHealth, BridgeId, BridgeInfo, BridgeMessage, BridgeMetrics,
    BridgeReceipt, BridgeSink, BridgeSource, BridgeStatus, CommunicationBridge, Delivery, RouteRule, RoutingConfig,
};
use networking_spi::clock::Clock;
use networking_spi::error::{ResultExt, context};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Phase, Result};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::engine::{Engine, EngineParts};
use crate::routing::{ConditionCompiler, Router, default_compiler};
use networking_runtime::clock::TokioClock;

/// A [`CommunicationBridge`] whose bridges are tasks of this process.
///
/// * Messages of the same key are delivered in the order of their arrival, retries included. Messages without a key, and
///   messages of different keys, are delivered concurrently.
/// * A failed delivery is retried with exponential backoff and full jitter, at the earliest after the delay that the sink's
///   error requests ([`Retryability::After`](networking_spi::Retryability::After)). If it requests more than
///   [`maximum`](networking_spi::backoff::Backoff::maximum), the bridge stops retrying immediately.
/// * Dead letters have the reason in [header fields](networking_spi::bridge::dead_letter_headers).
/// * A payload larger than [`max_payload_size`](BridgeConfig::max_payload_size) is dead-lettered; without a dead-letter
///   target it is rejected with [`TooLarge`](ErrorKind::TooLarge).
/// * A panic of an endpoint becomes an [`Internal`](ErrorKind::Internal) error of that call. It ends the bridge only if
///   [`receive`](BridgeSource::receive) panics.
/// * A rule that has a condition needs a [`ConditionCompiler`]: the feature `cel` (`bridge-cel` in `networking-impls`) adds
///   one, and [`condition_compiler`](InProcessBridgeBuilder::condition_compiler) sets another. Without a compiler,
///   `capabilities().routing` is false, and configuring such a rule fails with [`Unsupported`](ErrorKind::Unsupported). The
///   condition `true` matches every message and needs no compiler.
/// * When its source ends, a bridge is `stopped`; when its source returns an error that is not retryable, it is `failed`. It
///   keeps its name until it is destroyed.
///
/// Dropping it ends its bridges: messages in flight are rejected, and the endpoints are stopped. To deliver the messages in
/// flight first, call [`shutdown`](networking_spi::bridge::CommunicationBridgeExt::shutdown).
///
/// A bridge runs in the tokio runtime in which [`create_bridge`](CommunicationBridge::create_bridge) is called.
///
/// # Cancel safety
///
/// A cancelled `create_bridge` creates no bridge: its endpoints are stopped. A cancelled `destroy_bridge` continues in the
/// background, but the bridge keeps its name until another call completes. A cancelled `send_message_through_bridge` may have
/// delivered the message.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use networking_bridge::{InProcessBridge, MemorySink, MemorySource};
/// use networking_spi::bridge::{BridgeConfig, RoutingConfig};
/// use networking_spi::prelude::*;
///
/// let bridge: Arc<dyn CommunicationBridge> = Arc::new(InProcessBridge::new());
/// let (source, sink) = (Arc::new(MemorySource::new(16)), Arc::new(MemorySink::new()));
/// let routing = RoutingConfig::new().with_default_target("events");
/// bridge.create_bridge("hooks", source.clone(), sink.clone(), BridgeConfig::new().with_routing(routing)).await?;
///
/// let receipt = source.send(r#"{"event": "user_login"}"#).await?;
/// assert_eq!(receipt.target, "events");
/// bridge.shutdown().await?;
/// # Ok::<_, NetworkError>(()) }).unwrap();
/// ```
pub struct InProcessBridge {
    registry: Mutex<Registry>,
    max_bridges: usize,
    compiler: Option<Arc<dyn ConditionCompiler>>,
    clock: Arc<dyn Clock>,
    jitter: Mutex<fastrand::Rng>,
}

#[derive(Default)]
struct Registry {
    /// Names in use, including those of bridges that are being started.
    names: HashSet<String>,
    bridges: HashMap<BridgeId, Arc<Engine>>,
}

impl InProcessBridge {
    /// A bridge with the defaults of the [builder](Self::builder).
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Starts to configure a bridge. The defaults: at most 256 bridges, conditions in CEL (with the feature `cel`), tokio's
    /// clock, random jitter.
    pub fn builder() -> InProcessBridgeBuilder {
        InProcessBridgeBuilder {
            max_bridges: 256,
            compiler: default_compiler(),
            clock: None,
            jitter_seed: None,
        }
    }

    fn find(&self, operation: &'static str, bridge: &BridgeId) -> Result<Arc<Engine>> {
        let registry = self.registry.lock();
        let found = registry.bridges.get(bridge).map(Arc::clone);
        found.ok_or_else(|| NetworkError::not_found(operation, "bridge", bridge))
    }

    /// Reserves a name. Dropping the reservation releases it, unless it was kept.
    fn reserve<'b>(&'b self, name: &str) -> Result<Reservation<'b>> {
        let mut registry = self.registry.lock();
        if registry.names.contains(name) {
            let message = "a bridge with this name already exists";
            return Err(
                NetworkError::new(ErrorKind::AlreadyExists, "bridge.create_bridge", message).with_context("name", name),
            );
        }
        if registry.names.len() >= self.max_bridges {
            let error = NetworkError::new(
                ErrorKind::Exhausted,
                "bridge.create_bridge",
                "the maximum number of bridges is reached",
            );
            return Err(error.with_context(context::LIMIT, self.max_bridges.to_string()));
        }
        registry.names.insert(name.to_owned());
        Ok(Reservation {
            owner: self,
            name: Some(name.to_owned()),
        })
    }
}

/// Builds an [`InProcessBridge`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct InProcessBridgeBuilder {
    max_bridges: usize,
    compiler: Option<Arc<dyn ConditionCompiler>>,
    clock: Option<Arc<dyn Clock>>,
    jitter_seed: Option<u64>,
}

impl InProcessBridgeBuilder {
    /// Sets the maximum number of bridges. Creating another one fails with [`Exhausted`](ErrorKind::Exhausted).
    pub fn max_bridges(mut self, bridges: usize) -> Self {
        self.max_bridges = bridges;
        self
    }

    /// Sets the compiler of routing conditions, instead of CEL.
    pub fn condition_compiler(mut self, compiler: Arc<dyn ConditionCompiler>) -> Self {
        self.compiler = Some(compiler);
        self
    }

    /// Sets the clock for timestamps and latencies. Waits and time limits use tokio's clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the seed of the jitter of retries, so that it is the same in every run. Default: a random seed.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.jitter_seed = Some(seed);
        self
    }

    /// Builds the bridge.
    pub fn build(self) -> InProcessBridge {
        InProcessBridge {
            registry: Mutex::default(),
            max_bridges: self.max_bridges,
            compiler: self.compiler,
            clock: self.clock.unwrap_or_else(|| Arc::new(TokioClock::new())),
            jitter: Mutex::new(
                self.jitter_seed
                    .map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed),
            ),
        }
    }
}

/// A retry after the bridge's limit would deliver a message that the sink is still delivering.
fn check_delivery_limit(sink: &dyn BridgeSink, config: &BridgeConfig) -> Result<()> {
    match sink.delivery_limit() {
        Some(limit) if limit > config.delivery_timeout => Err(NetworkError::invalid_input(
            "delivery_timeout",
            "must not be shorter than the limit of the sink, which would deliver messages twice",
        )
        .with_context("sink_limit", format!("{limit:?}"))),
        _ => Ok(()),
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
        check_delivery_limit(target.as_ref(), &config)?;
        let reservation = self.reserve(name)?;
        let has_dead_letters = config.dead_letter_target.is_some();
        let router = Router::compile(&config.routing, self.compiler.as_ref(), has_dead_letters)
            .await
            .in_field("routing")?;
        let id = next_id();
        let engine = Engine::new(EngineParts {
            id: id.clone(),
            name: name.to_owned(),
            source,
            sink: target,
            config,
            router,
            clock: Arc::clone(&self.clock),
            jitter: self.jitter.lock().fork(),
        });
        engine
            .start()
            .await
            .map_err(|error| error.with_context(context::BRIDGE, name))?;
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
        let (sender, completed) = oneshot::channel();
        engine
            .send(Delivery::new(message, Box::new(Completion(sender))))
            .await?;
        let closed = |_| Err(NetworkError::closed("bridge.send_message_through_bridge", "the bridge"));
        completed.await.unwrap_or_else(closed)
    }

    async fn bridge_status(&self, bridge: &BridgeId) -> Result<BridgeStatus> {
        Ok(self.find("bridge.bridge_status", bridge)?.status())
    }

    async fn bridge_metrics(&self, bridge: &BridgeId) -> Result<BridgeMetrics> {
        Ok(self.find("bridge.bridge_metrics", bridge)?.metrics())
    }

    async fn configure_bridge_routing(&self, bridge: &BridgeId, routing: RoutingConfig) -> Result<()> {
        let engine = self.find("bridge.configure_bridge_routing", bridge)?;
        let has_dead_letters = engine.config.dead_letter_target.is_some();
        engine.set_router(Router::compile(&routing, self.compiler.as_ref(), has_dead_letters).await?);
        Ok(())
    }

    async fn configure_bridge_rules(&self, bridge: &BridgeId, rules: Vec<RouteRule>) -> Result<()> {
        let engine = self.find("bridge.configure_bridge_rules", bridge)?;
        let routing = engine.router().config_with(rules);
        self.configure_bridge_routing(bridge, routing).await
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
        let mut capabilities = BridgeCapabilities::all();
        capabilities.routing = self.compiler.is_some();
        capabilities
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

/// A name that is reserved while its bridge starts.
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

/// Returns the result to the application that sent the message.
struct Completion(oneshot::Sender<Result<BridgeReceipt>>);

impl Acknowledge for Completion {
    fn acknowledge(self: Box<Self>, result: Result<BridgeReceipt>) {
        // Fails if the application no longer waits.
        let _ = self.0.send(result);
    }
}

/// Ids are unique in the process, so that an `InProcessBridge` does not know the ids of another.
fn next_id() -> BridgeId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    BridgeId::new(format!("bridge-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}
