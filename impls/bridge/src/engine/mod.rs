//! One running bridge.
//!
//! The intake takes messages from the source. Each becomes an [`InFlight`]; the lanes keep messages of the same key in
//! order; a delivery routes a message, retries, and dead-letters.

mod dead_letter;
mod delivery;
mod endpoint_call;
mod in_flight;
mod intake;
mod lanes;
mod statistics;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use networking_spi::bridge::{
    BridgeConfig, BridgeHealth, BridgeId, BridgeInfo, BridgeMetrics, BridgeSink, BridgeSource, BridgeState,
    BridgeStatus, Delivery, HealthState,
};
use networking_spi::clock::Clock;
use networking_spi::{NetworkError, Result};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::routing::Router;
use endpoint_call::{guarded, health_of, severity, within};
use in_flight::InFlight;
use lanes::Lanes;
use statistics::Statistics;

/// How long stopping an endpoint may take, in addition to the drain timeout.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A bridge is degraded if at least this share of its latest messages failed or was dead-lettered.
const DEGRADED_PERCENT: u8 = 50;

/// The parts of a bridge.
pub(crate) struct EngineParts {
    pub(crate) id: BridgeId,
    pub(crate) name: String,
    pub(crate) source: Arc<dyn BridgeSource>,
    pub(crate) sink: Arc<dyn BridgeSink>,
    pub(crate) config: BridgeConfig,
    pub(crate) router: Router,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) jitter: fastrand::Rng,
}

/// One running bridge.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) id: BridgeId,
    pub(crate) name: String,
    source: Arc<dyn BridgeSource>,
    sink: Arc<dyn BridgeSink>,
    /// The configuration at creation. The routing in use is in `router`.
    pub(crate) config: BridgeConfig,
    router: ArcSwap<Router>,
    clock: Arc<dyn Clock>,
    statistics: Statistics,
    in_flight: AtomicUsize,
    lanes: Mutex<Lanes>,
    tasks: TaskTracker,
    /// Cancelled when work on messages ends: the remaining messages are rejected.
    give_up: CancellationToken,
    jitter: Mutex<fastrand::Rng>,
    /// One permit for each message that may be in flight.
    permits: Arc<Semaphore>,
    state: watch::Sender<BridgeState>,
    /// Whether the intake is in a call to `receive`.
    receiving: watch::Sender<bool>,
    /// Cancelled when the bridge's owner is dropped.
    abandoned: CancellationToken,
    /// Messages that were rejected because the bridge ended.
    given_up: AtomicUsize,
    /// How many messages in flight were rejected because the bridge ended; `None` until it has ended.
    outcome: watch::Sender<Option<usize>>,
    created_at: SystemTime,
    last_error: Mutex<Option<String>>,
}

impl Engine {
    pub(crate) fn new(parts: EngineParts) -> Arc<Self> {
        Arc::new(Self {
            id: parts.id,
            name: parts.name,
            source: parts.source,
            sink: parts.sink,
            router: ArcSwap::from_pointee(parts.router),
            statistics: Statistics::default(),
            in_flight: AtomicUsize::new(0),
            lanes: Mutex::default(),
            tasks: TaskTracker::new(),
            give_up: CancellationToken::new(),
            jitter: Mutex::new(parts.jitter),
            permits: Arc::new(Semaphore::new(parts.config.max_in_flight)),
            state: watch::Sender::new(BridgeState::Starting),
            receiving: watch::Sender::new(false),
            abandoned: CancellationToken::new(),
            given_up: AtomicUsize::new(0),
            outcome: watch::Sender::new(None),
            created_at: parts.clock.now(),
            last_error: Mutex::new(None),
            config: parts.config,
            clock: parts.clock,
        })
    }

    /// Starts both endpoints, the sink first, because the source may have a message immediately. After an error both are
    /// stopped.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<()> {
        let mut guard = StartGuard(Some(Arc::clone(self)));
        let started = async {
            guarded("the sink", self.sink.start()).await?;
            guarded("the source", self.source.start()).await
        };
        let result = started.await;
        if result.is_err() {
            self.stop_endpoints().await;
        } else {
            self.state.send_replace(BridgeState::Running);
            tokio::spawn(Self::run(Arc::clone(self)));
        }
        guard.0 = None;
        result
    }

    pub(crate) fn info(&self) -> BridgeInfo {
        let (source, sink) = (self.source.protocol(), self.sink.protocol());
        BridgeInfo::new(self.id.clone(), self.name.clone(), source, sink, self.state())
    }

    pub(crate) fn status(&self) -> BridgeStatus {
        let mut status = BridgeStatus::new(self.id.clone(), self.name.clone(), self.state(), self.created_at);
        status.in_flight = self.in_flight.load(Ordering::Relaxed);
        status.last_error.clone_from(&self.last_error.lock());
        status
    }

    pub(crate) fn metrics(&self) -> BridgeMetrics {
        self.statistics.snapshot()
    }

    pub(crate) async fn health(&self) -> BridgeHealth {
        let (source, sink) = tokio::join!(health_of(self.source.health()), health_of(self.sink.health()));
        let percent = self.statistics.error_percent();
        let own = match self.state() {
            BridgeState::Running if percent < DEGRADED_PERCENT => HealthState::Up,
            BridgeState::Stopped | BridgeState::Failed => HealthState::Down,
            _ => HealthState::Degraded,
        };
        let worst = [own, source.state, sink.state]
            .into_iter()
            .max_by_key(|state| severity(*state));
        BridgeHealth::new(worst.unwrap_or_default(), source, sink, percent)
    }

    /// Replaces the routing, for messages received from now on.
    pub(crate) fn router(&self) -> Arc<Router> {
        self.router.load_full()
    }

    pub(crate) fn set_router(&self, router: Router) {
        self.router.store(Arc::new(router));
    }

    /// Pauses the intake, and waits until its call to the source has ended.
    pub(crate) async fn pause(&self) -> Result<()> {
        self.change("bridge.pause_bridge", BridgeState::Paused)?;
        let mut receiving = self.receiving.subscribe();
        // No error: `self` holds the sender.
        let _ = receiving.wait_for(|receiving| !receiving).await;
        Ok(())
    }

    pub(crate) fn resume(&self) -> Result<()> {
        self.change("bridge.resume_bridge", BridgeState::Running)
    }

    /// Accepts a message from the application. When it returns, work on the message has started.
    pub(crate) async fn send(self: &Arc<Self>, delivery: Delivery) -> Result<()> {
        let closed = || NetworkError::closed("bridge.send_message_through_bridge", "the bridge");
        let mut state = self.state.subscribe();
        let permit = Arc::clone(&self.permits).acquire_owned();
        let stopped = async {
            // No error: `self` holds the sender.
            let _ = state.wait_for(|state| *state != BridgeState::Running).await;
        };
        let permit = tokio::select! {
            biased;
            () = stopped => return Err(closed()),
            permit = permit => permit.map_err(|_| closed())?,
        };
        let message = InFlight::new(self, delivery).with_permit(permit);
        if lanes::enter(self, message) {
            Ok(())
        } else {
            Err(closed())
        }
    }

    /// Ends the bridge. Returns the number of messages that were rejected because the drain timeout passed.
    pub(crate) async fn shut_down(&self) -> usize {
        self.state.send_if_modified(|state| {
            let active = matches!(*state, BridgeState::Running | BridgeState::Paused);
            if active {
                *state = BridgeState::Draining;
            }
            active
        });
        let mut outcome = self.outcome.subscribe();
        match outcome.wait_for(Option::is_some).await {
            Ok(given_up) => given_up.unwrap_or_default(),
            // Does not happen: `self` holds the sender.
            Err(_) => 0,
        }
    }

    /// Ends the bridge without draining: messages in flight are rejected.
    pub(crate) fn abandon(&self) {
        self.abandoned.cancel();
    }

    fn state(&self) -> BridgeState {
        *self.state.borrow()
    }

    /// Changes between running and paused.
    fn change(&self, operation: &'static str, to: BridgeState) -> Result<()> {
        let mut result = Ok(());
        self.state.send_if_modified(|state| match *state {
            BridgeState::Running | BridgeState::Paused => {
                let changed = *state != to;
                *state = to;
                changed
            }
            _ => {
                result = Err(NetworkError::closed(operation, "the bridge"));
                false
            }
        });
        result
    }

    /// Stops both endpoints, the source first. An endpoint may be stopped twice.
    async fn stop_endpoints(&self) {
        let source = within(STOP_TIMEOUT, guarded("the source", self.source.stop())).await;
        self.log_failure("stopping the source", source);
        let limit = self.config.drain_timeout.max(STOP_TIMEOUT);
        let sink = within(limit, guarded("the sink", self.sink.stop())).await;
        self.log_failure("stopping the sink", sink);
    }

    fn log_failure(&self, what: &'static str, result: Result<()>) {
        if let Err(error) = result {
            tracing::warn!(bridge = %self.name, %error, what, "failed");
            self.record_error(&error);
        }
    }

    /// Records the latest error, for the status.
    fn record_error(&self, error: &NetworkError) {
        *self.last_error.lock() = Some(error.to_string());
    }

    /// A random number in `0.0..1.0`, for jitter.
    fn random(&self) -> f64 {
        self.jitter.lock().f64()
    }
}

/// Stops the endpoints of a bridge whose start was cancelled.
struct StartGuard(Option<Arc<Engine>>);

impl Drop for StartGuard {
    fn drop(&mut self) {
        if let (Some(engine), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { engine.stop_endpoints().await });
        }
    }
}
